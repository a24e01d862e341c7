#include "daemon/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct reload {
    const struct child_host *host;
    struct child *children;
    unsigned nchildren;
    struct listeners *listeners;
    struct prover *prover;
    struct config *config; /* the new one, once the prover is content */
    bool bound;            /* the new listeners */
    bool committed;
    uint32_t generation; /* of this reload; older answers may still be on their way */
    unsigned waiting;    /* for so many children: LOADED, then SERVING */
    bool *asked;         /* by child: it has not died since */
    char *text;          /* what done is told */
    size_t size;
    FILE *notes;
    reload_commit_fn *commit;
    reload_done_fn *done;
    void *context;
};

static void reload_undo(struct reload *reload)
{
    for (unsigned i = 0; i < reload->nchildren; i++) {
        if (reload->asked[i] && reload->children[i].state == CHILD_SERVING)
            child_tell(&reload->children[i], CHANNEL_ABORT, reload->generation, "");
    }
    if (reload->bound)
        listeners_abort(reload->listeners);
    if (reload->config)
        config_free(reload->config);
}

static void reload_over(struct reload *reload)
{
    if (reload->prover)
        prover_cancel(reload->prover);
    if (!reload->committed)
        reload_undo(reload);
    fclose(reload->notes);
    reload->done(reload->context, reload->committed, reload->text);
    free(reload->text);
    free(reload->asked);
    free(reload);
}

static void reload_failed(struct reload *reload, const char *why)
{
    fprintf(reload->notes, "%s\n", why);
    reload_over(reload);
}

/* Everyone has loaded: from here on nothing fails.  One that dies is started with the new. */
static void reload_commit(struct reload *reload)
{
    reload->committed = true;
    for (unsigned i = 0; i < reload->nchildren; i++) {
        struct child *child = &reload->children[i];

        if (reload->asked[i]) {
            reload->waiting++;
            child_tell(child, CHANNEL_COMMIT, reload->generation, "");
        } else if (child->state == CHILD_LOADING) {
            child_kill(child); /* it began with the old configuration, and serves nobody yet */
        }
    }
    listeners_commit(reload->listeners);
    reload->commit(reload->context, reload->config);
}

static void ask_child(struct reload *reload, struct child *child)
{
    reload->asked[child->number - 1] = true;
    reload->waiting++;
    child_tell(child, CHANNEL_PREPARE, reload->generation, "");
}

static void ask_children(struct reload *reload)
{
    for (unsigned i = 0; i < reload->nchildren; i++) {
        if (reload->children[i].state == CHILD_SERVING)
            ask_child(reload, &reload->children[i]);
    }
    if (reload->waiting == 0)
        reload_failed(reload, "no worker is serving at the moment: try again");
}

/* A prover_done_fn. */
static void proved(void *context, bool good, const char *text)
{
    struct reload *reload = context;
    char fault[512];

    reload->prover = NULL;
    fputs(text, reload->notes);
    if (!good) {
        reload_over(reload);
        return;
    }
    reload->config = mem_zalloc(sizeof *reload->config);
    if (config_read(reload->config, reload->host->path, reload->notes) != 0) {
        reload_over(reload);
        return;
    }
    if (listeners_prepare(reload->listeners, reload->config, fault, sizeof fault) != 0) {
        reload_failed(reload, fault);
        return;
    }
    reload->bound = true;
    ask_children(reload);
}

struct reload *reload_start(const struct child_host *host, struct child *children, unsigned n,
                            struct listeners *listeners, reload_commit_fn *commit,
                            reload_done_fn *done, void *context)
{
    static uint32_t generations;
    struct reload *reload = mem_zalloc(sizeof *reload);

    reload->host = host;
    reload->children = children;
    reload->nchildren = n;
    reload->listeners = listeners;
    reload->generation = ++generations;
    reload->commit = commit;
    reload->done = done;
    reload->context = context;
    reload->asked = mem_zalloc(n * sizeof *reload->asked);
    reload->notes = open_memstream(&reload->text, &reload->size);
    reload->prover = prover_start(host->loop, host->path, proved, reload);
    if (reload->prover)
        return reload;
    fprintf(reload->notes, "cannot start a process that loads the scripts: %s\n", strerror(errno));
    reload_over(reload);
    return NULL;
}

void reload_said(struct reload *reload, struct child *child, const struct packet *packet)
{
    if (packet->type == CHANNEL_FAULT) {
        fprintf(reload->notes, "%s\n", packet->text);
        return;
    }
    if (packet->number != reload->generation)
        return;
    if (packet->type == CHANNEL_FAILED) {
        reload->asked[child->number - 1] = false;
        reload_over(reload);
    } else if (packet->type == CHANNEL_LOADED && --reload->waiting == 0) {
        reload_commit(reload);
    } else if (packet->type == CHANNEL_SERVING && --reload->waiting == 0) {
        reload_over(reload);
    }
}

void reload_joined(struct reload *reload, struct child *child)
{
    /* Before the others are asked it will be one of them; after the commit it is being killed,
     * or began with the new configuration. */
    if (reload->bound && !reload->committed)
        ask_child(reload, child);
}

void reload_lost(struct reload *reload, const struct child *child)
{
    if (!reload->asked[child->number - 1])
        return;
    reload->asked[child->number - 1] = false;
    if (!reload->committed)
        reload_failed(reload, "a worker died while it loaded the scripts");
    else if (--reload->waiting == 0)
        reload_over(reload);
}

void reload_cancel(struct reload *reload, const char *why)
{
    reload_failed(reload, why);
}
