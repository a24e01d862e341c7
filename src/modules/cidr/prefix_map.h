/*
 * prefix_map: the longest of many prefixes that holds an address, as a number.
 *
 * Prefixes are collected in a list and built once into sorted ranges that do not overlap,
 * each with the value of the longest prefix there; a look-up is a binary search in a piece
 * that a table over the first bits has found.  12 bytes a range (20 where prefixes are longer
 * than /64), at most two ranges and one a prefix, fewer where neighbours have one value.
 * A map is not changed after it was built.  No I/O, no Lua.
 */
#ifndef MODULES_CIDR_PREFIX_MAP_H
#define MODULES_CIDR_PREFIX_MAP_H

#include "modules/cidr/prefix.h"

/* More are an error of whoever collects them: see prefix_list_add. */
#define PREFIX_LIST_MAX 10000000

struct prefix_entry {
    struct prefix prefix;
    uint32_t value, order;
};

/* Starts as all zeroes. */
struct prefix_list {
    struct prefix_entry *entries;
    size_t count, room;
};

/* value is above 0.  False when there are PREFIX_LIST_MAX already. */
bool prefix_list_add(struct prefix_list *list, const struct prefix *prefix, uint32_t value);

void prefix_list_clear(struct prefix_list *list);

/* One family's: range i begins at hi[i], lo[i] and ends where the next begins. */
struct prefix_ranges {
    uint64_t *hi, *lo; /* lo is NULL when all of it is zero */
    uint32_t *values;  /* 0 where there is no prefix */
    uint32_t *index;   /* by the first bits: the range that holds their first address */
    unsigned shift;    /* 64 less how many bits that are */
    size_t count;
};

/* Starts as all zeroes, which finds nothing. */
struct prefix_map {
    struct prefix_ranges v4, v6;
    size_t count; /* of different prefixes */
};

/* Fills an all zero map and empties the list.  Of two equal prefixes the later counts. */
void prefix_map_build(struct prefix_map *map, struct prefix_list *list);

void prefix_map_clear(struct prefix_map *map);

/* The value of the longest prefix, or 0. */
uint32_t prefix_map_find(const struct prefix_map *map, const struct ip *ip);

/* What the map has allocated. */
size_t prefix_map_size(const struct prefix_map *map);

#endif
