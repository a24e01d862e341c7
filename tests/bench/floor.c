/*
 * bench-floor PORT: what no agent can be faster than: every NOTIFY gets the same ACK, made
 * beforehand (set-var sess.score 42), and is not looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answering.h"

/* set-var, three arguments, sess, name, UINT32, 42 */
static const char actions[] = "\1\3\1\5score\3\52";

size_t answer(const uint8_t *messages, size_t len, uint8_t *out)
{
    (void)messages;
    (void)len;
    memcpy(out, actions, sizeof actions - 1);
    return sizeof actions - 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: bench-floor PORT\n", stderr);
        return 64;
    }
    answering_run(argv[1]);
}
