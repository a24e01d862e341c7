/* The header lines of a response: shapes, limits, folding, several responses. */
#include "modules/http/head.c" /* a module's own files are not among the program's objects */

#include "../unit.h"

static struct http_head head;

static void add(const char *line)
{
    ck_assert(http_head_add(&head, line, strlen(line)));
}

static void expect_next(size_t *at, const char *name, const char *value)
{
    struct span got_name, got_value;

    ck_assert(http_head_next(&head, at, &got_name, &got_value));
    ck_assert(span_is(got_name, name));
    ck_assert(span_is(got_value, value));
}

static void expect_end(size_t at)
{
    struct span name, value;

    ck_assert(!http_head_next(&head, &at, &name, &value));
}

START_TEST(shapes)
{
    size_t at = 0;

    add("HTTP/1.1 200 OK\r\n");
    add("X-One: 1\r\n");
    add("two:2\n");
    add("Three:\t \r\n");
    add("four: a:b \r\n");
    add("no colon\r\n");
    add(": no name\r\n");
    add("split: a\nb: c\r\n");
    add("\r\n");
    expect_next(&at, "x-one", "1");
    expect_next(&at, "two", "2");
    expect_next(&at, "three", "");
    expect_next(&at, "four", "a:b");
    expect_end(at);
}
END_TEST

START_TEST(folded)
{
    size_t at = 0;

    add(" of nothing\r\n");
    add("a: one\r\n");
    add("  two \r\n");
    add("\t\r\n");
    add("\tthree\r\n");
    add("b: x\r\n");
    expect_next(&at, "a", "one two three");
    expect_next(&at, "b", "x");
    expect_end(at);
}
END_TEST

START_TEST(last_response_stays)
{
    size_t at = 0;

    add("HTTP/1.1 302 Found\r\n");
    add("location: /\r\n");
    add("HTTP/1.1 200 OK\r\n");
    add("a: b\r\n");
    expect_next(&at, "a", "b");
    expect_end(at);
    http_head_reset(&head);
    expect_end(0);
}
END_TEST

START_TEST(limits)
{
    static char line[HTTP_HEAD_BYTES + 1];

    for (unsigned i = 0; i < HTTP_HEAD_LINES; i++)
        add("HTTP/1.1 100 Continue\r\n");
    ck_assert(!http_head_add(&head, "a: b\r\n", 6));
    http_head_reset(&head);
    memset(line, 'a', sizeof line);
    ck_assert(http_head_add(&head, line, HTTP_HEAD_BYTES));
    ck_assert(!http_head_add(&head, line, 1));
    http_head_reset(&head);
    ck_assert(!http_head_add(&head, line, sizeof line));
}
END_TEST

UNIT_MAIN("http_head", shapes, folded, last_response_stays, limits)
