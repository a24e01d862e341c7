#include "script/handler.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "script/arguments.h"
#include "script/options.h"

/* Names from the wire that are remembered, and the longest of them. */
#define SEEN_MAX     4096
#define SEEN_LEN_MAX 256

struct handler_entry {
    struct span name;
    struct handler *handler;
    UT_hash_handle hh;
};

static struct handler_entry *entry_find(struct handler_entry *table, struct span name)
{
    struct handler_entry *entry;

    HASH_FIND(hh, table, name.at, name.len, entry);
    return entry;
}

static struct handler_entry *entry_add(struct handler_entry **table, struct span name,
                                       struct handler *handler)
{
    struct handler_entry *entry = mem_zalloc(sizeof *entry);

    entry->name = (struct span){mem_strndup(name.at, name.len), name.len};
    entry->handler = handler;
    HASH_ADD_KEYPTR(hh, *table, entry->name.at, entry->name.len, entry);
    return entry;
}

static void entries_clear(struct handler_entry **table)
{
    struct handler_entry *entry, *next;

    HASH_ITER (hh, *table, entry, next) {
        HASH_DEL(*table, entry);
        free((char *)entry->name.at);
        free(entry);
    }
}

/* `handler get-ip timeout 50ms` is for get_ip too. */
static bool name_means(const char *configured, struct span name)
{
    if (strlen(configured) != name.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (configured[i] != name.at[i] &&
            (isalnum((unsigned char)configured[i]) || name.at[i] != '_'))
            return false;
    }
    return true;
}

static void handler_limit(struct handler *handler, const struct script_options *options)
{
    handler->timeout = options->timeout;
    handler->concurrency = options->concurrency;
    for (size_t i = 0; i < options->nlimits; i++) {
        const struct script_limit *limit = &options->limits[i];

        if (!name_means(limit->name, span_of(handler->name)))
            continue;
        if (limit->timeout > 0)
            handler->timeout = limit->timeout;
        if (limit->concurrency > 0)
            handler->concurrency = limit->concurrency;
    }
}

unsigned handler_count(const struct handler_table *table)
{
    return HASH_COUNT(table->defined);
}

const struct handler *handler_define(struct handler_table *table, lua_State *lua, struct span name,
                                     const char *file, const struct script_options *options)
{
    struct handler_entry *there = entry_find(table->defined, name);
    struct handler *handler;
    lua_Debug about;
    int function;

    if (there) {
        lua_pop(lua, 1);
        return there->handler;
    }
    lua_pushvalue(lua, -1);
    lua_getinfo(lua, ">Su", &about);
    function = luaL_ref(lua, LUA_REGISTRYINDEX);
    handler = mem_zalloc(sizeof *handler);
    handler->name = mem_strndup(name.at, name.len);
    handler->file = mem_strndup(file, strlen(file));
    handler->line = about.linedefined;
    handler->function = function;
    handler->wants_context = about.isvararg || about.nparams > 1;
    handler_limit(handler, options);
    handler->place = metrics_handler(options->metrics, handler->name);
    handler->metrics = &options->metrics->handlers[handler->place];
    TAILQ_INIT(&handler->layouts);
    entry_add(&table->defined, name, handler);
    return NULL;
}

/* SPOE's names have '-', '.' and ':' that an identifier cannot hold. */
static struct handler *find_mangled(const struct handler_table *table, struct span name)
{
    char mangled[SEEN_LEN_MAX];
    struct handler_entry *entry;

    if (name.len > sizeof mangled)
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        mangled[i] = isalnum((unsigned char)name.at[i]) ? name.at[i] : '_';
    entry = entry_find(table->defined, (struct span){mangled, name.len});
    return entry ? entry->handler : NULL;
}

static struct handler *find_slowly(struct handler_table *table, struct span name, bool *first)
{
    struct handler_entry *entry = entry_find(table->seen, name);
    struct handler *handler;

    if (!entry) {
        entry = entry_find(table->defined, name);
        handler = entry ? entry->handler : find_mangled(table, name);
        if (handler && !handler->message)
            handler->message = mem_strndup(name.at, name.len);
        if (table->nseen == SEEN_MAX || name.len > SEEN_LEN_MAX)
            return handler;
        entry = entry_add(&table->seen, name, handler);
        table->nseen++;
        *first = true;
    }
    table->last = entry;
    return entry->handler;
}

struct handler *handler_find(struct handler_table *table, struct span name, bool *first)
{
    const struct handler_entry *last = table->last;

    *first = false;
    if (last && last->name.len == name.len && memcmp(last->name.at, name.at, name.len) == 0)
        return last->handler;
    return find_slowly(table, name, first);
}

static void handler_free(struct handler *handler)
{
    log_limit_flush(&handler->failures, LEVEL_WARNING, handler->name);
    arguments_forget(handler);
    free(handler->name);
    free(handler->message);
    free(handler->file);
    free(handler);
}

void handler_table_clear(struct handler_table *table)
{
    struct handler_entry *entry, *next;

    entries_clear(&table->seen);
    HASH_ITER (hh, table->defined, entry, next)
        handler_free(entry->handler);
    entries_clear(&table->defined);
    *table = (struct handler_table){0};
}
