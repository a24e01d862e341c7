/*
 * report: what a run found, for people and for programs.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "load.h"

void report_text(const struct options *options, const struct result *result);
void report_json(const struct options *options, const struct result *result);

/* Is there any fault at all? */
bool report_faulty(const struct tally *tally);

/* A line on stderr that the next one replaces. */
void report_progress(const struct tally *tally, double seconds);
void report_progress_end(void);

#endif
