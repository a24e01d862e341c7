/*
 * head: the header lines of a response, bounded, as they come in from the server.
 *
 * Kept as one block of "name:value\n", names in lower case, values trimmed, folded lines
 * joined with a space.  A status line begins anew, so that of several responses (100 Continue,
 * redirects) the last is what stays; the limits count all of them.
 */
#ifndef MODULES_HTTP_HEAD_H
#define MODULES_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "modules/http/bytes.h"
#include "spop/wire.h"

#define HTTP_HEAD_BYTES 65536 /* of all the lines of one request */
#define HTTP_HEAD_LINES 512

struct http_head {
    struct http_bytes lines;
    size_t seen;    /* bytes, and */
    unsigned count; /* lines, in all */
};

/* One line as it came, with its line end.  False when the limits are reached. */
bool http_head_add(struct http_head *head, const char *line, size_t len);

/* The next header from *at, which begins as 0 and is moved on; false after the last.  The
 * spans are there until the head is changed. */
bool http_head_next(const struct http_head *head, size_t *at, struct span *name,
                    struct span *value);

/* Empty, as for a new request; its memory is kept. */
void http_head_reset(struct http_head *head);

#endif
