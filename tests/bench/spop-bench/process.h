/*
 * process: what the agent's processes have used: a process and those it started.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#define PROCESS_MAX 512

struct processes {
    pid_t pids[PROCESS_MAX];
    unsigned count;
};

/* Seconds of CPU, all processes together. */
struct cpu {
    double total, user, system;
};

/* Adds a process and all its descendants of now. */
void processes_add(struct processes *processes, pid_t pid);

struct cpu processes_cpu(const struct processes *processes);

/* Highest resident memory of each so far, added up: what they share counts for each. */
uint64_t processes_peak_kib(const struct processes *processes);

/* This process's own. */
struct cpu cpu_self(void);

#endif
