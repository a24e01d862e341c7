/*
 * prefix_file: the text of a list of prefixes.
 *
 * One prefix a line; white space around it does not count, `#` or `;` begins a comment, empty
 * lines are passed over.  In a map the rest of the line, without white space and comment, is
 * the prefix's value; a comment there begins after white space.
 */
#ifndef MODULES_CIDR_PREFIX_FILE_H
#define MODULES_CIDR_PREFIX_FILE_H

#include "modules/cidr/prefix_map.h"
#include "modules/cidr/prefix_texts.h"

#define PREFIX_FILE_MAX ((size_t)256 << 20) /* bytes */

struct prefix_file_options {
    bool map;  /* values are allowed */
    bool mask; /* see prefix_parse */
};

/* Starts as all zeroes. */
struct prefix_file {
    struct prefix_map map;
    struct prefix_texts texts; /* the map's value is 1 without a text, 2 for texts' 0, ... */
};

/* Room for an error with its path. */
#define PREFIX_FILE_ERROR_MAX 4608

/*
 * Fills an all zero file.  On false *line is the first bad one, from 1 on, why what is wrong
 * with it, and file is all zeroes again.
 */
bool prefix_file_parse(struct prefix_file *file, const char *text, size_t len,
                       const struct prefix_file_options *options, size_t *line,
                       char why[PREFIX_WHY_MAX]);

/* Reads and parses a regular file; on false, error is "PATH:LINE: what" or "PATH: what". */
bool prefix_file_read(struct prefix_file *file, const char *path,
                      const struct prefix_file_options *options, char error[PREFIX_FILE_ERROR_MAX]);

void prefix_file_clear(struct prefix_file *file);

#endif
