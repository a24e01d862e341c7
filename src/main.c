/*
 * The command line.
 */
#include <ev.h>
#include <getopt.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/call.h"
#include "daemon/config.h"
#include "daemon/ctl.h"
#include "daemon/supervisor.h"
#include "daemon/worker.h"

#ifndef SPOA_LUA_VERSION
#error "SPOA_LUA_VERSION comes from the Makefile"
#endif

#define CONFIG_FILE "/etc/spoa-lua/spoa-lua.conf"

static const char usage[] =
    "spoa-lua: an SPOE agent for HAProxy whose messages are served by Lua functions\n"
    "\n"
    "  spoa-lua [-c FILE]        serve, in the foreground, until SIGTERM; with --single\n"
    "                            in one process, without a supervisor\n"
    "  spoa-lua -t [-c FILE]     check the configuration and load the scripts\n"
    "  spoa-lua call [-c FILE | -s SCRIPT] MESSAGE [[NAME=]TYPE:VALUE ...]\n"
    "                            run one handler and print its actions\n"
    "  spoa-lua reload [-c FILE]\n"
    "                            load configuration and scripts anew; fails if that does\n"
    "  spoa-lua ctl [-c FILE | -s ADDRESS] COMMAND\n"
    "                            ask a running daemon; `ctl help` lists the commands\n"
    "  spoa-lua -V               version;  -h, --help  this text\n"
    "\n"
    "FILE is " CONFIG_FILE " unless told otherwise.  Types: null bool int32 uint32\n"
    "int64 uint64 ipv4 ipv6 str bin (as hex, or @FILE).\n"
    "Exit status: 0 good, 1 the called handler failed, 64 usage, 65 scripts, 71 and 77\n"
    "listeners and the system, 78 configuration.\n";

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'}, {"test", no_argument, NULL, 't'},
    {"single", no_argument, NULL, '1'},       {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

static int usage_error(void)
{
    fputs("Try 'spoa-lua --help'.\n", stderr);
    return EX_USAGE;
}

static int version(void)
{
    printf("spoa-lua %s, %s, libev %d.%d\n", SPOA_LUA_VERSION, LUA_RELEASE, ev_version_major(),
           ev_version_minor());
    return EX_OK;
}

static struct config *config_load(const char *path, int *status)
{
    struct config *config = mem_zalloc(sizeof *config);

    if (config_read(config, path, stderr) == 0)
        return config;
    config_free(config);
    *status = EX_CONFIG;
    return NULL;
}

static int check(const char *path)
{
    int status = EX_CONFIG;
    struct config *config = config_load(path, &status);

    if (!config)
        return status;
    status = worker_check(config);
    if (status == EX_OK)
        puts("configuration ok");
    config_free(config);
    return status;
}

static int serve(const char *path, bool single)
{
    char fault[256];
    int status = EX_CONFIG;
    struct config *config = config_load(path, &status);

    if (!config)
        return status;
    log_set_level(config->log_level);
    if (!log_configure(config->log_format, config->log_target, fault, sizeof fault)) {
        fprintf(stderr, "spoa-lua: %s\n", fault);
        config_free(config);
        return EX_OSERR;
    }
    return supervisor_run(config, path, single);
}

/* The configuration of a `call`: a file's, or all defaults with one script. */
static struct config *config_for_call(const char *path, const char *script, int *status)
{
    struct config *config;

    if (!script)
        return config_load(path, status);
    config = mem_zalloc(sizeof *config);
    config_defaults(config);
    config->script.files = mem_zalloc(sizeof *config->script.files);
    config->script.files[0] = mem_strndup(script, strlen(script));
    config->script.nfiles = 1;
    return config;
}

static int call(int argc, char **argv)
{
    const char *path = CONFIG_FILE, *script = NULL;
    struct config *config;
    int option, status = EX_CONFIG;

    /* '+': what follows the message's name is its arguments, -1 too. */
    while ((option = getopt_long(argc, argv, "+c:s:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return EX_OK;
        }
        if (option == 'c')
            path = optarg;
        else if (option == 's')
            script = optarg;
        else
            return usage_error();
    }
    if (optind == argc) {
        fputs("spoa-lua call: which message?\n", stderr);
        return usage_error();
    }
    config = config_for_call(path, script, &status);
    if (!config)
        return status;
    log_set_level(config->log_level);
    status = call_run(config, argv[optind], argv + optind + 1, (size_t)(argc - optind - 1));
    config_free(config);
    return status;
}

/* Where the control socket is: of the file, or as said. */
static bool find_control(struct listener_spec *spec, const char *address, const char *path,
                         int *status)
{
    struct config *config;
    const char *wrong;
    char *faults = NULL;
    size_t size;
    FILE *errors;

    if (address) {
        wrong = listener_parse(spec, address);
        if (wrong)
            fprintf(stderr, "spoa-lua: '%s': %s\n", address, wrong);
        *status = EX_USAGE;
        return !wrong;
    }
    /* A file that has been edited wrongly since still says where the daemon is, which says
     * itself what is wrong with it. */
    config = mem_zalloc(sizeof *config);
    errors = open_memstream(&faults, &size);
    config_read(config, path, errors);
    fclose(errors);
    *spec = config->control;
    config->control.text = NULL;
    config_free(config);
    if (!spec->text)
        fputs(faults, stderr);
    free(faults);
    if (spec->text)
        return true;
    fprintf(stderr,
            "spoa-lua: %s has no `control` line, such as: control "
            "unix:/run/spoa-lua/control.sock\n",
            path);
    *status = EX_CONFIG;
    return false;
}

static int ctl(int argc, char **argv, bool reload)
{
    static char *const reload_words[] = {(char *)"reload"};
    const char *path = CONFIG_FILE, *address = NULL;
    struct listener_spec spec;
    int option, status = EX_CONFIG;

    while ((option = getopt_long(argc, argv, "+c:s:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return EX_OK;
        }
        if (option == 'c')
            path = optarg;
        else if (option == 's')
            address = optarg;
        else
            return usage_error();
    }
    if (reload != (optind == argc)) {
        fputs(reload ? "spoa-lua reload: that is all\n" : "spoa-lua ctl: which command? (help)\n",
              stderr);
        return usage_error();
    }
    if (!find_control(&spec, address, path, &status))
        return status;
    status = reload ? ctl_run(&spec, (char **)reload_words, 1)
                    : ctl_run(&spec, argv + optind, (size_t)(argc - optind));
    free(spec.text);
    return status;
}

int main(int argc, char **argv)
{
    const char *path = CONFIG_FILE;
    bool test = false, single = false;
    int option;

    log_open(LEVEL_INFO);
    if (argc > 1 && strcmp(argv[1], "call") == 0)
        return call(argc - 1, argv + 1);
    if (argc > 1 && (strcmp(argv[1], "ctl") == 0 || strcmp(argv[1], "reload") == 0))
        return ctl(argc - 1, argv + 1, strcmp(argv[1], "reload") == 0);
    while ((option = getopt_long(argc, argv, "c:tVh", long_options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 't':
            test = true;
            break;
        case '1':
            single = true;
            break;
        case 'V':
            return version();
        case 'h':
            fputs(usage, stdout);
            return EX_OK;
        default:
            return usage_error();
        }
    }
    if (optind < argc) {
        fprintf(stderr, "spoa-lua: unknown command '%s'\n", argv[optind]);
        return usage_error();
    }
    return test ? check(path) : serve(path, single);
}
