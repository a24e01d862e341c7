#include "modules/cidr/prefix_texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* FNV-1a: the texts come from the operator's own files. */
static size_t hash(const char *text, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3;
    return (size_t)(hash ^ hash >> 32);
}

const char *prefix_texts_get(const struct prefix_texts *texts, uint32_t i, size_t *len)
{
    size_t start = i > 0 ? texts->ends[i - 1] : 0;

    *len = texts->ends[i] - start;
    return texts->bytes + start;
}

/* The slot of an equal text, or the free one where it belongs. */
static uint32_t *find_slot(struct prefix_texts *texts, const char *text, size_t len)
{
    size_t at = hash(text, len);

    for (;; at++) {
        uint32_t *slot = &texts->slots[at & (texts->slots_count - 1)];
        const char *there;
        size_t there_len;

        if (*slot == 0)
            return slot;
        there = prefix_texts_get(texts, *slot - 1, &there_len);
        if (there_len == len && memcmp(there, text, len) == 0)
            return slot;
    }
}

/* At most half of the slots are used. */
static void grow_slots(struct prefix_texts *texts)
{
    free(texts->slots);
    texts->slots_count = texts->slots_count ? 2 * texts->slots_count : 64;
    texts->slots = mem_zalloc(texts->slots_count * sizeof *texts->slots);
    for (uint32_t i = 0; i < texts->count; i++) {
        size_t len;
        const char *text = prefix_texts_get(texts, i, &len);

        *find_slot(texts, text, len) = i + 1;
    }
}

static void append(struct prefix_texts *texts, const char *text, size_t len)
{
    if (texts->count == texts->count_room) {
        texts->count_room = texts->count_room ? 2 * texts->count_room : 32;
        texts->ends = mem_resize(texts->ends, texts->count_room * sizeof *texts->ends);
    }
    if (len > texts->size_room - texts->size) {
        texts->size_room = 2 * texts->size_room + len;
        texts->bytes = mem_resize(texts->bytes, texts->size_room);
    }
    memcpy(texts->bytes + texts->size, text, len);
    texts->size += len;
    texts->ends[texts->count++] = texts->size;
}

uint32_t prefix_texts_add(struct prefix_texts *texts, const char *text, size_t len)
{
    uint32_t *slot;

    if (2 * texts->count >= texts->slots_count)
        grow_slots(texts);
    slot = find_slot(texts, text, len);
    if (*slot == 0) {
        append(texts, text, len);
        *slot = (uint32_t)texts->count;
    }
    return *slot - 1;
}

void prefix_texts_seal(struct prefix_texts *texts)
{
    free(texts->slots);
    texts->slots = NULL;
    texts->slots_count = 0;
    if (texts->count == 0)
        return;
    texts->bytes = mem_resize(texts->bytes, texts->size);
    texts->ends = mem_resize(texts->ends, texts->count * sizeof *texts->ends);
}

void prefix_texts_clear(struct prefix_texts *texts)
{
    free(texts->bytes);
    free(texts->ends);
    free(texts->slots);
    *texts = (struct prefix_texts){0};
}
