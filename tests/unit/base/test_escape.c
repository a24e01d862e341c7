#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

#include "../unit.h"

#define ALL(text) text, sizeof(text) - 1

/* What each dialect makes of it; NULL: the same as of a value. */
static const struct {
    const char *text;
    size_t len;
    const char *value, *line, *lines, *quoted;
} cases[] = {
    {ALL(""), "", NULL, NULL, NULL},
    {ALL("plain \\x41 %s"), "plain \\x41 %s", NULL, NULL, "plain \\\\x41 %s"},
    {ALL("a \"b\""), "a \"b\"", NULL, NULL, "a \\\"b\\\""},
    {ALL("\"\\\n"), "\"\\\\x0a", "\"\\ | ", "\"\\\n", "\\\"\\\\ | "},
    {ALL("a\nb\r\n\t c"), "a\\x0ab\\x0d\\x0a\\x09 c", "a | b | c", "a\nb\\x0d\n\t c", "a | b | c"},
    {ALL("a\rb\tc"), "a\\x0db\\x09c", NULL, "a\\x0db\tc", NULL},
    {ALL("nul\0 here"), "nul\\x00 here", NULL, NULL, NULL},
    {ALL("\n\0"), "\\x0a\\x00", " | \\x00", "\n\\x00", " | \\\\x00"},
    /* what terminals obey */
    {ALL("\x1b[31m\x07\x08\x7f"), "\\x1b[31m\\x07\\x08\\x7f", NULL, NULL, NULL},
    {ALL("\xc2\x80\xc2\x9b"
         "31m\xc2\x9f"),
     "\\xc2\\x80\\xc2\\x9b31m\\xc2\\x9f", NULL, NULL, NULL},
    {ALL("\x9b"
         "31m"),
     "\\x9b31m", NULL, NULL, NULL},
    /* text of everywhere */
    {ALL("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8c \xc2\xa0\xef\xbf\xbd"),
     "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8c \xc2\xa0\xef\xbf\xbd", NULL, NULL, NULL},
    {ALL("\xd7\xa9\xd7\x9c\xd8\xa7"), "\xd7\xa9\xd7\x9c\xd8\xa7", NULL, NULL, NULL},
    {ALL("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf", NULL, NULL, NULL},
    /* what turns the direction: U+061C, U+200E, U+200F, U+202A..E, U+2066..9 */
    {ALL("\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f"), "\\xd8\\x9c\\xe2\\x80\\x8e\\xe2\\x80\\x8f", NULL,
     NULL, NULL},
    {ALL("\xe2\x80\xaa\xe2\x80\xae"), "\\xe2\\x80\\xaa\\xe2\\x80\\xae", NULL, NULL, NULL},
    {ALL("\xe2\x81\xa6\xe2\x81\xa9"), "\\xe2\\x81\\xa6\\xe2\\x81\\xa9", NULL, NULL, NULL},
    {ALL("\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa"), "\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa", NULL,
     NULL, NULL}, /* their neighbours */
    /* line and paragraph separator */
    {ALL("\xe2\x80\xa8\xe2\x80\xa9"), "\\xe2\\x80\\xa8\\xe2\\x80\\xa9", NULL, NULL, NULL},
    /* not UTF-8: alone, cut short, overlong, surrogates, past U+10FFFF */
    {ALL("\xff\x80"), "\\xff\\x80", NULL, NULL, NULL},
    {ALL("\xc3"), "\\xc3", NULL, NULL, NULL},
    {ALL("\xc3("), "\\xc3(", NULL, NULL, NULL},
    {ALL("\xe2\x82"), "\\xe2\\x82", NULL, NULL, NULL},
    {ALL("\xf0\x9f\x90\x1b"), "\\xf0\\x9f\\x90\\x1b", NULL, NULL, NULL},
    {ALL("\xc0\x8a\xc1\xbf"), "\\xc0\\x8a\\xc1\\xbf", NULL, NULL, NULL},
    {ALL("\xe0\x80\x8a"), "\\xe0\\x80\\x8a", NULL, NULL, NULL},
    {ALL("\xf0\x80\x80\x9b"), "\\xf0\\x80\\x80\\x9b", NULL, NULL, NULL},
    {ALL("\xed\xa0\x80"), "\\xed\\xa0\\x80", NULL, NULL, NULL},
    {ALL("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80", NULL, NULL, NULL},
    {ALL("\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80", NULL, NULL, NULL},
};

/* In quotes a backslash has another before it. */
static void doubled(char *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            *out++ = '\\';
        *out++ = *text;
    }
    *out = '\0';
}

static void check(enum escape_dialect dialect, size_t i, const char *expected)
{
    char room[128], *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    room[escape_text(dialect, room, sizeof room - 1, cases[i].text, cases[i].len, false)] = '\0';
    ck_assert_msg(strcmp(room, expected) == 0, "%zu as %d: %s for %s", i, (int)dialect, room,
                  expected);
    escape_put(dialect, out, cases[i].text, cases[i].len);
    fclose(out);
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(each_dialect)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *value = cases[i].value;

        check(ESCAPE_VALUE, i, value);
        check(ESCAPE_LINE, i, cases[i].line ? cases[i].line : value);
        check(ESCAPE_LINES, i, cases[i].lines ? cases[i].lines : value);
    }
}
END_TEST

START_TEST(quoted)
{
    char expected[128];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        doubled(expected, cases[i].value);
        check(ESCAPE_QUOTED, i, cases[i].quoted ? cases[i].quoted : expected);
    }
}
END_TEST

/* Whatever the bytes, nothing that a terminal or JSON would obey comes out. */
START_TEST(any_two_bytes)
{
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            char text[2] = {(char)first, (char)second}, out[16];
            size_t len = escape_text(ESCAPE_QUOTED, out, sizeof out, text, 2, false);

            for (size_t i = 0; i < len; i++) {
                unsigned char byte = (unsigned char)out[i];

                ck_assert(byte >= 0x20 && byte != 0x7f);
                ck_assert(!(byte == 0xc2 && (unsigned char)out[i + 1] < 0xa0));
            }
        }
    }
}
END_TEST

#define CUT                                                                                        \
    "ab\xe2\x82\xac\x1b"                                                                           \
    "cd"

START_TEST(cut_between_characters)
{
    static const struct {
        size_t room;
        bool cut;
        const char *shown;
    } rooms[] = {
        {12, false, "ab\xe2\x82\xac\\x1bcd"},
        {11, false, "ab\xe2\x82\xac\\x1bcd"},
        {10, false, "ab\xe2\x82\xac..."},
        {9, false, "ab\xe2\x82\xac..."},
        {8, false, "ab\xe2\x82\xac..."},
        {7, false, "ab..."},
        {3, false, "..."},
        {14, true, "ab\xe2\x82\xac\\x1bcd..."},
        {13, true,
         "ab\xe2\x82\xac\\x1b"
         "c..."},
    };
    char out[32];
    size_t len;

    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        len = escape_text(ESCAPE_LINE, out, rooms[i].room, ALL(CUT), rooms[i].cut);
        out[len] = '\0';
        ck_assert_msg(strcmp(out, rooms[i].shown) == 0, "%zu: %s", rooms[i].room, out);
    }
}
END_TEST

START_TEST(who_wants_quotes)
{
    static const char *const wanting[] = {"", " ", "a b", "a\"", "a=b", "a\nb"};

    for (size_t i = 0; i < sizeof wanting / sizeof *wanting; i++)
        ck_assert(escape_wants_quotes(wanting[i]));
    ck_assert(!escape_wants_quotes("127.0.0.1:4242"));
    ck_assert(!escape_wants_quotes("a\\x1b"));
}
END_TEST

UNIT_MAIN("escape", each_dialect, quoted, any_two_bytes, cut_between_characters, who_wants_quotes)
