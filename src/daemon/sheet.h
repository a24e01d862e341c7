/*
 * sheet: rows of named values, as text for people or as JSON for programs.
 *
 * Text has one row a line, "name=value name=value", or with `tall` one value a line,
 * "name: value".  JSON has one object a row; who writes several puts [ , ] around them.
 */
#ifndef DAEMON_SHEET_H
#define DAEMON_SHEET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sheet {
    FILE *out;
    bool json, tall;
    unsigned columns; /* of this row so far */
};

/* Any bytes; what base/escape has for one line, in JSON too. */
void sheet_text(struct sheet *sheet, const char *name, const char *value);
void sheet_number(struct sheet *sheet, const char *name, uint64_t value);
/* With so many digits behind the point. */
void sheet_real(struct sheet *sheet, const char *name, double value, int digits);
void sheet_end_row(struct sheet *sheet);

#endif
