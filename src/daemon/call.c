#include "daemon/call.h"

#include <ctype.h>
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "agent/text.h"
#include "base/escape.h"
#include "base/mem.h"
#include "script/budget.h"
#include "script/script.h"
#include "spop/action.h"
#include "spop/message.h"

#define ARGS_MAX 255 /* nb-args is one byte */

/* ---- the arguments, into the bytes of a message ---- */

static bool parse_bool(struct value *value, const char *text)
{
    bool yes = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;

    *value = value_bool(yes);
    return yes || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

static bool parse_integer(struct value *value, const char *text)
{
    bool negative = *text == '-';
    char *end;
    uint64_t number;

    errno = 0;
    number = negative ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
    if (errno || end == text || *end || isspace((unsigned char)*text))
        return false;
    value->integer = number;
    switch (value->type) {
    case VALUE_INT32:
        return (int64_t)number >= INT32_MIN && (int64_t)number <= INT32_MAX &&
               (negative || number <= INT32_MAX);
    case VALUE_UINT32:
        return !negative && number <= UINT32_MAX;
    case VALUE_UINT64:
        return !negative;
    default:
        return negative || number <= INT64_MAX;
    }
}

static bool parse_address(struct value *value, const char *text)
{
    size_t len = value->type == VALUE_IPV4 ? 4 : 16;
    uint8_t bytes[16];

    if (!value_ip_parse(value->type, span_of(text), bytes))
        return false;
    value->bytes = (struct span){mem_strndup((char *)bytes, len), len};
    return true;
}

static bool parse_hex(struct value *value, const char *text)
{
    size_t len = strlen(text) / 2;
    char *bytes = mem_alloc(len + 1);

    value->bytes = (struct span){bytes, len};
    if (strlen(text) % 2 || strspn(text, "0123456789abcdefABCDEF") != strlen(text))
        return false;
    for (size_t i = 0; i < len; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool parse_file(struct value *value, const char *path)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL, block[4096];
    size_t len = 0, got;
    FILE *all = open_memstream(&bytes, &len);
    bool good = file != NULL;

    while (file && !feof(file) && !ferror(file)) {
        got = fread(block, 1, sizeof block, file);
        fwrite(block, 1, got, all);
    }
    fclose(all);
    if (file) {
        good = !ferror(file);
        fclose(file);
    }
    value->bytes = (struct span){bytes, len};
    return good;
}

static bool parse_value(struct value *value, const char *text)
{
    switch (value->type) {
    case VALUE_NULL:
        return *text == '\0';
    case VALUE_BOOL:
        return parse_bool(value, text);
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_UINT64:
        return parse_integer(value, text);
    case VALUE_IPV4:
    case VALUE_IPV6:
        return parse_address(value, text);
    case VALUE_STR:
        value->bytes = (struct span){mem_strndup(text, strlen(text)), strlen(text)};
        return true;
    case VALUE_BIN:
        return *text == '@' ? parse_file(value, text + 1) : parse_hex(value, text);
    }
    return false;
}

/* [name=]type:value; the name ends at the first '=' that stands before a type. */
static bool put_argument(FILE *payload, const char *text)
{
    const char *equals = strchr(text, '='), *colon = strchr(text, ':');
    bool named = equals && (!colon || equals < colon);
    struct span name = {text, named ? (size_t)(equals - text) : 0};
    const char *type = named ? equals + 1 : text;
    struct span type_name = {type, strcspn(type, ":")};
    struct value value = value_null();
    bool good = value_type_find(type_name, &value.type) &&
                parse_value(&value, type[type_name.len] ? type + type_name.len + 1 : "");

    if (good) {
        size_t room = name.len + value.bytes.len + 1 + 2 * WIRE_VARINT_MAX;
        uint8_t *bytes = mem_alloc(room + WIRE_VARINT_MAX);
        struct wire_out out = wire_out_open(bytes, room + WIRE_VARINT_MAX);

        value_put_pair(&out, name, &value);
        fwrite(bytes, 1, (size_t)(out.at - bytes), payload);
        free(bytes);
    } else {
        fprintf(stderr,
                "spoa-lua call: '%s' is no argument: write [name=]type:value, type one of null "
                "bool int32 uint32 int64 uint64 ipv4 ipv6 str bin (bin as hex or @FILE), and a "
                "value that it can hold\n",
                text);
    }
    if (value.bytes.len || value.type == VALUE_STR || value.type == VALUE_BIN)
        free((char *)value.bytes.at);
    return good;
}

/* ---- the result ---- */

/* A script_fault_fn. */
static void print_fault(void *context, const char *text)
{
    (void)context;
    escape_put(ESCAPE_LINES, stderr, text, strlen(text));
    putc('\n', stderr);
}

/* One call. */
struct calling {
    struct script *script; /* NULL until it is loaded, and when it does not load */
    bool loaded, over;
    int status;
};

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted: a Lua table has no order of its own, and a reader, or a test, likes to have one. */
static void print_actions(struct span actions)
{
    struct wire wire = wire_open(actions.at, actions.len);
    struct action action;
    char **lines = NULL;
    size_t n = 0, len;

    while (action_next(&wire, &action)) {
        FILE *line;

        lines = mem_resize(lines, (n + 1) * sizeof *lines);
        line = open_memstream(&lines[n++], &len);
        text_action(line, &action);
        fclose(line);
    }
    if (n)
        qsort(lines, n, sizeof *lines, compare_lines);
    for (size_t i = 0; i < n; i++) {
        puts(lines[i]);
        free(lines[i]);
    }
    free(lines);
}

/* An invoke_done_fn. */
static void call_done(void *owner, unsigned slot, const struct invoke_report *report)
{
    struct calling *calling = owner;

    (void)slot;
    calling->over = true;
    background_release(calling->script, report->after);
    if (report->result == TASK_OK) {
        print_actions(report->actions);
        calling->status = EX_OK;
        return;
    }
    fprintf(stderr, "%s: ", task_result_name(report->result));
    print_fault(NULL, report->text);
    calling->status = 1;
}

/* ---- the run ---- */

/* A script_loaded_fn. */
static void call_loaded(void *context, struct script *script, bool good)
{
    struct calling *calling = context;

    calling->loaded = true;
    if (good)
        calling->script = script;
    else
        script_stop(script);
}

static void call_handler(struct calling *calling, const struct message *message)
{
    static const struct invoke_context context = {.subject = {.peer = "call", .engine_id = ""}};
    struct script *script = calling->script;
    bool first;
    struct invoke_call call = {
        .handler = handler_find(&script->handlers, message->name, &first),
        .message = message,
        .context = &context,
        .since = clock_look(), /* loading may have taken long */
        .room = SCRIPT_ROOM,
        .done = call_done,
        .owner = calling,
    };

    calling->status = 1;
    if (!call.handler) {
        fprintf(stderr,
                "spoa-lua call: message '%.*s' has no handler: no script defines a global "
                "function of that name (with _ for other characters than letters and digits)\n",
                (int)message->name.len, message->name.at);
        return;
    }
    invoke_start(script, &call);
    /* What spoa.after left is part of it. */
    while (!calling->over || script->holds > 0)
        ev_run(script->queue->loop, EVRUN_ONCE);
}

static int call_in_loop(const struct config *config, const struct message *message)
{
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    struct calling calling = {.status = EX_DATAERR};
    struct queue queue;

    queue_open(&queue, loop);
    budget_open(wait_expired);
    script_load(&queue, &config->script, true, print_fault, call_loaded, &calling);
    while (!calling.loaded)
        ev_run(loop, EVRUN_ONCE);
    if (calling.script) {
        call_handler(&calling, message);
        script_stop(calling.script);
    }
    queue_close(&queue);
    budget_close();
    ev_loop_destroy(loop);
    return calling.status;
}

int call_run(const struct config *config, const char *name, char **args, size_t nargs)
{
    char *bytes = NULL;
    size_t len = 0;
    FILE *payload = open_memstream(&bytes, &len);
    bool good = nargs <= ARGS_MAX;
    struct message message;
    int status = EX_USAGE;

    if (!good)
        fprintf(stderr, "spoa-lua call: a message has at most %d arguments\n", ARGS_MAX);
    for (size_t i = 0; good && i < nargs; i++)
        good = put_argument(payload, args[i]);
    fclose(payload);
    message = (struct message){span_of(name), (unsigned)nargs, wire_open(bytes, len)};
    if (good)
        status = call_in_loop(config, &message);
    free(bytes);
    return status;
}
