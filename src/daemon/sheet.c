#include "daemon/sheet.h"

#include <inttypes.h>
#include <string.h>

#include "base/escape.h"

static void put_quoted(FILE *out, const char *text)
{
    putc('"', out);
    escape_put(ESCAPE_QUOTED, out, text, strlen(text));
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
    if (sheet->json || (!sheet->tall && escape_wants_quotes(value)))
        put_quoted(sheet->out, value);
    else
        escape_put(ESCAPE_LINE, sheet->out, value, strlen(value));
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
