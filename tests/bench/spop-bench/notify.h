/*
 * notify: the payload that every NOTIFY of a run carries, made once before it: one message,
 * its arguments, repeated as often as a NOTIFY has messages.
 */
#ifndef BENCH_NOTIFY_H
#define BENCH_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct notify {
    uint8_t *bytes; /* free() it */
    size_t len;
};

/*
 * Arguments are written [name=]type:value, as for `spoa-lua call`, except that bin:SIZE (such
 * as 8192 or 8k) stands for so many bytes, and bin:@FILE for a file's.  False when one makes
 * no sense; that has been said on stderr then.
 */
bool notify_make(struct notify *notify, const char *message, char *const *args, size_t nargs,
                 unsigned messages);

#endif
