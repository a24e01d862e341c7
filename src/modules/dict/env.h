/*
 * dict_env: a dictionary's file, opened with LMDB, once in this process.
 *
 * LMDB's locks are those of fcntl: a process that opened a file twice would lose them all
 * with the first close.  So every Lua state (a reload makes a second one) shares the
 * environment of a file, which is closed with its last user.  After a fork the child must
 * not touch what it inherited: dict_env_here says so, and it is opened anew.
 *
 * The file is memory only (place.h), so nothing is ever synced; all of it is allocated when
 * it is opened, so that a full /dev/shm is an error then, and no SIGBUS later.  A process
 * that is killed while it writes leaves what was there before: LMDB never overwrites pages
 * in use, and its mutex is robust.
 */
#ifndef MODULES_DICT_ENV_H
#define MODULES_DICT_ENV_H

#include <lmdb.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "modules/dict/place.h"

#define DICT_SIZE_MIN     ((size_t)1 << 20)
#define DICT_SIZE_DEFAULT ((size_t)16 << 20)
#define DICT_SIZE_MAX     ((size_t)1 << 40)

struct dict_env {
    LIST_ENTRY(dict_env) link;
    dev_t device;
    ino_t inode;
    pid_t pid; /* of the process that opened it */
    unsigned users;
    size_t size;  /* as mapped, bytes */
    size_t limit; /* pages that entries may take; the rest lets a full dictionary delete */
    size_t batch; /* entries to delete in one transaction, within the rest */
    size_t page;  /* bytes */
    MDB_env *lmdb;
    MDB_txn *reader;     /* kept, and renewed for each read */
    MDB_dbi data, index; /* key -> value; what expires, in its order */
    char *buffer;        /* store.c's, for a value that was read */
    size_t buffer_size;
};

/*
 * Opens the file, makes it if it is not there, and grows it if it is smaller than size; or
 * finds it open and has one user more.  NULL with a reason.
 */
struct dict_env *dict_env_open(const char *path, size_t size, struct dict_why *why);

/* One user less. */
void dict_env_close(struct dict_env *env);

/* Whether this process opened it.  If not, there is nothing to do with it, not even close. */
bool dict_env_here(const struct dict_env *env);

/*
 * Begin a transaction; 0 or an error of LMDB's.  Writing waits for other processes' writers,
 * microseconds.  A read ends with dict_env_read_end; a write with mdb_txn_commit or
 * mdb_txn_abort.
 */
int dict_env_read(struct dict_env *env);
void dict_env_read_end(struct dict_env *env);
int dict_env_write(struct dict_env *env, MDB_txn **txn);

/* Pages in use by the entries, as this transaction sees them. */
size_t dict_env_pages(struct dict_env *env, MDB_txn *txn);

/* Forgets readers whose processes were killed: they keep old pages from being used again. */
void dict_env_clean(struct dict_env *env);

/* Whether another process is in the middle of a read. */
bool dict_env_is_read(struct dict_env *env);

#endif
