#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define CONNECTIONS_MAX 20000
#define OUTSTANDING_MAX 4096
#define MESSAGES_MAX    10000
#define ARGS_MAX        256 /* one too many, so that the excess is noticed */
#define SECONDS_MAX     86400

#define DEFAULT_MESSAGE  "get-ip-reputation"
#define DEFAULT_ARGUMENT "client_ip=ipv4:10.1.2.3"

#define ENGINE_ID "5b0c7c52-6f0e-4f35-9d0b-31a1e0a3f8aa"

static const char usage[] =
    "spop-bench: load for an SPOA, every ACK checked\n"
    "\n"
    "  spop-bench [options] HOST:PORT | [IP6]:PORT | unix:/PATH | abns:NAME\n"
    "\n"
    "Load\n"
    "  -c N                 connections (1)\n"
    "  -p N                 NOTIFYs outstanding on each (1), if the agent has pipelining\n"
    "  -d SECONDS           measured time (5)\n"
    "  -w SECONDS           warm-up before it (0.5; 0 with -n)\n"
    "  -n COUNT             so many NOTIFYs in all; -d is a limit then, if given\n"
    "  -r RATE              so many NOTIFYs a second by a fixed schedule (open loop); latency\n"
    "                       counts from the scheduled time.  Without it (closed loop) the next\n"
    "                       NOTIFY waits for an ACK, and an agent's pause delays only what\n"
    "                       was sent already.\n"
    "  -t SECONDS           processing timeout (1): what takes longer is late, or missing\n"
    "What is sent\n"
    "  -m NAME              message (" DEFAULT_MESSAGE ")\n"
    "  -a [NAME=]TYPE:VALUE argument, repeatable (" DEFAULT_ARGUMENT " without -m).\n"
    "                       Types: null bool int32 uint32 int64 uint64 ipv4 ipv6 str bin;\n"
    "                       bin:SIZE (8192, 8k) makes so many bytes, bin:@FILE reads them\n"
    "  -M N                 messages in a NOTIFY (1)\n"
    "  -f SIZE              max-frame-size offered (16380)\n"
    "  --capabilities LIST  offered (pipelining,async, as HAProxy up to 3.0 has it)\n"
    "What is checked\n"
    "  -x SCOPE.VAR[=VALUE] a variable that each ACK must set, repeatable\n"
    "  --strict             exit with 3 when anything is wrong, missing, late ...\n"
    "What is shown\n"
    "  --pid PID            CPU and peak memory of the agent's process and its children\n"
    "  --json               one JSON object instead of text\n"
    "\n"
    "Exit status: 0 done, 3 see --strict, 64 usage, 69 no connection got through HELLO.\n";

enum { OPTION_CAPABILITIES = 256, OPTION_JSON, OPTION_PID, OPTION_STRICT };

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"capabilities", required_argument, NULL, OPTION_CAPABILITIES},
    {"json", no_argument, NULL, OPTION_JSON},
    {"pid", required_argument, NULL, OPTION_PID},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {NULL, 0, NULL, 0},
};

/* What the command line said that needs all of it to be understood. */
struct words {
    const char *message;
    char *args[ARGS_MAX];
    size_t nargs;
    unsigned messages;
    bool warmup, seconds;
};

static bool number_parse(const char *text, double least, double most, double *number)
{
    char *end;
    double parsed = strtod(text, &end);

    if (end == text || *end || !(parsed >= least) || !(parsed <= most))
        return false;
    *number = parsed;
    return true;
}

static bool count_parse(const char *text, unsigned least, unsigned most, unsigned *count)
{
    char *end;
    unsigned long parsed = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || parsed < least || parsed > most)
        return false;
    *count = (unsigned)parsed;
    return true;
}

static bool capabilities_parse(const char *text, unsigned *capabilities)
{
    *capabilities = 0;
    while (*text) {
        size_t len = strcspn(text, ",");
        struct span name = {text, len};

        if (span_is(name, "pipelining"))
            *capabilities |= HELLO_PIPELINING;
        else if (span_is(name, "fragmentation"))
            *capabilities |= HELLO_FRAGMENTATION;
        else if (span_is(name, "async"))
            *capabilities |= HELLO_ASYNC;
        else
            return false;
        text += len + (text[len] == ',');
    }
    return true;
}

static bool pid_parse(struct options *options, const char *text)
{
    unsigned pid;

    if (!count_parse(text, 1, INT32_MAX, &pid))
        return false;
    processes_add(&options->processes, (pid_t)pid);
    return true;
}

static bool notifies_parse(const char *text, uint64_t *count)
{
    double number;

    if (!number_parse(text, 1, 1e15, &number))
        return false;
    *count = (uint64_t)number;
    return true;
}

static bool word_add(struct words *words, char *arg)
{
    if (words->nargs == ARGS_MAX)
        return false;
    words->args[words->nargs++] = arg;
    return true;
}

static bool option_take(struct options *options, struct words *words, int option, char *arg)
{
    switch (option) {
    case 'c':
        return count_parse(arg, 1, CONNECTIONS_MAX, &options->connections);
    case 'p':
        return count_parse(arg, 1, OUTSTANDING_MAX, &options->outstanding);
    case 'd':
        words->seconds = true;
        return number_parse(arg, 0.01, SECONDS_MAX, &options->seconds);
    case 'w':
        words->warmup = true;
        return number_parse(arg, 0, SECONDS_MAX, &options->warmup);
    case 'n':
        return notifies_parse(arg, &options->count);
    case 'r':
        return number_parse(arg, 0.1, 1e8, &options->rate);
    case 't':
        return number_parse(arg, 0.001, SECONDS_MAX, &options->timeout);
    case 'm':
        words->message = arg;
        return true;
    case 'a':
        return word_add(words, arg);
    case 'M':
        return count_parse(arg, 1, MESSAGES_MAX, &words->messages);
    case 'f':
        return count_parse(arg, 256, INT32_MAX, &options->hello.max_frame_size);
    case 'x':
        return expectation_add(&options->expectation, arg);
    case OPTION_CAPABILITIES:
        return capabilities_parse(arg, &options->hello.capabilities);
    case OPTION_PID:
        return pid_parse(options, arg);
    case OPTION_JSON:
        return options->json = true;
    default:
        return options->strict = true;
    }
}

static int usage_error(void)
{
    fputs("Try 'spop-bench --help'.\n", stderr);
    return EX_USAGE;
}

/* The words in one place, once all are known. */
static bool words_finish(struct options *options, struct words *words, const char *address)
{
    static char argument[] = DEFAULT_ARGUMENT;
    const char *wrong = target_parse(&options->target, address);

    if (wrong) {
        fprintf(stderr, "spop-bench: %s: %s\n", address, wrong);
        return false;
    }
    if (options->count && !words->warmup)
        options->warmup = 0;
    if (options->count && !words->seconds)
        options->seconds = 0;
    if (!words->message && words->nargs == 0)
        word_add(words, argument);
    options->name = address;
    return notify_make(&options->notify, words->message ? words->message : DEFAULT_MESSAGE,
                       words->args, words->nargs, words->messages);
}

static void options_init(struct options *options)
{
    *options = (struct options){
        .connections = 1,
        .outstanding = 1,
        .warmup = 0.5,
        .seconds = 5,
        .timeout = 1,
        .hello = {.max_frame_size = 16380,
                  .capabilities = HELLO_PIPELINING | HELLO_ASYNC,
                  .engine_id = span_of(ENGINE_ID)},
    };
}

bool options_parse(struct options *options, int argc, char **argv, int *status)
{
    struct words words = {.messages = 1};
    int option;

    options_init(options);
    *status = EX_USAGE;
    while ((option = getopt_long(argc, argv, "c:p:d:w:n:r:t:m:a:M:f:x:h", long_options, NULL)) !=
           -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            *status = EX_OK;
            return false;
        }
        if (option == '?') {
            usage_error();
            return false;
        }
        if (!option_take(options, &words, option, optarg)) {
            fprintf(stderr, "spop-bench: '%s' is not what %s takes\n", optarg,
                    argv[optind - 1] == optarg ? argv[optind - 2] : argv[optind - 1]);
            usage_error();
            return false;
        }
    }
    if (optind + 1 != argc) {
        fputs("spop-bench: give one address of an agent\n", stderr);
        usage_error();
        return false;
    }
    return words_finish(options, &words, argv[optind]);
}

void options_clear(struct options *options)
{
    free(options->notify.bytes);
}
