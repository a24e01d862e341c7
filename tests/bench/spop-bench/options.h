/*
 * options: the command line.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "expectation.h"
#include "notify.h"
#include "process.h"
#include "spop/hello.h"
#include "target.h"

struct options {
    const char *name; /* the agent's address as written */
    struct target target;
    unsigned connections, outstanding;
    double warmup, seconds; /* seconds is 0 where only the count ends the run */
    uint64_t count;         /* 0 for as many as there is time for */
    double rate;            /* 0 for a closed loop */
    double timeout;
    struct hello hello;
    struct notify notify;
    struct expectation expectation;
    struct processes processes;
    bool json, strict;
};

/* False when the program is to end at once, with *status. */
bool options_parse(struct options *options, int argc, char **argv, int *status);

void options_clear(struct options *options);

#endif
