#include "modules/json/parse.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * Where the text is nested deeper than max_depth, or NULL: what is not JSON is jansson's to
 * refuse.  Before it is parsed, so that depth costs nothing and has a position.
 */
static const char *find_too_deep(struct json_parse *parse)
{
    size_t depth = 0;
    bool quoted = false;

    for (const char *at = parse->text, *end = at + parse->len; at < end; at++) {
        if (quoted) {
            if (*at == '\\')
                at++;
            else if (*at == '"')
                quoted = false;
        } else if (*at == '"') {
            quoted = true;
        } else if (*at == '[' || *at == '{') {
            if (++depth > parse->max_depth)
                return at;
            if (depth > parse->depth)
                parse->depth = depth;
        } else if ((*at == ']' || *at == '}') && depth > 0) {
            depth--;
        }
    }
    return NULL;
}

static void refuse_depth(struct json_parse *parse, const char *at)
{
    parse->line = parse->column = 1;
    for (const char *p = parse->text; p < at; p++) {
        parse->column += (*p & 0xc0) != 0x80; /* in characters, as jansson counts */
        if (*p == '\n') {
            parse->line++;
            parse->column = 1;
        }
    }
    snprintf(parse->why, sizeof parse->why, "nested deeper than %zu levels", parse->max_depth);
}

void json_parse(struct json_parse *parse)
{
    const char *too_deep;
    json_error_t error;

    parse->root = NULL;
    parse->depth = 0;
    too_deep = find_too_deep(parse);
    if (too_deep) {
        refuse_depth(parse, too_deep);
        return;
    }
    parse->root = json_loadb(parse->text, parse->len, parse->flags, &error);
    if (parse->root)
        return;
    parse->line = error.line;
    parse->column = error.column;
    snprintf(parse->why, sizeof parse->why, "%s", error.text);
}
