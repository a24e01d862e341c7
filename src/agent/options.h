/*
 * options: what the configuration decides for connections and exchanges.  The rows of
 * daemon/config fill it; times in seconds, sizes in bytes.
 */
#ifndef AGENT_OPTIONS_H
#define AGENT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "spop/action.h"

enum pipelining {
    PIPELINING_AUTO, /* announced to HAProxy up to 3.0, which knows `async` */
    PIPELINING_ON,
    PIPELINING_OFF,
};

struct agent_options {
    enum pipelining pipelining;
    uint32_t max_frame_size; /* the most we agree to in a HELLO */
    size_t max_payload;      /* of a NOTIFY put together from fragments */
    unsigned max_connections;
    unsigned max_pending; /* unanswered NOTIFYs on a connection; then it is not read */
    size_t max_output;    /* unsent bytes on a connection; then it is not read */
    double hello_timeout;
    double fragment_timeout;
    double write_timeout;          /* without progress of a connection's output */
    enum action_scope error_scope; /* the variable a failed message sets */
    struct span error_name;
};

#endif
