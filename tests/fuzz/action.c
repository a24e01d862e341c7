/*
 * The LIST-OF-ACTIONS, both ways: what is read is written again as it was, and what is made
 * up from the input is written, and read as it was made.
 */
#include "spop/action.h"

#include "fuzz.h"

static void put(struct wire_out *out, const struct action *action)
{
    if (action->type == ACTION_SET_VAR)
        action_put_set(out, action->scope, action->name, &action->value);
    else
        action_put_unset(out, action->scope, action->name);
}

/* Type, number of arguments, scope and name; a set-var's type byte comes next. */
static size_t head_size(const struct action *action)
{
    return 3 + wire_varint_size(action->name.len) + action->name.len;
}

/* An action's bytes are the same but for the flags of a type that has none. */
static void check_same_bytes(const uint8_t *was, const uint8_t *is, size_t len,
                             const struct action *action)
{
    size_t head = head_size(action);

    REQUIRE(memcmp(was, is, head) == 0);
    if (action->type != ACTION_SET_VAR) {
        REQUIRE(len == head);
        return;
    }
    REQUIRE((was[head] & 0x0f) == (is[head] & 0x0f));
    if (action->value.type == VALUE_BOOL)
        REQUIRE(is[head] == (was[head] == 0x11 ? 0x11 : 0x01));
    else
        REQUIRE(is[head] == (was[head] & 0x0f));
    REQUIRE(memcmp(was + head + 1, is + head + 1, len - head - 1) == 0);
}

static void check_read(const uint8_t *data, size_t size)
{
    struct wire payload = wire_open(data, size);
    const uint8_t *was = data;
    struct action action;

    while (action_next(&payload, &action)) {
        size_t len = (size_t)(payload.at - was);
        uint8_t *is = malloc(len);
        struct wire_out out = wire_out_open(is, len);
        REQUIRE(is != NULL);
        put(&out, &action);
        REQUIRE(!out.full && out.at == out.end);
        check_same_bytes(was, is, len, &action);
        free(is);
        was = payload.at;
    }
    REQUIRE(payload.bad || payload.at == data + size);
}

/* Makes up an action out of the next bytes; what they lack is zero. */
static struct action make(struct wire *recipe)
{
    uint8_t kinds = wire_byte(recipe), types = wire_byte(recipe);
    struct action action = {
        .type = kinds & 1 ? ACTION_SET_VAR : ACTION_UNSET_VAR,
        .scope = (enum action_scope)((kinds >> 1) % ACTION_SCOPE_COUNT),
        .name = wire_string(recipe),
        .value = value_null(),
    };
    enum value_type type = (enum value_type)(types % VALUE_TYPE_COUNT);

    if (action.type == ACTION_UNSET_VAR)
        return action;
    if (type == VALUE_BOOL)
        action.value = value_bool(types >> 7);
    else if (type >= VALUE_INT32 && type <= VALUE_UINT64)
        action.value = value_integer(type, wire_varint(recipe));
    else if (type == VALUE_STR || type == VALUE_BIN)
        action.value = value_bytes(type, wire_string(recipe));
    else if (type == VALUE_IPV4)
        action.value = value_bytes(type, (struct span){"\x7f\0\0\x01", 4});
    else if (type == VALUE_IPV6)
        action.value = value_bytes(type, (struct span){"0123456789abcdef", 16});

    if (type == VALUE_INT32)
        action.value.integer = (uint64_t)(int64_t)(int32_t)(uint32_t)action.value.integer;
    if (type == VALUE_UINT32)
        action.value.integer = (uint32_t)action.value.integer;
    return action;
}

static bool same(const struct action *a, const struct action *b)
{
    return a->type == b->type && a->scope == b->scope && a->name.len == b->name.len &&
           memcmp(a->name.at, b->name.at, a->name.len) == 0 && a->value.type == b->value.type &&
           a->value.integer == b->value.integer && a->value.bytes.len == b->value.bytes.len &&
           memcmp(a->value.bytes.at, b->value.bytes.at, a->value.bytes.len) == 0;
}

/* The rules once more, the slow way. */
static void check_name(enum action_scope scope, struct span name)
{
    char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.";
    bool good = name.len > 0;

    for (size_t i = 0; i < name.len; i++)
        good = good && name.at[i] != '\0' && strchr(letters, name.at[i]) != NULL;
    good = good && strlen(action_scope_name(scope)) + 1 + name.len <= ACTION_NAME_MAX;
    REQUIRE((action_name_fault(scope, name) == NULL) == good);
}

static void check_split(struct span text)
{
    enum action_scope scope = (enum action_scope)99;
    struct span name = action_split(text, &scope);

    REQUIRE(name.at + name.len == text.at + text.len);
    if (name.len == text.len) {
        REQUIRE(scope == (enum action_scope)99);
        return;
    }
    size_t len = text.len - name.len - 1;
    REQUIRE(span_is((struct span){text.at, len}, action_scope_name(scope)));
    REQUIRE(text.at[len] == '.');
}

static void check_written(const uint8_t *data, size_t size)
{
    struct wire recipe = wire_open(data, size);

    while (!wire_done(&recipe)) {
        struct action made = make(&recipe), read;
        size_t room = ACTION_HEAD_MAX + WIRE_VARINT_MAX + 17 + made.name.len + made.value.bytes.len;
        uint8_t *bytes = malloc(room);
        struct wire_out out = wire_out_open(bytes, room);
        REQUIRE(bytes != NULL);
        put(&out, &made);
        REQUIRE(!out.full);
        struct wire payload = wire_open(bytes, (size_t)(out.at - bytes));
        REQUIRE(action_next(&payload, &read));
        REQUIRE(same(&made, &read));
        REQUIRE(!action_next(&payload, &read) && !payload.bad);
        free(bytes);
        check_name(made.scope, made.name);
        check_split(made.name);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_read(data, size);
    check_written(data, size);
    check_split((struct span){(const char *)data, size});
    return 0;
}
