#include "daemon/sheet.h"

#include <inttypes.h>
#include <string.h>

static void put_json(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at == '\n')
            fputs("\\n", out);
        else if (*at < 0x20 || *at >= 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            putc(*at, out);
    }
    putc('"', out);
}

/* Quoted where its end could not be seen; always one line. */
static void put_plain(FILE *out, const char *text, bool quoted)
{
    if (quoted)
        putc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f || (quoted && *at == '"'))
            fprintf(out, "\\x%02x", *at);
        else
            putc(*at, out);
    }
    if (quoted)
        putc('"', out);
}

static void put_name(struct sheet *sheet, const char *name)
{
    if (sheet->json)
        fprintf(sheet->out, "%s\"%s\":", sheet->columns ? "," : "{", name);
    else if (sheet->tall)
        fprintf(sheet->out, "%s%s: ", sheet->columns ? "\n" : "", name);
    else
        fprintf(sheet->out, "%s%s=", sheet->columns ? " " : "", name);
    sheet->columns++;
}

void sheet_text(struct sheet *sheet, const char *name, const char *value)
{
    put_name(sheet, name);
    if (sheet->json)
        put_json(sheet->out, value);
    else
        put_plain(sheet->out, value, !sheet->tall && (!*value || strpbrk(value, " \"=")));
}

void sheet_number(struct sheet *sheet, const char *name, uint64_t value)
{
    put_name(sheet, name);
    fprintf(sheet->out, "%" PRIu64, value);
}

void sheet_real(struct sheet *sheet, const char *name, double value, int digits)
{
    put_name(sheet, name);
    fprintf(sheet->out, "%.*f", digits, value);
}

void sheet_end_row(struct sheet *sheet)
{
    if (sheet->json)
        fputs(sheet->columns ? "}" : "{}", sheet->out);
    else
        putc('\n', sheet->out);
    sheet->columns = 0;
}
