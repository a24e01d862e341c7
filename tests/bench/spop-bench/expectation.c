#include "expectation.h"

#include <inttypes.h>
#include <stdio.h>

bool expectation_add(struct expectation *expectation, const char *text)
{
    const char *equals = strchr(text, '=');
    struct span variable = {text, equals ? (size_t)(equals - text) : strlen(text)};
    struct expected *expected = &expectation->expected[expectation->count];

    if (expectation->count == EXPECTED_MAX)
        return false;
    expected->name = action_split(variable, &expected->scope);
    expected->value = equals ? span_of(equals + 1) : (struct span){NULL, 0};
    if (expected->name.len == variable.len || action_name_fault(expected->scope, expected->name))
        return false;
    expectation->count++;
    return true;
}

static bool value_is(const struct value *value, struct span wanted)
{
    char text[VALUE_IP_TEXT_MAX];

    switch (value->type) {
    case VALUE_NULL:
        return span_is(wanted, "null");
    case VALUE_BOOL:
        return span_is(wanted, value->integer ? "true" : "false");
    case VALUE_INT32:
    case VALUE_INT64:
        snprintf(text, sizeof text, "%" PRId64, (int64_t)value->integer);
        break;
    case VALUE_UINT32:
    case VALUE_UINT64:
        snprintf(text, sizeof text, "%" PRIu64, value->integer);
        break;
    case VALUE_IPV4:
    case VALUE_IPV6:
        value_ip_text(value, text);
        break;
    case VALUE_STR:
    case VALUE_BIN:
        return value->bytes.len == wanted.len &&
               memcmp(value->bytes.at, wanted.at, wanted.len) == 0;
    }
    return span_is(wanted, text);
}

static bool expected_is(const struct expected *expected, const struct action *action)
{
    return action->type == ACTION_SET_VAR && action->scope == expected->scope &&
           action->name.len == expected->name.len &&
           memcmp(action->name.at, expected->name.at, expected->name.len) == 0 &&
           (!expected->value.at || value_is(&action->value, expected->value));
}

static enum verdict judge(const struct expectation *expectation, struct wire payload)
{
    struct action action;
    unsigned met = 0;

    while (action_next(&payload, &action)) {
        if (action_name_fault(action.scope, action.name))
            return VERDICT_MALFORMED;
        for (unsigned i = 0; i < expectation->count; i++) {
            if (expected_is(&expectation->expected[i], &action))
                met |= 1u << i;
        }
    }
    if (payload.bad)
        return VERDICT_MALFORMED;
    return met == (1u << expectation->count) - 1 ? VERDICT_GOOD : VERDICT_WRONG;
}

enum verdict expectation_judge(struct expectation *expectation, struct wire payload)
{
    size_t len = wire_left(&payload);

    if (len > 0 && len == expectation->last_len && memcmp(payload.at, expectation->last, len) == 0)
        return expectation->last_verdict;

    enum verdict verdict = judge(expectation, payload);
    if (len <= sizeof expectation->last) {
        memcpy(expectation->last, payload.at, len);
        expectation->last_len = len;
        expectation->last_verdict = verdict;
    }
    return verdict;
}
