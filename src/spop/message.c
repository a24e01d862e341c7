#include "spop/message.h"

bool message_check(struct wire payload, size_t *count)
{
    struct message message;
    size_t n = 0;

    while (message_next(&payload, &message))
        n++;
    *count = n;
    return !payload.bad;
}

bool message_next(struct wire *payload, struct message *message)
{
    struct wire at = *payload;

    if (wire_done(&at))
        return false;

    message->name = wire_string(&at);
    message->nargs = wire_byte(&at);
    message->args = at;
    *payload = at;
    value_skip_pairs(payload, message->nargs);
    message->args.end = payload->at;
    return !payload->bad;
}

void message_last(struct wire *payload, struct message *message)
{
    message->name = wire_string(payload);
    message->nargs = wire_byte(payload);
    message->args = *payload;
    payload->at = payload->end;
}

void message_put(struct wire_out *out, struct span name, uint8_t nargs)
{
    wire_put_string(out, name);
    wire_put_byte(out, nargs);
}
