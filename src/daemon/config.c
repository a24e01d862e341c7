#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/mem.h"
#include "daemon/config_row.h"

#define FILE_MAX     (1 << 20)
#define LINE_LEN_MAX 4096
#define WORDS_MAX    16

void config_fault(struct config_input *input, const char *format, ...)
{
    char text[2 * LINE_LEN_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs(input->path, input->errors);
    if (input->line)
        fprintf(input->errors, ":%zu", input->line);
    fputs(": ", input->errors);
    escape_put(ESCAPE_VALUE, input->errors, text, strlen(text));
    putc('\n', input->errors);
    input->faults++;
}

/* ---- words ---- */

/* A line's words, unquoted. */
struct words {
    char text[LINE_LEN_MAX + WORDS_MAX];
    char *at[WORDS_MAX];
    size_t n;
};

/* One quoted piece of a word, from behind the opening quote; what is behind the closing one,
 * or NULL and a fault. */
static const char *words_quoted(struct config_input *input, const char *from, const char *end,
                                char quote, char **out)
{
    static const char escapes[] = "\\\"nt", means[] = "\\\"\n\t";

    for (; from < end && *from != quote; from++) {
        const char *escape;

        if (quote == '\'' || *from != '\\') {
            *(*out)++ = *from;
            continue;
        }
        if (++from == end)
            break;
        if (!(escape = strchr(escapes, *from))) {
            config_fault(input, "'\\%c' is no escape: \\\\ \\\" \\n \\t are", *from);
            return NULL;
        }
        *(*out)++ = means[escape - escapes];
    }
    if (from == end) {
        config_fault(input, "the %s quote is not closed", quote == '"' ? "double" : "single");
        return NULL;
    }
    return from + 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One word, which may be quoted in parts; what is behind it, or NULL. */
static const char *words_take(struct config_input *input, const char *from, const char *end,
                              char **out)
{
    while (from && from < end && !is_blank(*from) && *from != '#') {
        if (*from == '"' || *from == '\'')
            from = words_quoted(input, from + 1, end, *from, out);
        else
            *(*out)++ = *from++;
    }
    *(*out)++ = '\0';
    return from;
}

/* False, and a fault, for what cannot be split into words. */
static bool words_split(struct config_input *input, struct words *words, const char *line,
                        size_t len)
{
    const char *from = line, *end = line + len;
    char *out = words->text;

    words->n = 0;
    if (len > LINE_LEN_MAX) {
        config_fault(input, "the line is longer than %d bytes", LINE_LEN_MAX);
        return false;
    }
    if (memchr(line, '\0', len)) {
        config_fault(input, "the line has a NUL byte: this is no text file");
        return false;
    }
    for (;;) {
        while (from < end && is_blank(*from))
            from++;
        if (from == end || *from == '#')
            return true;
        if (words->n == WORDS_MAX) {
            config_fault(input, "the line has more than %d words", WORDS_MAX);
            return false;
        }
        words->at[words->n++] = out;
        if (!(from = words_take(input, from, end, &out)))
            return false;
    }
}

/* ---- keys ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

#define GUESS_MAX 32

/* Levenshtein's distance of a word to a key, with a table of one row. */
static size_t key_distance(const char *word, size_t len, const char *key)
{
    size_t row[GUESS_MAX + 1];

    for (size_t i = 0; i <= len; i++)
        row[i] = i;
    for (size_t k = 0; key[k]; k++) {
        size_t diagonal = row[0];

        row[0] = k + 1;
        for (size_t i = 1; i <= len; i++) {
            size_t changed = diagonal + (word[i - 1] != key[k]);

            diagonal = row[i];
            row[i] = least(changed, least(row[i], row[i - 1]) + 1);
        }
    }
    return row[len];
}

static void unknown_key(struct config_input *input, const char *word)
{
    size_t len = strlen(word), best = 1 + len / 4; /* further away is no typing error */
    const char *meant = NULL;

    for (size_t i = 0; len <= GUESS_MAX && i < config_nrows; i++) {
        size_t distance = key_distance(word, len, config_rows[i].key);

        if (distance <= best && !(meant && distance == best)) {
            best = distance;
            meant = config_rows[i].key;
        }
    }
    if (meant)
        config_fault(input, "unknown key '%s': did you mean '%s'?", word, meant);
    else
        config_fault(input, "unknown key '%s': spoa-lua.conf(5) lists them all", word);
}

static const struct config_row *row_find(const char *key)
{
    for (size_t i = 0; i < config_nrows; i++)
        if (strcmp(config_rows[i].key, key) == 0)
            return &config_rows[i];
    return NULL;
}

/* For config_needs_restart: what was written, in its words. */
static void remember(struct config_input *input, const struct config_row *row, char **words,
                     size_t nwords)
{
    char **written = &input->config->written[row - config_rows];
    size_t size;
    char *text = NULL;
    FILE *out;

    if (!row->restart)
        return;
    out = open_memstream(&text, &size);
    fputs(*written ? *written : "", out);
    for (size_t i = 0; i < nwords; i++)
        fprintf(out, "%s%s", i ? " " : "", words[i]);
    fclose(out);
    free(*written);
    *written = text;
}

static void parse_words(struct config_input *input, struct words *words)
{
    const struct config_row *row = row_find(words->at[0]);
    size_t *set_at;

    if (!row) {
        unknown_key(input, words->at[0]);
        return;
    }
    set_at = &input->set_at[row - config_rows];
    if (*set_at && !row->repeatable)
        config_fault(input, "%s is already set in line %zu", row->key, *set_at);
    else if (words->n == 1)
        config_fault(input, "%s needs a value: %s %s", row->key, row->key, row->syntax);
    else
        config_set(input, row, words->at + 1, words->n - 1);
    remember(input, row, words->at + 1, words->n - 1);
    if (!*set_at)
        *set_at = input->line;
}

static void parse_lines(struct config_input *input, const char *text, size_t len)
{
    const char *end = text + len;
    struct words words;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        size_t line_len = (size_t)(stop - text);

        input->line++;
        if (line_len > 0 && text[line_len - 1] == '\r')
            line_len--;
        if (words_split(input, &words, text, line_len) && words.n > 0)
            parse_words(input, &words);
        text = newline ? newline + 1 : end;
    }
    input->line = 0;
}

/* ---- the whole ---- */

/* Sets what no line has set, by parsing what the documentation says. */
static void set_defaults(struct config_input *input, bool scripts)
{
    for (size_t i = 0; i < config_nrows; i++) {
        const struct config_row *row = &config_rows[i];
        char *initial;

        if (input->set_at[i] || !row->initial || (row->kind == CONFIG_SCRIPT && !scripts))
            continue;
        input->config->default_listener =
            input->config->default_listener || row->kind == CONFIG_ADDRESS;
        initial = mem_strndup(row->initial, strlen(row->initial));
        config_set(input, row, &initial, 1);
        remember(input, row, &initial, 1);
        free(initial);
    }
}

static size_t config_fill(struct config *config, const char *path, const char *text, size_t len,
                          bool scripts, FILE *errors)
{
    struct config_input input = {.config = config, .path = path, .errors = errors};

    *config = (struct config){0};
    config->user.uid = (uid_t)-1;
    config->user.gid = config->user.primary = (gid_t)-1;
    config->written = mem_zalloc(config_nrows * sizeof *config->written);
    input.set_at = mem_zalloc(config_nrows * sizeof *input.set_at);
    parse_lines(&input, text, len);
    set_defaults(&input, scripts);
    free(input.set_at);
    free(input.listen_at);
    return input.faults;
}

size_t config_parse(struct config *config, const char *path, const char *text, size_t len,
                    FILE *errors)
{
    return config_fill(config, path, text, len, true, errors);
}

void config_defaults(struct config *config)
{
    config_fill(config, "", "", 0, false, stderr);
}

/* The file's text, to be freed, or NULL with errno set. */
static char *file_read(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = mem_alloc(FILE_MAX + 1);
    ssize_t n = -1;
    int error;

    *len = 0;
    while (fd >= 0 && *len <= FILE_MAX && (n = read(fd, text + *len, FILE_MAX + 1 - *len)) != 0) {
        if (n > 0)
            *len += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    error = n < 0 ? errno : *len > FILE_MAX ? EFBIG : 0;
    if (fd >= 0)
        close(fd);
    if (!error)
        return text;
    free(text);
    errno = error;
    return NULL;
}

size_t config_read(struct config *config, const char *path, FILE *errors)
{
    size_t len, faults;
    char *text = file_read(path, &len);

    if (!text) {
        fprintf(errors, "%s: cannot be read: %s\n", path, strerror(errno));
        config_defaults(config);
        return 1;
    }
    faults = config_parse(config, path, text, len, errors);
    free(text);
    return faults;
}

char *config_needs_restart(const struct config *now, struct config *next)
{
    size_t size;
    char *text = NULL;
    FILE *out = open_memstream(&text, &size);

    for (size_t i = 0; i < config_nrows; i++) {
        const char *old = now->written[i] ? now->written[i] : "";
        const char *fresh = next->written[i] ? next->written[i] : "";

        if (strcmp(old, fresh) == 0)
            continue;
        fprintf(out, "%s%s", ftell(out) > 0 ? ", " : "", config_rows[i].key);
        free(next->written[i]);
        next->written[i] = mem_strndup(old, strlen(old));
    }
    fclose(out);
    if (size > 0)
        return text;
    free(text);
    return NULL;
}

void config_clear(struct config *config)
{
    for (size_t i = 0; config->written && i < config_nrows; i++)
        free(config->written[i]);
    free(config->written);
    for (size_t i = 0; i < config->nlisteners; i++)
        free(config->listeners[i].text);
    for (size_t i = 0; i < config->script.npaths; i++)
        free(config->script.paths[i].pattern);
    for (size_t i = 0; i < config->script.nfiles; i++)
        free(config->script.files[i]);
    for (size_t i = 0; i < config->script.nlimits; i++)
        free(config->script.limits[i].name);
    free(config->user.name);
    free(config->control.text);
    free(config->log_target);
    free(config->metrics.text);
    free(config->script.limits);
    free(config->listeners);
    free(config->script.paths);
    free(config->script.files);
    free((char *)config->agent.error_name.at);
    *config = (struct config){0};
}

void config_free(struct config *config)
{
    config_clear(config);
    free(config);
}
