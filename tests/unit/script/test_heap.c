#include "script/heap.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "../unit.h"

#define LIMIT (1u << 20)

/* Check writes down each assertion that holds, so in long loops there is none but this. */
#define MUST(good)                                                                                 \
    do {                                                                                           \
        if (!(good))                                                                               \
            ck_abort_msg("not so: %s", #good);                                                     \
    } while (0)

/* Whether n bytes are all this one. */
static bool filled(const void *block, size_t n, uint8_t byte)
{
    const uint8_t *bytes = block;

    while (n && bytes[n - 1] == byte)
        n--;
    return n == 0;
}

static void *take(struct heap *heap, size_t size)
{
    return heap_alloc(heap, NULL, LUA_TSTRING, size);
}

static void give(struct heap *heap, void *block, size_t size)
{
    MUST(!heap_alloc(heap, block, size, 0));
}

/* All that was taken has been given back: what is left are empty pages, and one that is current
 * of each class. */
static void expect_empty(struct heap *heap)
{
    size_t ncurrent = 0;

    for (size_t i = 0; i < HEAP_CLASSES; i++) {
        const struct heap_page *page = heap->current[i];

        ncurrent += page != &heap->none;
        MUST(page == &heap->none ? page->left == 0 : page->left == 1);
    }
    ck_assert_uint_eq(heap->npages, heap->nempty + ncurrent);
    ck_assert_uint_eq(heap->used, heap->npages * HEAP_PAGE);
}

/* ---- each with small blocks pooled, and with every block from malloc ---- */

/* Of large blocks every byte counts. */
static void check_limit(bool pooled)
{
    static const size_t sizes[] = {513, 600, 4096, 100000, 16, 17, 512};

    for (size_t i = 0; i < (pooled ? 4 : sizeof sizes / sizeof *sizes); i++) {
        size_t size = sizes[i];
        struct heap heap;
        void *block, *other;

        heap_init(&heap, 2 * size, pooled);
        block = take(&heap, size);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq(heap.used, size);
        ck_assert_ptr_null(take(&heap, size + 1));
        ck_assert_uint_eq(heap.used, size);
        other = take(&heap, size);
        ck_assert_ptr_nonnull(other);
        ck_assert_ptr_null(take(&heap, 1));
        ck_assert_ptr_null(heap_alloc(&heap, block, size, size + 1));
        ck_assert_ptr_null(heap_alloc(&heap, block, size, SIZE_MAX));
        ck_assert_ptr_null(take(&heap, SIZE_MAX));
        ck_assert_uint_eq(heap.used, 2 * size);
        give(&heap, other, size);
        memset(block, 3, size);
        block = heap_alloc(&heap, block, size, 2 * size);
        ck_assert_ptr_nonnull(block);
        ck_assert(filled(block, size, 3));
        ck_assert_uint_eq(heap.used, 2 * size);
        /* At the limit a block can still get smaller. */
        block = heap_alloc(&heap, block, 2 * size, size);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq(heap.used, size);
        give(&heap, block, size);
        ck_assert_uint_eq(heap.used, 0);
        heap_clear(&heap);
    }
}

static void check_nothing(bool pooled)
{
    struct heap heap;

    heap_init(&heap, LIMIT, pooled);
    ck_assert_ptr_null(heap_alloc(&heap, NULL, 0, 0));
    ck_assert_ptr_null(heap_alloc(&heap, NULL, LUA_TTABLE, 0));
    ck_assert_uint_eq(heap.used, 0);
    heap_clear(&heap);
}

/* Blocks of every size around the classes, all at once: none runs into another. */
static void check_classes(bool pooled)
{
    enum { SIZES = HEAP_SMALL + 100, EACH = 3 };
    static uint8_t *blocks[SIZES + 1][EACH];
    struct heap heap;
    size_t used = 0;

    heap_init(&heap, 16 * LIMIT, pooled);
    for (int round = 0; round < 2; round++) {
        for (size_t size = 1; size <= SIZES; size++) {
            for (size_t k = 0; k < EACH; k++) {
                blocks[size][k] = take(&heap, size);
                MUST(blocks[size][k] && (uintptr_t)blocks[size][k] % 16 == 0);
                memset(blocks[size][k], (int)(size * EACH + k) & 255, size);
                used += size;
            }
        }
        ck_assert_uint_ge(heap.used, used);
        for (size_t size = 1; size <= SIZES; size++) {
            for (size_t k = 0; k < EACH; k++) {
                MUST(filled(blocks[size][k], size, (size * EACH + k) & 255));
                give(&heap, blocks[size][k], size);
                used -= size;
            }
        }
        expect_empty(&heap);
    }
    heap_clear(&heap);
}

static void check_resize(bool pooled)
{
    static const size_t sizes[] = {1,   8,   15,  16,  17,  31,  32,   33,  100,
                                   496, 497, 511, 512, 513, 528, 1000, 5000};
    const size_t n = sizeof sizes / sizeof *sizes;
    struct heap heap;

    heap_init(&heap, LIMIT, pooled);
    for (size_t from = 0; from < n; from++) {
        for (size_t to = 0; to < n; to++) {
            uint8_t *block = take(&heap, sizes[from]);

            MUST(block);
            for (size_t i = 0; i < sizes[from]; i++)
                block[i] = (uint8_t)i;
            block = heap_alloc(&heap, block, sizes[from], sizes[to]);
            MUST(block && heap.used >= sizes[to]);
            for (size_t i = 0; i < sizes[from] && i < sizes[to]; i++)
                MUST(block[i] == (uint8_t)i);
            memset(block, 0xff, sizes[to]);
            give(&heap, block, sizes[to]);
        }
    }
    expect_empty(&heap);
    heap_clear(&heap);
}

/* Against a model that knows every block's size and bytes. */
static void check_anything(bool pooled)
{
    enum { BLOCKS = 200 };
    static struct {
        uint8_t *at, byte;
        size_t size;
    } blocks[BLOCKS];
    const size_t limit = 60000;
    struct heap heap;
    size_t used = 0;

    srand(2);
    memset(blocks, 0, sizeof blocks);
    heap_init(&heap, limit, pooled);
    for (int i = 0; i < 50000; i++) {
        size_t k = (size_t)rand() % BLOCKS;
        size_t size = (size_t)rand() % (rand() % 8 ? 200 : 2000);
        uint8_t *at = heap_alloc(&heap, blocks[k].at, blocks[k].size, size);

        if (size == 0) {
            MUST(!at);
        } else if (!at) {
            /* Never where it gets smaller, nor where there is still a page. */
            MUST(size > blocks[k].size);
            MUST(heap.used + (size > heap.small ? size : HEAP_PAGE) > limit);
            continue;
        } else {
            MUST(filled(at, size < blocks[k].size ? size : blocks[k].size, blocks[k].byte));
        }
        used += size - blocks[k].size;
        MUST(pooled ? heap.used <= limit + HEAP_PAGE : heap.used == used && used <= limit);
        blocks[k].at = at;
        blocks[k].size = size;
        blocks[k].byte = (uint8_t)rand();
        if (at)
            memset(at, blocks[k].byte, size);
    }
    for (size_t k = 0; k < BLOCKS; k++) {
        if (blocks[k].at)
            give(&heap, blocks[k].at, blocks[k].size);
    }
    expect_empty(&heap);
    heap_clear(&heap);
}

static const char work[] = "local t = {}\n"
                           "for i = 1, 2000 do t[i] = { ('x'):rep(i % 700), i = i } end\n"
                           "for i = 1, 2000, 3 do t[i] = nil end\n"
                           "local s = {}\n"
                           "for i = 1, 500 do s[#s + 1] = tostring(i) .. 'y' end\n"
                           "coroutine.wrap(function() coroutine.yield(table.concat(s)) end)()\n"
                           "return #table.concat(s)\n";

/* Lua on top of it: what is used is what Lua says, and all of it comes back. */
static void check_lua(bool pooled)
{
    struct heap heap;
    size_t counted;
    lua_State *lua;

    heap_init(&heap, 16 * LIMIT, pooled);
    lua = lua_newstate(heap_alloc, &heap);
    ck_assert_ptr_nonnull(lua);
    luaL_openlibs(lua);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(luaL_dostring(lua, work), LUA_OK);
        ck_assert_int_eq(lua_tointeger(lua, -1), 9 + 180 + 1203 + 500);
        lua_settop(lua, 0);
        counted = (size_t)lua_gc(lua, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(lua, LUA_GCCOUNTB);
        if (pooled)
            ck_assert_uint_ge(heap.used, counted);
        else
            ck_assert_uint_eq(heap.used, counted);
    }
    /* A bomb fails alone. */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(luaL_loadstring(lua, "local t = {} while true do t = { t } end"), LUA_OK);
        ck_assert_int_eq(lua_pcall(lua, 0, 0, 0), LUA_ERRMEM);
        ck_assert_uint_le(heap.used, 16 * LIMIT + HEAP_PAGE);
        lua_settop(lua, 0);
        ck_assert_int_eq(luaL_dostring(lua, work), LUA_OK);
    }
    lua_close(lua);
    expect_empty(&heap);
    heap_clear(&heap);
}

#define BOTH(name)                                                                                 \
    START_TEST(name##_pooled)                                                                      \
    {                                                                                              \
        check_##name(true);                                                                        \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_not_pooled)                                                                  \
    {                                                                                              \
        check_##name(false);                                                                       \
    }                                                                                              \
    END_TEST

BOTH(limit)
BOTH(nothing)
BOTH(classes)
BOTH(resize)
BOTH(anything)
BOTH(lua)

/* ---- pages ---- */

START_TEST(small_blocks_are_used_again)
{
    struct heap heap;
    void *block;

    heap_init(&heap, LIMIT, true);
    for (int i = 0; i < 100000; i++) {
        block = take(&heap, 1 + (size_t)i % HEAP_SMALL);
        MUST(block);
        give(&heap, block, 1 + (size_t)i % HEAP_SMALL);
    }
    ck_assert_uint_eq(heap.npages, HEAP_CLASSES - 1);
    block = take(&heap, 40);
    give(&heap, block, 40);
    ck_assert_ptr_eq(take(&heap, 48), block); /* of the same class */
    ck_assert_uint_eq(heap.npages, HEAP_CLASSES - 1);
    heap_clear(&heap);
}
END_TEST

/* Blocks in a list of their own: how many until there is no more. */
static size_t fill(struct heap *heap, size_t size, void **list)
{
    size_t n = 0;
    void **block;

    *list = NULL;
    while ((block = take(heap, size)) != NULL) {
        *block = *list;
        *list = block;
        n++;
    }
    return n;
}

/* Gives back all but each `keep`th. */
static void *give_all(struct heap *heap, size_t size, void *list, size_t keep)
{
    void *kept = NULL;

    for (size_t i = 1; list; i++) {
        void **block = list;

        list = *block;
        if (keep && i % keep == 0) {
            *block = kept;
            kept = block;
        } else {
            give(heap, block, size);
        }
    }
    return kept;
}

/* One size after the other, as much as there can be: no class keeps what it had. */
START_TEST(pages_go_to_whoever_needs_them)
{
    struct heap heap;
    void *list;

    heap_init(&heap, LIMIT, true);
    for (int round = 0; round < 2; round++) {
        for (size_t size = 16; size <= HEAP_SMALL; size += HEAP_STEP) {
            size_t n = fill(&heap, size, &list);

            /* Each of the other classes may have a page, and a page has its head. */
            ck_assert_uint_ge(n * size, (LIMIT - HEAP_CLASSES * HEAP_PAGE) * 9 / 10);
            ck_assert_uint_le(heap.used, LIMIT);
            give_all(&heap, size, list, 0);
        }
    }
    heap_clear(&heap);
}
END_TEST

START_TEST(empty_pages_go_back_for_large_blocks)
{
    struct heap heap;
    void *list, *block;
    size_t size = LIMIT - 2 * HEAP_PAGE;

    heap_init(&heap, LIMIT, true);
    for (int round = 0; round < 3; round++) {
        fill(&heap, 48, &list);
        ck_assert_ptr_null(take(&heap, size));
        give_all(&heap, 48, list, 0);
        block = take(&heap, size);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_le(heap.used, LIMIT);
        give(&heap, block, size);
        /* Growing asks for them, too. */
        fill(&heap, 48, &list);
        give_all(&heap, 48, list, 0);
        block = heap_alloc(&heap, take(&heap, 1000), 1000, size);
        ck_assert_ptr_nonnull(block);
        give(&heap, block, size);
    }
    heap_clear(&heap);
}
END_TEST

/* Without the limit's pressure too, all but half. */
START_TEST(empty_pages_go_back)
{
    struct heap heap;
    void *list;

    heap_init(&heap, LIMIT, true);
    fill(&heap, 64, &list);
    ck_assert_uint_gt(heap.used, LIMIT - HEAP_PAGE);
    list = give_all(&heap, 64, list, 1000); /* each of these keeps a page */
    ck_assert_uint_le(heap.used, LIMIT / 2);
    ck_assert_uint_le(heap.nempty, heap.npages / 2);
    give_all(&heap, 64, list, 0);
    ck_assert_uint_le(heap.npages, 4);
    heap_clear(&heap);
}
END_TEST

/* Every page has a block that is kept: what is free in them still serves what is smaller. */
START_TEST(at_the_limit_larger_blocks_will_do)
{
    struct heap heap;
    void *kept, *list;
    size_t n, small;

    heap_init(&heap, LIMIT, true);
    n = fill(&heap, 256, &list);
    kept = give_all(&heap, 256, list, 8);
    small = fill(&heap, 40, &list);
    ck_assert_uint_ge(small, n - n / 8 - 1);
    ck_assert_ptr_null(take(&heap, 40));
    give_all(&heap, 40, list, 0);
    give_all(&heap, 256, kept, 0);
    expect_empty(&heap);
    heap_clear(&heap);
}
END_TEST

START_TEST(what_gets_smaller_always_can)
{
    struct heap heap;
    void *list, *block;

    heap_init(&heap, LIMIT, true);
    block = take(&heap, HEAP_SMALL + 1);
    memset(block, 7, HEAP_SMALL + 1);
    fill(&heap, 16, &list);
    ck_assert_ptr_null(take(&heap, 16));
    block = heap_alloc(&heap, block, HEAP_SMALL + 1, HEAP_SMALL); /* a page more than may be */
    ck_assert_ptr_nonnull(block);
    ck_assert(filled(block, HEAP_SMALL, 7));
    ck_assert_uint_le(heap.used, LIMIT + HEAP_PAGE);
    for (size_t size = HEAP_SMALL; size > 16; size /= 2) {
        block = heap_alloc(&heap, block, size, size / 2);
        ck_assert_ptr_nonnull(block);
        ck_assert(filled(block, size / 2, 7));
    }
    give(&heap, block, 16);
    give_all(&heap, 16, list, 0);
    expect_empty(&heap);
    heap_clear(&heap);
}
END_TEST

START_TEST(large_blocks_are_malloced)
{
    struct heap heap;
    void *block;

    heap_init(&heap, LIMIT, true);
    block = take(&heap, HEAP_SMALL + 1);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(heap.npages, 0);
    give(&heap, block, HEAP_SMALL + 1);
    ck_assert_uint_eq(heap.used, 0);
    heap_clear(&heap);
}
END_TEST

START_TEST(not_pooled_has_no_pages)
{
    struct heap heap;
    void *block;

    heap_init(&heap, LIMIT, false);
    block = take(&heap, 1);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(heap.npages, 0);
    give(&heap, block, 1);
    heap_clear(&heap);
}
END_TEST

/* Small blocks that were never given back go with the heap (AddressSanitizer looks). */
START_TEST(clear_frees_the_small_ones)
{
    struct heap heap;

    heap_init(&heap, LIMIT, true);
    for (int i = 0; i < 1000; i++)
        ck_assert_ptr_nonnull(take(&heap, HEAP_SMALL));
    ck_assert_uint_gt(heap.npages, 1);
    heap_clear(&heap);
}
END_TEST

UNIT_MAIN("heap", limit_pooled, limit_not_pooled, nothing_pooled, nothing_not_pooled,
          classes_pooled, classes_not_pooled, resize_pooled, resize_not_pooled, anything_pooled,
          anything_not_pooled, lua_pooled, lua_not_pooled, small_blocks_are_used_again,
          pages_go_to_whoever_needs_them, empty_pages_go_back_for_large_blocks, empty_pages_go_back,
          at_the_limit_larger_blocks_will_do, what_gets_smaller_always_can,
          large_blocks_are_malloced, not_pooled_has_no_pages, clear_frees_the_small_ones)
