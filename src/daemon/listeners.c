#include "daemon/listeners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/activation.h"

struct listening {
    TAILQ_ENTRY(listening) entry;
    struct listener *listener;
    struct listener_spec spec; /* its text is our own */
    bool fresh;                /* opened by the last prepare */
    bool wanted;               /* by the configuration of the last prepare */
    bool inherited;            /* from systemd */
};

void listeners_init(struct listeners *listeners, struct ev_loop *loop, listener_accept_fn *accept,
                    void *context)
{
    *listeners =
        (struct listeners){.loop = loop, .accept = accept, .context = context, .held = true};
    TAILQ_INIT(&listeners->list);
}

static void listening_close(struct listeners *listeners, struct listening *one)
{
    TAILQ_REMOVE(&listeners->list, one, entry);
    listener_close(one->listener);
    free(one->spec.text);
    free(one);
}

/* As written, since each port 0 is another; or the same in other words. */
static struct listening *listening_find(const struct listeners *listeners,
                                        const struct listener_spec *spec)
{
    struct listening *one;

    TAILQ_FOREACH (one, &listeners->list, entry) {
        if (one->wanted)
            continue;
        if (one->inherited
                ? listener_is_at(one->listener, spec)
                : strcmp(one->spec.text, spec->text) == 0 || listener_same(&one->spec, spec))
            return one;
    }
    return NULL;
}

/* A socket's file keeps its mode and owner: others may have been let in or out since. */
static void warn_of_changes(const struct listening *one, const struct listener_spec *spec)
{
    if (one->inherited)
        return;
    if (one->spec.mode != spec->mode || one->spec.owner != spec->owner ||
        one->spec.group != spec->group)
        log_write(LEVEL_WARNING,
                  "reload: listen %s: its mode, owner or group has changed, which needs a restart",
                  spec->text);
}

static int listening_open(struct listeners *listeners, const struct listener_spec *spec,
                          char *fault, size_t room)
{
    struct listener *listener = listener_open(spec, fault, room);
    struct listening *one;

    if (!listener)
        return errno;
    one = mem_zalloc(sizeof *one);
    one->listener = listener;
    one->spec = *spec;
    one->spec.text = mem_strndup(spec->text, strlen(spec->text));
    one->fresh = one->wanted = true;
    TAILQ_INSERT_TAIL(&listeners->list, one, entry);
    return 0;
}

bool listeners_inherit(struct listeners *listeners)
{
    unsigned n = activation_take();
    char fault[256];

    for (unsigned i = 0; i < n; i++) {
        struct listener *listener = listener_adopt(ACTIVATION_FIRST + (int)i, fault, sizeof fault);
        struct listening *one;

        if (!listener) {
            log_write(LEVEL_ERR, "socket activation, socket '%s': %s", activation_name(i), fault);
            return false;
        }
        log_write(LEVEL_INFO, "socket '%s' was handed over: %s", activation_name(i),
                  listener_name(listener));
        one = mem_zalloc(sizeof *one);
        one->listener = listener;
        one->fresh = one->inherited = true;
        TAILQ_INSERT_TAIL(&listeners->list, one, entry);
    }
    return true;
}

int listeners_prepare(struct listeners *listeners, const struct config *config, char *fault,
                      size_t room)
{
    struct listening *one;
    bool inherited = false;
    int error = 0;

    TAILQ_FOREACH (one, &listeners->list, entry) {
        one->wanted = false;
        inherited = inherited || one->inherited;
    }
    for (size_t i = 0; i < config->nlisteners && !error; i++) {
        const struct listener_spec *spec = &config->listeners[i];

        /* The default is for those who say nothing, not even by a socket unit. */
        if (inherited && config->default_listener)
            break;
        one = listening_find(listeners, spec);
        if (!one) {
            error = listening_open(listeners, spec, fault, room);
            continue;
        }
        warn_of_changes(one, spec);
        one->wanted = true;
    }
    TAILQ_FOREACH (one, &listeners->list, entry)
        one->wanted = one->wanted || one->inherited;
    if (error)
        listeners_abort(listeners);
    return error;
}

void listeners_commit(struct listeners *listeners)
{
    struct listening *one, *next;

    for (one = TAILQ_FIRST(&listeners->list); one; one = next) {
        next = TAILQ_NEXT(one, entry);
        if (!one->wanted) {
            log_write(LEVEL_NOTICE, "no longer listening on %s", listener_name(one->listener));
            listening_close(listeners, one);
        } else if (one->fresh) {
            listener_start(one->listener, listeners->loop, listeners->accept, listeners->context);
            listener_hold(one->listener, listeners->held);
            log_write(LEVEL_NOTICE, "listening on %s", listener_name(one->listener));
            one->fresh = false;
        }
    }
}

void listeners_abort(struct listeners *listeners)
{
    struct listening *one, *next;

    for (one = TAILQ_FIRST(&listeners->list); one; one = next) {
        next = TAILQ_NEXT(one, entry);
        if (one->fresh && !one->inherited)
            listening_close(listeners, one);
    }
}

void listeners_hold(struct listeners *listeners, bool hold)
{
    struct listening *one;

    if (hold == listeners->held)
        return;
    listeners->held = hold;
    TAILQ_FOREACH (one, &listeners->list, entry) {
        if (!one->fresh)
            listener_hold(one->listener, hold);
    }
}

void listeners_close(struct listeners *listeners)
{
    while (!TAILQ_EMPTY(&listeners->list))
        listening_close(listeners, TAILQ_FIRST(&listeners->list));
}
