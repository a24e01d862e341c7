#include "modules/dict/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* A transaction needs new pages even to delete: one for each leaf it touches, in two tables;
 * and what it frees can be used by the one after the next. */
#define RESERVE_MIN   64 /* pages */
#define RESERVE_SHARE 8  /* one of so many */
#define RESERVE_ENTRY 16 /* pages for an entry to delete */
#define BATCH_MAX     64

#define ALLOCATE_STEP ((size_t)4 << 20)

#define READERS_MAX 1000 /* processes */

#define ENV_FLAGS                                                                                  \
    (MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOTLS | MDB_NOMEMINIT)

static LIST_HEAD(, dict_env) envs = LIST_HEAD_INITIALIZER(envs);
/* What a parent process opened: its maps and descriptors stay, to keep them from being
 * closed, which would clear the parent's slots in the table of readers. */
static LIST_HEAD(, dict_env) inherited = LIST_HEAD_INITIALIZER(inherited);

static void forget_inherited(void)
{
    struct dict_env *env = LIST_FIRST(&envs), *next;

    for (; env; env = next) {
        next = LIST_NEXT(env, link);
        if (dict_env_here(env))
            continue;
        LIST_REMOVE(env, link);
        LIST_INSERT_HEAD(&inherited, env, link);
    }
}

static struct dict_env *find(const struct stat *about)
{
    struct dict_env *env;

    LIST_FOREACH (env, &envs, link) {
        if (env->device == about->st_dev && env->inode == about->st_ino)
            return env;
    }
    return NULL;
}

static void limit_set(struct dict_env *env)
{
    size_t pages = env->size / env->page, reserve = pages / RESERVE_SHARE;

    if (reserve < RESERVE_MIN)
        reserve = RESERVE_MIN;
    env->limit = pages - reserve;
    env->batch = reserve / RESERVE_ENTRY;
    if (env->batch > BATCH_MAX)
        env->batch = BATCH_MAX;
}

/* In steps: a signal undoes what one call has done so far.  But ask first: memory that the
 * file system does not have must not be taken from others on the way. */
static int allocate(int fd, size_t size)
{
    struct statvfs system;
    struct stat about;

    if (fstatvfs(fd, &system) < 0 || fstat(fd, &about) < 0)
        return errno;
    if (size > (size_t)about.st_blocks * 512 + (size_t)system.f_bavail * system.f_frsize)
        return ENOSPC;
    for (size_t at = 0; at < size;) {
        size_t step = size - at < ALLOCATE_STEP ? size - at : ALLOCATE_STEP;
        int status = posix_fallocate(fd, (off_t)at, (off_t)step);

        if (status == 0)
            at += step;
        else if (status != EINTR)
            return status;
    }
    return 0;
}

/* Nothing of ours is in use between two calls, so the map may move. */
static void map_grow(struct dict_env *env, size_t size)
{
    int status = mdb_env_set_mapsize(env->lmdb, size);

    if (status) {
        /* The old map is gone, and LMDB does not know. */
        log_write(LEVEL_ERR, "spoa.dict: cannot map %zu bytes: %s", size, mdb_strerror(status));
        abort();
    }
    env->size = size;
    limit_set(env);
}

static int tables_open(struct dict_env *env)
{
    MDB_txn *txn;
    MDB_stat about;
    int status = mdb_txn_begin(env->lmdb, NULL, 0, &txn);

    if (status)
        return status;
    status = mdb_dbi_open(txn, "data", MDB_CREATE, &env->data);
    if (!status)
        status = mdb_dbi_open(txn, "index", MDB_CREATE, &env->index);
    if (!status)
        status = mdb_stat(txn, env->data, &about);
    if (status) {
        mdb_txn_abort(txn);
        return status;
    }
    env->page = about.ms_psize;
    return mdb_txn_commit(txn);
}

static int reader_open(struct dict_env *env)
{
    int status = mdb_txn_begin(env->lmdb, NULL, MDB_RDONLY, &env->reader);

    if (status == 0)
        mdb_txn_reset(env->reader);
    return status;
}

static int lmdb_open(struct dict_env *env, const char *path, int fd)
{
    int dead, status = mdb_env_create(&env->lmdb);

    if (!status)
        status = mdb_env_set_mapsize(env->lmdb, env->size);
    if (!status)
        status = mdb_env_set_maxdbs(env->lmdb, 2);
    if (!status)
        status = mdb_env_set_maxreaders(env->lmdb, READERS_MAX);
    if (!status)
        status = mdb_env_open(env->lmdb, path, ENV_FLAGS, 0600);
    /* Before the first page is touched. */
    if (!status)
        status = allocate(fd, env->size);
    if (!status)
        status = mdb_reader_check(env->lmdb, &dead);
    if (!status)
        status = tables_open(env);
    if (!status)
        status = reader_open(env);
    return status;
}

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page;
}

static void explain(struct dict_why *why, const char *path, size_t size, int status)
{
    if (status == ENOSPC || status == ENOMEM)
        snprintf(why->text, sizeof why->text,
                 "%s: no memory for %zu KiB there: make it smaller, or the file system larger (see "
                 "df)",
                 path, size / 1024);
    else
        snprintf(why->text, sizeof why->text,
                 "%s: %s (if nothing uses it, remove it and PATH-lock)", path,
                 mdb_strerror(status));
}

static struct dict_env *open_new(const char *path, size_t size, int fd, const struct stat *about,
                                 struct dict_why *why)
{
    struct dict_env *env = mem_zalloc(sizeof *env);
    size_t there = (size_t)about->st_size;
    int status;

    env->device = about->st_dev;
    env->inode = about->st_ino;
    env->pid = getpid();
    /* Never smaller than it is: that would cut it under the feet of others. */
    env->size = whole_pages(there > size ? there : size);
    status = lmdb_open(env, path, fd);
    if (status) {
        explain(why, path, env->size, status);
        mdb_env_close(env->lmdb);
        if (there == 0 && ftruncate(fd, 0) < 0)
            unlink(path);
        free(env);
        return NULL;
    }
    limit_set(env);
    LIST_INSERT_HEAD(&envs, env, link);
    return env;
}

static struct dict_env *reopen(struct dict_env *env, const char *path, size_t size, int fd,
                               struct dict_why *why)
{
    int status = 0;

    if (whole_pages(size) > env->size) {
        status = allocate(fd, whole_pages(size));
        if (!status)
            map_grow(env, whole_pages(size));
    }
    if (status) {
        explain(why, path, size, status);
        return NULL;
    }
    return env;
}

struct dict_env *dict_env_open(const char *path, size_t size, struct dict_why *why)
{
    struct stat about;
    int fd = dict_place_open(path, &about, why);
    struct dict_env *env;

    if (fd < 0)
        return NULL;
    forget_inherited();
    env = find(&about);
    if (env)
        env =
            reopen(env, path, size > (size_t)about.st_size ? size : (size_t)about.st_size, fd, why);
    else
        env = open_new(path, size, fd, &about, why);
    close(fd);
    if (env)
        env->users++;
    return env;
}

void dict_env_close(struct dict_env *env)
{
    if (!dict_env_here(env) || --env->users > 0)
        return;
    LIST_REMOVE(env, link);
    mdb_txn_abort(env->reader);
    mdb_env_close(env->lmdb);
    free(env->buffer);
    free(env);
}

bool dict_env_here(const struct dict_env *env)
{
    return env->pid == getpid();
}

/* Another process made the file larger. */
static int follow_size(struct dict_env *env)
{
    struct stat about;
    int fd, status = mdb_env_get_fd(env->lmdb, &fd);

    if (status)
        return status;
    /* map_grow sets the file's size; nobody may set another meanwhile */
    while (flock(fd, LOCK_EX) < 0) {
        if (errno != EINTR)
            return errno;
    }
    if (fstat(fd, &about) < 0)
        status = errno;
    else
        map_grow(env, (size_t)about.st_size);
    flock(fd, LOCK_UN);
    return status;
}

int dict_env_read(struct dict_env *env)
{
    int status = mdb_txn_renew(env->reader);

    if (status == MDB_READERS_FULL) {
        dict_env_clean(env);
        status = mdb_txn_renew(env->reader);
    }
    if (status == MDB_MAP_RESIZED) {
        status = follow_size(env);
        if (status == 0)
            status = mdb_txn_renew(env->reader);
    }
    return status;
}

void dict_env_read_end(struct dict_env *env)
{
    mdb_txn_reset(env->reader);
}

int dict_env_write(struct dict_env *env, MDB_txn **txn)
{
    int status = mdb_txn_begin(env->lmdb, NULL, 0, txn);

    if (status == MDB_MAP_RESIZED) {
        status = follow_size(env);
        if (status == 0)
            status = mdb_txn_begin(env->lmdb, NULL, 0, txn);
    }
    return status;
}

static size_t table_pages(MDB_txn *txn, MDB_dbi table)
{
    MDB_stat about;

    if (mdb_stat(txn, table, &about) != 0)
        return 0;
    return about.ms_branch_pages + about.ms_leaf_pages + about.ms_overflow_pages;
}

size_t dict_env_pages(struct dict_env *env, MDB_txn *txn)
{
    return table_pages(txn, env->data) + table_pages(txn, env->index);
}

void dict_env_clean(struct dict_env *env)
{
    int dead;

    mdb_reader_check(env->lmdb, &dead);
}

/* "PID THREAD TXNID", or '-' for one that is not reading. */
static int reader_line(const char *line, void *reading)
{
    const char *last = strrchr(line, ' ');

    if (last && last[1] >= '0' && last[1] <= '9')
        *(bool *)reading = true;
    return 0;
}

bool dict_env_is_read(struct dict_env *env)
{
    bool reading = false;

    mdb_reader_list(env->lmdb, reader_line, &reading);
    return reading;
}
