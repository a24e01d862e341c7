#include "spop/disconnect.h"

#include "spop/frame.h"
#include "spop/value.h"

const char *status_message(uint32_t code)
{
    switch (code) {
#define X(id, number, message)                                                                     \
    case number:                                                                                   \
        return message;
        STATUS_CODES(X)
#undef X
    default:
        return status_message(STATUS_UNKNOWN);
    }
}

void disconnect_put(struct wire_out *out, uint8_t frame_type, enum status status)
{
    struct value code = value_integer(VALUE_UINT32, (uint64_t)status);
    struct value message = value_bytes(VALUE_STR, span_of(status_message((uint32_t)status)));
    uint8_t *begin = frame_begin(out, (enum frame_type)frame_type, FRAME_FIN, 0, 0);

    value_put_pair(out, span_of("status-code"), &code);
    value_put_pair(out, span_of("message"), &message);
    frame_end(out, begin);
}

void disconnect_get(struct wire payload, uint32_t *code, struct span *message)
{
    struct span key;
    struct value value;

    *code = STATUS_UNKNOWN;
    *message = span_of("");
    while (value_get_pair(&payload, &key, &value)) {
        if (value.type == VALUE_UINT32 && span_is(key, "status-code"))
            *code = (uint32_t)value.integer;
        else if (value.type == VALUE_STR && span_is(key, "message"))
            *message = value.bytes;
    }
}
