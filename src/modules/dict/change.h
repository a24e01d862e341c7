/*
 * dict_change: what happens inside one transaction.  All return 0, a dict_status or an error
 * of LMDB's, upon which the transaction is to be aborted: it may be half done.
 */
#ifndef MODULES_DICT_CHANGE_H
#define MODULES_DICT_CHANGE_H

#include "modules/dict/store.h"

/* What is there, and whether it counts: an entry that has expired is found, but not live. */
struct dict_found {
    bool there, live;
    struct dict_value value; /* a string points into the map */
    uint64_t expires;
};

int dict_change_look_up(struct dict_env *env, MDB_txn *txn, const struct dict_key *key,
                        struct dict_found *found);

/* Makes the change, and removes a little of what has expired for each entry that it adds. */
int dict_change_apply(struct dict_env *env, MDB_txn *txn, struct dict_change *change);

/* Removes what has expired, the oldest first, at most max. */
int dict_change_tidy(struct dict_env *env, MDB_txn *txn, uint64_t max, uint64_t *removed);

#endif
