/*
 * options: what the configuration decides for handler scripts.  The rows of daemon/config
 * fill it; times in seconds, sizes in bytes.
 */
#ifndef SCRIPT_OPTIONS_H
#define SCRIPT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "spop/action.h"

/* An entry put before package.path, or package.cpath. */
struct script_path {
    char *pattern;
    bool cpath;
};

struct script_options {
    double timeout;       /* wall clock from NOTIFY to ACK */
    double cpu;           /* CPU time between two waits */
    size_t memory;        /* of the Lua heap */
    unsigned concurrency; /* handlers that have not ended yet */
    enum action_scope default_scope;
    struct script_path *paths;
    size_t npaths;
    char **files; /* the scripts, in the order they are run */
    size_t nfiles;
};

#endif
