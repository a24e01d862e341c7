/*
 * A file of prefixes for spoa.cidr: whatever is accepted, each line's first address is found
 * again, and a look-up of any address ends.
 */
#include "modules/cidr/prefix_file.c"
#include "modules/cidr/prefix.c"
#include "modules/cidr/prefix_map.c"
#include "modules/cidr/prefix_texts.c"

#include "fuzz.h"

/* The value of the address is none, `true`, or one of the texts. */
static uint32_t find(const struct prefix_file *file, const struct ip *ip)
{
    uint32_t value = prefix_map_find(&file->map, ip);
    size_t len;

    REQUIRE(value <= file->texts.count + 1);
    if (value >= 2)
        REQUIRE(prefix_texts_get(&file->texts, value - 2, &len) != NULL && len > 0);
    return value;
}

static void check_lines(const struct prefix_file *file, const char *text, size_t size)
{
    const char *at = text, *end = text + size;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline ? newline : end, *word = at;
        char why[PREFIX_WHY_MAX];
        struct prefix prefix;

        while (word < line_end && !is_blank(*word) && !is_comment(*word))
            word++;
        if (prefix_parse(at, (size_t)(word - at), true, &prefix, why))
            REQUIRE(find(file, &prefix.first) > 0);
        at = newline ? newline + 1 : end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prefix_file_options options = {size % 2, size % 3};
    const struct ip edges[] = {{0, 0, false},
                               {0xffffffff00000000, 0, false},
                               {0, 0, true},
                               {UINT64_MAX, UINT64_MAX, true}};
    struct prefix_file file = {0};
    char why[PREFIX_WHY_MAX];
    size_t line;

    if (!prefix_file_parse(&file, (const char *)data, size, &options, &line, why)) {
        REQUIRE(line >= 1 && memchr(why, '\0', sizeof why) && why[0]);
        REQUIRE(file.map.count == 0 && !file.texts.bytes);
        return 0;
    }
    check_lines(&file, (const char *)data, size);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        find(&file, &edges[i]);
    prefix_file_clear(&file);
    return 0;
}
