/*
 * job: a parse that a thread does while the loop goes on.
 *
 * There is one thread, as long as there are jobs, which it does in their order: so however much
 * is to be parsed, it is one processor's.  A job has a copy of its text, since whoever wanted it
 * may be gone before the thread has read it.
 */
#ifndef MODULES_JSON_JOB_H
#define MODULES_JSON_JOB_H

#include <ev.h>

#include "modules/json/parse.h"

struct json_job;

/* Begins to do what parse says; done is called from the loop when that is over, unless
 * json_job_end was before.  NULL when there can be no thread. */
struct json_job *json_job_begin(struct ev_loop *loop, const struct json_parse *parse,
                                void (*done)(void *context), void *context);

/* What came of it, after done; the root is the job's. */
const struct json_parse *json_job_parse(const struct json_job *job);

/* Nobody wants it any more, whether it was done or not: the thread frees it. */
void json_job_end(struct json_job *job);

#endif
