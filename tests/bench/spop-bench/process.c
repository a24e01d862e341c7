#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH_ROOM 96

/* Calls each with every thread of a process. */
static void threads_each(pid_t pid, void (*each)(pid_t pid, pid_t thread, void *context),
                         void *context)
{
    char path[PATH_ROOM];
    struct dirent *entry;

    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] != '.')
            each(pid, (pid_t)atol(entry->d_name), context);
    }
    if (folder)
        closedir(folder);
}

static void children_add(pid_t pid, pid_t thread, void *context)
{
    char path[PATH_ROOM];
    long child;

    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, (long)thread);
    FILE *file = fopen(path, "r");
    while (file && fscanf(file, "%ld", &child) == 1)
        processes_add(context, (pid_t)child);
    if (file)
        fclose(file);
}

void processes_add(struct processes *processes, pid_t pid)
{
    if (processes->count == PROCESS_MAX)
        return;
    processes->pids[processes->count++] = pid;
    threads_each(pid, children_add, processes);
}

/* By the nanosecond, where stat has ticks of 10 ms. */
static void schedstat_add(pid_t pid, pid_t thread, void *context)
{
    char path[PATH_ROOM];
    double *seconds = context;
    unsigned long long ran;

    snprintf(path, sizeof path, "/proc/%ld/task/%ld/schedstat", (long)pid, (long)thread);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%llu", &ran) == 1)
        *seconds += (double)ran / 1e9;
    if (file)
        fclose(file);
}

static void stat_add(pid_t pid, struct cpu *cpu)
{
    char path[PATH_ROOM], line[1024];
    unsigned long long user, system;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return;

    /* The name, in parentheses, may hold anything; utime and stime are 14th and 15th. */
    const char *rest = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                       &system) == 2) {
        double tick = (double)sysconf(_SC_CLK_TCK);

        cpu->user += (double)user / tick;
        cpu->system += (double)system / tick;
    }
    fclose(file);
}

struct cpu processes_cpu(const struct processes *processes)
{
    struct cpu cpu = {0, 0, 0};

    for (unsigned i = 0; i < processes->count; i++) {
        stat_add(processes->pids[i], &cpu);
        threads_each(processes->pids[i], schedstat_add, &cpu.total);
    }
    /* A kernel without schedstat. */
    if (cpu.total <= 0)
        cpu.total = cpu.user + cpu.system;
    return cpu;
}

uint64_t processes_peak_kib(const struct processes *processes)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < processes->count; i++) {
        char path[PATH_ROOM], line[256];
        unsigned long long kib;

        snprintf(path, sizeof path, "/proc/%ld/status", (long)processes->pids[i]);
        FILE *file = fopen(path, "r");
        while (file && fgets(line, sizeof line, file)) {
            if (sscanf(line, "VmHWM: %llu", &kib) == 1)
                sum += kib;
        }
        if (file)
            fclose(file);
    }
    return sum;
}

struct cpu cpu_self(void)
{
    struct rusage usage;
    struct cpu cpu;

    getrusage(RUSAGE_SELF, &usage);
    cpu.user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
    cpu.system = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    cpu.total = cpu.user + cpu.system;
    return cpu;
}
