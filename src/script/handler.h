/*
 * handler: the Lua function that serves the spoe-message of its name.
 *
 * The table also remembers, for names as they come from HAProxy, which handler serves them
 * or that none does, so that a name is resolved once.
 */
#ifndef SCRIPT_HANDLER_H
#define SCRIPT_HANDLER_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/log.h"
#include "spop/wire.h"

struct script;
struct layout;

struct handler {
    char *name;    /* as the script defines it */
    char *message; /* as HAProxy spelled it when it first asked; NULL until then */
    char *file;
    int line;
    int function; /* a reference in the registry */
    bool wants_context;
    double timeout;       /* seconds */
    unsigned concurrency; /* messages at once */
    unsigned running;
    uint64_t cost; /* what a run of it takes between two waits, in nanoseconds, over its last */
    TAILQ_HEAD(layouts, layout) layouts; /* see arguments.h; the last one used first */
    unsigned nlayouts;
    struct log_limit failures;
    unsigned place; /* in the metrics' handlers */
    struct metrics_handler *metrics;
};

struct handler_entry;

struct handler_table {
    struct handler_entry *defined; /* by the name in the script */
    struct handler_entry *seen;    /* by the name on the wire; the handler may be NULL */
    size_t nseen;
    const struct handler_entry *last; /* most messages are like the one before */
};

/* What a handler may have, by its name: from the configuration. */
struct script_options;

/*
 * Adds the function on top of lua's stack, which it pops, under that name.  NULL, or the
 * handler of that name that is there already (the function is popped all the same).  May
 * raise a Lua memory error.
 */
const struct handler *handler_define(struct handler_table *table, lua_State *lua, struct span name,
                                     const char *file, const struct script_options *options);

/* How many are defined. */
unsigned handler_count(const struct handler_table *table);

/*
 * The handler for a spoe-message: the exact name, or the name with every character that an
 * identifier cannot hold replaced by '_'.  NULL when there is none; *first tells whether
 * this is the first time this name was asked for (what a peer makes us remember is bounded;
 * past that *first is false).
 */
struct handler *handler_find(struct handler_table *table, struct span name, bool *first);

void handler_table_clear(struct handler_table *table);

#endif
