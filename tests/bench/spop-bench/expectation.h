/*
 * expectation: what the actions of a good ACK are: well-formed to the last byte, with names
 * that HAProxy accepts, and setting the variables that the user expects.
 */
#ifndef BENCH_EXPECTATION_H
#define BENCH_EXPECTATION_H

#include <stdbool.h>

#include "spop/action.h"

#define EXPECTED_MAX 16

struct expected {
    enum action_scope scope;
    struct span name, value; /* value.at is NULL when any value will do */
};

/* What was judged last: agents say the same thing again and again. */
#define VERDICT_MEMORY 1024

enum verdict {
    VERDICT_GOOD,
    VERDICT_WRONG,     /* an expected variable is not set, or to something else */
    VERDICT_MALFORMED, /* HAProxy would ignore some of it, silently */
};

struct expectation {
    struct expected expected[EXPECTED_MAX];
    unsigned count;
    uint8_t last[VERDICT_MEMORY];
    size_t last_len; /* 0 when there is none */
    enum verdict last_verdict;
};

/* Takes SCOPE.VAR or SCOPE.VAR=VALUE, which must stay; false when it is neither, or one too
 * many.  VALUE is written as `spoa-lua call` prints it; the type does not matter. */
bool expectation_add(struct expectation *expectation, const char *text);

enum verdict expectation_judge(struct expectation *expectation, struct wire payload);

#endif
