#include "modules/http/head.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trimmed(const char *at, size_t len)
{
    while (len && is_space(at[len - 1]))
        len--;
    while (len && is_space(*at)) {
        at++;
        len--;
    }
    return (struct span){at, len};
}

/* RFC 9112, 5.2: a line that begins with a blank goes on with the value before. */
static void fold(struct http_head *head, struct span more)
{
    if (!head->lines.len || !more.len)
        return;
    head->lines.at[head->lines.len - 1] = ' ';
    http_bytes_add(&head->lines, more.at, more.len);
    http_bytes_add(&head->lines, "\n", 1);
}

static void add_lower(struct http_head *head, struct span name)
{
    char *at;

    http_bytes_add(&head->lines, name.at, name.len);
    at = head->lines.at + head->lines.len - name.len;
    for (size_t i = 0; i < name.len; i++) {
        if (at[i] >= 'A' && at[i] <= 'Z')
            at[i] = (char)(at[i] - 'A' + 'a');
    }
}

bool http_head_add(struct http_head *head, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    struct span name, value;

    head->seen += len;
    if (head->seen > HTTP_HEAD_BYTES || ++head->count > HTTP_HEAD_LINES)
        return false;
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        head->lines.len = 0;
        return true;
    }
    if (len && (*line == ' ' || *line == '\t')) {
        fold(head, trimmed(line, len));
        return true;
    }
    if (!colon)
        return true;
    name = trimmed(line, (size_t)(colon - line));
    value = trimmed(colon + 1, len - (size_t)(colon - line) - 1);
    if (!name.len || memchr(value.at, '\n', value.len))
        return true;
    add_lower(head, name);
    http_bytes_add(&head->lines, ":", 1);
    http_bytes_add(&head->lines, value.at, value.len);
    http_bytes_add(&head->lines, "\n", 1);
    return true;
}

bool http_head_next(const struct http_head *head, size_t *at, struct span *name, struct span *value)
{
    size_t left = head->lines.len - *at;
    const char *line, *end, *colon;

    if (!left)
        return false;
    line = head->lines.at + *at;
    end = memchr(line, '\n', left);
    colon = memchr(line, ':', left);
    *name = (struct span){line, (size_t)(colon - line)};
    *value = (struct span){colon + 1, (size_t)(end - colon) - 1};
    *at += (size_t)(end - line) + 1;
    return true;
}

void http_head_reset(struct http_head *head)
{
    head->lines.len = 0;
    head->seen = 0;
    head->count = 0;
}
