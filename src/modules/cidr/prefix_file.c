#include "modules/cidr/prefix_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_comment(char c)
{
    return c == '#' || c == ';';
}

/* Where the comment begins, or the end; trailing white space is cut off. */
static const char *value_end(const char *at, const char *end)
{
    for (const char *p = at; p < end; p++) {
        if (is_comment(*p) && (p == at || is_blank(p[-1])))
            end = p;
    }
    while (end > at && is_blank(end[-1]))
        end--;
    return end;
}

/* One line, without its end. */
static bool parse_line(struct prefix_file *file, struct prefix_list *list, const char *at,
                       const char *end, const struct prefix_file_options *options,
                       char why[PREFIX_WHY_MAX])
{
    struct prefix prefix;
    const char *start;
    uint32_t value = 1;

    while (at < end && is_blank(*at))
        at++;
    start = at;
    while (at < end && !is_blank(*at) && !is_comment(*at))
        at++;
    if (start == at)
        return true;
    if (!prefix_parse(start, (size_t)(at - start), options->mask, &prefix, why))
        return false;
    while (at < end && is_blank(*at))
        at++;
    end = value_end(at, end);
    if (at < end && !options->map) {
        snprintf(why, PREFIX_WHY_MAX,
                 "there is something behind the prefix: say map = true when it is a value");
        return false;
    }
    if (at < end)
        value = prefix_texts_add(&file->texts, at, (size_t)(end - at)) + 2;
    if (!prefix_list_add(list, &prefix, value)) {
        snprintf(why, PREFIX_WHY_MAX, "more than %d prefixes", PREFIX_LIST_MAX);
        return false;
    }
    return true;
}

bool prefix_file_parse(struct prefix_file *file, const char *text, size_t len,
                       const struct prefix_file_options *options, size_t *line,
                       char why[PREFIX_WHY_MAX])
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'}; /* some editors put it in front */
    const char *at = text, *end = text + len;
    struct prefix_list list = {0};

    if (len >= sizeof mark && memcmp(text, mark, sizeof mark) == 0)
        at += sizeof mark;
    for (*line = 1; at < end; ++*line) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline ? newline : end;

        if (!parse_line(file, &list, at, line_end, options, why)) {
            prefix_list_clear(&list);
            prefix_file_clear(file);
            return false;
        }
        at = newline ? newline + 1 : end;
    }
    prefix_texts_seal(&file->texts);
    prefix_map_build(&file->map, &list);
    return true;
}

/* All bytes of a file of this size; *len is less when it has become shorter.  NULL with errno. */
static char *read_all(int fd, size_t size, size_t *len)
{
    char *text = mem_alloc(size + 1);

    for (*len = 0; *len < size;) {
        ssize_t n = read(fd, text + *len, size - *len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(text);
            return NULL;
        }
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    return text;
}

/* The text of the file at path, to be freed; or NULL, and *problem says why. */
static char *read_path(const char *path, size_t *len, const char **problem)
{
    /* Without O_NONBLOCK a pipe by that name would block the worker. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    char *text = NULL;

    *problem = NULL;
    if (fd < 0 || fstat(fd, &about) < 0)
        *problem = strerror(errno);
    else if (!S_ISREG(about.st_mode))
        *problem = "not a regular file";
    else if ((uint64_t)about.st_size > PREFIX_FILE_MAX)
        *problem = "larger than 256 MiB";
    else if ((text = read_all(fd, (size_t)about.st_size, len)) == NULL)
        *problem = strerror(errno);
    if (fd >= 0)
        close(fd);
    return text;
}

bool prefix_file_read(struct prefix_file *file, const char *path,
                      const struct prefix_file_options *options, char error[PREFIX_FILE_ERROR_MAX])
{
    const char *problem;
    char why[PREFIX_WHY_MAX];
    size_t len, line;
    char *text = read_path(path, &len, &problem);
    bool good;

    if (!text) {
        snprintf(error, PREFIX_FILE_ERROR_MAX, "%s: %s", path, problem);
        return false;
    }
    good = prefix_file_parse(file, text, len, options, &line, why);
    free(text);
    if (!good)
        snprintf(error, PREFIX_FILE_ERROR_MAX, "%s:%zu: %s", path, line, why);
    return good;
}

void prefix_file_clear(struct prefix_file *file)
{
    prefix_map_clear(&file->map);
    prefix_texts_clear(&file->texts);
}
