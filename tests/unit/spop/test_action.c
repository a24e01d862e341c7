#include "spop/action.h"

#include "../unit.h"
#include "exact.h"

static const char letters63[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

START_TEST(scopes_have_names_and_are_found_by_them)
{
    static const char *const names[] = {"proc", "sess", "txn", "req", "res"};
    enum action_scope scope;

    for (unsigned i = 0; i < ACTION_SCOPE_COUNT; i++) {
        ck_assert_str_eq(action_scope_name((enum action_scope)i), names[i]);
        ck_assert(action_scope_find(span_of(names[i]), &scope));
        ck_assert_uint_eq(scope, i);
    }
    ck_assert(!action_scope_find(span_of(""), &scope));
    ck_assert(!action_scope_find(span_of("se"), &scope));
    ck_assert(!action_scope_find(span_of("session"), &scope));
    ck_assert(!action_scope_find(span_of("SESS"), &scope));
    ck_assert(!action_scope_find((struct span){"txn\0", 4}, &scope));
}
END_TEST

START_TEST(scope_ends_at_the_first_dot)
{
    static const struct {
        const char *text;
        enum action_scope scope;
        const char *name;
    } rows[] = {
        {"sess.score", SCOPE_SESS, "score"}, {"sess.a.b", SCOPE_SESS, "a.b"},
        {"txn.a.b.c", SCOPE_TXN, "a.b.c"},   {"proc.x", SCOPE_PROC, "x"},
        {"req.x", SCOPE_REQ, "x"},           {"res.x", SCOPE_RES, "x"},
        {"sess.", SCOPE_SESS, ""},           {"sess..", SCOPE_SESS, "."},
        {"req.txn.x", SCOPE_REQ, "txn.x"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* The other scope than the expected one, to see it change. */
        enum action_scope scope = rows[i].scope == SCOPE_PROC ? SCOPE_RES : SCOPE_PROC;
        size_t len = strlen(rows[i].text);
        uint8_t *text = exact_new(rows[i].text, len);
        struct span name = action_split((struct span){(const char *)text, len}, &scope);
        ck_assert_uint_eq(scope, rows[i].scope);
        ck_assert(span_is(name, rows[i].name));
        exact_free(text, len);
    }
}
END_TEST

START_TEST(text_without_a_scope_is_all_name)
{
    static const char *const texts[] = {"score", "foo.bar",   "sess",    "",
                                        ".x",    ".",         "s.x",     "Sess.x",
                                        "sessx", "session.x", "procs.x", "xtxn.a"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        enum action_scope scope = SCOPE_TXN;
        size_t len = strlen(texts[i]);
        uint8_t *text = exact_new(texts[i], len);
        struct span name = action_split((struct span){(const char *)text, len}, &scope);
        ck_assert_uint_eq(scope, SCOPE_TXN);
        ck_assert(span_is(name, texts[i]));
        exact_free(text, len);
    }
}
END_TEST

START_TEST(names_haproxy_accepts_have_no_fault)
{
    static const char *const names[] = {"a", "score", "a.b", "_", ".", "9", "ip_score", "X.y.Z"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_ptr_null(action_name_fault(SCOPE_SESS, span_of(names[i])));
}
END_TEST

START_TEST(empty_name_is_a_fault)
{
    enum action_scope scope = SCOPE_PROC;

    ck_assert_str_eq(action_name_fault(SCOPE_SESS, span_of("")), "is empty");
    ck_assert_str_eq(action_name_fault(scope, action_split(span_of("sess."), &scope)), "is empty");
}
END_TEST

/* Every byte alone, first, last and in the middle. */
START_TEST(characters_haproxy_refuses_are_faults)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[] = "abcd";
        bool good = byte == '.' || (byte && memchr(letters63, (int)byte, 63));
        for (size_t at = 0; at < 4; at++) {
            memcpy(name, "abcd", 4);
            name[at] = (char)byte;
            const char *fault = action_name_fault(SCOPE_TXN, (struct span){name, 4});
            ck_assert_msg((fault == NULL) == good, "byte %#x at %zu", byte, at);
        }
        const char *fault = action_name_fault(SCOPE_TXN, (struct span){&name[3], 1});
        ck_assert_msg((fault == NULL) == good, "byte %#x", byte);
        if (fault)
            ck_assert_ptr_nonnull(strstr(fault, "character"));
    }
}
END_TEST

START_TEST(scope_dot_and_name_are_63_bytes_at_most)
{
    for (unsigned i = 0; i < ACTION_SCOPE_COUNT; i++) {
        enum action_scope scope = (enum action_scope)i;
        size_t most = 63 - strlen(action_scope_name(scope)) - 1;
        ck_assert_ptr_null(action_name_fault(scope, (struct span){letters63, most}));
        const char *fault = action_name_fault(scope, (struct span){letters63, most + 1});
        ck_assert_ptr_nonnull(fault);
        ck_assert_ptr_nonnull(strstr(fault, "63"));
        ck_assert_ptr_nonnull(action_name_fault(scope, (struct span){letters63, 63}));
    }
}
END_TEST

static void encode_actions(struct wire_out *out)
{
    struct value value = value_integer(VALUE_INT64, 300);

    action_put_set(out, SCOPE_SESS, span_of("score"), &value);
    action_put_unset(out, SCOPE_RES, span_of("x"));
    action_put_head(out, SCOPE_PROC, span_of("yes"));
    value = value_bool(true);
    value_put(out, &value);
}

#define ACTIONS "\x01\x03\x01\x05score\x04\xfc\x03\x02\x02\x04\x01x\x01\x03\x00\x03yes\x11"

START_TEST(actions_are_written_exactly)
{
    exact_rooms(BYTES(ACTIONS), encode_actions);
}
END_TEST

START_TEST(head_takes_no_more_than_its_constant)
{
    uint8_t bytes[ACTION_HEAD_MAX];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);

    action_put_head(&out, SCOPE_SESS, (struct span){letters63, ACTION_NAME_MAX});
    ck_assert(!out.full);
    ck_assert_ptr_eq(out.at, out.end);
}
END_TEST

START_TEST(actions_are_read_in_order)
{
    uint8_t *block = exact_new(BYTES(ACTIONS));
    struct wire payload = wire_open(block, sizeof ACTIONS - 1);
    struct action action;

    ck_assert(action_next(&payload, &action));
    ck_assert_uint_eq(action.type, ACTION_SET_VAR);
    ck_assert_uint_eq(action.scope, SCOPE_SESS);
    ck_assert(span_is(action.name, "score"));
    ck_assert_uint_eq(action.value.type, VALUE_INT64);
    ck_assert_uint_eq(action.value.integer, 300);

    ck_assert(action_next(&payload, &action));
    ck_assert_uint_eq(action.type, ACTION_UNSET_VAR);
    ck_assert_uint_eq(action.scope, SCOPE_RES);
    ck_assert(span_is(action.name, "x"));
    ck_assert_uint_eq(action.value.type, VALUE_NULL);
    ck_assert_uint_eq(action.value.integer, 0);

    ck_assert(action_next(&payload, &action));
    ck_assert_uint_eq(action.scope, SCOPE_PROC);
    ck_assert_uint_eq(action.value.type, VALUE_BOOL);
    ck_assert_uint_eq(action.value.integer, 1);

    ck_assert(!action_next(&payload, &action));
    ck_assert(!payload.bad);
    exact_free(block, sizeof ACTIONS - 1);
}
END_TEST

static bool decode_actions(struct wire payload)
{
    struct action action;
    unsigned count = 0;

    while (action_next(&payload, &action))
        count++;
    return !payload.bad && count == 3;
}

START_TEST(actions_cut_anywhere_are_not_three)
{
    exact_cuts(BYTES(ACTIONS), decode_actions);
}
END_TEST

/* Where HAProxy stops reading the list, silently, so do we, loudly. */
START_TEST(actions_haproxy_would_stop_at_are_bad)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {BYTES("\x00\x03\x01\x01x\x00")}, /* no such action */
        {BYTES("\x03\x03\x01\x01x\x00")}, /* no such action */
        {BYTES("\xff\x02\x01\x01x")},     /* no such action */
        {BYTES("\x01\x02\x01\x01x\x00")}, /* set-var takes three */
        {BYTES("\x01\x04\x01\x01x\x00")}, /* set-var takes three */
        {BYTES("\x01\x00\x01\x01x\x00")}, /* set-var takes three */
        {BYTES("\x02\x03\x01\x01x")},     /* unset-var takes two */
        {BYTES("\x02\x01\x01\x01x")},     /* unset-var takes two */
        {BYTES("\x01\x03\x05\x01x\x00")}, /* no such scope */
        {BYTES("\x02\x02\xff\x01x")},     /* no such scope */
        {BYTES("\x01\x03\x01\x02x\x00")}, /* the name takes the type */
        {BYTES("\x01\x03\x01\x01x")},     /* no value at all */
        {BYTES("\x01\x03\x01\x01x\x06")}, /* a type byte without data */
        {BYTES("\x01\x03\x01\x01x\x0a")}, /* no such type */
        {BYTES("\x01\x03\x01\x01x\x08\x02y")},
        {BYTES("\x02\x02\x01\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0ex")},
        {BYTES("\x01")},
        {BYTES("\x01\x03")},
        {BYTES("\x01\x03\x01")},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *block = exact_new(rows[i].bytes, rows[i].len);
        struct wire payload = wire_open(block, rows[i].len);
        struct action action;
        ck_assert_msg(!action_next(&payload, &action), "row %zu was taken", i);
        ck_assert_msg(payload.bad, "row %zu is not bad", i);
        ck_assert(!action_next(&payload, &action));
        exact_free(block, rows[i].len);
    }
}
END_TEST

START_TEST(actions_before_a_bad_one_are_read)
{
    struct wire payload = wire_open(BYTES("\x02\x02\x01\x01x\x07\x02\x01\x01y"));
    struct action action;

    ck_assert(action_next(&payload, &action));
    ck_assert(span_is(action.name, "x"));
    ck_assert(!action_next(&payload, &action));
    ck_assert(payload.bad);
}
END_TEST

/* Every scope with every type, there and back. */
START_TEST(every_action_comes_back)
{
    static const struct value values[VALUE_TYPE_COUNT] = {
        {VALUE_NULL, 0, {"", 0}},
        {VALUE_BOOL, 1, {"", 0}},
        {VALUE_INT32, (uint64_t)INT32_MIN, {"", 0}},
        {VALUE_UINT32, UINT32_MAX, {"", 0}},
        {VALUE_INT64, (uint64_t)INT64_MIN, {"", 0}},
        {VALUE_UINT64, UINT64_MAX, {"", 0}},
        {VALUE_IPV4, 0, {"\x0a\0\0\x01", 4}},
        {VALUE_IPV6, 0, {"0123456789abcdef", 16}},
        {VALUE_STR, 0, {"te\0xt", 5}},
        {VALUE_BIN, 0, {"", 0}},
    };

    for (unsigned i = 0; i < ACTION_SCOPE_COUNT * VALUE_TYPE_COUNT; i++) {
        uint8_t bytes[ACTION_HEAD_MAX + 32];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);
        enum action_scope scope = (enum action_scope)(i / VALUE_TYPE_COUNT);
        const struct value *value = &values[i % VALUE_TYPE_COUNT];
        struct action action;
        action_put_set(&out, scope, span_of("ip.score"), value);
        struct wire payload = wire_open(bytes, (size_t)(out.at - bytes));
        ck_assert(action_next(&payload, &action));
        ck_assert(wire_done(&payload) && !payload.bad);
        ck_assert_uint_eq(action.type, ACTION_SET_VAR);
        ck_assert_uint_eq(action.scope, scope);
        ck_assert(span_is(action.name, "ip.score"));
        ck_assert_uint_eq(action.value.type, value->type);
        ck_assert_uint_eq(action.value.integer, value->integer);
        ck_assert_uint_eq(action.value.bytes.len, value->bytes.len);
        ck_assert_mem_eq(action.value.bytes.at, value->bytes.at, value->bytes.len);
    }
}
END_TEST

UNIT_MAIN("action", scopes_have_names_and_are_found_by_them, scope_ends_at_the_first_dot,
          text_without_a_scope_is_all_name, names_haproxy_accepts_have_no_fault,
          empty_name_is_a_fault, characters_haproxy_refuses_are_faults,
          scope_dot_and_name_are_63_bytes_at_most, actions_are_written_exactly,
          head_takes_no_more_than_its_constant, actions_are_read_in_order,
          actions_cut_anywhere_are_not_three, actions_haproxy_would_stop_at_are_bad,
          actions_before_a_bad_one_are_read, every_action_comes_back)
