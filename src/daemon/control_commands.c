#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "daemon/control.h"
#include "daemon/control_show.h"

#define WORDS_MAX 8

/* What a line says. */
struct request {
    struct client *client;
    char *words[WORDS_MAX]; /* behind the command's own */
    unsigned n;
    bool json; /* the last word was `json`; it is not among the words */
};

struct command {
    const char *name; /* its words */
    const char *arguments;
    const char *help;
    unsigned least, most;
    void (*run)(struct request *request);
    control_show_fn *show; /* instead of run */
};

static const struct command commands[];

static void say(struct client *client, const char *text)
{
    client_say(client, text, strlen(text));
}

static void finish(struct client *client, const char *text)
{
    say(client, text);
    client_done(client);
}

/* ---- the commands ---- */

static void run_ping(struct request *request)
{
    finish(request->client, "pong\n");
}

static void run_help(struct request *request)
{
    for (const struct command *command = commands; command->name; command++) {
        char line[256];

        snprintf(line, sizeof line, "%s%s%s\n    %s\n", command->name,
                 *command->arguments ? " " : "", command->arguments, command->help);
        say(request->client, line);
    }
    client_done(request->client);
}

/* A supervisor_done_fn. */
static void reloaded(void *context, bool good, const char *text)
{
    struct client *client = context;
    char *shown = NULL;
    size_t len = strlen(text), size;
    FILE *out = open_memstream(&shown, &size);

    escape_put(ESCAPE_LINES, out, text, len);
    fclose(out);
    if (!good)
        say(client, "error: reload failed, the old configuration and scripts go on:\n");
    client_say(client, shown, size);
    free(shown);
    if (len > 0 && text[len - 1] != '\n')
        say(client, "\n");
    finish(client, good ? "reloaded\n" : "");
}

static void run_reload(struct request *request)
{
    supervisor_reload(client_supervisor(request->client), reloaded, request->client);
}

static void run_drain(struct request *request)
{
    struct supervisor *supervisor = client_supervisor(request->client);

    finish(request->client, "draining\n");
    supervisor_stop(supervisor, false);
}

static void run_shutdown(struct request *request)
{
    struct supervisor *supervisor = client_supervisor(request->client);

    finish(request->client, "stopping\n");
    supervisor_stop(supervisor, true);
}

/* ---- those that workers answer ---- */

/* A supervisor_answer_fn: pieces as they are. */
static void passed_on(void *context, unsigned worker, const char *text, size_t len, bool end)
{
    (void)worker;
    client_say(context, text, len);
    if (end)
        client_done(context);
}

/* The client has none of the query's rows yet when it says "[". */
static void listed(void *context, unsigned worker, const char *text, size_t len, bool end)
{
    struct client *client = context;

    (void)worker;
    if (len > 0) {
        say(client, client_row(client) > 0 ? ",\n" : "");
        client_say(client, text, len);
    }
    if (end)
        finish(client, "]\n");
}

/* As many lines as are wanted, whichever worker they come from. */
static void traced(void *context, unsigned worker, const char *text, size_t len, bool end)
{
    struct client *client = context;

    (void)worker;
    client_say(client, text, len);
    if (len > 0)
        client_row(client);
    if (end)
        client_done(client);
    else if (client_has_all(client))
        client_cut(client);
}

static void ask(struct request *request, const char *question, supervisor_answer_fn *answer)
{
    struct query *query =
        supervisor_ask(client_supervisor(request->client), 0, question, answer, request->client);

    if (query)
        client_waits(request->client, query);
    else
        finish(request->client, "error: no worker is serving at the moment\n");
}

static void run_show_sessions(struct request *request)
{
    say(request->client, request->json ? "[" : "");
    ask(request, request->json ? "sessions json" : "sessions text",
        request->json ? listed : passed_on);
}

static void run_set_log_level(struct request *request)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
#define X(id, priority, name) {name, LEVEL_##id},
        LOG_LEVELS(X)
#undef X
    };

    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i].name, request->words[0]) != 0)
            continue;
        supervisor_log_level(client_supervisor(request->client), levels[i].level);
        say(request->client, "ok\n");
        ask(request, "ping", passed_on); /* so that it is true when it is read */
        return;
    }
    finish(request->client, "error: the level is one of err, warning, notice, info and debug\n");
}

static void run_trace(struct request *request)
{
    const char *message = request->words[0];
    bool on = strcmp(request->words[1], "on") == 0;
    unsigned long count = request->n == 3 ? strtoul(request->words[2], NULL, 10) : 10;
    char question[512];

    if ((!on && strcmp(request->words[1], "off") != 0) || strlen(message) > 255 || count == 0 ||
        count > 1000000) {
        finish(request->client, "error: write trace MESSAGE on [N] (1 to 1000000) or off\n");
        return;
    }
    if (on)
        snprintf(question, sizeof question, "trace %s %lu", message, count);
    else
        snprintf(question, sizeof question, "untrace %s", message);
    client_want(request->client, on ? count : 0);
    ask(request, question, traced);
}

static const struct command commands[] = {
    {"help", "", "this list", 0, 0, run_help, NULL},
    {"ping", "", "pong", 0, 0, run_ping, NULL},
    {"show info", "[json]", "version, state, uptime, what is under way", 0, 0, NULL,
     control_show_info},
    {"show stat", "[json]", "all counters, of all workers together", 0, 0, NULL, control_show_stat},
    {"show handlers", "[json]", "each handler's results, by worker, and its mean time", 0, 0, NULL,
     control_show_handlers},
    {"show sessions", "[json]", "HAProxy's connections", 0, 0, run_show_sessions, NULL},
    {"show workers", "[json]", "the processes that serve", 0, 0, NULL, control_show_workers},
    {"show errors", "[json]", "the last 32 messages of each worker that failed, and why", 0, 0,
     NULL, control_show_errors},
    {"reload", "", "the configuration and the scripts; answers when it is done", 0, 0, run_reload,
     NULL},
    {"set log level", "LEVEL", "err, warning, notice, info or debug, until the next reload", 1, 1,
     run_set_log_level, NULL},
    {"trace", "MESSAGE on [N] | off",
     "a line for each of the next N (10): arguments, actions, time", 2, 3, run_trace, NULL},
    {"drain", "", "as SIGTERM: finish what is under way, then end", 0, 0, run_drain, NULL},
    {"shutdown", "", "end at once", 0, 0, run_shutdown, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL},
};

/* ---- one line ---- */

/* How many of the words are the command's name; 0: it is not this one. */
static unsigned names(const struct command *command, char **words, unsigned n)
{
    const char *at = command->name;
    unsigned matched = 0;

    while (*at) {
        size_t len = strcspn(at, " ");

        if (matched == n || strlen(words[matched]) != len || strncmp(words[matched], at, len) != 0)
            return 0;
        matched++;
        at += len + (at[len] == ' ');
    }
    return matched;
}

static void run(const struct command *command, struct request *request)
{
    char *text = NULL;
    size_t size;
    FILE *out;

    if (request->n < command->least || request->n > command->most) {
        char line[256];

        snprintf(line, sizeof line, "error: write %s %s\n", command->name, command->arguments);
        finish(request->client, line);
        return;
    }
    if (command->run) {
        command->run(request);
        return;
    }
    out = open_memstream(&text, &size);
    command->show(client_supervisor(request->client), out, request->json);
    fclose(out);
    client_say(request->client, text, size);
    client_done(request->client);
    free(text);
}

void control_run(struct client *client, char *line)
{
    struct request request = {.client = client};
    char *words[WORDS_MAX], *word;
    unsigned n = 0;

    while ((word = strsep(&line, " \t")) != NULL) {
        if (*word && n < WORDS_MAX)
            words[n++] = word;
    }
    request.json = n > 0 && strcmp(words[n - 1], "json") == 0;
    n -= request.json;
    for (const struct command *command = commands; command->name; command++) {
        unsigned matched = names(command, words, n);

        if (!matched)
            continue;
        request.n = n - matched;
        memcpy(request.words, words + matched, request.n * sizeof *words);
        run(command, &request);
        return;
    }
    finish(client, "error: no such command: `help` lists them\n");
}
