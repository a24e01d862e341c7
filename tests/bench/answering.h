/*
 * answering: the least input and output that an SPOA can do with: one thread, one recv and
 * one send for each connection that is ready, however many frames they carry, and of a frame
 * only its header is looked at.  It trusts its peer, and is no agent for production: it is
 * what spoa-lua is measured against, so nothing of spoa-lua is in it.
 *
 * The program defines answer().  Prints `listening on 127.0.0.1:PORT` once it serves, and
 * ends with 0 on SIGTERM.
 */
#ifndef BENCH_ANSWERING_H
#define BENCH_ANSWERING_H

#include <stddef.h>
#include <stdint.h>

/* No ACK is longer. */
#define ANSWER_MAX 512

/* Given a NOTIFY's messages, writes the actions of its ACK (ANSWER_MAX bytes at the most,
 * less 32 for the header) and returns their length. */
size_t answer(const uint8_t *messages, size_t len, uint8_t *actions);

/* Serves on a port of 127.0.0.1 (0 for one of the kernel's choice); SIGTERM ends the program. */
_Noreturn void answering_run(const char *port);

/* HAProxy's varints. */
static inline size_t varint_put(uint8_t *at, uint64_t value)
{
    size_t n = 1;

    if (value < 240) {
        *at = (uint8_t)value;
        return 1;
    }
    *at = (uint8_t)(value | 240);
    for (value = (value - 240) >> 4; value >= 128; value = (value - 128) >> 7)
        at[n++] = (uint8_t)(value | 128);
    at[n++] = (uint8_t)value;
    return n;
}

static inline size_t varint_get(const uint8_t *at, uint64_t *value)
{
    unsigned shift = 4;
    size_t n = 1;

    *value = at[0];
    if (at[0] < 240)
        return 1;
    do {
        *value += (uint64_t)at[n] << shift;
        shift += 7;
    } while (at[n++] >= 128 && n < 10);
    return n;
}

#endif
