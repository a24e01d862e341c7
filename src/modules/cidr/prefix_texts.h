/*
 * prefix_texts: the values behind the prefixes of a file, each different one kept once.
 */
#ifndef MODULES_CIDR_PREFIX_TEXTS_H
#define MODULES_CIDR_PREFIX_TEXTS_H

#include <stddef.h>
#include <stdint.h>

/* Starts as all zeroes. */
struct prefix_texts {
    char *bytes;
    size_t *ends; /* text i ends at ends[i], and begins where the one before ends */
    size_t count, count_room, size, size_room;
    uint32_t *slots; /* for finding equals while texts are added: 0, or i + 1 */
    size_t slots_count;
};

/* Which text it is, from 0 on: an equal one, or a copy that is added. */
uint32_t prefix_texts_add(struct prefix_texts *texts, const char *text, size_t len);

/* No more are added: frees what only adding needs. */
void prefix_texts_seal(struct prefix_texts *texts);

void prefix_texts_clear(struct prefix_texts *texts);

/* Text i, there as long as the texts are. */
const char *prefix_texts_get(const struct prefix_texts *texts, uint32_t i, size_t *len);

#endif
