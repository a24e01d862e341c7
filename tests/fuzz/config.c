/*
 * A configuration file of any bytes: it is parsed to its end, every error is one line, and
 * what is accepted keeps the ranges of the rows.
 */
#include "daemon/config.h"

#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "daemon/config_row.h"
#include "fuzz.h"

/* A pattern that the fuzzer makes up would search the machine, and every owner its users. */
int glob(const char *pattern, int flags, int (*on_error)(const char *, int), glob_t *found)
{
    (void)pattern;
    (void)flags;
    (void)on_error;
    memset(found, 0, sizeof *found);
    return GLOB_NOMATCH;
}

struct passwd *getpwnam(const char *name)
{
    static struct passwd user = {.pw_uid = 4711};

    return strcmp(name, "haproxy") == 0 ? &user : NULL;
}

struct group *getgrnam(const char *name)
{
    static struct group group = {.gr_gid = 4711};

    return strcmp(name, "haproxy") == 0 ? &group : NULL;
}

/* ---- counting the lines of what is said ---- */

static size_t lines;
static char last;

static ssize_t count_lines(void *cookie, const char *bytes, size_t len)
{
    (void)cookie;
    for (size_t i = 0; i < len; i++) {
        REQUIRE((unsigned char)bytes[i] >= 0x20 || bytes[i] == '\n');
        lines += bytes[i] == '\n';
        last = bytes[i];
    }
    return (ssize_t)len;
}

static FILE *errors_open(void)
{
    FILE *errors = fopencookie(NULL, "w", (cookie_io_functions_t){.write = count_lines});

    REQUIRE(errors != NULL);
    return errors;
}

static void check_number(const struct config *config, const struct config_row *row)
{
    const char *field = (const char *)config + row->offset;
    uint64_t least, most, wide;
    uint32_t narrow;
    double seconds;

    REQUIRE(!config_number(row->kind, row->min, &least));
    REQUIRE(!config_number(row->kind, row->max, &most));
    if (row->kind == CONFIG_TIME) {
        memcpy(&seconds, field, sizeof seconds);
        REQUIRE(seconds * 1e6 > (double)least - 0.5 && seconds * 1e6 < (double)most + 0.5);
        return;
    }
    memcpy(&narrow, field, sizeof narrow);
    if (row->width == sizeof wide)
        memcpy(&wide, field, sizeof wide);
    else
        wide = narrow;
    REQUIRE(wide >= least && wide <= most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *errors;
    struct config config;
    size_t faults;

    if (!errors)
        errors = errors_open();
    lines = 0;
    last = '\n';
    faults = config_parse(&config, "/nonexistent/x.conf", (const char *)data, size, errors);
    fflush(errors);
    REQUIRE(lines == faults && last == '\n');
    for (size_t i = 0; !faults && i < config_nrows; i++)
        if (config_rows[i].min)
            check_number(&config, &config_rows[i]);
    REQUIRE(faults || (config.nlisteners > 0 && config.agent.error_name.len > 0));
    config_clear(&config);
    REQUIRE(config.listeners == NULL && config.script.files == NULL);
    return 0;
}
