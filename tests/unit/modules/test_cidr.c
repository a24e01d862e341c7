/* The parts of the Lua module spoa.cidr that know no Lua, which live in its shared object. */
#include "modules/cidr/prefix.c"
#include "modules/cidr/prefix_file.c"
#include "modules/cidr/prefix_map.c"
#include "modules/cidr/prefix_texts.c"

#include <inttypes.h>

#include "../unit.h"

/* ---- text ---- */

static struct ip ip_of(const char *text)
{
    struct ip ip;

    ck_assert_msg(prefix_parse_ip(text, strlen(text), &ip), "%s", text);
    return ip;
}

static struct prefix prefix_of(const char *text)
{
    struct prefix prefix;
    char why[PREFIX_WHY_MAX];

    ck_assert_msg(prefix_parse(text, strlen(text), false, &prefix, why), "%s: %s", text, why);
    return prefix;
}

START_TEST(test_ip)
{
    static const struct {
        const char *text;
        struct ip ip;
    } good[] = {
        {"0.0.0.0", {0, 0, false}},
        {"255.255.255.255", {0xffffffff00000000, 0, false}},
        {"192.0.2.1", {0xc000020100000000, 0, false}},
        {"::", {0, 0, true}},
        {"::1", {0, 1, true}},
        {"2001:db8::ffff", {0x20010db800000000, 0xffff, true}},
        {"2001:DB8::192.0.2.1", {0x20010db800000000, 0xc0000201, true}},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", {UINT64_MAX, UINT64_MAX, true}},
        {"::ffff:192.0.2.1", {0xc000020100000000, 0, false}},
        {"::ffff:c000:201", {0xc000020100000000, 0, false}},
        {"::fffe:192.0.2.1", {0, 0xfffec0000201, true}},
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct ip ip = ip_of(good[i].text);

        ck_assert_msg(ip.hi == good[i].ip.hi && ip.lo == good[i].ip.lo && ip.v6 == good[i].ip.v6,
                      "%s: %" PRIx64 " %" PRIx64, good[i].text, ip.hi, ip.lo);
    }
}
END_TEST

START_TEST(test_ip_bad)
{
    static const char *const bad[] = {
        "",
        ".",
        "1",
        "1.2.3",
        "1.2.3.",
        "1.2.3.4.",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.0004",
        "01.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "-1.2.3.4",
        "1..2.3",
        ":",
        ":::",
        "1:2",
        "fe80::1%eth0",
        "[::1]",
        "1.2.3.4/8",
        "localhost",
        "12345::",
        "::1.2.3",
        "0x1.2.3.4",
        "1.2.3.a",
        "::/0",
        "1.2.3.4:80",
        "1:2:3:4:5:6:7:8:9",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255.0",
    };
    struct ip ip;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!prefix_parse_ip(bad[i], strlen(bad[i]), &ip), "%s", bad[i]);
    ck_assert(!prefix_parse_ip("::1\0", 4, &ip));
    ck_assert(!prefix_parse_ip("1.2.3.4\0", 8, &ip));
}
END_TEST

START_TEST(test_prefix)
{
    struct prefix prefix = prefix_of("10.0.0.0/8");

    ck_assert_uint_eq(prefix.first.hi, (uint64_t)0x0a000000 << 32);
    ck_assert_uint_eq(prefix.len, 8);
    ck_assert_uint_eq(prefix_of("10.1.2.3").len, 32);
    ck_assert_uint_eq(prefix_of("0.0.0.0/0").len, 0);
    ck_assert_uint_eq(prefix_of("::/0").len, 0);
    ck_assert(prefix_of("::/0").first.v6);
    ck_assert_uint_eq(prefix_of("2001:db8::1").len, 128);
    ck_assert_uint_eq(prefix_of("2001:db8::/127").len, 127);
    prefix = prefix_of("::ffff:10.0.0.0/104");
    ck_assert(!prefix.first.v6);
    ck_assert_uint_eq(prefix.len, 8);
    ck_assert(!prefix_of("::ffff:0:0/96").first.v6);
    ck_assert(prefix_of("::/95").first.v6);
}
END_TEST

START_TEST(test_prefix_bad)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "'' is no prefix: write 192.0.2.0/24, 2001:db8::/32 or an address"},
        {"nonsense", "'nonsense' is no prefix: write 192.0.2.0/24, 2001:db8::/32 or an address"},
        {"10.0.0.0/33", "'10.0.0.0/33' is no prefix: an IPv4 prefix has a length of 0 to 32"},
        {"10.0.0.0/", "'10.0.0.0/' is no prefix: an IPv4 prefix has a length of 0 to 32"},
        {"10.0.0.0/-1", "'10.0.0.0/-1' is no prefix: an IPv4 prefix has a length of 0 to 32"},
        {"10.0.0.0/08", "'10.0.0.0/08' is no prefix: an IPv4 prefix has a length of 0 to 32"},
        {"10.0.0.0/8/8", "'10.0.0.0/8/8' is no prefix: an IPv4 prefix has a length of 0 to 32"},
        {"::/129", "'::/129' is no prefix: an IPv6 prefix has a length of 0 to 128"},
        {"10.1.2.3/8",
         "'10.1.2.3/8' has bits set behind its length: write 10.0.0.0/8, or say mask = true"},
        {"2001:db8::1/32", "'2001:db8::1/32' has bits set behind its length: write 2001:db8::/32, "
                           "or say mask = true"},
        {"1.0.0.0/0", "'1.0.0.0/0' has bits set behind its length: write 0.0.0.0/0, or say mask = "
                      "true"},
        {"::ffff:1.2.3.4/100", "'::ffff:1.2.3.4/100' has bits set behind its length: write "
                               "::ffff:0.0.0.0/100, or say mask = true"},
    };
    struct prefix prefix;
    char why[PREFIX_WHY_MAX], longest[1000];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert(!prefix_parse(bad[i].text, strlen(bad[i].text), false, &prefix, why));
        ck_assert_str_eq(why, bad[i].why);
    }
    memset(longest, '1', sizeof longest);
    ck_assert(!prefix_parse(longest, sizeof longest, false, &prefix, why));
    ck_assert_ptr_nonnull(strstr(why, "1'... is no prefix"));
}
END_TEST

START_TEST(test_prefix_masked)
{
    static const struct {
        const char *text;
        struct prefix prefix;
    } masked[] = {
        {"10.1.2.3/8", {{0x0a00000000000000, 0, false}, 8}},
        {"1.2.3.4/0", {{0, 0, false}, 0}},
        {"1.2.3.5/31", {{0x0102030400000000, 0, false}, 31}},
        {"ffff:ffff::1/17", {{0xffff800000000000, 0, true}, 17}},
        {"1::ffff:ffff/64", {{0x0001000000000000, 0, true}, 64}},
        {"1::ffff:ffff/127", {{0x0001000000000000, 0xfffffffe, true}, 127}},
        {"::ffff:1.2.3.4/112", {{0x0102000000000000, 0, false}, 16}},
        {"::ffff:1.2.3.4/64", {{0, 0, true}, 64}},
    };
    struct prefix prefix;
    char why[PREFIX_WHY_MAX];

    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
        const struct prefix *want = &masked[i].prefix;

        ck_assert(prefix_parse(masked[i].text, strlen(masked[i].text), true, &prefix, why));
        ck_assert_msg(prefix.first.hi == want->first.hi && prefix.first.lo == want->first.lo &&
                          prefix.first.v6 == want->first.v6 && prefix.len == want->len,
                      "%s", masked[i].text);
    }
}
END_TEST

/* ---- the map, against one that looks at every prefix ---- */

static uint64_t random_state;

/* xorshift64*: the same numbers everywhere. */
static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1d;
}

static bool holds(const struct prefix *prefix, struct ip ip)
{
    if (prefix->first.v6 != ip.v6)
        return false;
    mask_ip(&ip, prefix->len);
    return ip.hi == prefix->first.hi && ip.lo == prefix->first.lo;
}

static uint32_t naive_find(const struct prefix_list *list, const struct ip *ip)
{
    uint32_t value = 0;
    int longest = -1;

    for (size_t i = 0; i < list->count; i++) {
        const struct prefix_entry *entry = &list->entries[i];

        if ((int)entry->prefix.len >= longest && holds(&entry->prefix, *ip)) {
            longest = (int)entry->prefix.len;
            value = entry->value;
        }
    }
    return value;
}

/* Addresses that share their beginnings, so that prefixes are nested and touch each other. */
static struct ip random_ip(bool v6)
{
    static const uint64_t heads[] = {0, UINT64_MAX, 0x0a00000000000000, 0x2001000000000000};
    struct ip ip = {heads[random_next() % 4], random_next() % 2 ? UINT64_MAX : 0, v6};

    for (unsigned flips = (unsigned)(random_next() % 5); flips > 0; flips--) {
        unsigned bit = (unsigned)(random_next() % (v6 ? 128 : 32));

        if (bit < 64)
            ip.hi ^= (uint64_t)1 << (63 - bit);
        else
            ip.lo ^= (uint64_t)1 << (127 - bit);
    }
    if (!v6) {
        ip.hi &= 0xffffffff00000000;
        ip.lo = 0;
    }
    return ip;
}

static struct prefix random_prefix(bool v6)
{
    struct prefix prefix = {random_ip(v6), (unsigned)(random_next() % (v6 ? 129 : 33))};

    mask_ip(&prefix.first, prefix.len);
    return prefix;
}

static void check_find(const struct prefix_map *map, const struct prefix_list *list, struct ip ip)
{
    uint32_t found = prefix_map_find(map, &ip), want = naive_find(list, &ip);

    ck_assert_msg(found == want, "%" PRIx64 " %" PRIx64 " v6=%d: %u, not %u", ip.hi, ip.lo, ip.v6,
                  found, want);
}

/* The first and the last address of a prefix, and their neighbours. */
static void check_edges(const struct prefix_map *map, const struct prefix_list *list,
                        const struct prefix *prefix)
{
    struct ip ip = prefix->first, last = prefix->first;
    uint64_t step = ip.v6 ? 1 : (uint64_t)1 << 32;
    unsigned len = prefix->len;

    check_find(map, list, ip);
    last.hi |= len == 0 ? UINT64_MAX : len < 64 ? UINT64_MAX >> len : 0;
    if (ip.v6) {
        last.lo |= len <= 64 ? UINT64_MAX : len < 128 ? UINT64_MAX >> (len - 64) : 0;
        ip.hi -= ip.lo < step;
        ip.lo -= step;
        check_find(map, list, ip);
        check_find(map, list, last);
        last.lo += step;
        last.hi += last.lo < step;
    } else {
        last.hi &= 0xffffffff00000000;
        ip.hi -= step;
        check_find(map, list, ip);
        check_find(map, list, last);
        last.hi += step;
    }
    check_find(map, list, last);
}

static void check_list(struct prefix_list *list)
{
    struct prefix_list given = {0};
    struct prefix_map map = {0};

    for (size_t i = 0; i < list->count; i++)
        ck_assert(prefix_list_add(&given, &list->entries[i].prefix, list->entries[i].value));
    prefix_map_build(&map, &given);
    ck_assert_ptr_null(given.entries);
    ck_assert_uint_le(map.count, list->count);
    ck_assert_uint_le(map.v4.count + map.v6.count, 2 * map.count + 2);
    for (size_t i = 0; i < list->count; i++)
        check_edges(&map, list, &list->entries[i].prefix);
    for (int i = 0; i < 200; i++)
        check_find(&map, list, random_ip(i % 2));
    prefix_map_clear(&map);
    ck_assert_uint_eq(prefix_map_find(&map, &(struct ip){0, 0, false}), 0);
    prefix_list_clear(list);
}

START_TEST(test_map_random)
{
    for (unsigned round = 1; round <= 400; round++) {
        struct prefix_list list = {0};
        size_t count = round % 7 == 0 ? 200 : round % 20;
        /* Few values make neighbours that are merged; sometimes every prefix has its own. */
        unsigned values = round % 3 == 0 ? 1 : round % 3 == 1 ? 3 : 1000000;

        random_state = round;
        for (size_t i = 0; i < count; i++) {
            struct prefix prefix = random_prefix(round % 4 == 0 || (round % 4 != 1 && i % 2));

            ck_assert(prefix_list_add(&list, &prefix, (uint32_t)(1 + random_next() % values)));
        }
        check_list(&list);
    }
}
END_TEST

static void add(struct prefix_list *list, const char *text, uint32_t value)
{
    struct prefix prefix = prefix_of(text);

    ck_assert(prefix_list_add(list, &prefix, value));
}

START_TEST(test_map_edges)
{
    static const char *const alone[] = {
        "0.0.0.0/0",
        "0.0.0.0",
        "255.255.255.255",
        "128.0.0.0/1",
        "0.0.0.0/1",
        "::/0",
        "::",
        "8000::/1",
        "::/64",
        "::/65",
        "::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "0:0:0:1::/64",
        "0:0:0:0:8000::/65",
        "ffff:ffff:ffff:ffff::/64",
    };
    struct prefix_list list = {0};

    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        struct prefix_list one = {0};

        add(&one, alone[i], 7);
        check_list(&one);
        add(&list, alone[i], (uint32_t)i + 1);
    }
    check_list(&list);
    check_list(&list); /* empty by now */
}
END_TEST

/* A prefix of every length around one address. */
START_TEST(test_map_nested)
{
    static const struct ip addresses[] = {{0, 0, false},
                                          {0xffffffff00000000, 0, false},
                                          {0x0a01020300000000, 0, false},
                                          {0, 0, true},
                                          {UINT64_MAX, UINT64_MAX, true},
                                          {0x20010db8deadbeef, 0x123456789abcdef0, true}};

    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        struct prefix_list list = {0};

        for (unsigned len = addresses[i].v6 ? 129 : 33; len-- > 0;) {
            struct prefix prefix = {addresses[i], len};

            mask_ip(&prefix.first, len);
            ck_assert(prefix_list_add(&list, &prefix, len + 1));
        }
        check_list(&list);
    }
}
END_TEST

START_TEST(test_map_equal_prefixes)
{
    struct prefix_list list = {0};
    struct prefix_map map = {0};
    struct ip ip = ip_of("10.1.1.1"), six = ip_of("2001:db8::1");

    add(&list, "10.0.0.0/8", 1);
    add(&list, "2001:db8::/32", 2);
    add(&list, "10.0.0.0/8", 3);
    add(&list, "::ffff:10.0.0.0/104", 4);
    prefix_map_build(&map, &list);
    ck_assert_uint_eq(map.count, 2);
    ck_assert_uint_eq(prefix_map_find(&map, &ip), 4);
    ck_assert_uint_eq(prefix_map_find(&map, &six), 2);
    prefix_map_clear(&map);
}
END_TEST

/* What 200,000 prefixes cost at most: see prefix_map.h. */
START_TEST(test_map_size)
{
    struct prefix_list list = {0};
    struct prefix_map map = {0};

    random_state = 1;
    for (uint32_t i = 0; i < 200000; i++) {
        struct prefix prefix = {{random_next() & 0xffffff0000000000, 0, false}, 24};

        ck_assert(prefix_list_add(&list, &prefix, i + 1));
    }
    prefix_map_build(&map, &list);
    ck_assert_uint_gt(map.count, 190000);
    ck_assert_ptr_null(map.v4.lo);
    ck_assert_uint_le(prefix_map_size(&map), 200000 * 2 * 12 + 4 * 65537 + 12);
    prefix_map_clear(&map);

    for (uint32_t i = 0; i < 200000; i++) {
        struct prefix prefix = {{(uint64_t)i << 40, 0, false}, 24};

        ck_assert(prefix_list_add(&list, &prefix, 1));
    }
    prefix_map_build(&map, &list);
    ck_assert_uint_eq(map.count, 200000);
    ck_assert_uint_eq(map.v4.count, 2); /* one block, and nothing behind it */
    prefix_map_clear(&map);
}
END_TEST

/* ---- files ---- */

static const struct prefix_file_options as_set = {false, false}, as_map = {true, false};

static bool parse(struct prefix_file *file, const char *text,
                  const struct prefix_file_options *options, size_t *line, char *why)
{
    /* Exactly as large as it is, so that AddressSanitizer sees a step behind it. */
    size_t len = strlen(text);
    char *copy = malloc(len > 0 ? len : 1);
    bool good;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len);
    good = prefix_file_parse(file, copy, len, options, line, why);
    free(copy);
    return good;
}

static uint32_t find(const struct prefix_file *file, const char *text)
{
    struct ip ip = ip_of(text);

    return prefix_map_find(&file->map, &ip);
}

START_TEST(test_file_set)
{
    struct prefix_file file = {0};
    char why[PREFIX_WHY_MAX];
    size_t line;

    ck_assert(parse(&file,
                    "\xef\xbb\xbf# a list\n"
                    "\n"
                    "10.0.0.0/8\r\n"
                    "  192.0.2.1 \t # one\n"
                    "198.51.100.0/24;SBL1\n"
                    "203.0.113.0/24 ; SBL2\n"
                    "2001:db8::/32#doc\n"
                    "   # 1.2.3.4\n"
                    "10.0.0.0/8\n"
                    "::1",
                    &as_set, &line, why));
    ck_assert_uint_eq(file.map.count, 6);
    ck_assert_uint_eq(find(&file, "10.255.255.255"), 1);
    ck_assert_uint_eq(find(&file, "192.0.2.1"), 1);
    ck_assert_uint_eq(find(&file, "192.0.2.2"), 0);
    ck_assert_uint_eq(find(&file, "203.0.113.9"), 1);
    ck_assert_uint_eq(find(&file, "198.51.100.9"), 1);
    ck_assert_uint_eq(find(&file, "2001:db8::1"), 1);
    ck_assert_uint_eq(find(&file, "::1"), 1);
    ck_assert_uint_eq(find(&file, "1.2.3.4"), 0);
    prefix_file_clear(&file);
}
END_TEST

static void check_text(const struct prefix_file *file, const char *address, const char *text)
{
    uint32_t value = find(file, address);
    const char *found;
    size_t len;

    ck_assert_uint_ge(value, 2);
    found = prefix_texts_get(&file->texts, value - 2, &len);
    ck_assert_uint_eq(len, strlen(text));
    ck_assert_mem_eq(found, text, len);
}

START_TEST(test_file_map)
{
    struct prefix_file file = {0};
    char why[PREFIX_WHY_MAX];
    size_t line;

    ck_assert(parse(&file,
                    "10.0.0.0/8\tDE\n"
                    "10.1.0.0/16   two words  \t\r\n"
                    "10.2.0.0/16 colour#1 # a comment\n"
                    "10.3.0.0/16 DE; # not in the text\n"
                    "10.4.0.0/16\n"
                    "10.5.0.0/16 # nothing\n"
                    "2001:db8::/32 DE",
                    &as_map, &line, why));
    ck_assert_uint_eq(file.map.count, 7);
    ck_assert_uint_eq(file.texts.count, 4);
    check_text(&file, "10.0.0.1", "DE");
    check_text(&file, "10.1.0.1", "two words");
    check_text(&file, "10.2.0.1", "colour#1");
    check_text(&file, "10.3.0.1", "DE;");
    ck_assert_uint_eq(find(&file, "10.4.0.1"), 1);
    ck_assert_uint_eq(find(&file, "10.5.0.1"), 1);
    check_text(&file, "2001:db8::1", "DE");
    ck_assert_uint_eq(find(&file, "11.0.0.0"), 0);
    prefix_file_clear(&file);
}
END_TEST

START_TEST(test_file_bad)
{
    static const struct {
        const char *text;
        size_t line;
        const char *why;
    } bad[] = {
        {"10.0.0.0/8\n\n10.0.0.0/33\n", 3, "'10.0.0.0/33' is no prefix"},
        {"10.0.0.0/8\n10.0.0.1/8", 2, "bits set"},
        {"10.0.0.0/8 DE", 1, "say map = true"},
        {"# x\nexample.com", 2, "'example.com' is no prefix"},
        {"\xef\xbb\xbf\xef\xbb\xbf", 1, "is no prefix"},
        {"/", 1, "'/' is no prefix"},
    };
    struct prefix_file file = {0};
    char why[PREFIX_WHY_MAX];
    size_t line;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert(!parse(&file, bad[i].text, &as_set, &line, why));
        ck_assert_uint_eq(line, bad[i].line);
        ck_assert_msg(strstr(why, bad[i].why) != NULL, "%s", why);
        ck_assert_ptr_null(file.map.v4.hi);
        ck_assert_ptr_null(file.texts.bytes);
    }
    ck_assert(!parse(&file, "1.1.1.1 one\n2.2.2.2 two\nthree", &as_map, &line, why));
    ck_assert_uint_eq(line, 3);
}
END_TEST

START_TEST(test_file_empty)
{
    struct prefix_file file = {0};
    char why[PREFIX_WHY_MAX];
    size_t line;

    ck_assert(parse(&file, "", &as_set, &line, why));
    ck_assert_uint_eq(file.map.count, 0);
    ck_assert_uint_eq(find(&file, "10.0.0.1"), 0);
    prefix_file_clear(&file);
    ck_assert(parse(&file, "# nothing\n\n", &as_map, &line, why));
    ck_assert_uint_eq(file.map.count, 0);
    prefix_file_clear(&file);
}
END_TEST

START_TEST(test_file_read_bad)
{
    struct prefix_file file = {0};
    char error[PREFIX_FILE_ERROR_MAX];

    ck_assert(!prefix_file_read(&file, "/nowhere/list", &as_set, error));
    ck_assert_str_eq(error, "/nowhere/list: No such file or directory");
    ck_assert(!prefix_file_read(&file, "/tmp", &as_set, error));
    ck_assert_str_eq(error, "/tmp: not a regular file");
    ck_assert(!prefix_file_read(&file, "/dev/zero", &as_set, error));
    ck_assert_str_eq(error, "/dev/zero: not a regular file");
}
END_TEST

START_TEST(test_texts)
{
    struct prefix_texts texts = {0};
    char text[16];

    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 20000; i++) {
            snprintf(text, sizeof text, "%u", i);
            ck_assert_uint_eq(prefix_texts_add(&texts, text, strlen(text)), i);
        }
    }
    ck_assert_uint_eq(prefix_texts_add(&texts, "a\0b", 3), 20000);
    ck_assert_uint_eq(prefix_texts_add(&texts, "a\0c", 3), 20001);
    prefix_texts_seal(&texts);
    for (uint32_t i = 0; i < 20000; i++) {
        size_t len;
        const char *found = prefix_texts_get(&texts, i, &len);

        snprintf(text, sizeof text, "%u", i);
        ck_assert_uint_eq(len, strlen(text));
        ck_assert_mem_eq(found, text, len);
    }
    prefix_texts_clear(&texts);
}
END_TEST

UNIT_MAIN("cidr", test_ip, test_ip_bad, test_prefix, test_prefix_bad, test_prefix_masked,
          test_map_random, test_map_edges, test_map_nested, test_map_equal_prefixes, test_map_size,
          test_file_set, test_file_map, test_file_bad, test_file_empty, test_file_read_bad,
          test_texts)
