/*
 * agent_hello: an AGENT-HELLO, read as HAProxy reads it: more leniently than we write it, so
 * that whatever serves HAProxy can be measured.
 */
#ifndef BENCH_AGENT_HELLO_H
#define BENCH_AGENT_HELLO_H

#include "spop/frame.h"
#include "spop/hello.h"

/* NULL when it can be agreed to, with what was agreed in *agreed; or else what is wrong. */
const char *agent_hello_get(const struct frame *frame, const struct hello *offered,
                            struct hello *agreed);

#endif
