/*
 * load: a run: connections opened, warm-up, the measured time, what is outstanding awaited,
 * goodbyes said.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "options.h"
#include "tally.h"

struct result {
    unsigned running;    /* connections that got through HELLO */
    int error;           /* errno of a connection that failed; 0 for none */
    struct hello agreed; /* by one of them */
    double seconds;      /* measured */
    struct cpu agent, self;
    uint64_t agent_peak_kib;
    struct tally tally;
};

/* False when no connection got through HELLO. */
bool load_run(struct options *options, struct result *result);

#endif
