/*
 * invoke: one message through its handler: a task that builds the arguments, calls the
 * handler and encodes what it returns as actions.
 */
#ifndef SCRIPT_INVOKE_H
#define SCRIPT_INVOKE_H

#include <stdint.h>

#include "base/log.h"
#include "script/background.h"
#include "script/handler.h"
#include "script/task.h"
#include "spop/message.h"

/* Where a message came from; what a handler sees as its second parameter. */
struct invoke_context {
    struct log_subject subject; /* the log's lines say it, too */
};

/* How it ended. */
struct invoke_report {
    enum task_result result;
    struct span actions;           /* OK: a list of actions, there until another task runs */
    const char *text;              /* otherwise: what happened; there during the call */
    struct background_list *after; /* spoa.after's: the callee's to release or discard */
};

typedef void invoke_done_fn(void *owner, unsigned slot, const struct invoke_report *report);

struct invoke_call {
    struct handler *handler;
    const struct message *message;        /* read before invoke_start returns, never after */
    const struct invoke_context *context; /* must live until the end */
    uint64_t since;                       /* when it came, by base/clock: its deadline's begin */
    size_t room;                          /* the most bytes of actions */
    invoke_done_fn *done;
    void *owner;
    unsigned slot;
};

LIST_HEAD(invoke_list, invocation);

/*
 * Runs the handler until it ends or waits; from the loop or a job, never within Lua.  done is
 * called exactly once, unless the task is cancelled (task_cancel: the one it worked for is
 * gone): before invoke_start returns, which is then NULL, or later from the loop.
 */
struct task *invoke_start(struct script *script, const struct invoke_call *call);

/* Where spoa.after puts its function: the list of the message that the running task works
 * for, or NULL when it works for none. */
struct background_list *invoke_after(struct script *script);

/* Frees what is kept for the next messages. */
void invoke_pool_clear(struct script *script);

#endif
