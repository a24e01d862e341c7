/*
 * parse: a text that is read by jansson, and what came of it.  It knows nothing of Lua, so that
 * it can be done in a thread (json/job.h).
 */
#ifndef MODULES_JSON_PARSE_H
#define MODULES_JSON_PARSE_H

#include <jansson.h>
#include <stddef.h>

struct json_parse {
    const char *text;
    size_t len, max_depth;
    size_t flags;           /* jansson's */
    json_t *root;           /* the caller's then; NULL: why says */
    size_t depth;           /* how deep containers are nested in it */
    long long line, column; /* of what is wrong, from 1, in characters */
    char why[JSON_ERROR_TEXT_LENGTH + 64];
};

/* Text, len, max_depth and flags are set. */
void json_parse(struct json_parse *parse);

#endif
