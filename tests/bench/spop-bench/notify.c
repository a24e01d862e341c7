#include "notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "spop/message.h"

/* A NOTIFY has to fit in memory at both ends; HAProxy itself stops far below. */
#define BODY_MAX (64u * 1024 * 1024)

#define ARGS_MAX 255 /* NB-ARGS is one byte */

static bool parse_bool(struct value *value, const char *text)
{
    bool yes = strcmp(text, "true") == 0;

    *value = value_bool(yes);
    return yes || strcmp(text, "false") == 0;
}

static bool parse_integer(struct value *value, const char *text)
{
    bool negative = *text == '-';
    char *end;

    errno = 0;
    value->integer = negative ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
    if (errno || end == text || *end)
        return false;

    int64_t number = (int64_t)value->integer;
    switch (value->type) {
    case VALUE_INT32:
        return negative ? number >= INT32_MIN : value->integer <= INT32_MAX;
    case VALUE_UINT32:
        return !negative && value->integer <= UINT32_MAX;
    case VALUE_INT64:
        return negative || value->integer <= INT64_MAX;
    default:
        return !negative;
    }
}

static bool parse_address(struct value *value, const char *text)
{
    size_t len = value->type == VALUE_IPV4 ? 4 : 16;
    uint8_t bytes[16];

    if (!value_ip_parse(value->type, span_of(text), bytes))
        return false;
    value->bytes = (struct span){mem_strndup((const char *)bytes, len), len};
    return true;
}

static bool parse_file(struct value *value, const char *path)
{
    FILE *file = fopen(path, "rb");
    char *bytes = mem_alloc(BODY_MAX);
    bool good = file != NULL;

    value->bytes = (struct span){bytes, 0};
    if (file) {
        value->bytes.len = fread(bytes, 1, BODY_MAX, file);
        good = !ferror(file);
        fclose(file);
    }
    return good;
}

/* So many bytes that look like nothing in particular, the same every time. */
static bool parse_size(struct value *value, const char *text)
{
    char *end;
    unsigned long size = strtoul(text, &end, 10);

    if (end != text && *end == 'k') {
        size *= 1024;
        end++;
    }
    if (end == text || *end || size > BODY_MAX)
        return false;

    char *bytes = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 151 + (i >> 8) + 13);
    value->bytes = (struct span){bytes, size};
    return true;
}

static bool parse_value(struct value *value, const char *text)
{
    switch (value->type) {
    case VALUE_NULL:
        return *text == '\0';
    case VALUE_BOOL:
        return parse_bool(value, text);
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_UINT64:
        return parse_integer(value, text);
    case VALUE_IPV4:
    case VALUE_IPV6:
        return parse_address(value, text);
    case VALUE_STR:
        value->bytes = (struct span){mem_strndup(text, strlen(text)), strlen(text)};
        return true;
    case VALUE_BIN:
        return *text == '@' ? parse_file(value, text + 1) : parse_size(value, text);
    }
    return false;
}

/* The name ends at the first '=' that stands before a type. */
static bool argument_parse(const char *text, struct span *name, struct value *value)
{
    const char *equals = strchr(text, '='), *colon = strchr(text, ':');
    bool named = equals && (!colon || equals < colon);
    const char *type = named ? equals + 1 : text;
    size_t len = strcspn(type, ":");

    *name = (struct span){text, named ? (size_t)(equals - text) : 0};
    *value = value_null();
    return value_type_find((struct span){type, len}, &value->type) &&
           parse_value(value, type[len] ? type + len + 1 : "");
}

static void notify_grow(struct notify *notify, const void *bytes, size_t len)
{
    notify->bytes = mem_resize(notify->bytes, notify->len + len + 1);
    memcpy(notify->bytes + notify->len, bytes, len);
    notify->len += len;
}

static bool notify_put(struct notify *notify, const char *text)
{
    struct span name;
    struct value value;
    bool good = argument_parse(text, &name, &value);

    if (good) {
        size_t room = name.len + value.bytes.len + 1 + 2 * WIRE_VARINT_MAX;
        uint8_t *bytes = mem_alloc(room);
        struct wire_out out = wire_out_open(bytes, room);

        value_put_pair(&out, name, &value);
        notify_grow(notify, bytes, (size_t)(out.at - bytes));
        free(bytes);
    } else {
        fprintf(stderr,
                "spop-bench: '%s' is no argument: write [name=]type:value, type one of null bool "
                "int32 uint32 int64 uint64 ipv4 ipv6 str bin (bin:SIZE or bin:@FILE)\n",
                text);
    }
    if (value.bytes.len > 0 || value.type == VALUE_STR || value.type == VALUE_BIN)
        free((char *)value.bytes.at);
    return good;
}

bool notify_make(struct notify *notify, const char *message, char *const *args, size_t nargs,
                 unsigned messages)
{
    size_t room = strlen(message) + 1 + WIRE_VARINT_MAX;
    uint8_t *head = mem_alloc(room);
    struct wire_out out = wire_out_open(head, room);

    *notify = (struct notify){NULL, 0};
    if (nargs > ARGS_MAX) {
        fprintf(stderr, "spop-bench: a message has at most %d arguments\n", ARGS_MAX);
        free(head);
        return false;
    }
    message_put(&out, span_of(message), (uint8_t)nargs);
    notify_grow(notify, head, (size_t)(out.at - head));
    free(head);
    for (size_t i = 0; i < nargs; i++) {
        if (!notify_put(notify, args[i]))
            return false;
    }

    size_t one = notify->len;
    uint8_t *copy = mem_alloc(one);
    memcpy(copy, notify->bytes, one);
    for (unsigned i = 1; i < messages; i++)
        notify_grow(notify, copy, one);
    free(copy);
    return true;
}
