#include "spop/hello.h"

#include "spop/frame.h"

#include "../unit.h"
#include "exact.h"

#define STR(text)                                                                                  \
    {                                                                                              \
        VALUE_STR, 0,                                                                              \
        {                                                                                          \
            (text), sizeof(text) - 1                                                               \
        }                                                                                          \
    }
#define BIN(text)                                                                                  \
    {                                                                                              \
        VALUE_BIN, 0,                                                                              \
        {                                                                                          \
            (text), sizeof(text) - 1                                                               \
        }                                                                                          \
    }
#define UINT32(n)                                                                                  \
    {                                                                                              \
        VALUE_UINT32, (n),                                                                         \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }
#define INT32(n)                                                                                   \
    {                                                                                              \
        VALUE_INT32, (n),                                                                          \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }
#define INT64(n)                                                                                   \
    {                                                                                              \
        VALUE_INT64, (n),                                                                          \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }
#define BOOL(truth)                                                                                \
    {                                                                                              \
        VALUE_BOOL, (truth),                                                                       \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }
#define NOTHING                                                                                    \
    {                                                                                              \
        VALUE_NULL, 0,                                                                             \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }

#define VERSIONS(value)                                                                            \
    {                                                                                              \
        "supported-versions", value                                                                \
    }
#define VERSION(value)                                                                             \
    {                                                                                              \
        "version", value                                                                           \
    }
#define FRAME_SIZE(value)                                                                          \
    {                                                                                              \
        "max-frame-size", value                                                                    \
    }
#define CAPABILITIES(value)                                                                        \
    {                                                                                              \
        "capabilities", value                                                                      \
    }
#define HEALTHCHECK(value)                                                                         \
    {                                                                                              \
        "healthcheck", value                                                                       \
    }
#define ENGINE_ID(value)                                                                           \
    {                                                                                              \
        "engine-id", value                                                                         \
    }

struct pair {
    const char *key;
    struct value value;
};

/* As many as no row has; the rest of a row has no key. */
#define PAIRS_MAX 7

static size_t put_pairs(uint8_t *bytes, size_t room, const struct pair *pairs)
{
    struct wire_out out = wire_out_open(bytes, room);

    for (size_t i = 0; i < PAIRS_MAX && pairs[i].key; i++)
        value_put_pair(&out, span_of(pairs[i].key), &pairs[i].value);
    ck_assert(!out.full);
    return (size_t)(out.at - bytes);
}

/* The block lives on in *block, for the spans in *hello. */
static enum status get(const struct pair *pairs, struct hello *hello, uint8_t **block, size_t *len)
{
    uint8_t bytes[512];

    *len = put_pairs(bytes, sizeof bytes, pairs);
    *block = exact_new(bytes, *len);
    return hello_get(wire_open(*block, *len), hello);
}

START_TEST(haproxys_hello_is_agreed_to)
{
    static const struct pair pairs[PAIRS_MAX] = {
        VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(16380)), CAPABILITIES(STR("pipelining,async")),
        ENGINE_ID(STR("0b5c8cb8-5bc4-4cd5-8cc5-3a0e2d2c7c42"))};
    struct hello hello;
    uint8_t *block;
    size_t len;

    ck_assert_uint_eq(get(pairs, &hello, &block, &len), STATUS_NORMAL);
    ck_assert_uint_eq(hello.max_frame_size, 16380);
    ck_assert_uint_eq(hello.capabilities, HELLO_PIPELINING | HELLO_ASYNC);
    ck_assert(!hello.healthcheck);
    ck_assert(span_is(hello.engine_id, "0b5c8cb8-5bc4-4cd5-8cc5-3a0e2d2c7c42"));
    exact_free(block, len);
}
END_TEST

/* What `option spop-check` sends: no capabilities in it, no engine-id. */
START_TEST(health_check_is_agreed_to)
{
    static const struct pair rows[][PAIRS_MAX] = {
        {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(16380)), CAPABILITIES(STR("")),
         HEALTHCHECK(BOOL(1))},
        {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(16380)), HEALTHCHECK(BOOL(1))},
        {HEALTHCHECK(BOOL(1)), FRAME_SIZE(UINT32(16380)), VERSIONS(STR("2.0"))},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hello hello;
        uint8_t *block;
        size_t len;
        ck_assert_uint_eq(get(rows[i], &hello, &block, &len), STATUS_NORMAL);
        ck_assert(hello.healthcheck);
        ck_assert_uint_eq(hello.capabilities, 0);
        ck_assert_uint_eq(hello.engine_id.len, 0);
        exact_free(block, len);
    }
}
END_TEST

START_TEST(each_refusal_has_its_status)
{
    static const struct {
        enum status status;
        struct pair pairs[PAIRS_MAX];
    } rows[] = {
        {STATUS_NO_VERSION, {{NULL, NOTHING}}},
        {STATUS_NO_VERSION, {FRAME_SIZE(UINT32(16380)), CAPABILITIES(STR(""))}},
        {STATUS_NO_VERSION, {FRAME_SIZE(UINT32(1))}},
        {STATUS_NO_VERSION, {VERSION(STR("2.0")), FRAME_SIZE(UINT32(16380))}},
        {STATUS_BAD_VERSION,
         {VERSIONS(STR("1.0")), FRAME_SIZE(UINT32(16380)), CAPABILITIES(STR(""))}},
        {STATUS_BAD_VERSION, {VERSIONS(STR("3.0"))}},
        {STATUS_NO_FRAME_SIZE, {VERSIONS(STR("2.0")), CAPABILITIES(STR(""))}},
        {STATUS_NO_FRAME_SIZE, {VERSIONS(STR("2.0"))}},
        {STATUS_BAD_FRAME_SIZE,
         {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(255)), CAPABILITIES(STR(""))}},
        {STATUS_BAD_FRAME_SIZE, {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(0))}},
        {STATUS_NO_CAPABILITIES, {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(256))}},
        {STATUS_NO_CAPABILITIES,
         {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(256)), HEALTHCHECK(BOOL(0))}},
        {STATUS_NORMAL, {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(256)), CAPABILITIES(STR(""))}},
        {STATUS_NORMAL,
         {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(UINT32_MAX)), CAPABILITIES(STR(""))}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hello hello;
        uint8_t *block;
        size_t len;
        enum status status = get(rows[i].pairs, &hello, &block, &len);
        ck_assert_msg(status == rows[i].status, "row %zu: status %u", i, (unsigned)status);
        exact_free(block, len);
    }
}
END_TEST

/* One key at a time has each of the types it must not have; the rest is in order.  A peer
 * that read a NULL-typed capabilities as a string was crashed by it. */
START_TEST(keys_of_the_wrong_type_are_invalid)
{
    static const struct pair good[] = {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(16380)),
                                       CAPABILITIES(STR("pipelining")), HEALTHCHECK(BOOL(0)),
                                       ENGINE_ID(STR("engine"))};
    static const struct value types[VALUE_TYPE_COUNT] = {
        NOTHING,
        BOOL(1),
        INT32(16380),
        UINT32(16380),
        INT64(16380),
        {VALUE_UINT64, 16380, {"", 0}},
        {VALUE_IPV4, 0, {"2.0.", 4}},
        {VALUE_IPV6, 0, {"2.0,2.0,2.0,2.0,", 16}},
        STR("2.0"),
        BIN("2.0"),
    };

    for (size_t key = 0; key < sizeof good / sizeof *good; key++) {
        for (unsigned type = 0; type < VALUE_TYPE_COUNT; type++) {
            struct pair pairs[PAIRS_MAX] = {{NULL, NOTHING}};
            struct hello hello;
            uint8_t *block;
            size_t len;
            memcpy(pairs, good, sizeof good);
            pairs[key].value = types[type];
            enum status status = get(pairs, &hello, &block, &len);
            ck_assert_msg(
                status == (type == (unsigned)good[key].value.type ? STATUS_NORMAL : STATUS_INVALID),
                "%s as %s: status %u", good[key].key, value_type_name((enum value_type)type),
                (unsigned)status);
            exact_free(block, len);
        }
    }
}
END_TEST

START_TEST(malformed_list_comes_before_every_other_fault)
{
    struct hello hello;

    ck_assert_uint_eq(hello_get(wire_open(BYTES("\x12supported-versions\x08\x03"
                                                "1.0\x00")),
                                &hello),
                      STATUS_INVALID);
    ck_assert_uint_eq(hello_get(wire_open(BYTES("\x05other\x0a")), &hello), STATUS_INVALID);
    ck_assert_uint_eq(hello_get(wire_open(BYTES("\xf0")), &hello), STATUS_INVALID);
}
END_TEST

START_TEST(any_version_2_in_the_list_will_do)
{
    static const struct {
        const char *list;
        bool agrees;
    } rows[] = {
        {"2.0", true},         {"2.1", true},      {"2.99", true},      {" 2.0 ", true},
        {"1.0,2.0", true},     {"1.0, 2.0", true}, {"2.0,1.0", true},   {" 1.0 , 2.3 , 3.0 ", true},
        {"3.0,2.0,1.0", true}, {",2.0", true},     {"2.0,", true},      {",,2.0,,", true},
        {"garbage,2.0", true}, {"2,2.0", true},    {"2.0.0,2.0", true}, {"", false},
        {" ", false},          {",", false},       {"1.0", false},      {"1.0,3.0", false},
        {"2", false},          {"2.", false},      {".0", false},       {"2.x", false},
        {"2.0x", false},       {"2.0.0", false},   {"2 .0", false},     {"2. 0", false},
        {"20.0", false},       {"12.0", false},    {"2-0", false},      {"-2.0", false},
        {"2.-1", false},       {"2.0;1.0", false}, {"x2.0", false},     {"1.2.0", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pair pairs[PAIRS_MAX] = {
            {"supported-versions", NOTHING}, FRAME_SIZE(UINT32(16380)), CAPABILITIES(STR(""))};
        struct hello hello;
        uint8_t *block;
        size_t len;
        pairs[0].value = value_bytes(VALUE_STR, span_of(rows[i].list));
        ck_assert_msg(get(pairs, &hello, &block, &len) ==
                          (rows[i].agrees ? STATUS_NORMAL : STATUS_BAD_VERSION),
                      "\"%s\"", rows[i].list);
        exact_free(block, len);
    }
}
END_TEST

START_TEST(unknown_capabilities_are_ignored)
{
    static const struct {
        const char *list;
        unsigned capabilities;
    } rows[] = {
        {"", 0},
        {"pipelining", HELLO_PIPELINING},
        {"fragmentation", HELLO_FRAGMENTATION},
        {"async", HELLO_ASYNC},
        {"async,fragmentation,pipelining", 7},
        {" pipelining , async ", HELLO_PIPELINING | HELLO_ASYNC},
        {"teleportation,async", HELLO_ASYNC},
        {"async,teleportation", HELLO_ASYNC},
        {"async,async", HELLO_ASYNC},
        {",,async,,", HELLO_ASYNC},
        {"Async", 0},
        {"asyncx", 0},
        {"asyn", 0},
        {"pipelining async", 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pair pairs[PAIRS_MAX] = {
            VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(16380)), {"capabilities", NOTHING}};
        struct hello hello;
        uint8_t *block;
        size_t len;
        pairs[2].value = value_bytes(VALUE_STR, span_of(rows[i].list));
        ck_assert_uint_eq(get(pairs, &hello, &block, &len), STATUS_NORMAL);
        ck_assert_msg(hello.capabilities == rows[i].capabilities, "\"%s\" is %u", rows[i].list,
                      hello.capabilities);
        exact_free(block, len);
    }
}
END_TEST

START_TEST(unknown_keys_are_ignored_and_the_last_of_a_repeated_one_counts)
{
    static const struct pair pairs[PAIRS_MAX] = {
        {"supported-version", NOTHING}, FRAME_SIZE(UINT32(1)),     VERSIONS(STR("1.0")),
        CAPABILITIES(STR("async")),     FRAME_SIZE(UINT32(16380)), VERSIONS(STR("2.0")),
        CAPABILITIES(STR("pipelining"))};
    struct hello hello;
    uint8_t *block;
    size_t len;

    ck_assert_uint_eq(get(pairs, &hello, &block, &len), STATUS_NORMAL);
    ck_assert_uint_eq(hello.max_frame_size, 16380);
    ck_assert_uint_eq(hello.capabilities, HELLO_PIPELINING);
    exact_free(block, len);
}
END_TEST

/* Each cut between two pairs is a well-formed list that lacks a key; every other is bad. */
START_TEST(cut_hello_is_never_agreed_to)
{
    static const struct pair pairs[PAIRS_MAX] = {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(16380)),
                                                 CAPABILITIES(STR("pipelining"))};
    uint8_t bytes[512];
    size_t len = put_pairs(bytes, sizeof bytes, pairs);

    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *block = exact_new(bytes, cut);
        struct hello hello;
        enum status expected = cut == 0    ? STATUS_NO_VERSION
                               : cut == 24 ? STATUS_NO_FRAME_SIZE
                               : cut == 43 ? STATUS_NO_CAPABILITIES
                                           : STATUS_INVALID;
        enum status status = hello_get(wire_open(block, cut), &hello);
        ck_assert_msg(status == expected, "cut at %zu: status %u", cut, (unsigned)status);
        exact_free(block, cut);
    }
}
END_TEST

static void encode_agent(struct wire_out *out)
{
    hello_put_agent(out, 16380, HELLO_PIPELINING | HELLO_FRAGMENTATION);
}

START_TEST(agents_hello_is_written_exactly)
{
    exact_rooms(BYTES("\0\0\0\x4e\x65\0\0\0\x01\0\0"
                      "\x07version\x08\x03"
                      "2.0"
                      "\x0emax-frame-size\x03\xfc\xf0\x06"
                      "\x0c"
                      "capabilities\x08\x18pipelining,fragmentation"),
                encode_agent);
}
END_TEST

START_TEST(agents_hello_comes_back)
{
    for (unsigned capabilities = 0; capabilities < 8; capabilities++) {
        uint8_t bytes[FRAME_SIZE_MIN];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        struct frame frame;
        struct hello hello;
        size_t used;
        hello_put_agent(&out, 256u << capabilities, capabilities);
        ck_assert(!out.full);
        ck_assert_uint_eq(frame_get(bytes, (size_t)(out.at - bytes), FRAME_SIZE_MIN, &frame, &used),
                          FRAME_OK);
        ck_assert_uint_eq(frame.type, FRAME_AGENT_HELLO);
        ck_assert_uint_eq(frame.flags, FRAME_FIN);
        ck_assert(hello_get_agent(frame.payload, &hello));
        ck_assert_uint_eq(hello.max_frame_size, 256u << capabilities);
        ck_assert_uint_eq(hello.capabilities, capabilities);
    }
}
END_TEST

START_TEST(agents_hello_with_a_fault_is_refused)
{
    static const struct {
        bool good;
        struct pair pairs[PAIRS_MAX];
    } rows[] = {
        {true, {VERSION(STR("2.0")), FRAME_SIZE(UINT32(256)), CAPABILITIES(STR(""))}},
        {true, {VERSION(STR("2.7")), CAPABILITIES(STR("")), FRAME_SIZE(UINT32(256))}},
        {false, {VERSION(STR("1.0")), FRAME_SIZE(UINT32(256)), CAPABILITIES(STR(""))}},
        {false, {VERSION(STR("2.0,1.0")), FRAME_SIZE(UINT32(256)), CAPABILITIES(STR(""))}},
        {false, {VERSIONS(STR("2.0")), FRAME_SIZE(UINT32(256)), CAPABILITIES(STR(""))}},
        {false, {VERSION(STR("2.0")), FRAME_SIZE(UINT32(255)), CAPABILITIES(STR(""))}},
        {false, {VERSION(STR("2.0")), FRAME_SIZE(INT32(256)), CAPABILITIES(STR(""))}},
        {false, {VERSION(BIN("2.0")), FRAME_SIZE(UINT32(256)), CAPABILITIES(STR(""))}},
        {false, {VERSION(STR("2.0")), FRAME_SIZE(UINT32(256)), CAPABILITIES(NOTHING)}},
        {false, {VERSION(STR("2.0")), FRAME_SIZE(UINT32(256))}},
        {false, {VERSION(STR("2.0")), FRAME_SIZE(UINT32(256)), HEALTHCHECK(BOOL(1))}},
        {false, {VERSION(STR("2.0")), CAPABILITIES(STR(""))}},
        {false, {FRAME_SIZE(UINT32(256)), CAPABILITIES(STR(""))}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[512];
        struct hello hello;
        size_t len = put_pairs(bytes, sizeof bytes, rows[i].pairs);
        ck_assert_msg(hello_get_agent(wire_open(bytes, len), &hello) == rows[i].good, "row %zu", i);
    }
}
END_TEST

START_TEST(haproxys_hello_comes_back)
{
    static const struct hello hellos[] = {
        {16380, HELLO_PIPELINING | HELLO_ASYNC, false, {"engine", 6}},
        {256, 0, true, {"", 0}},
        {UINT32_MAX, 7, true, {"a\0b", 3}},
    };

    for (size_t i = 0; i < sizeof hellos / sizeof *hellos; i++) {
        uint8_t bytes[FRAME_SIZE_MIN];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        struct frame frame;
        struct hello hello;
        size_t used;
        hello_put_haproxy(&out, &hellos[i]);
        ck_assert(!out.full);
        ck_assert_uint_eq(frame_get(bytes, (size_t)(out.at - bytes), FRAME_SIZE_MIN, &frame, &used),
                          FRAME_OK);
        ck_assert_uint_eq(frame.type, FRAME_HAPROXY_HELLO);
        ck_assert_uint_eq(frame.flags, FRAME_FIN);
        ck_assert_uint_eq(hello_get(frame.payload, &hello), STATUS_NORMAL);
        ck_assert_uint_eq(hello.max_frame_size, hellos[i].max_frame_size);
        ck_assert_uint_eq(hello.capabilities, hellos[i].capabilities);
        ck_assert_uint_eq(hello.healthcheck, hellos[i].healthcheck);
        ck_assert_uint_eq(hello.engine_id.len, hellos[i].engine_id.len);
        ck_assert_mem_eq(hello.engine_id.at, hellos[i].engine_id.at, hello.engine_id.len);
    }
}
END_TEST

UNIT_MAIN("hello", haproxys_hello_is_agreed_to, health_check_is_agreed_to,
          each_refusal_has_its_status, keys_of_the_wrong_type_are_invalid,
          malformed_list_comes_before_every_other_fault, any_version_2_in_the_list_will_do,
          unknown_capabilities_are_ignored,
          unknown_keys_are_ignored_and_the_last_of_a_repeated_one_counts,
          cut_hello_is_never_agreed_to, agents_hello_is_written_exactly, agents_hello_comes_back,
          agents_hello_with_a_fault_is_refused, haproxys_hello_comes_back)
