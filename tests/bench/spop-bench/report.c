#include "report.h"

#include <inttypes.h>
#include <stdio.h>

struct fault {
    const char *name;
    uint64_t count;
};

#define X(name) +1
enum { FAULT_COUNT = 0 TALLY_FAULTS(X) };
#undef X

static void faults_list(const struct tally *tally, struct fault faults[FAULT_COUNT])
{
    unsigned n = 0;

#define X(name) faults[n++] = (struct fault){#name, tally->name};
    TALLY_FAULTS(X)
#undef X
}

bool report_faulty(const struct tally *tally)
{
    struct fault faults[FAULT_COUNT];

    faults_list(tally, faults);
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (faults[i].count > 0)
            return true;
    }
    return false;
}

/* Percentiles as they are shown and as they are called in JSON. */
static const struct {
    const char *name, *key;
    double share;
} percentiles[] = {
    {"p50", "p50", 0.5},      {"p90", "p90", 0.9},         {"p99", "p99", 0.99},
    {"p99.9", "p999", 0.999}, {"p99.99", "p9999", 0.9999},
};

#define PERCENTILE_COUNT (sizeof percentiles / sizeof *percentiles)

static double microseconds(double nanoseconds)
{
    return nanoseconds / 1000;
}

static double percentile(const struct tally *tally, size_t i)
{
    return microseconds((double)histogram_at(&tally->latency, percentiles[i].share));
}

static double per_second(const struct result *result, uint64_t count)
{
    return result->seconds > 0 ? (double)count / result->seconds : 0;
}

/* Microseconds of CPU for each ACK. */
static double per_ack(const struct result *result, double seconds)
{
    uint64_t acks = result->tally.window.acks;

    return acks ? seconds * 1e6 / (double)acks : 0;
}

/* How much of one CPU. */
static double share(const struct result *result, double seconds)
{
    return result->seconds > 0 ? seconds / result->seconds : 0;
}

/* User and system by the clock's nanoseconds, in the proportion of their ticks. */
static struct cpu cpu_split(struct cpu cpu)
{
    double ticks = cpu.user + cpu.system;

    cpu.user = ticks > 0 ? cpu.total * cpu.user / ticks : 0;
    cpu.system = ticks > 0 ? cpu.total - cpu.user : 0;
    return cpu;
}

static bool pipelining(const struct result *result)
{
    return result->agreed.capabilities & HELLO_PIPELINING;
}

/* ---- text ---- */

/* 1234567 as 1,234,567; the last of several in one printf must not overwrite the first. */
static const char *thousands(double number)
{
    static char texts[4][40];
    static unsigned turn;
    char *text = texts[turn++ % 4], digits[32];
    int len = snprintf(digits, sizeof digits, "%.0f", number), n = 0;

    for (int i = 0; i < len; i++) {
        text[n++] = digits[i];
        if ((len - i) % 3 == 1 && i < len - 1)
            text[n++] = ',';
    }
    text[n] = '\0';
    return text;
}

static void text_load(const struct options *options, const struct result *result)
{
    printf("agent        %s: frames up to %" PRIu32 " bytes, pipelining %s, fragmentation %s\n",
           options->name, result->agreed.max_frame_size, pipelining(result) ? "yes" : "no",
           result->agreed.capabilities & HELLO_FRAGMENTATION ? "yes" : "no");
    printf("load         %u of %u connections, %u outstanding on each, %s bytes a NOTIFY, ",
           result->running, options->connections, pipelining(result) ? options->outstanding : 1,
           thousands((double)options->notify.len));
    if (options->rate > 0)
        printf("open loop at %s/s\n", thousands(options->rate));
    else
        puts("closed loop");
}

static void text_latency(const struct options *options, const struct tally *tally)
{
    printf("latency us   ");
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        printf("%s %.1f  ", percentiles[i].name, percentile(tally, i));
    printf("max %.1f  mean %.1f\n", microseconds((double)tally->latency.max),
           microseconds(histogram_mean(&tally->latency)));
    printf("             from %s\n", options->rate > 0
                                         ? "the scheduled time to the read that brought the ACK"
                                         : "the write of a NOTIFY to the read that brought its "
                                           "ACK (see -r)");
}

static void text_faults(const struct tally *tally)
{
    struct fault faults[FAULT_COUNT];

    faults_list(tally, faults);
    printf("faults       ");
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (i == 6)
            printf("\n             ");
        printf("%s %" PRIu64 "%s", faults[i].name, faults[i].count,
               i == 5 || i == FAULT_COUNT - 1 ? "" : "  ");
    }
    putchar('\n');
}

static void text_cpu(const char *who, const struct result *result, struct cpu cpu)
{
    cpu = cpu_split(cpu);
    printf("%-12s %.2f us of CPU an ACK (user %.2f, system %.2f), %.0f %% of a CPU", who,
           per_ack(result, cpu.total), per_ack(result, cpu.user), per_ack(result, cpu.system),
           100 * share(result, cpu.total));
}

void report_text(const struct options *options, const struct result *result)
{
    const struct tally *tally = &result->tally;

    text_load(options, result);
    printf("throughput   %s ACKs/s: %s in %.2f s\n",
           thousands(per_second(result, tally->window.acks)), thousands((double)tally->window.acks),
           result->seconds);
    text_latency(options, tally);
    text_faults(tally);
    if (options->processes.count > 0) {
        text_cpu("agent's CPU", result, result->agent);
        printf(", peak memory %.1f MiB in %u process%s\n", (double)result->agent_peak_kib / 1024,
               options->processes.count, options->processes.count == 1 ? "" : "es");
    }
    text_cpu("load's CPU", result, result->self);
    putchar('\n');
}

/* ---- JSON ---- */

static void json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < ' ')
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_cpu(const char *key, const struct result *result, struct cpu cpu)
{
    cpu = cpu_split(cpu);
    printf("\"%s\": {\"cpu_us_per_ack\": %.4f, \"user_us_per_ack\": %.4f, "
           "\"system_us_per_ack\": %.4f, \"cpu_seconds\": %.6f, \"cpu_share\": %.4f",
           key, per_ack(result, cpu.total), per_ack(result, cpu.user), per_ack(result, cpu.system),
           cpu.total, share(result, cpu.total));
}

static void json_latency(const struct options *options, const struct tally *tally)
{
    printf("\"latency_us\": {\"from_schedule\": %s, \"count\": %" PRIu64 ", \"mean\": %.3f",
           options->rate > 0 ? "true" : "false", tally->latency.count,
           microseconds(histogram_mean(&tally->latency)));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        printf(", \"%s\": %.3f", percentiles[i].key, percentile(tally, i));
    printf(", \"max\": %.3f}", microseconds((double)tally->latency.max));
}

static void json_faults(const struct tally *tally)
{
    struct fault faults[FAULT_COUNT];

    faults_list(tally, faults);
    printf("\"faults\": {");
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "", faults[i].name, faults[i].count);
    printf("}");
}

void report_json(const struct options *options, const struct result *result)
{
    const struct tally *tally = &result->tally;

    printf("{\"agent_address\": ");
    json_string(options->name);
    printf(", \"connections\": %u, \"running\": %u, \"outstanding\": %u, \"rate\": %g, "
           "\"pipelining\": %s, \"max_frame_size\": %" PRIu32 ", \"notify_bytes\": %zu, ",
           options->connections, result->running, pipelining(result) ? options->outstanding : 1,
           options->rate, pipelining(result) ? "true" : "false", result->agreed.max_frame_size,
           options->notify.len);
    printf("\"seconds\": %.6f, \"acks\": %" PRIu64 ", \"acks_per_second\": %.2f, "
           "\"sent\": %" PRIu64 ", \"answered\": %" PRIu64 ", ",
           result->seconds, tally->window.acks, per_second(result, tally->window.acks), tally->sent,
           tally->answered);
    json_latency(options, tally);
    printf(", ");
    json_faults(tally);
    printf(", \"reads\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"bytes_in\": %" PRIu64
           ", \"bytes_out\": %" PRIu64 ", ",
           tally->window.reads, tally->window.writes, tally->window.bytes_in,
           tally->window.bytes_out);
    json_cpu("agent", result, result->agent);
    printf(", \"processes\": %u, \"peak_kib\": %" PRIu64 "}, ", options->processes.count,
           result->agent_peak_kib);
    json_cpu("load", result, result->self);
    printf("}}\n");
}

/* ---- progress ---- */

void report_progress(const struct tally *tally, double seconds)
{
    fprintf(stderr, "\r%6.1f s  %s answered of %s sent  p50 %.0f us  p99 %.0f us  %s\033[K",
            seconds, thousands((double)tally->answered), thousands((double)tally->sent),
            percentile(tally, 0), percentile(tally, 2),
            report_faulty(tally) ? "with faults" : "no faults");
    fflush(stderr);
}

void report_progress_end(void)
{
    fputs("\r\033[K", stderr);
}
