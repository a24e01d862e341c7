/*
 * stage: where handlers play in the tests: a loop, a script made of sources given as text,
 * messages put together by hand, and what became of them as text.
 */
#ifndef STAGE_H
#define STAGE_H

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script/budget.h"
#include "script/script.h"
#include "spop/action.h"

#include "../unit.h"

#define STAGE_FILES 16
#define STAGE_TEXT  8192

/* How long a turn of the loop may bring nothing before the test has failed. */
#define STAGE_PATIENCE 60.0

struct stage {
    struct ev_loop *loop;
    struct queue queue;
    struct script_options options;
    struct script *script;
    bool loaded;
    struct invoke_context context;
    size_t room;     /* for actions */
    char folder[32]; /* of the sources */
    char *paths[STAGE_FILES], *files[STAGE_FILES];
    size_t npaths;
    char faults[STAGE_TEXT]; /* from loading, each with a line end, without the folder */
    unsigned nfaults;
    char said[STAGE_TEXT];
};

/* What a task's end brought. */
struct outcome {
    const struct stage *stage;
    struct script *script;
    unsigned calls, slot;
    enum task_result result;
    char actions[STAGE_TEXT]; /* "set-var txn.x int64 1", sorted, "; " between */
    char text[STAGE_TEXT];    /* without the folder */
};

/* ---- text ---- */

static inline void stage_text(const struct stage *stage, char out[STAGE_TEXT], const char *text)
{
    size_t skip = strlen(stage->folder), len = 0;

    while (*text && len < STAGE_TEXT - 1) {
        if (strncmp(text, stage->folder, skip) == 0 && text[skip] == '/')
            text += skip + 1;
        else
            out[len++] = *text++;
    }
    out[len] = '\0';
}

static inline void stage_print_bytes(FILE *out, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.at[i];

        fprintf(out, byte >= ' ' && byte < 127 ? "%c" : "\\x%02x", byte);
    }
}

static inline void stage_print_value(FILE *out, const struct value *value)
{
    char text[VALUE_IP_TEXT_MAX];

    fputs(value_type_name(value->type), out);
    switch (value->type) {
    case VALUE_NULL:
        break;
    case VALUE_BOOL:
        fputs(value->integer ? " true" : " false", out);
        break;
    case VALUE_INT32:
    case VALUE_INT64:
        fprintf(out, " %" PRId64, (int64_t)value->integer);
        break;
    case VALUE_UINT32:
    case VALUE_UINT64:
        fprintf(out, " %" PRIu64, value->integer);
        break;
    case VALUE_IPV4:
    case VALUE_IPV6:
        value_ip_text(value, text);
        fprintf(out, " %s", text);
        break;
    case VALUE_STR:
    case VALUE_BIN:
        fputc(' ', out);
        stage_print_bytes(out, value->bytes);
        break;
    }
}

static inline int stage_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A list of actions; a bad one ends the test. */
static inline void stage_print_actions(char out[STAGE_TEXT], struct span actions)
{
    struct wire wire = wire_open(actions.at, actions.len);
    struct action action;
    char *lines[512];
    size_t n = 0, len;

    while (action_next(&wire, &action)) {
        FILE *line = open_memstream(&lines[n], &len);

        fprintf(line, "%s %s.", action.type == ACTION_SET_VAR ? "set-var" : "unset-var",
                action_scope_name(action.scope));
        stage_print_bytes(line, action.name);
        if (action.type == ACTION_SET_VAR) {
            fputc(' ', line);
            stage_print_value(line, &action.value);
        }
        fclose(line);
        ck_assert_uint_lt(++n, sizeof lines / sizeof *lines);
    }
    ck_assert(!wire.bad);
    qsort(lines, n, sizeof *lines, stage_compare);
    len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        len += (size_t)snprintf(out + len, STAGE_TEXT - len, "%s%s", i ? "; " : "", lines[i]);
        ck_assert_uint_lt(len, STAGE_TEXT);
        free(lines[i]);
    }
}

/* ---- scripts ---- */

static inline void stage_init(struct stage *stage)
{
    *stage = (struct stage){
        .loop = ev_loop_new(EVFLAG_AUTO),
        .options = {.timeout = 600,
                    .cpu = 0.05,
                    .memory = 16u << 20,
                    .concurrency = 1000,
                    .background_timeout = 600,
                    .background_cpu = 600,
                    .background_concurrency = 1000,
                    .default_scope = SCOPE_PROC},
        .context = {.subject = {.peer = "127.0.0.1:4321",
                                .engine_id = "engine",
                                .stream_id = 7,
                                .frame_id = 9}},
        .room = 4096,
        .folder = "/tmp/spoa-lua-unit-XXXXXX",
    };
    queue_open(&stage->queue, stage->loop);
    ck_assert_ptr_nonnull(mkdtemp(stage->folder));
}

/* A file in the stage's folder (its name may have one folder in it). */
static inline char *stage_write(struct stage *stage, const char *name, const char *source)
{
    char *path;
    const char *slash = strchr(name, '/');
    FILE *file;

    ck_assert_uint_lt(stage->npaths, STAGE_FILES);
    if (slash) {
        ck_assert_int_gt(asprintf(&path, "%s/%.*s", stage->folder, (int)(slash - name), name), 0);
        ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
        free(path);
    }
    ck_assert_int_gt(asprintf(&path, "%s/%s", stage->folder, name), 0);
    stage->paths[stage->npaths++] = path;
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(source, file);
    fclose(file);
    return path;
}

/* One more of the script files. */
static inline void stage_script(struct stage *stage, const char *name, const char *source)
{
    stage->files[stage->options.nfiles++] = stage_write(stage, name, source);
    stage->options.files = stage->files;
}

static inline void stage_fault(void *context, const char *text)
{
    struct stage *stage = context;
    size_t len = strlen(stage->faults);
    char line[STAGE_TEXT];

    stage_text(stage, line, text);
    snprintf(stage->faults + len, sizeof stage->faults - len, "%s\n", line);
    stage->nfaults++;
}

/* Files are only read while loading, and are gone then. */
static inline void stage_forget_files(struct stage *stage)
{
    while (stage->npaths) {
        char *path = stage->paths[--stage->npaths];

        unlink(path);
        *strrchr(path, '/') = '\0';
        rmdir(path); /* when this was its last file */
        free(path);
    }
    stage->options.files = NULL;
    stage->options.nfiles = 0;
    rmdir(stage->folder);
}

/* A script_loaded_fn. */
static inline void stage_loaded(void *context, struct script *script, bool good)
{
    struct stage *stage = context;

    stage->loaded = true;
    stage->script = good ? script : NULL;
    if (!good)
        script_stop(script);
}

static inline void stage_turn(struct stage *stage);

/* stage_load for who loads the files more than once, and forgets them at the end. */
static inline struct script *stage_load_again(struct stage *stage)
{
    stage->loaded = false;
    stage->nfaults = 0;
    stage->faults[0] = '\0';
    script_load(&stage->queue, &stage->options, true, stage_fault, stage_loaded, stage);
    while (!stage->loaded)
        stage_turn(stage);
    return stage->script;
}

/* Makes the script of all files; NULL when that failed (see faults). */
static inline struct script *stage_load(struct stage *stage)
{
    stage_load_again(stage);
    stage_forget_files(stage);
    return stage->script;
}

/* stage_open in two steps, for who has options of its own to set between. */
static inline void stage_prepare(struct stage *stage, const char *source)
{
    stage_init(stage);
    stage_script(stage, "h.lua", source);
}

static inline void stage_begin(struct stage *stage)
{
    ck_assert(budget_open(wait_expired));
    ck_assert_msg(stage_load(stage) != NULL, "%s", stage->faults);
}

/* A stage with one script, h.lua, and everything it needs. */
static inline void stage_open(struct stage *stage, const char *source)
{
    stage_prepare(stage, source);
    stage_begin(stage);
}

/* Retires the script; what still runs must have ended before. */
static inline void stage_close(struct stage *stage)
{
    if (stage->script) {
        ck_assert_uint_eq(stage->script->tasks.count, 0);
        while (stage->script->holds > 0)
            stage_turn(stage);
        script_retire(stage->script, NULL);
    }
    queue_close(&stage->queue);
    budget_close();
    ev_loop_destroy(stage->loop);
}

/* Runs a piece of Lua, not as a handler; its result as text. */
static inline const char *stage_eval(struct stage *stage, const char *code)
{
    lua_State *lua = stage->script->lua;
    int top = lua_gettop(lua);

    lua_pushfstring(lua, "return tostring(%s)", code);
    ck_assert_int_eq(luaL_loadstring(lua, lua_tostring(lua, -1)), LUA_OK);
    ck_assert_msg(lua_pcall(lua, 0, 1, 0) == LUA_OK, "%s", lua_tostring(lua, -1));
    snprintf(stage->said, sizeof stage->said, "%s", lua_tostring(lua, -1));
    lua_settop(lua, top);
    return stage->said;
}

/* ---- messages ---- */

struct arg {
    const char *name;
    struct value value;
};

#define ARGS(...)                                                                                  \
    (const struct arg[]){__VA_ARGS__},                                                             \
        sizeof((const struct arg[]){__VA_ARGS__}) / sizeof(struct arg)
#define NO_ARGS NULL, 0

#define STR(text) value_bytes(VALUE_STR, span_of(text))
#define INT(n)    value_integer(VALUE_INT64, (uint64_t)(n))

static inline void stage_put_message(struct wire_out *out, const char *name, const struct arg *args,
                                     size_t nargs)
{
    message_put(out, span_of(name), (uint8_t)nargs);
    for (size_t i = 0; i < nargs; i++)
        value_put_pair(out, span_of(args[i].name), &args[i].value);
    ck_assert(!out->full);
}

/* An invoke_done_fn whose owner is an outcome. */
static inline void stage_done(void *owner, unsigned slot, const struct invoke_report *report)
{
    struct outcome *outcome = owner;

    background_release(outcome->script, report->after);
    outcome->calls++;
    outcome->slot = slot;
    outcome->result = report->result;
    if (report->result == TASK_OK)
        stage_print_actions(outcome->actions, report->actions);
    else
        stage_text(outcome->stage, outcome->text, report->text);
}

/*
 * Starts a message's handler, which must exist.  The message lies in a block of exactly its
 * size that is gone when this returns, so that AddressSanitizer sees who still reads it.
 */
static inline struct task *stage_start(struct stage *stage, struct outcome *outcome,
                                       const char *name, const struct arg *args, size_t nargs)
{
    static uint8_t room[1u << 17];
    struct wire_out out = wire_out_open(room, sizeof room);
    struct message message;
    struct invoke_call call = {
        .message = &message,
        .context = &stage->context,
        .since = clock_look(),
        .room = stage->room,
        .done = stage_done,
        .owner = outcome,
        .slot = 3,
    };
    struct task *task;
    struct wire wire;
    uint8_t *bytes;
    size_t len;
    bool first;

    stage_put_message(&out, name, args, nargs);
    len = (size_t)(out.at - room);
    bytes = malloc(len);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, room, len);
    wire = wire_open(bytes, len);
    ck_assert(message_next(&wire, &message));
    call.handler = handler_find(&stage->script->handlers, message.name, &first);
    ck_assert_msg(call.handler != NULL, "no handler for %s", name);
    *outcome = (struct outcome){.stage = stage, .script = stage->script};
    task = invoke_start(stage->script, &call);
    free(bytes);
    ck_assert_uint_eq(outcome->calls, task ? 0 : 1);
    return task;
}

static inline void stage_impatient(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

/* One turn of the loop, which blocks until something happens. */
static inline void stage_turn(struct stage *stage)
{
    struct ev_loop *loop = stage->loop;
    ev_timer patience;

    ev_timer_init(&patience, stage_impatient, STAGE_PATIENCE, 0);
    ev_now_update(loop);
    ev_timer_start(loop, &patience);
    ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(ev_is_active(&patience), "nothing happened for %g seconds", STAGE_PATIENCE);
    ev_timer_stop(loop, &patience);
}

/* What has been cancelled, or stopped, is closed in turns of its own. */
static inline void stage_settle(struct stage *stage)
{
    while (stage->script && !LIST_EMPTY(&stage->script->tasks.ending))
        stage_turn(stage);
}

static inline void stage_cancel(struct stage *stage, struct task *task)
{
    task_cancel(task);
    stage_settle(stage);
}

static inline void stage_wait(struct stage *stage, const struct outcome *outcome)
{
    while (outcome->calls == 0)
        stage_turn(stage);
    stage_settle(stage);
    ck_assert_uint_eq(outcome->calls, 1);
    ck_assert_uint_eq(outcome->slot, 3);
}

/* Runs a handler to its end. */
static inline void stage_run(struct stage *stage, struct outcome *outcome, const char *name,
                             const struct arg *args, size_t nargs)
{
    stage_start(stage, outcome, name, args, nargs);
    stage_wait(stage, outcome);
}

/* "ok" or "ok ACTIONS", "error FIRST-LINE" and so on. */
static inline const char *stage_says(struct stage *stage, const struct outcome *outcome)
{
    const char *more = outcome->result == TASK_OK ? outcome->actions : outcome->text;

    ck_assert_uint_eq(outcome->calls, 1);
    snprintf(stage->said, sizeof stage->said, "%s%s%.*s", task_result_name(outcome->result),
             *more ? " " : "", (int)strcspn(more, "\n"), more);
    return stage->said;
}

/* Runs a handler to its end; what became of it. */
static inline const char *stage_play(struct stage *stage, const char *name, const struct arg *args,
                                     size_t nargs)
{
    struct outcome outcome;

    stage_run(stage, &outcome, name, args, nargs);
    return stage_says(stage, &outcome);
}

#define stage_expect(stage, name, args, expected)                                                  \
    ck_assert_str_eq(stage_play(stage, name, args), expected)

#endif
