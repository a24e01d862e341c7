#include "agent/text.h"

#include <inttypes.h>

#include "base/escape.h"

void text_bytes(FILE *out, struct span bytes)
{
    escape_put(ESCAPE_VALUE, out, bytes.at, bytes.len);
}

void text_value(FILE *out, const struct value *value)
{
    char text[VALUE_IP_TEXT_MAX];

    fprintf(out, "%s", value_type_name(value->type));
    switch (value->type) {
    case VALUE_NULL:
        break;
    case VALUE_BOOL:
        fprintf(out, " %s", value->integer ? "true" : "false");
        break;
    case VALUE_INT32:
    case VALUE_INT64:
        fprintf(out, " %" PRId64, (int64_t)value->integer);
        break;
    case VALUE_UINT32:
    case VALUE_UINT64:
        fprintf(out, " %" PRIu64, value->integer);
        break;
    case VALUE_IPV4:
    case VALUE_IPV6:
        value_ip_text(value, text);
        fprintf(out, " %s", text);
        break;
    case VALUE_STR:
        putc(' ', out);
        text_bytes(out, value->bytes);
        break;
    case VALUE_BIN:
        putc(' ', out);
        for (size_t i = 0; i < value->bytes.len; i++)
            fprintf(out, "%02x", (uint8_t)value->bytes.at[i]);
        break;
    }
}

void text_action(FILE *out, const struct action *action)
{
    fprintf(out, "%s %s.%.*s", action->type == ACTION_SET_VAR ? "set-var" : "unset-var",
            action_scope_name(action->scope), (int)action->name.len, action->name.at);
    if (action->type == ACTION_UNSET_VAR)
        return;
    putc(' ', out);
    text_value(out, &action->value);
}

void text_arguments(FILE *out, const struct message *message)
{
    struct wire args = message->args;
    struct value value;
    struct span key;

    for (unsigned i = 0; i < message->nargs && value_get_pair(&args, &key, &value); i++) {
        fputs(i ? ", " : "", out);
        text_bytes(out, key);
        fputs(key.len ? "=" : "", out);
        text_value(out, &value);
    }
}
