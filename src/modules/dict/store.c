#include "modules/dict/store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "modules/dict/change.h"

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
    status = finish(env, txn, dict_change_apply(env, txn, change), before);
    if (status)
        change->value = value; /* it may be tried again */
    return status;
}

static int flush_once(struct dict_env *env, uint64_t max, uint64_t *removed)
{
    MDB_txn *txn;
    int status = dict_env_write(env, &txn);

    *removed = 0;
    return status ? status : finish(env, txn, dict_change_tidy(env, txn, max, removed), SIZE_MAX);
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
    struct dict_found found;
    int status = dict_env_read(env);

    if (status)
        return status;
    status = dict_change_look_up(env, env->reader, key, &found);
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
