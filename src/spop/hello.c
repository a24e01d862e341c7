#include "spop/hello.h"

#include "spop/frame.h"

static const struct {
    unsigned bit;
    const char *name;
} capability_names[] = {
    {HELLO_PIPELINING, "pipelining"},
    {HELLO_FRAGMENTATION, "fragmentation"},
    {HELLO_ASYNC, "async"},
};

#define CAPABILITY_COUNT (sizeof capability_names / sizeof *capability_names)

/* What a HELLO has said so far, of what it must say. */
struct offer {
    bool versions, frame_size, capabilities;
    bool agrees; /* there is a version we speak */
};

/* Takes the next entry of a comma-separated list, without the spaces around it. */
static bool list_next(struct span *list, struct span *entry)
{
    if (list->len == 0)
        return false;

    const char *comma = memchr(list->at, ',', list->len);
    *entry = *list;
    if (comma) {
        entry->len = (size_t)(comma - list->at);
        list->at = comma + 1;
        list->len -= entry->len + 1;
    } else {
        list->len = 0;
    }
    while (entry->len > 0 && entry->at[0] == ' ') {
        entry->at++;
        entry->len--;
    }
    while (entry->len > 0 && entry->at[entry->len - 1] == ' ')
        entry->len--;
    return true;
}

/* Whether a MAJOR.MINOR is one of 2.x. */
static bool version_agrees(struct span version)
{
    if (version.len < 3 || memcmp(version.at, "2.", 2) != 0)
        return false;
    for (size_t i = 2; i < version.len; i++) {
        if (version.at[i] < '0' || version.at[i] > '9')
            return false;
    }
    return true;
}

static bool versions_agree(struct span list)
{
    struct span version;

    while (list_next(&list, &version)) {
        if (version_agrees(version))
            return true;
    }
    return false;
}

static unsigned capabilities_parse(struct span list)
{
    unsigned capabilities = 0;
    struct span name;

    while (list_next(&list, &name)) {
        for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
            if (span_is(name, capability_names[i].name))
                capabilities |= capability_names[i].bit;
        }
    }
    return capabilities;
}

static void capabilities_put(struct wire_out *out, unsigned capabilities)
{
    char list[64];
    struct wire_out text = wire_out_open(list, sizeof list);

    for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
        if (!(capabilities & capability_names[i].bit))
            continue;
        if (text.at != (uint8_t *)list)
            wire_put_byte(&text, ',');
        wire_put_bytes(&text, capability_names[i].name, strlen(capability_names[i].name));
    }

    struct span span = {list, (size_t)(text.at - (uint8_t *)list)};
    struct value value = value_bytes(VALUE_STR, span);
    value_put_pair(out, span_of("capabilities"), &value);
}

static void frame_size_put(struct wire_out *out, uint32_t max_frame_size)
{
    struct value value = value_integer(VALUE_UINT32, max_frame_size);

    value_put_pair(out, span_of("max-frame-size"), &value);
}

/* The keys both sides send; false when one has the wrong type. */
static bool hello_take(struct hello *hello, struct offer *offer, struct span key,
                       const struct value *value)
{
    if (span_is(key, "max-frame-size")) {
        offer->frame_size = true;
        hello->max_frame_size = (uint32_t)value->integer;
        return value->type == VALUE_UINT32;
    }
    if (span_is(key, "capabilities")) {
        offer->capabilities = true;
        hello->capabilities = capabilities_parse(value->bytes);
        return value->type == VALUE_STR;
    }
    return true;
}

/* The keys HAProxy alone sends. */
static bool hello_take_haproxy(struct hello *hello, struct offer *offer, struct span key,
                               const struct value *value)
{
    if (span_is(key, "supported-versions")) {
        offer->versions = true;
        offer->agrees = versions_agree(value->bytes);
        return value->type == VALUE_STR;
    }
    if (span_is(key, "healthcheck")) {
        hello->healthcheck = value->integer != 0;
        return value->type == VALUE_BOOL;
    }
    if (span_is(key, "engine-id")) {
        hello->engine_id = value->bytes;
        return value->type == VALUE_STR;
    }
    return hello_take(hello, offer, key, value);
}

static bool hello_take_agent(struct hello *hello, struct offer *offer, struct span key,
                             const struct value *value)
{
    if (span_is(key, "version")) {
        offer->versions = true;
        offer->agrees = version_agrees(value->bytes);
        return value->type == VALUE_STR;
    }
    return hello_take(hello, offer, key, value);
}

static enum status hello_read(struct wire payload, struct hello *hello,
                              bool (*take)(struct hello *, struct offer *, struct span,
                                           const struct value *))
{
    struct offer offer = {false, false, false, false};
    struct span key;
    struct value value;

    *hello = (struct hello){.engine_id = {"", 0}};
    while (value_get_pair(&payload, &key, &value)) {
        if (!take(hello, &offer, key, &value))
            return STATUS_INVALID;
    }
    if (payload.bad)
        return STATUS_INVALID;
    if (!offer.versions)
        return STATUS_NO_VERSION;
    if (!offer.agrees)
        return STATUS_BAD_VERSION;
    if (!offer.frame_size)
        return STATUS_NO_FRAME_SIZE;
    if (hello->max_frame_size < FRAME_SIZE_MIN)
        return STATUS_BAD_FRAME_SIZE;
    if (!offer.capabilities && !hello->healthcheck)
        return STATUS_NO_CAPABILITIES;
    return STATUS_NORMAL;
}

enum status hello_get(struct wire payload, struct hello *hello)
{
    return hello_read(payload, hello, hello_take_haproxy);
}

bool hello_get_agent(struct wire payload, struct hello *hello)
{
    return hello_read(payload, hello, hello_take_agent) == STATUS_NORMAL;
}

void hello_put_agent(struct wire_out *out, uint32_t max_frame_size, unsigned capabilities)
{
    struct value version = value_bytes(VALUE_STR, span_of("2.0"));
    uint8_t *begin = frame_begin(out, FRAME_AGENT_HELLO, FRAME_FIN, 0, 0);

    value_put_pair(out, span_of("version"), &version);
    frame_size_put(out, max_frame_size);
    capabilities_put(out, capabilities);
    frame_end(out, begin);
}

void hello_put_haproxy(struct wire_out *out, const struct hello *hello)
{
    struct value versions = value_bytes(VALUE_STR, span_of("2.0"));
    struct value healthcheck = value_bool(true);
    struct value engine_id = value_bytes(VALUE_STR, hello->engine_id);
    uint8_t *begin = frame_begin(out, FRAME_HAPROXY_HELLO, FRAME_FIN, 0, 0);

    value_put_pair(out, span_of("supported-versions"), &versions);
    frame_size_put(out, hello->max_frame_size);
    capabilities_put(out, hello->capabilities);
    if (hello->healthcheck)
        value_put_pair(out, span_of("healthcheck"), &healthcheck);
    if (hello->engine_id.len > 0)
        value_put_pair(out, span_of("engine-id"), &engine_id);
    frame_end(out, begin);
}
