#include <string.h>

#include "daemon/config_row.h"

/* The last column of a comment in the example. */
#define WIDTH 78

/* ---- spoa-lua.conf.example ---- */

/* "# " and words, as many lines as it takes. */
static void write_comment(FILE *out, const char *text)
{
    size_t column = 0;

    while (*text) {
        size_t len = strcspn(text, " ");

        if (column > 0 && column + 1 + len > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column ? " " : "# ", (int)len, text);
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

static void write_example_key(FILE *out, const struct config_row *row)
{
    if (row->heading)
        fprintf(out, "\n# ---- %s ----\n", row->heading);
    fprintf(out, "\n# %s %s", row->key, row->syntax);
    if (row->min)
        fprintf(out, "   (%s to %s)", row->min, row->max);
    fputs(row->repeatable ? "   (repeatable)\n" : "\n", out);
    write_comment(out, row->text);
    if (!row->initial)
        fputs("# By default there is none.\n", out);
    fprintf(out, "#%s %s\n", row->key, row->initial ? row->initial : row->example);
}

void config_write_example(FILE *out)
{
    fputs("# spoa-lua.conf: one key a line, `#` begins a comment, quotes are \"\" and ''.\n"
          "# Every key is here with its default: remove the `#` before a key to change it.\n"
          "# TIME is a whole number with us, ms, s, m, h or d behind it; SIZE is bytes, or\n"
          "# with k, m or g.  `spoa-lua -t -c FILE` checks a file; spoa-lua.conf(5) says more.\n",
          out);
    for (size_t i = 0; i < config_nrows; i++)
        write_example_key(out, &config_rows[i]);
}

/* ---- spoa-lua.conf(5) ---- */

static const char manual_head[] =
    ".\\\" Written by build/config-doc manual (src/daemon/config_doc.c, config_keys.c).\n"
    ".Dd November 24, 2026\n"
    ".Dt SPOA-LUA.CONF 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm spoa-lua.conf\n"
    ".Nd configuration of the spoa-lua daemon\n"
    ".Sh DESCRIPTION\n"
    "The file has one directive a line: a key, its value, and for some keys keywords\n"
    "with values of their own.\n"
    "Words are separated by blanks and tabs.\n"
    "Outside of quotes\n"
    ".Ql #\n"
    "begins a comment that ends with the line.\n"
    "Between double quotes blanks and\n"
    ".Ql #\n"
    "stand for themselves, and\n"
    ".Ql \\e\\e ,\n"
    ".Ql \\e\\(dq ,\n"
    ".Ql \\en\n"
    "and\n"
    ".Ql \\et\n"
    "are a backslash, a double quote, a line feed and a tab;\n"
    "between single quotes everything stands for itself.\n"
    "A line has at most 4096 bytes and 16 words.\n"
    ".Pp\n"
    "A key that is not in the file has its default.\n"
    "Only keys said to be repeatable may be in it more than once.\n"
    "Once a repeatable key is in the file, its default is not used any more.\n"
    ".Pp\n"
    ".Dq Nm spoa-lua Fl t c Ar FILE\n"
    "checks a file and prints every error in it as\n"
    ".Ql FILE:LINE: text .\n"
    ".Ss Values\n"
    ".Bl -tag -width NUMBER\n"
    ".It Ar TIME\n"
    "A whole number followed at once by\n"
    ".Cm us , ms , s , m , h\n"
    "or\n"
    ".Cm d .\n"
    "The unit cannot be left out.\n"
    ".It Ar SIZE\n"
    "A whole number of bytes, or one followed at once by\n"
    ".Cm k , m\n"
    "or\n"
    ".Cm g ,\n"
    "which are powers of 1024.\n"
    ".It Ar NUMBER\n"
    "A whole number.\n"
    ".El\n";

static const char manual_tail[] =
    ".Sh FILES\n"
    ".Bl -tag -width Ds\n"
    ".It Pa /etc/spoa-lua/spoa-lua.conf\n"
    "what is read unless\n"
    ".Fl c\n"
    "says another.\n"
    ".El\n"
    ".Sh EXAMPLES\n"
    "A socket that only HAProxy may connect to, and scripts beside the file:\n"
    ".Bd -literal -offset indent\n"
    "listen unix:/run/spoa-lua/spoa.sock mode 0660 group haproxy\n"
    "script handlers/*.lua\n"
    "handler-timeout 200ms\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr haproxy 1 ,\n"
    ".Xr spoa-lua 8\n";

/* A word as mdoc, in which nothing is a macro or an escape. */
static size_t write_word(FILE *out, const char *word, size_t len)
{
    size_t column = len;

    if (*word == '.' || *word == '\'')
        column += (size_t)fprintf(out, "\\&");
    for (size_t i = 0; i < len; i++) {
        fputc(word[i], out);
        if (word[i] == '\\')
            column += (size_t)fprintf(out, "e");
    }
    return column;
}

/* Plain text as mdoc: each sentence begins a line. */
static void write_sentences(FILE *out, const char *text)
{
    size_t column = 0;

    while (*text) {
        size_t len = strcspn(text, " ");

        if (column + len > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column > 0)
            fputc(' ', out);
        column += 1 + write_word(out, text, len);
        if (text[len - 1] == '.')
            column = WIDTH;
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

/* An item's words, each made plain, for mdoc takes short ones for macros. */
static void write_words(FILE *out, const char *words)
{
    while (*words) {
        size_t len = strcspn(words, " ");

        fprintf(out, " \\&%.*s", (int)len, words);
        words += len + strspn(words + len, " ");
    }
}

static void write_manual_key(FILE *out, const struct config_row *row)
{
    fprintf(out, ".It Ic %s Ar", row->key);
    write_words(out, row->syntax);
    fputc('\n', out);
    write_sentences(out, row->text);
    if (row->min)
        fprintf(out, "From %s to %s.\n", row->min, row->max);
    if (row->repeatable)
        fputs("Repeatable.\n", out);
    if (row->restart)
        fputs("A change needs a restart.\n", out);
    if (row->initial)
        fprintf(out, "Default:\n.Cm \\&%s\n", row->initial);
    else
        fputs("By default there is none.\n", out);
}

void config_write_manual(FILE *out)
{
    fputs(manual_head, out);
    fputs(".Sh KEYS\n", out);
    for (size_t i = 0; i < config_nrows; i++) {
        if (config_rows[i].heading)
            fprintf(out, "%s.Ss %s\n.Bl -tag -width Ds\n", i ? ".El\n" : "",
                    config_rows[i].heading);
        write_manual_key(out, &config_rows[i]);
    }
    fputs(".El\n", out);
    fputs(manual_tail, out);
}
