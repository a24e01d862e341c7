/*
 * file_watch: tells its owner when the file at a path is another one, or has changed.
 *
 * It looks with stat(2) every so many seconds: inotify would miss the target of a symbolic
 * link, which is how Kubernetes and others replace files.  A file that is written in place
 * counts as changed when it then stayed the same for one more look; one that was replaced
 * with rename(2) at once.  While there is no file at all nothing is told, only logged.
 *
 * All of it is in this header since each Lua module is a shared object of its own.
 */
#ifndef MODULES_FILE_WATCH_H
#define MODULES_FILE_WATCH_H

#include <errno.h>
#include <ev.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

#define FILE_WATCH_INTERVAL     1.0
#define FILE_WATCH_INTERVAL_MIN 0.01
#define FILE_WATCH_INTERVAL_MAX 86400.0

struct file_watch {
    struct ev_loop *loop; /* NULL while not started */
    const char *path;     /* the owner's */
    void (*changed)(struct file_watch *watch);
    struct stat known, seen;
    bool missing;
    ev_timer timer;
};

static inline bool file_watch_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static inline bool file_watch_same(const struct stat *a, const struct stat *b)
{
    return file_watch_same_file(a, b) && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static inline void file_watch_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct file_watch *watch = timer->data;
    struct stat now;
    bool settled;

    (void)loop;
    (void)events;
    if (stat(watch->path, &now) < 0) {
        if (!watch->missing)
            log_write(LEVEL_WARNING, "%s: %s: what was loaded from it goes on", watch->path,
                      strerror(errno));
        watch->missing = true;
        return;
    }
    watch->missing = false;
    if (file_watch_same(&now, &watch->known))
        return;
    settled = !file_watch_same_file(&now, &watch->known) || file_watch_same(&now, &watch->seen);
    watch->seen = now;
    if (!settled)
        return;
    watch->known = now;
    watch->changed(watch);
}

/* Before the owner reads the file, so that no change between reading and starting is missed.
 * path must live as long as the watch. */
static inline void file_watch_init(struct file_watch *watch, const char *path,
                                   void (*changed)(struct file_watch *watch))
{
    *watch = (struct file_watch){.path = path, .changed = changed};
    if (stat(path, &watch->known) == 0)
        watch->seen = watch->known;
}

/* It does not keep the loop running. */
static inline void file_watch_start(struct file_watch *watch, struct ev_loop *loop, double interval)
{
    watch->loop = loop;
    ev_timer_init(&watch->timer, file_watch_look, interval, interval);
    watch->timer.data = watch;
    ev_timer_start(loop, &watch->timer);
    ev_unref(loop);
}

/* Whether it was started or not. */
static inline void file_watch_stop(struct file_watch *watch)
{
    if (!watch->loop)
        return;
    ev_ref(watch->loop);
    ev_timer_stop(watch->loop, &watch->timer);
    watch->loop = NULL;
}

#endif
