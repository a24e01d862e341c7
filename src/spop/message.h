/*
 * message: the LIST-OF-MESSAGES that a NOTIFY carries (SPOE.txt 3.2.6): a name, the number
 * of arguments in one byte, and as many pairs of a name and a value.
 */
#ifndef SPOP_MESSAGE_H
#define SPOP_MESSAGE_H

#include "spop/value.h"

struct message {
    struct span name;
    unsigned nargs;   /* 0 .. 255 */
    struct wire args; /* exactly this message's arguments: no reader of one message can
                         run into the next */
};

/*
 * Walks a whole payload without keeping anything.  True when it is well-formed to its last
 * byte, with the number of messages in *count.  A NOTIFY is checked before any of its
 * messages runs, so that none runs on half a payload.
 */
bool message_check(struct wire payload, size_t *count);

/* The next message; false at the end of the payload, or on a bad cursor. */
bool message_next(struct wire *payload, struct message *message);

/* The same for the last message of a checked payload: all that is left are its arguments, so
 * they need not be walked to find its end. */
void message_last(struct wire *payload, struct message *message);

/* Starts a message; exactly nargs value_put_pair must follow. */
void message_put(struct wire_out *out, struct span name, uint8_t nargs);

#endif
