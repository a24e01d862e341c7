/*
 * action: the LIST-OF-ACTIONS that an ACK carries (SPOE.txt 3.2.7): set-var and unset-var.
 *
 * HAProxy stops at the first action it does not like, silently, and drops names it does
 * not accept, silently.  So names are judged here before anything is written.
 */
#ifndef SPOP_ACTION_H
#define SPOP_ACTION_H

#include "spop/value.h"

/* X(identifier, number on the wire, name) */
#define ACTION_SCOPES(X)                                                                           \
    X(PROC, 0, "proc")                                                                             \
    X(SESS, 1, "sess")                                                                             \
    X(TXN, 2, "txn")                                                                               \
    X(REQ, 3, "req")                                                                               \
    X(RES, 4, "res")

enum action_scope {
#define X(id, number, name) SCOPE_##id = number,
    ACTION_SCOPES(X)
#undef X
};

#define ACTION_SCOPE_COUNT 5

enum action_type {
    ACTION_SET_VAR = 1,
    ACTION_UNSET_VAR = 2,
};

/* Scope, dot and name together, as HAProxy's own limit has it (it adds its var-prefix). */
#define ACTION_NAME_MAX 63

/* The most bytes a set-var takes besides those of its value. */
#define ACTION_HEAD_MAX (3 + 1 + ACTION_NAME_MAX)

struct action {
    enum action_type type;
    enum action_scope scope;
    struct span name;   /* without the scope */
    struct value value; /* set-var only */
};

const char *action_scope_name(enum action_scope scope);
bool action_scope_find(struct span name, enum action_scope *scope);

/*
 * Splits "sess.a.b" into SESS and "a.b".  The scope ends at the first dot; a text that does
 * not begin with a scope and a dot is all name, and *scope is left as it is.
 */
struct span action_split(struct span text, enum action_scope *scope);

/* NULL when HAProxy would accept the name in that scope, or else what is wrong with it, as
 * the end of a sentence ("has a character that HAProxy does not accept ..."). */
const char *action_name_fault(enum action_scope scope, struct span name);

/* set-var and unset-var.  The name must be without fault. */
void action_put_set(struct wire_out *out, enum action_scope scope, struct span name,
                    const struct value *value);
void action_put_unset(struct wire_out *out, enum action_scope scope, struct span name);

/* The head of a set-var alone: the typed value's bytes must follow. */
void action_put_head(struct wire_out *out, enum action_scope scope, struct span name);

/* Reads the next action; false at the end of the list, or on a bad cursor (an unknown
 * action, a wrong number of arguments, an unknown scope are bad). */
bool action_next(struct wire *payload, struct action *action);

#endif
