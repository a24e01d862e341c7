/*
 * histogram: how often each latency was seen, in buckets that are fixed: 64 to every power of
 * two, so that a bucket is never wider than 1/64 of what is in it.  Takes the same time and
 * memory however many values there are.  Starts as all zeroes.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS   64
#define HISTOGRAM_BUCKETS (59 * HISTOGRAM_STEPS)

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count, sum, max;
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The value that a share (0 .. 1) of all values does not exceed, no more than a bucket's width
 * above the true one; 0 when there are no values. */
uint64_t histogram_at(const struct histogram *histogram, double share);

double histogram_mean(const struct histogram *histogram);

#endif
