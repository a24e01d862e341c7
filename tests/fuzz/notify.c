/*
 * A NOTIFY's payload: one that message_check takes never goes bad afterwards and has as many
 * messages and arguments as it said; one that it refuses goes bad for every reader.
 */
#include "spop/message.h"

#include "fuzz.h"

static void check_address(const struct value *value)
{
    char text[VALUE_IP_TEXT_MAX];
    uint8_t bytes[16];
    size_t len = value_ip_text(value, text);

    REQUIRE(len > 0 && len == strlen(text));
    REQUIRE(value_ip_parse(value->type, span_of(text), bytes));
    REQUIRE(memcmp(bytes, value->bytes.at, value->bytes.len) == 0);
}

static void check_value(const struct value *value, const struct wire *args)
{
    bool has_integer = value->type >= VALUE_BOOL && value->type <= VALUE_UINT64;
    bool has_bytes = value->type >= VALUE_IPV4;

    REQUIRE((unsigned)value->type < VALUE_TYPE_COUNT && value->bytes.at != NULL);
    REQUIRE(has_integer || value->integer == 0);
    REQUIRE(has_bytes || value->bytes.len == 0);
    if (has_bytes)
        REQUIRE(value->bytes.at + value->bytes.len == (const char *)args->at);
    if (value->type == VALUE_BOOL)
        REQUIRE(value->integer <= 1);
    if (value->type == VALUE_INT32)
        REQUIRE((int64_t)value->integer >= INT32_MIN && (int64_t)value->integer <= INT32_MAX);
    if (value->type == VALUE_UINT32)
        REQUIRE(value->integer <= UINT32_MAX);
    if (value->type == VALUE_IPV4 || value->type == VALUE_IPV6)
        check_address(value);
}

/* Reads every message to its last argument; false when something was bad. */
static bool read_all(struct wire payload, size_t *count)
{
    struct message message;
    struct span key;
    struct value value;

    *count = 0;
    while (message_next(&payload, &message)) {
        unsigned nargs = 0;
        REQUIRE(message.args.end == payload.at && message.nargs <= 255);
        while (value_get_pair(&message.args, &key, &value)) {
            check_value(&value, &message.args);
            nargs++;
        }
        REQUIRE(!message.args.bad && nargs == message.nargs);
        ++*count;
    }
    return !payload.bad;
}

/* The last message is the same whether its arguments are walked or not. */
static void check_last(struct wire payload, size_t count)
{
    struct message message, last;

    for (size_t i = 1; i < count; i++)
        REQUIRE(message_next(&payload, &message));

    struct wire unwalked = payload;
    REQUIRE(message_next(&payload, &message));
    message_last(&unwalked, &last);
    REQUIRE(last.name.at == message.name.at && last.name.len == message.name.len);
    REQUIRE(last.nargs == message.nargs && !last.args.bad);
    REQUIRE(last.args.at == message.args.at && last.args.end == message.args.end);
    REQUIRE(wire_done(&unwalked) && !unwalked.bad);
}

/* Without the flag bits that mean nothing a payload has one encoding: the same length at
 * least must come out. */
static void check_written_again(struct wire payload)
{
    size_t room = wire_left(&payload);
    uint8_t *bytes = malloc(room + 1);
    struct wire_out out = wire_out_open(bytes, room);
    struct message message;
    struct span key;
    struct value value;

    REQUIRE(bytes != NULL);
    while (message_next(&payload, &message)) {
        message_put(&out, message.name, (uint8_t)message.nargs);
        while (value_get_pair(&message.args, &key, &value))
            value_put_pair(&out, key, &value);
    }
    REQUIRE(!out.full && out.at == out.end);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire payload = wire_open(data, size);
    size_t checked, read;
    bool good = message_check(payload, &checked);

    REQUIRE(read_all(payload, &read) == good);
    REQUIRE(checked == read);
    if (good)
        check_written_again(payload);
    if (good && checked > 0)
        check_last(payload, checked);
    return 0;
}
