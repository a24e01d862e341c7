#include "modules/dict/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool refuse(struct dict_why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(struct dict_why *why, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(why->text, sizeof why->text, format, list);
    va_end(list);
    return false;
}

bool dict_name_valid(const char *name, size_t len)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_-.";

    return len >= 1 && len <= DICT_NAME_MAX && *name != '.' && strspn(name, allowed) == len;
}

/* Whoever may write to the folder may replace the file by anything. */
static bool folder_check(const char *folder, struct dict_why *why)
{
    struct stat about;

    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return refuse(why, "cannot make the folder %s: %s", folder, strerror(errno));
    if (lstat(folder, &about) < 0)
        return refuse(why, "%s: %s", folder, strerror(errno));
    if (!S_ISDIR(about.st_mode))
        return refuse(why, "%s is no folder: remove it, or set SPOA_LUA_SHM to another", folder);
    if (about.st_uid != geteuid() || about.st_mode & (S_IWGRP | S_IWOTH))
        return refuse(why,
                      "%s must belong to uid %u and be writable for nobody else: correct that, or "
                      "set SPOA_LUA_SHM to another folder",
                      folder, geteuid());
    return true;
}

bool dict_place_of(const char *name, char path[PATH_MAX], struct dict_why *why)
{
    const char *folder = getenv("SPOA_LUA_SHM");
    char own[64];

    if (!folder || !*folder) {
        snprintf(own, sizeof own, "/dev/shm/spoa-lua-%u", geteuid());
        folder = own;
    }
    if (*folder != '/')
        return refuse(why, "SPOA_LUA_SHM is '%.200s': give an absolute path", folder);
    if (snprintf(path, PATH_MAX, "%s/%s.mdb", folder, name) >= PATH_MAX - 16)
        return refuse(why, "SPOA_LUA_SHM is too long");
    return folder_check(folder, why);
}

/* In memory a page that is read or written never waits for a disk; what is kept there is
 * gone after a restart of the host, when nothing would vouch for it. */
static bool memory_check(int fd, const char *path, struct dict_why *why)
{
    struct statfs about;

    if (fstatfs(fd, &about) < 0)
        return refuse(why, "%s: %s", path, strerror(errno));
    if (about.f_type != TMPFS_MAGIC && about.f_type != RAMFS_MAGIC)
        return refuse(why,
                      "%s is not on a memory file system (tmpfs): choose a path under /dev/shm or "
                      "/run",
                      path);
    return true;
}

static bool file_check(const struct stat *about, const char *path, struct dict_why *why)
{
    if (!S_ISREG(about->st_mode))
        return refuse(why, "%s is no regular file", path);
    if (about->st_uid != geteuid())
        return refuse(why, "%s belongs to uid %u: only processes of that user can share it", path,
                      about->st_uid);
    return true;
}

/* LMDB opens it by its name.  Whether it is there; a wrong one is an error. */
static bool lock_file_there(const char *path, struct dict_why *why)
{
    char lock[PATH_MAX + 8];
    struct stat about;

    snprintf(lock, sizeof lock, "%s-lock", path);
    return lstat(lock, &about) == 0 && file_check(&about, lock, why);
}

static bool lock_file_remove(const char *path, struct dict_why *why)
{
    char lock[PATH_MAX + 8];

    snprintf(lock, sizeof lock, "%s-lock", path);
    if (unlink(lock) < 0 && errno != ENOENT)
        return refuse(why, "cannot remove %s, of a dictionary that is gone: %s", lock,
                      strerror(errno));
    return true;
}

static bool lock(int fd)
{
    int status;

    do
        status = flock(fd, LOCK_EX);
    while (status < 0 && errno == EINTR);
    return status == 0;
}

/*
 * Two LMDB environments that share one half of the pair would destroy each other, so a half
 * that is alone goes.  False without a reason if the file is to be opened again.
 */
static bool pair_check(int fd, const char *path, struct stat *about, struct dict_why *why)
{
    struct stat named;

    if (!lock(fd) || fstat(fd, about) < 0)
        return refuse(why, "%s: %s", path, strerror(errno));
    if (stat(path, &named) < 0 || named.st_ino != about->st_ino || named.st_dev != about->st_dev)
        return false; /* somebody replaced it while we waited */
    if (about->st_size == 0)
        return lock_file_remove(path, why);
    if (lock_file_there(path, why))
        return true;
    if (!*why->text && unlink(path) < 0)
        refuse(why, "cannot remove %s, whose other half is gone: %s", path, strerror(errno));
    return false;
}

int dict_place_open(const char *path, struct stat *about, struct dict_why *why)
{
    why->text[0] = '\0';
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

        if (fd < 0 || fstat(fd, about) < 0) {
            refuse(why, "cannot open %s: %s", path, strerror(errno));
            return -1;
        }
        if (file_check(about, path, why) && memory_check(fd, path, why) &&
            pair_check(fd, path, about, why))
            return fd;
        close(fd);
        if (*why->text)
            return -1;
    }
}
