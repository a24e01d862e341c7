#include "modules/dict/store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

#define TIDY      2    /* expired entries removed for each that is added */
#define MOMENTS   50   /* of 0.2 ms, for another process to end a read of some 0.2 us */
#define EVICT_MAX 1024 /* expired entries removed for one change of a full dictionary */

const char *dict_store_text(int status)
{
    switch (status) {
    case DICT_ABSENT:
        return "not found";
    case DICT_EXISTS:
        return "exists";
    case DICT_FULL:
    case DICT_CROWDED:
        return "no memory";
    case DICT_NO_NUMBER:
        return "not a number";
    case DICT_OUT_OF_RANGE:
        return "out of range";
    default:
        return mdb_strerror(status);
    }
}

uint64_t dict_store_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool expired(uint64_t expires)
{
    return expires && expires <= dict_store_now();
}

static MDB_val key_of(const struct dict_key *key)
{
    return (MDB_val){key->len, (void *)key->bytes};
}

/* ---- inside a transaction: these return 0 or an error of LMDB's ---- */

static int index_remove(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                        uint64_t expires)
{
    uint8_t bytes[DICT_INDEX_KEY_MAX];
    MDB_val index = {dict_index_put(bytes, expires, key->bytes, key->len), bytes};
    int status = mdb_del(txn, env->index, &index, NULL);

    return status == MDB_NOTFOUND ? 0 : status;
}

static int index_add(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                     uint64_t expires)
{
    uint8_t bytes[DICT_INDEX_KEY_MAX];
    MDB_val index = {dict_index_put(bytes, expires, key->bytes, key->len), bytes};
    MDB_val nothing = {0, NULL};

    return mdb_put(txn, env->index, &index, &nothing, 0);
}

/* Removes what has expired, the oldest first, at most max. */
static int remove_expired(struct dict_env *env, MDB_txn *txn, uint64_t max, uint64_t *removed)
{
    uint64_t now = dict_store_now();
    MDB_cursor *cursor = NULL;
    MDB_val index, nothing;
    int status = mdb_cursor_open(txn, env->index, &cursor);

    *removed = 0;
    while (!status && *removed < max) {
        struct dict_key key;
        MDB_val at;
        uint64_t expires;

        status = mdb_cursor_get(cursor, &index, &nothing, MDB_FIRST);
        if (status)
            break;
        expires = dict_index_get(index.mv_data, index.mv_size, &key);
        if (expires > now)
            break;
        at = key_of(&key);
        status = mdb_cursor_del(cursor, 0);
        if (!status)
            status = mdb_del(txn, env->data, &at, NULL);
        if (status == MDB_NOTFOUND)
            status = 0;
        ++*removed;
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return status == MDB_NOTFOUND ? 0 : status;
}

/* What is there, and whether it counts: an entry that has expired is found, but not live. */
struct found {
    bool there, live;
    struct dict_value value;
    uint64_t expires;
};

static int look_up(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                   struct found *found)
{
    MDB_val at = key_of(key), bytes;
    int status = mdb_get(txn, env->data, &at, &bytes);

    *found = (struct found){.there = status == 0};
    if (status)
        return status == MDB_NOTFOUND ? 0 : status;
    if (!dict_value_get(bytes.mv_data, bytes.mv_size, &found->value, &found->expires))
        return MDB_CORRUPTED;
    found->live = !expired(found->expires);
    return 0;
}

static int write_value(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                       const struct dict_value *value, uint64_t expires)
{
    MDB_val at = key_of(key), room = {dict_value_size(value), NULL};
    int status = mdb_put(txn, env->data, &at, &room, MDB_RESERVE);

    if (!status)
        dict_value_put(room.mv_data, value, expires);
    return status;
}

/* The index first: it is the one that can fail for want of room after something was taken
 * out, and a transaction that fails is undone as a whole. */
static int write_entry(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                       const struct found *old, const struct dict_value *value, uint64_t expires)
{
    int status = 0;

    if (old->there && old->expires && old->expires != expires)
        status = index_remove(env, txn, key, old->expires);
    if (!status && expires && old->expires != expires)
        status = index_add(env, txn, key, expires);
    if (!status)
        status = write_value(env, txn, key, value, expires);
    return status;
}

static int remove_entry(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                        const struct found *old)
{
    MDB_val at = key_of(key);
    int status = old->expires ? index_remove(env, txn, key, old->expires) : 0;

    return status ? status : mdb_del(txn, env->data, &at, NULL);
}

/* value = from + value */
static int add_up(struct dict_value *value, const struct dict_value *from)
{
    double by = value->type == DICT_INTEGER ? (double)value->integer : value->number;

    if (from->type == DICT_INTEGER && value->type == DICT_INTEGER)
        return __builtin_add_overflow(from->integer, value->integer, &value->integer)
                   ? DICT_OUT_OF_RANGE
                   : 0;
    if (from->type != DICT_INTEGER && from->type != DICT_FLOAT)
        return DICT_NO_NUMBER;
    value->type = DICT_FLOAT;
    value->number = (from->type == DICT_INTEGER ? (double)from->integer : from->number) + by;
    return 0;
}

static int increment(struct dict_env *env, MDB_txn *txn, struct dict_change *change,
                     const struct found *old)
{
    struct dict_value sum = change->value;
    int status = add_up(&sum, old->live ? &old->value : &change->init);

    if (!status)
        status = write_entry(env, txn, &change->key, old, &sum,
                             old->live ? old->expires : change->expires);
    if (!status)
        change->value = sum;
    return status;
}

/* The old value is in pages that the change may write to. */
static int set_expiry(struct dict_env *env, MDB_txn *txn, const struct dict_change *change,
                      const struct found *old)
{
    struct dict_value value = old->value;
    char *copy = NULL;
    int status;

    if (value.type == DICT_STRING)
        value.string.at = copy = mem_strndup(value.string.at, value.string.len);
    status = write_entry(env, txn, &change->key, old, &value, change->expires);
    free(copy);
    return status;
}

static int apply(struct dict_env *env, MDB_txn *txn, struct dict_change *change)
{
    struct found old;
    uint64_t removed;
    int status = look_up(env, txn, &change->key, &old);

    if (status)
        return status;
    switch (change->verb) {
    case DICT_DELETE:
        if (!old.there)
            return DICT_ABSENT;
        status = remove_entry(env, txn, &change->key, &old);
        return status || old.live ? status : DICT_ABSENT;
    case DICT_ADD:
        if (old.live)
            return DICT_EXISTS;
        break;
    case DICT_INCR:
        if (!old.live && !change->has_init)
            return DICT_ABSENT;
        break;
    case DICT_REPLACE:
    case DICT_EXPIRE:
        if (!old.live)
            return DICT_ABSENT;
        break;
    case DICT_SET:
        break;
    }
    if (change->verb == DICT_EXPIRE)
        return set_expiry(env, txn, change, &old);
    status = change->verb == DICT_INCR
                 ? increment(env, txn, change, &old)
                 : write_entry(env, txn, &change->key, &old, &change->value, change->expires);
    return status || old.there ? status : remove_expired(env, txn, TIDY, &removed);
}

/* ---- transactions ---- */

static bool full(int status)
{
    return status == MDB_MAP_FULL || status == MDB_TXN_FULL;
}

/* Commits what went well, unless it took more than entries may have. */
static int finish(struct dict_env *env, MDB_txn *txn, int status, size_t before)
{
    size_t after = status ? 0 : dict_env_pages(env, txn);

    if (status || (after > env->limit && after > before)) {
        mdb_txn_abort(txn);
        return !status ? DICT_FULL : full(status) ? DICT_CROWDED : status;
    }
    status = mdb_txn_commit(txn);
    return full(status) ? DICT_CROWDED : status;
}

static int attempt(struct dict_env *env, struct dict_change *change)
{
    struct dict_value value = change->value;
    MDB_txn *txn;
    size_t before;
    int status = dict_env_write(env, &txn);

    if (status)
        return status;
    before = dict_env_pages(env, txn);
    status = finish(env, txn, apply(env, txn, change), before);
    if (status)
        change->value = value; /* it may be tried again */
    return status;
}

static int flush_once(struct dict_env *env, uint64_t max, uint64_t *removed)
{
    MDB_txn *txn;
    int status = dict_env_write(env, &txn);

    *removed = 0;
    return status ? status : finish(env, txn, remove_expired(env, txn, max, removed), SIZE_MAX);
}

/*
 * A process that the system stopped in the middle of a read keeps all pages that were in use
 * then; others that write meanwhile can run out of pages long before the dictionary is full.
 * It will be over in a moment, unless the process was killed.
 */
static int attempt_again(struct dict_env *env, struct dict_change *change)
{
    static const struct timespec moment = {0, 200000};
    int status = DICT_CROWDED;

    dict_env_clean(env);
    for (int n = 0; status == DICT_CROWDED && n < MOMENTS && dict_env_is_read(env); n++) {
        nanosleep(&moment, NULL);
        status = attempt(env, change);
    }
    return status == DICT_CROWDED ? attempt(env, change) : status;
}

int dict_store_change(struct dict_env *env, struct dict_change *change)
{
    int status = attempt(env, change);

    if (status == DICT_CROWDED)
        status = attempt_again(env, change);
    if (status != DICT_FULL && status != DICT_CROWDED)
        return status;
    for (uint64_t removed, all = 0; all < EVICT_MAX; all += removed) {

        status = flush_once(env, env->batch, &removed);
        if (status && status != DICT_FULL && status != DICT_CROWDED)
            return status;
        status = attempt(env, change);
        if ((status != DICT_FULL && status != DICT_CROWDED) || removed == 0)
            break;
    }
    return status;
}

int dict_store_flush(struct dict_env *env, uint64_t max, uint64_t *removed)
{
    int status = 0;

    dict_env_clean(env);
    for (*removed = 0; *removed < max;) {
        uint64_t now, batch = max - *removed < env->batch ? max - *removed : env->batch;

        status = flush_once(env, batch, &now);
        if (status)
            return status;
        *removed += now;
        if (now < batch)
            break;
    }
    return status;
}

int dict_store_clear(struct dict_env *env)
{
    MDB_txn *txn;
    int status;

    dict_env_clean(env);
    status = dict_env_write(env, &txn);
    if (status)
        return status;
    status = mdb_drop(txn, env->data, 0);
    if (!status)
        status = mdb_drop(txn, env->index, 0);
    return finish(env, txn, status, SIZE_MAX);
}

/* Out of the map before the transaction ends, for other processes write to it. */
static void keep(struct dict_env *env, struct dict_value *value)
{
    if (value->type != DICT_STRING)
        return;
    if (value->string.len >= env->buffer_size) {
        env->buffer_size = value->string.len + 1;
        env->buffer = mem_resize(env->buffer, env->buffer_size);
    }
    memcpy(env->buffer, value->string.at, value->string.len);
    value->string.at = env->buffer;
}

int dict_store_get(struct dict_env *env, const struct dict_key *key, struct dict_value *value,
                   uint64_t *expires)
{
    struct found found;
    int status = dict_env_read(env);

    if (status)
        return status;
    status = look_up(env, env->reader, key, &found);
    if (!status && found.live) {
        *value = found.value;
        *expires = found.expires;
        keep(env, value);
    }
    dict_env_read_end(env);
    return status ? status : found.live ? DICT_OK : DICT_ABSENT;
}

int dict_store_usage(struct dict_env *env, struct dict_usage *usage)
{
    MDB_stat about;
    int status = dict_env_read(env);

    if (status)
        return status;
    status = mdb_stat(env->reader, env->data, &about);
    usage->entries = about.ms_entries;
    usage->used = dict_env_pages(env, env->reader) * env->page;
    usage->size = env->limit * env->page;
    dict_env_read_end(env);
    return status;
}
