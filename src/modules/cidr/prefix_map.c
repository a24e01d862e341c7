#include "modules/cidr/prefix_map.h"

#include <stdlib.h>

#include "base/mem.h"

#define INDEX_BITS_MAX 16

/* A prefix inside of a prefix inside ...: one of each length. */
#define NESTED_MAX 129

/* ---- collecting ---- */

bool prefix_list_add(struct prefix_list *list, const struct prefix *prefix, uint32_t value)
{
    if (list->count == PREFIX_LIST_MAX)
        return false;
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        list->entries = mem_resize(list->entries, list->room * sizeof *list->entries);
    }
    list->entries[list->count] = (struct prefix_entry){*prefix, value, (uint32_t)list->count};
    list->count++;
    return true;
}

void prefix_list_clear(struct prefix_list *list)
{
    free(list->entries);
    *list = (struct prefix_list){0};
}

static int compare_prefixes(const struct prefix *a, const struct prefix *b)
{
    if (a->first.v6 != b->first.v6)
        return a->first.v6 ? 1 : -1;
    if (a->first.hi != b->first.hi)
        return a->first.hi > b->first.hi ? 1 : -1;
    if (a->first.lo != b->first.lo)
        return a->first.lo > b->first.lo ? 1 : -1;
    return (a->len > b->len) - (a->len < b->len);
}

static int compare_entries(const void *one, const void *other)
{
    const struct prefix_entry *a = one, *b = other;
    int order = compare_prefixes(&a->prefix, &b->prefix);

    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* By family, address and length, so that a prefix comes before those inside of it, and with
 * the last only of those that are equal.  Lists from files are often in order already. */
static void list_sort(struct prefix_list *list)
{
    size_t kept = 0;

    for (size_t i = 1; i < list->count; i++) {
        if (compare_entries(&list->entries[i - 1], &list->entries[i]) > 0) {
            qsort(list->entries, list->count, sizeof *list->entries, compare_entries);
            break;
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        if (i + 1 == list->count ||
            compare_prefixes(&list->entries[i].prefix, &list->entries[i + 1].prefix) != 0)
            list->entries[kept++] = list->entries[i];
    }
    list->count = kept;
}

/* ---- flattening ---- */

/* The prefixes around the present address, the longest last. */
struct sweep {
    struct prefix_ranges *ranges;
    unsigned depth;
    struct {
        uint64_t hi, lo; /* the first address behind it */
        bool endless;    /* there is none: it goes to the last address */
        uint32_t value;
    } open[NESTED_MAX];
};

/* From this address on it is value. */
static void ranges_put(struct prefix_ranges *ranges, uint64_t hi, uint64_t lo, uint32_t value)
{
    size_t last = ranges->count - 1;

    if (ranges->hi[last] == hi && ranges->lo[last] == lo) {
        ranges->values[last] = value;
        if (last > 0 && ranges->values[last - 1] == value)
            ranges->count--;
        return;
    }
    if (ranges->values[last] == value)
        return;
    ranges->hi[last + 1] = hi;
    ranges->lo[last + 1] = lo;
    ranges->values[last + 1] = value;
    ranges->count++;
}

static void sweep_close(struct sweep *sweep)
{
    unsigned inner = --sweep->depth;

    if (!sweep->open[inner].endless)
        ranges_put(sweep->ranges, sweep->open[inner].hi, sweep->open[inner].lo,
                   inner > 0 ? sweep->open[inner - 1].value : 0);
}

/* Whether the innermost prefix ends before the address. */
static bool sweep_is_past(const struct sweep *sweep, const struct ip *ip)
{
    unsigned inner = sweep->depth - 1;

    return !sweep->open[inner].endless &&
           (sweep->open[inner].hi < ip->hi ||
            (sweep->open[inner].hi == ip->hi && sweep->open[inner].lo <= ip->lo));
}

static void sweep_open(struct sweep *sweep, const struct prefix_entry *entry)
{
    uint64_t hi = entry->prefix.first.hi, lo = entry->prefix.first.lo;
    unsigned len = entry->prefix.len;

    ranges_put(sweep->ranges, hi, lo, entry->value);
    if (len == 0) {
        hi = lo = 0;
    } else if (len <= 64) {
        hi += (uint64_t)1 << (64 - len);
    } else {
        lo += (uint64_t)1 << (128 - len);
        hi += lo == 0;
    }
    sweep->open[sweep->depth].hi = hi;
    sweep->open[sweep->depth].lo = lo;
    sweep->open[sweep->depth].endless = hi == 0 && lo == 0;
    sweep->open[sweep->depth].value = entry->value;
    sweep->depth++;
}

/* Halves the cost where no range begins behind its first 64 bits, as in all of IPv4. */
static void ranges_shrink(struct prefix_ranges *ranges)
{
    size_t count = ranges->count;
    bool wide = false;

    for (size_t i = 0; i < count && !wide; i++)
        wide = ranges->lo[i] != 0;
    ranges->hi = mem_resize(ranges->hi, count * sizeof *ranges->hi);
    ranges->values = mem_resize(ranges->values, count * sizeof *ranges->values);
    if (wide) {
        ranges->lo = mem_resize(ranges->lo, count * sizeof *ranges->lo);
    } else {
        free(ranges->lo);
        ranges->lo = NULL;
    }
}

/* Whether range i begins at the address or before it. */
static inline bool range_is_at_most(const struct prefix_ranges *ranges, size_t i, uint64_t hi,
                                    uint64_t lo)
{
    if (ranges->hi[i] != hi)
        return ranges->hi[i] < hi;
    return !ranges->lo || ranges->lo[i] <= lo;
}

static void ranges_index(struct prefix_ranges *ranges)
{
    unsigned bits = 1;
    size_t buckets, at = 0;

    while (bits < INDEX_BITS_MAX && (size_t)1 << bits < ranges->count)
        bits++;
    buckets = (size_t)1 << bits;
    ranges->shift = 64 - bits;
    ranges->index = mem_alloc((buckets + 1) * sizeof *ranges->index);
    for (size_t i = 0; i < buckets; i++) {
        while (at + 1 < ranges->count &&
               range_is_at_most(ranges, at + 1, (uint64_t)i << ranges->shift, 0))
            at++;
        ranges->index[i] = (uint32_t)at;
    }
    ranges->index[buckets] = (uint32_t)(ranges->count - 1);
}

static void ranges_build(struct prefix_ranges *ranges, const struct prefix_entry *entries,
                         size_t count)
{
    struct sweep sweep = {.ranges = ranges};

    ranges->hi = mem_alloc((2 * count + 1) * sizeof *ranges->hi);
    ranges->lo = mem_alloc((2 * count + 1) * sizeof *ranges->lo);
    ranges->values = mem_alloc((2 * count + 1) * sizeof *ranges->values);
    ranges->hi[0] = ranges->lo[0] = 0;
    ranges->values[0] = 0;
    ranges->count = 1;
    for (size_t i = 0; i < count; i++) {
        while (sweep.depth > 0 && sweep_is_past(&sweep, &entries[i].prefix.first))
            sweep_close(&sweep);
        sweep_open(&sweep, &entries[i]);
    }
    while (sweep.depth > 0)
        sweep_close(&sweep);
    ranges_shrink(ranges);
    ranges_index(ranges);
}

/* ---- the map ---- */

void prefix_map_build(struct prefix_map *map, struct prefix_list *list)
{
    size_t v4 = 0;

    list_sort(list);
    while (v4 < list->count && !list->entries[v4].prefix.first.v6)
        v4++;
    map->count = list->count;
    if (v4 > 0)
        ranges_build(&map->v4, list->entries, v4);
    if (v4 < list->count)
        ranges_build(&map->v6, list->entries + v4, list->count - v4);
    prefix_list_clear(list);
}

static void ranges_clear(struct prefix_ranges *ranges)
{
    free(ranges->hi);
    free(ranges->lo);
    free(ranges->values);
    free(ranges->index);
}

void prefix_map_clear(struct prefix_map *map)
{
    ranges_clear(&map->v4);
    ranges_clear(&map->v6);
    *map = (struct prefix_map){0};
}

uint32_t prefix_map_find(const struct prefix_map *map, const struct ip *ip)
{
    const struct prefix_ranges *ranges = ip->v6 ? &map->v6 : &map->v4;
    size_t bucket, low, high;

    if (ranges->count == 0)
        return 0;
    bucket = (size_t)(ip->hi >> ranges->shift);
    low = ranges->index[bucket];
    high = ranges->index[bucket + 1];
    while (low < high) {
        size_t middle = high - (high - low) / 2;

        if (range_is_at_most(ranges, middle, ip->hi, ip->lo))
            low = middle;
        else
            high = middle - 1;
    }
    return ranges->values[low];
}

static size_t ranges_size(const struct prefix_ranges *ranges)
{
    size_t range = sizeof *ranges->hi + sizeof *ranges->values;

    if (ranges->count == 0)
        return 0;
    if (ranges->lo)
        range += sizeof *ranges->lo;
    return ranges->count * range +
           (((size_t)1 << (64 - ranges->shift)) + 1) * sizeof *ranges->index;
}

size_t prefix_map_size(const struct prefix_map *map)
{
    return ranges_size(&map->v4) + ranges_size(&map->v6);
}
