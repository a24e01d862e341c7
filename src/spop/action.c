#include "spop/action.h"

/* NB-ARGS of SPOE.txt 3.2.7; HAProxy stops at any other. */
#define SET_VAR_ARGS   3
#define UNSET_VAR_ARGS 2

static const struct span scope_names[ACTION_SCOPE_COUNT] = {
#define X(id, number, name) [number] = {name, sizeof name - 1},
    ACTION_SCOPES(X)
#undef X
};

#define X(id, number, name) +1
_Static_assert(0 ACTION_SCOPES(X) == ACTION_SCOPE_COUNT, "ACTION_SCOPE_COUNT counts the rows");
#undef X

/* What HAProxy's vars.c takes in a name. */
static const uint8_t name_bytes[256] = {
    /* clang-format off */
    ['.'] = 1, ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,
    ['7'] = 1, ['8'] = 1, ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,
    ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,
    ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,
    ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['_'] = 1, ['a'] = 1, ['b'] = 1,
    ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1,
    ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1,
    ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
    /* clang-format on */
};

const char *action_scope_name(enum action_scope scope)
{
    return (unsigned)scope < ACTION_SCOPE_COUNT ? scope_names[scope].at : "unknown";
}

bool action_scope_find(struct span name, enum action_scope *scope)
{
    for (unsigned i = 0; i < ACTION_SCOPE_COUNT; i++) {
        if (name.len == scope_names[i].len && memcmp(name.at, scope_names[i].at, name.len) == 0) {
            *scope = (enum action_scope)i;
            return true;
        }
    }
    return false;
}

struct span action_split(struct span text, enum action_scope *scope)
{
#define X(id, number, scope_name)                                                                  \
    if (text.len >= sizeof scope_name &&                                                           \
        memcmp(text.at, scope_name ".", sizeof scope_name) == 0) {                                 \
        *scope = SCOPE_##id;                                                                       \
        return (struct span){text.at + sizeof scope_name, text.len - sizeof scope_name};           \
    }
    ACTION_SCOPES(X)
#undef X
    return text;
}

const char *action_name_fault(enum action_scope scope, struct span name)
{
    uint8_t good = 1;

    if (name.len == 0)
        return "is empty";
    if (scope_names[scope].len + 1 + name.len > ACTION_NAME_MAX)
        return "is longer than the 63 bytes that HAProxy accepts, its scope and the dot counted";
    for (size_t i = 0; i < name.len; i++)
        good &= name_bytes[(uint8_t)name.at[i]];
    if (!good)
        return "has a character that HAProxy does not accept (only letters, digits, '_' and '.')";
    return NULL;
}

void action_put_head(struct wire_out *out, enum action_scope scope, struct span name)
{
    uint8_t *at = wire_put_room(out, 3);

    if (at) {
        at[0] = ACTION_SET_VAR;
        at[1] = SET_VAR_ARGS;
        at[2] = (uint8_t)scope;
    }
    wire_put_string(out, name);
}

void action_put_set(struct wire_out *out, enum action_scope scope, struct span name,
                    const struct value *value)
{
    action_put_head(out, scope, name);
    value_put(out, value);
}

void action_put_unset(struct wire_out *out, enum action_scope scope, struct span name)
{
    uint8_t *at = wire_put_room(out, 3);

    if (at) {
        at[0] = ACTION_UNSET_VAR;
        at[1] = UNSET_VAR_ARGS;
        at[2] = (uint8_t)scope;
    }
    wire_put_string(out, name);
}

bool action_next(struct wire *payload, struct action *action)
{
    if (wire_done(payload))
        return false;

    uint8_t type = wire_byte(payload);
    uint8_t nargs = wire_byte(payload);
    uint8_t scope = wire_byte(payload);
    action->name = wire_string(payload);
    action->value = value_null();
    if (type == ACTION_SET_VAR)
        value_get(payload, &action->value);

    if (!(type == ACTION_SET_VAR && nargs == SET_VAR_ARGS) &&
        !(type == ACTION_UNSET_VAR && nargs == UNSET_VAR_ARGS))
        wire_fail(payload);
    if (scope >= ACTION_SCOPE_COUNT)
        wire_fail(payload);
    action->type = (enum action_type)type;
    action->scope = (enum action_scope)scope;
    return !payload->bad;
}
