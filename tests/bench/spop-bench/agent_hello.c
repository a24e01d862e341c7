#include "agent_hello.h"

static const struct {
    const char *name;
    unsigned bit;
} capability_names[] = {
    {"pipelining", HELLO_PIPELINING},
    {"fragmentation", HELLO_FRAGMENTATION},
    {"async", HELLO_ASYNC},
};

static bool is_integer(enum value_type type)
{
    return type >= VALUE_INT32 && type <= VALUE_UINT64;
}

/* A list with commas, and perhaps blanks, between the names. */
static unsigned capabilities_read(struct span list)
{
    const char *at = list.at, *end = list.at + list.len;
    unsigned capabilities = 0;

    while (at < end) {
        struct span name = {at, 0};

        while (at < end && *at != ',' && *at != ' ')
            at++;
        name.len = (size_t)(at - name.at);
        for (size_t i = 0; i < sizeof capability_names / sizeof *capability_names; i++) {
            if (span_is(name, capability_names[i].name))
                capabilities |= capability_names[i].bit;
        }
        at++;
    }
    return capabilities;
}

const char *agent_hello_get(const struct frame *frame, const struct hello *offered,
                            struct hello *agreed)
{
    struct wire payload = frame->payload;
    struct span key, version = {"", 0};
    struct value value;

    *agreed = (struct hello){.engine_id = {"", 0}};
    if (frame->type != FRAME_AGENT_HELLO)
        return "another frame came instead";
    if (!(frame->flags & FRAME_FIN) || frame->stream_id != 0 || frame->frame_id != 0)
        return "not one whole frame with ids 0";
    while (value_get_pair(&payload, &key, &value)) {
        if (span_is(key, "version") && value.type == VALUE_STR)
            version = value.bytes;
        else if (span_is(key, "max-frame-size") && is_integer(value.type))
            agreed->max_frame_size = (uint32_t)value.integer;
        else if (span_is(key, "capabilities") && value.type == VALUE_STR)
            agreed->capabilities = capabilities_read(value.bytes);
    }
    if (payload.bad)
        return "malformed";
    if (version.len < 2 || memcmp(version.at, "2.", 2) != 0)
        return "no version that HAProxy speaks";
    if (agreed->max_frame_size < FRAME_SIZE_MIN || agreed->max_frame_size > offered->max_frame_size)
        return "max-frame-size is not between 256 and what was offered";
    /* HAProxy sends fragments to whoever announces that it can read them, offered or not. */
    if (!(offered->capabilities & HELLO_PIPELINING))
        agreed->capabilities &= ~HELLO_PIPELINING;
    return NULL;
}
