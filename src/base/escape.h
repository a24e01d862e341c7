/*
 * escape: the one rule for which bytes of others may reach a log, a trace, JSON or a terminal.
 *
 * A character passes when it is well-formed UTF-8 (RFC 3629: nothing overlong, no surrogates,
 * nothing past U+10FFFF) and shows what it is.  So these never pass: control characters (C0, DEL
 * and C1, which terminals obey in UTF-8 too), line and paragraph separators, and the marks that
 * turn the direction of the text around them (a reader would see another order than is there).
 * Their bytes, and what is not UTF-8, are written as \xNN.
 *
 * A backslash that was there stays one: \xNN is for people, not to be decoded.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum escape_dialect {
    ESCAPE_VALUE,  /* each byte for itself */
    ESCAPE_LINE,   /* one line: a line end, with the indentation after it, becomes " | " */
    ESCAPE_LINES,  /* several lines: line ends and tabs pass */
    ESCAPE_QUOTED, /* one line for between double quotes, which are not written: in JSON, in a
                      label of Prometheus, in name="value"; " and \ get a backslash before them */
};

/*
 * Writes text to out, at most room (3 or more) bytes without an end, and says how many.  What
 * does not fit is cut between characters and ends in "..."; so it does with `cut`, when there
 * was more of the text before.
 */
size_t escape_text(enum escape_dialect dialect, char *out, size_t room, const char *text,
                   size_t len, bool cut);

/* The same without a bound. */
void escape_put(enum escape_dialect dialect, FILE *out, const char *text, size_t len);

/* Whether a value needs quotes where it stands as name=value, or its end could not be seen. */
bool escape_wants_quotes(const char *value);

#endif
