#include "base/escape.h"

#include <stdint.h>
#include <string.h>

/* What some bytes of the text become. */
struct piece {
    size_t took, len;
    char bytes[5]; /* a character, " | ", "\xNN", or what stands for these in quotes */
};

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* Unicode's Bidi_Control, and the separators before them that end a line. */
static bool is_deceptive(uint32_t code)
{
    return code == 0x61c || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* The length of the character that begins at text; 0 when it does not pass. */
static size_t passes(const unsigned char *text, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t code = first;

    if (len == 0 || len > left || first > 0xf4)
        return 0;
    if (len > 1)
        code &= 0x7fu >> len;
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return is_control(code) || is_deceptive(code) ? 0 : len;
}

/* How much of the text is one line end and the indentation of what follows; 0 for none. */
static size_t line_end(const char *text, size_t left)
{
    size_t n = 0;

    if (text[0] != '\n' && !(left > 1 && text[0] == '\r' && text[1] == '\n'))
        return 0;
    while (n < left && text[n] != '\0' && strchr("\r\n\t ", text[n]))
        n++;
    return n;
}

static struct piece piece_of(const char *bytes, size_t len, size_t took)
{
    struct piece piece = {.took = took, .len = len};

    memcpy(piece.bytes, bytes, len);
    return piece;
}

static struct piece piece_hex(unsigned char byte, bool quoted)
{
    static const char digits[] = "0123456789abcdef";
    const char bytes[] = {'\\', '\\', 'x', digits[byte >> 4], digits[byte & 15]};

    return quoted ? piece_of(bytes, 5, 1) : piece_of(bytes + 1, 4, 1);
}

static struct piece piece_next(enum escape_dialect dialect, const char *text, size_t left)
{
    bool one_line = dialect == ESCAPE_LINE || dialect == ESCAPE_QUOTED;
    bool quoted = dialect == ESCAPE_QUOTED;
    size_t n;

    if (one_line && (n = line_end(text, left)) > 0)
        return piece_of(" | ", 3, n);
    if (dialect == ESCAPE_LINES && (*text == '\n' || *text == '\t'))
        return piece_of(text, 1, 1);
    if (quoted && (*text == '"' || *text == '\\'))
        return (struct piece){1, 2, {'\\', *text}};
    if ((n = passes((const unsigned char *)text, left)) > 0)
        return piece_of(text, n, n);
    return piece_hex((unsigned char)*text, quoted);
}

size_t escape_text(enum escape_dialect dialect, char *out, size_t room, const char *text,
                   size_t len, bool cut)
{
    size_t used = 0, safe = 0; /* safe: where "..." still fits behind */
    struct piece piece;

    for (size_t at = 0; at < len; at += piece.took) {
        piece = piece_next(dialect, text + at, len - at);
        cut = cut || used + piece.len > room;
        if (cut && used + piece.len + 3 > room)
            break;
        memcpy(out + used, piece.bytes, piece.len);
        used += piece.len;
        if (used + 3 <= room)
            safe = used;
    }
    if (cut) {
        memcpy(out + safe, "...", 3);
        used = safe + 3;
    }
    return used;
}

void escape_put(enum escape_dialect dialect, FILE *out, const char *text, size_t len)
{
    struct piece piece;

    for (size_t at = 0; at < len; at += piece.took) {
        piece = piece_next(dialect, text + at, len - at);
        fwrite(piece.bytes, 1, piece.len, out);
    }
}

bool escape_wants_quotes(const char *value)
{
    return !*value || strpbrk(value, " \"=\n");
}
