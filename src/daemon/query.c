#include "daemon/query.h"

#include <stdlib.h>

#include "base/mem.h"

struct query {
    LIST_ENTRY(query) entry;
    uint32_t id;
    struct child *children;
    unsigned nchildren;
    bool *asked; /* by child: it has not ended its answer */
    unsigned left;
    supervisor_answer_fn *answer;
    void *context;
};

static void query_free(struct query *query)
{
    LIST_REMOVE(query, entry);
    free(query->asked);
    free(query);
}

struct query *query_start(struct query_list *queries, struct child *children, unsigned n,
                          unsigned number, const char *question, supervisor_answer_fn *answer,
                          void *context)
{
    static uint32_t ids;
    struct query *query = mem_zalloc(sizeof *query);

    query->id = ++ids;
    query->children = children;
    query->nchildren = n;
    query->asked = mem_zalloc(n * sizeof *query->asked);
    query->answer = answer;
    query->context = context;
    LIST_INSERT_HEAD(queries, query, entry);
    for (unsigned i = 0; i < n; i++) {
        if (children[i].state != CHILD_SERVING || (number && children[i].number != number))
            continue;
        query->asked[i] = true;
        query->left++;
        child_tell(&children[i], CHANNEL_ASK, query->id, question);
    }
    if (query->left)
        return query;
    query_free(query);
    return NULL;
}

/* The query may be gone after it: the answer may forget it. */
static void query_ended(struct query *query, const struct child *child)
{
    supervisor_answer_fn *answer = query->answer;
    void *context = query->context;
    bool end = --query->left == 0;

    query->asked[child->number - 1] = false;
    if (end)
        query_free(query);
    answer(context, child->number, "", 0, end);
}

void query_answered(struct query_list *queries, const struct child *child,
                    const struct packet *packet)
{
    struct query *query;

    LIST_FOREACH (query, queries, entry) {
        if (query->id == packet->number)
            break;
    }
    if (!query || !query->asked[child->number - 1])
        return;
    if (packet->type == CHANNEL_END)
        query_ended(query, child);
    else
        query->answer(query->context, child->number, packet->text, packet->len, false);
}

void query_lost(struct query_list *queries, const struct child *child)
{
    struct query *query, *next;

    for (query = LIST_FIRST(queries); query; query = next) {
        next = LIST_NEXT(query, entry);
        if (query->asked[child->number - 1])
            query_ended(query, child);
    }
}

void query_forget(struct query *query)
{
    for (unsigned i = 0; i < query->nchildren; i++) {
        if (query->asked[i])
            child_tell(&query->children[i], CHANNEL_FORGET, query->id, "");
    }
    query_free(query);
}
