/*
 * spop-bench: load for an SPOA, every ACK checked.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "load.h"
#include "report.h"

#define EXIT_FAULTY 3

static int run(struct options *options)
{
    struct result *result = mem_zalloc(sizeof *result);
    int status = EX_OK;

    if (!load_run(options, result)) {
        fprintf(stderr, "spop-bench: no connection to %s got through HELLO%s%s\n", options->name,
                result->error ? ": " : "", result->error ? strerror(result->error) : "");
        status = EX_UNAVAILABLE;
    } else if (options->json) {
        report_json(options, result);
    } else {
        report_text(options, result);
    }
    if (status == EX_OK && options->strict && report_faulty(&result->tally))
        status = EXIT_FAULTY;
    free(result);
    return status;
}

int main(int argc, char **argv)
{
    struct options *options = mem_zalloc(sizeof *options);
    int status;

    signal(SIGPIPE, SIG_IGN);
    if (options_parse(options, argc, argv, &status))
        status = run(options);
    options_clear(options);
    free(options);
    return status;
}
