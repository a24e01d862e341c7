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

/* What `handler NAME ...` says; what it does not say is 0. */
struct script_limit {
    char *name;
    double timeout;
    unsigned concurrency;
    size_t line; /* in the configuration */
};

struct metrics;

struct script_options {
    struct metrics *metrics; /* where this worker counts; NULL for script_load: nobody looks */
    double timeout;          /* wall clock from NOTIFY to ACK */
    double cpu;              /* CPU time between two waits */
    size_t memory;           /* of the Lua heap */
    unsigned concurrency;    /* handlers that have not ended yet */
    double background_timeout;
    double background_cpu; /* CPU time of a whole run */
    unsigned background_concurrency;
    enum action_scope default_scope;
    struct script_limit *limits;
    size_t nlimits;
    struct script_path *paths;
    size_t npaths;
    char **files; /* the scripts, in the order they are run */
    size_t nfiles;
};

#endif
