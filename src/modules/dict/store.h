/*
 * dict_store: what can be done with the entries of a dictionary; each call is one
 * transaction, all or nothing, whatever other processes do meanwhile.
 *
 * An entry whose time is over is not there any more for anybody; its memory is used again
 * when entries are added (two at a time), when the dictionary is full (a bounded number of
 * them a call), or on dict_store_flush.  No Lua here.
 */
#ifndef MODULES_DICT_STORE_H
#define MODULES_DICT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "modules/dict/entry.h"
#include "modules/dict/env.h"

/* What a call returns; or an error of LMDB's or the system's, see dict_store_text. */
enum dict_status {
    DICT_OK = 0,
    DICT_ABSENT = -1,
    DICT_EXISTS = -2,
    DICT_FULL = -3,         /* even without what has expired; nothing was changed */
    DICT_NO_NUMBER = -4,    /* to increment */
    DICT_OUT_OF_RANGE = -5, /* an integer would overflow */
    DICT_CROWDED = -6       /* as DICT_FULL, for old pages are being read, or in pieces */
};

/* "not found", "no memory", ...; or LMDB's or the system's text. */
const char *dict_store_text(int status);

enum dict_verb { DICT_SET, DICT_ADD, DICT_REPLACE, DICT_INCR, DICT_EXPIRE, DICT_DELETE };

struct dict_change {
    enum dict_verb verb;
    struct dict_key key;
    struct dict_value value; /* what to set; DICT_INCR: by how much, and then the new value */
    struct dict_value init;  /* DICT_INCR: what an absent entry counts from, if has_init */
    bool has_init;
    uint64_t expires; /* of the entry that is set or added, see dict_store_now; 0 for never */
};

/* Milliseconds since the host started, sleep included: the same clock in all processes. */
uint64_t dict_store_now(void);

int dict_store_change(struct dict_env *env, struct dict_change *change);

/* A string in value points into a buffer that the next call overwrites. */
int dict_store_get(struct dict_env *env, const struct dict_key *key, struct dict_value *value,
                   uint64_t *expires);

/* Removes entries that have expired, the oldest first, at most max; how many. */
int dict_store_flush(struct dict_env *env, uint64_t max, uint64_t *removed);

/* Removes every entry. */
int dict_store_clear(struct dict_env *env);

struct dict_usage {
    uint64_t entries;    /* with those that have expired and are still in memory */
    uint64_t used, size; /* bytes */
};

int dict_store_usage(struct dict_env *env, struct dict_usage *usage);

#endif
