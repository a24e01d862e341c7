/*
 * tally: what a run has counted.  Latencies, and the counts in `window`, are of the measured
 * time only; faults are counted from the first HELLO on.
 */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stdint.h>

#include "histogram.h"

/* What can be wrong.  X(identifier, name in JSON and text) */
#define TALLY_FAULTS(X)                                                                            \
    X(wrong)       /* an ACK without the expected variable */                                      \
    X(missing)     /* a NOTIFY that was never answered */                                          \
    X(late)        /* an ACK that came after the processing timeout */                             \
    X(duplicate)   /* another ACK for a NOTIFY that has had one */                                 \
    X(malformed)   /* an ACK or frame that HAProxy could not read whole */                         \
    X(aborted)     /* an ACK with the ABORT flag, which HAProxy ignores */                         \
    X(unknown)     /* an ACK for what was never asked */                                           \
    X(refused)     /* a connection that got no usable AGENT-HELLO */                               \
    X(lost)        /* a connection that the agent ended while in use */                            \
    X(disconnects) /* ... saying AGENT-DISCONNECT */

struct tally {
#define X(name) uint64_t name;
    TALLY_FAULTS(X)
#undef X
    uint64_t sent, answered; /* since the start; answered in time or late */
    struct {
        uint64_t acks; /* in time */
        uint64_t reads, writes, bytes_in, bytes_out;
    } window;
    struct histogram latency; /* nanoseconds */
};

#endif
