/*
 * Payloads of both HELLOs: whatever is agreed to keeps the specification's bounds, and comes
 * back the same when it is written and read again.
 */
#include "spop/hello.h"

#include "spop/frame.h"

#include "fuzz.h"

#define ALL (HELLO_PIPELINING | HELLO_FRAGMENTATION | HELLO_ASYNC)

/* What a HELLO takes besides its engine-id. */
#define ROOM 256

static bool same(const struct hello *a, const struct hello *b)
{
    return a->max_frame_size == b->max_frame_size && a->capabilities == b->capabilities &&
           a->healthcheck == b->healthcheck && a->engine_id.len == b->engine_id.len &&
           memcmp(a->engine_id.at, b->engine_id.at, a->engine_id.len) == 0;
}

static struct wire frame_payload(const uint8_t *bytes, const struct wire_out *out,
                                 enum frame_type type)
{
    struct frame frame;
    size_t used, len = (size_t)(out->at - bytes);

    REQUIRE(!out->full);
    REQUIRE(frame_get(bytes, len, UINT32_MAX, &frame, &used) == FRAME_OK);
    REQUIRE(used == len && frame.type == type && frame.flags == FRAME_FIN);
    return frame.payload;
}

static void check_bounds(const struct hello *hello)
{
    REQUIRE(hello->max_frame_size >= FRAME_SIZE_MIN);
    REQUIRE((hello->capabilities & ~ALL) == 0);
}

static void check_haproxy(const uint8_t *data, size_t size)
{
    struct hello hello, again;
    enum status status = hello_get(wire_open(data, size), &hello);

    REQUIRE(hello.engine_id.at != NULL && hello.engine_id.len <= size);
    if (status != STATUS_NORMAL) {
        REQUIRE(status >= STATUS_INVALID && status <= STATUS_BAD_FRAME_SIZE);
        return;
    }
    check_bounds(&hello);

    uint8_t *bytes = malloc(size + ROOM);
    REQUIRE(bytes != NULL);
    struct wire_out out = wire_out_open(bytes, size + ROOM);
    hello_put_haproxy(&out, &hello);
    REQUIRE(hello_get(frame_payload(bytes, &out, FRAME_HAPROXY_HELLO), &again) == STATUS_NORMAL);
    REQUIRE(same(&hello, &again));
    free(bytes);
}

static void check_agent(const uint8_t *data, size_t size)
{
    struct hello hello, again;

    if (!hello_get_agent(wire_open(data, size), &hello))
        return;
    check_bounds(&hello);

    uint8_t bytes[ROOM];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    hello_put_agent(&out, hello.max_frame_size, hello.capabilities);
    REQUIRE(hello_get_agent(frame_payload(bytes, &out, FRAME_AGENT_HELLO), &again));
    REQUIRE(same(&hello, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_haproxy(data, size);
    check_agent(data, size);
    return 0;
}
