#include "modules/dict/change.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define TIDY 2 /* expired entries removed for each that is added */

static bool expired(uint64_t expires)
{
    return expires && expires <= dict_store_now();
}

static MDB_val key_of(const struct dict_key *key)
{
    return (MDB_val){key->len, (void *)key->bytes};
}

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

int dict_change_tidy(struct dict_env *env, MDB_txn *txn, uint64_t max, uint64_t *removed)
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

int dict_change_look_up(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                        struct dict_found *found)
{
    MDB_val at = key_of(key), bytes;
    int status = mdb_get(txn, env->data, &at, &bytes);

    *found = (struct dict_found){.there = status == 0};
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
                       const struct dict_found *old, const struct dict_value *value,
                       uint64_t expires)
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
                        const struct dict_found *old)
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
                     const struct dict_found *old)
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
                      const struct dict_found *old)
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

int dict_change_apply(struct dict_env *env, MDB_txn *txn, struct dict_change *change)
{
    struct dict_found old;
    uint64_t removed;
    int status = dict_change_look_up(env, txn, &change->key, &old);

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
    return status || old.there ? status : dict_change_tidy(env, txn, TIDY, &removed);
}
