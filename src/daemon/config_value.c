#include "daemon/config_row.h"

#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "daemon/metrics_server.h"

/* Who may stop the daemon: its own user, unless `mode` says more. */
#define CONTROL_MODE 0600

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000000},
    {"m", UINT64_C(60) * 1000000},
    {"h", UINT64_C(3600) * 1000000},
    {"d", UINT64_C(86400) * 1000000},
    {NULL, 0},
};

static const struct unit size_units[] = {
    {"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {NULL, 0},
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum config_kind kind)
{
    return kind == CONFIG_TIME ? time_units : kind == CONFIG_SIZE ? size_units : no_units;
}

static const char *number_expected(enum config_kind kind, bool bare)
{
    if (kind == CONFIG_TIME)
        return bare ? "needs a unit: us, ms, s, m, h or d (HAProxy would take it as ms)"
                    : "is not a time: write a whole number and its unit, us, ms, s, m, h or d";
    if (kind == CONFIG_SIZE)
        return "is not a size: write a whole number of bytes, or one with k, m or g behind";
    return "is not a whole number";
}

const char *config_number(enum config_kind kind, const char *text, uint64_t *number)
{
    const struct unit *unit = units_of(kind);
    size_t digits = strspn(text, "0123456789");

    while (unit->name && strcmp(unit->name, text + digits) != 0)
        unit++;
    if (digits == 0 || !unit->name)
        return number_expected(kind, digits > 0 && !text[digits]);
    *number = 0;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, (uint64_t)(text[i] - '0'), number))
            *number = UINT64_MAX;
    if (__builtin_mul_overflow(*number, unit->factor, number))
        *number = UINT64_MAX;
    return NULL;
}

/* ---- one word, one field ---- */

static void store(struct config_input *input, const struct config_row *row, uint64_t number)
{
    char *field = (char *)input->config + row->offset;
    double seconds = (double)number / 1e6;
    uint32_t narrow = (uint32_t)number;

    if (row->kind == CONFIG_TIME)
        memcpy(field, &seconds, sizeof seconds);
    else if (row->width == sizeof number)
        memcpy(field, &number, sizeof number);
    else
        memcpy(field, &narrow, sizeof narrow);
}

static void set_choice(struct config_input *input, const struct config_row *row, char **words,
                       size_t nwords)
{
    (void)nwords;
    for (const struct config_choice *choice = row->choices; choice->name; choice++) {
        if (strcmp(choice->name, words[0]) == 0) {
            store(input, row, choice->value);
            return;
        }
    }
    config_fault(input, "%s '%s' is none of %s", row->key, words[0], row->syntax);
}

static void set_number(struct config_input *input, const struct config_row *row, char **words,
                       size_t nwords)
{
    uint64_t number = 0, least = 0, most = 0;
    const char *wrong = config_number(row->kind, words[0], &number);

    if (row->choices && wrong) {
        set_choice(input, row, words, nwords);
        return;
    }
    config_number(row->kind, row->min, &least);
    config_number(row->kind, row->max, &most);
    if (wrong)
        config_fault(input, "%s '%s' %s", row->key, words[0], wrong);
    else if (number < least || number > most)
        config_fault(input, "%s %s is out of range: %s to %s", row->key, words[0], row->min,
                     row->max);
    else
        store(input, row, number);
}

static void set_variable(struct config_input *input, const struct config_row *row, char **words,
                         size_t nwords)
{
    const enum action_scope none = (enum action_scope)ACTION_SCOPE_COUNT;
    struct agent_options *agent = &input->config->agent;
    enum action_scope scope = none;
    struct span name = action_split(span_of(words[0]), &scope);
    const char *wrong;

    (void)nwords;
    if (scope == none) {
        config_fault(input,
                     "%s '%s' needs a scope: SCOPE.NAME with proc, sess, txn, req or res, "
                     "such as %s",
                     row->key, words[0], row->initial);
    } else if ((wrong = action_name_fault(scope, name)) != NULL) {
        config_fault(input, "%s '%s' %s", row->key, words[0], wrong);
    } else {
        free((char *)agent->error_name.at);
        agent->error_scope = scope;
        agent->error_name = (struct span){mem_strndup(name.at, name.len), name.len};
    }
}

/* ---- listen ---- */

static bool parse_mode(const char *text, mode_t *mode)
{
    size_t digits = strspn(text, "01234567");
    unsigned long number = strtoul(text, NULL, 8);

    if (digits < 3 || digits > 4 || text[digits] || number > 0777)
        return false;
    *mode = (mode_t)number;
    return true;
}

/* Of a user or group given as a number; (uid_t)-1 means none and cannot be meant. */
static bool parse_id(const char *text, uint32_t *id)
{
    uint64_t number;

    if (config_number(CONFIG_COUNT, text, &number) || number >= UINT32_MAX)
        return false;
    *id = (uint32_t)number;
    return true;
}

static void set_file_mode(struct config_input *input, struct listener_spec *spec, const char *text)
{
    if (!parse_mode(text, &spec->mode))
        config_fault(input, "mode '%s' is not octal of 3 or 4 digits, such as 0660", text);
}

static void set_file_owner(struct config_input *input, struct listener_spec *spec, const char *text)
{
    struct passwd *user = getpwnam(text);

    if (user)
        spec->owner = user->pw_uid;
    else if (!parse_id(text, &spec->owner))
        config_fault(input, "owner '%s': there is no such user", text);
}

static void set_file_group(struct config_input *input, struct listener_spec *spec, const char *text)
{
    struct group *group = getgrnam(text);

    if (group)
        spec->group = group->gr_gid;
    else if (!parse_id(text, &spec->group))
        config_fault(input, "group '%s': there is no such group", text);
}

static const struct file_keyword {
    const char *name;
    void (*set)(struct config_input *, struct listener_spec *, const char *text);
} file_keywords[] = {
    {"mode", set_file_mode},
    {"owner", set_file_owner},
    {"group", set_file_group},
    {NULL, NULL},
};

/* `mode M owner U group G`, in any order. */
static void set_file_keywords(struct config_input *input, struct listener_spec *spec, char **words,
                              size_t nwords)
{
    unsigned seen = 0;

    for (size_t i = 0; i < nwords; i += 2) {
        const struct file_keyword *keyword = file_keywords;

        while (keyword->name && strcmp(keyword->name, words[i]) != 0)
            keyword++;
        if (!keyword->name) {
            config_fault(input, "'%s' is none of mode, owner and group", words[i]);
            return;
        }
        if (!listener_is_file(spec))
            config_fault(input, "'%s' is for unix: addresses only", words[i]);
        else if (i + 1 == nwords)
            config_fault(input, "'%s' needs a value", words[i]);
        else if (seen & 1u << (keyword - file_keywords))
            config_fault(input, "'%s' is given twice", words[i]);
        else
            keyword->set(input, spec, words[i + 1]);
        seen |= 1u << (keyword - file_keywords);
    }
}

static void set_address(struct config_input *input, const struct config_row *row, char **words,
                        size_t nwords)
{
    struct config *config = input->config;
    struct listener_spec spec;
    const char *wrong = listener_parse(&spec, words[0]);
    size_t n = config->nlisteners;

    if (wrong) {
        config_fault(input, "%s '%s': %s", row->key, words[0], wrong);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (listener_same(&config->listeners[i], &spec))
            config_fault(input, "%s %s is already in line %zu", row->key, words[0],
                         input->listen_at[i]);
    set_file_keywords(input, &spec, words + 1, nwords - 1);
    config->listeners = mem_resize(config->listeners, (n + 1) * sizeof *config->listeners);
    input->listen_at = mem_resize(input->listen_at, (n + 1) * sizeof *input->listen_at);
    config->listeners[n] = spec;
    input->listen_at[n] = input->line;
    config->nlisteners++;
}

static void set_control(struct config_input *input, const struct config_row *row, char **words,
                        size_t nwords)
{
    struct listener_spec *spec = &input->config->control;
    const char *wrong = listener_parse(spec, words[0]);

    if (!wrong && spec->address.ss_family != AF_UNIX) {
        free(spec->text);
        spec->text = NULL;
        wrong = "whoever connects may stop the daemon, so it is a unix:/PATH or an abns:NAME";
    }
    if (wrong) {
        config_fault(input, "%s '%s': %s", row->key, words[0], wrong);
        return;
    }
    spec->mode = CONTROL_MODE;
    set_file_keywords(input, spec, words + 1, nwords - 1);
}

static void set_metrics(struct config_input *input, const struct config_row *row, char **words,
                        size_t nwords)
{
    struct listener_spec *spec = &input->config->metrics;
    const char *wrong = listener_parse(spec, words[0]);

    (void)nwords;
    if (!wrong && spec->address.ss_family == AF_UNIX)
        wrong = "Prometheus needs IP:PORT or [IP6]:PORT";
    else if (!wrong && !metrics_server_built)
        wrong = "this spoa-lua was built without libmicrohttpd: install libmicrohttpd-dev and "
                "build it again";
    if (!wrong)
        return;
    config_fault(input, "%s '%s': %s", row->key, words[0], wrong);
    free(spec->text);
    spec->text = NULL;
}

/* ---- user and group ---- */

static void set_user(struct config_input *input, const struct config_row *row, char **words,
                     size_t nwords)
{
    const struct passwd *entry = getpwnam(words[0]);
    struct user *user = &input->config->user;
    uint32_t id = 0;

    (void)nwords;
    if (!entry && parse_id(words[0], &id))
        entry = getpwuid(id);
    if (entry) {
        user->uid = entry->pw_uid;
        user->primary = entry->pw_gid;
        user->name = mem_strndup(entry->pw_name, strlen(entry->pw_name));
    } else if (parse_id(words[0], &id)) {
        user->uid = id;
    } else {
        config_fault(input, "%s '%s': there is no such user", row->key, words[0]);
    }
}

static void set_group(struct config_input *input, const struct config_row *row, char **words,
                      size_t nwords)
{
    const struct group *group = getgrnam(words[0]);

    (void)nwords;
    if (group)
        input->config->user.gid = group->gr_gid;
    else if (!parse_id(words[0], &input->config->user.gid))
        config_fault(input, "%s '%s': there is no such group", row->key, words[0]);
}

/* ---- files and patterns ---- */

#define WILDCARDS "*?["

/* The configuration file's folder with its slash, or "" for the working directory. */
static struct span folder_of(const struct config_input *input)
{
    const char *slash = strrchr(input->path, '/');

    return (struct span){input->path, slash ? (size_t)(slash - input->path) + 1 : 0};
}

/* The name as seen from the configuration file's folder, whose own wildcards are quoted when
 * the name is a pattern.  To be freed. */
static char *path_beside(const struct config_input *input, const char *name, size_t len,
                         bool pattern)
{
    struct span folder = name[0] == '/' ? (struct span){"", 0} : folder_of(input);
    char *path = mem_alloc(2 * folder.len + len + 1), *at = path;

    for (size_t i = 0; i < folder.len; i++) {
        if (pattern && strchr(WILDCARDS "\\", folder.at[i]))
            *at++ = '\\';
        *at++ = folder.at[i];
    }
    memcpy(at, name, len);
    at[len] = '\0';
    return path;
}

static void add_file(struct script_options *script, const char *path)
{
    for (size_t i = 0; i < script->nfiles; i++)
        if (strcmp(script->files[i], path) == 0)
            return;
    script->files = mem_resize(script->files, (script->nfiles + 1) * sizeof *script->files);
    script->files[script->nfiles++] = mem_strndup(path, strlen(path));
}

static void add_name(struct config_input *input, const struct config_row *row, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        config_fault(input, "%s '%s': %s", row->key, path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        config_fault(input, "%s '%s' is a folder: write %s/*.lua for the scripts in it", row->key,
                     path, path);
    else
        add_file(&input->config->script, path);
}

/* glob(3) passes no context to it. */
static int unreadable_errno;

/* A folder that is not there has no matches, but one that may not be read could have some. */
static int on_unreadable(const char *path, int error)
{
    (void)path;
    unreadable_errno = error;
    return error != ENOENT && error != ENOTDIR;
}

static void add_matches(struct config_input *input, const struct config_row *row,
                        const char *pattern)
{
    glob_t found;
    struct stat st;
    int status = glob(pattern, 0, on_unreadable, &found);

    if (status == GLOB_ABORTED)
        config_fault(input, "%s '%s': %s", row->key, pattern, strerror(unreadable_errno));
    else if (status == GLOB_NOSPACE)
        config_fault(input, "%s '%s': out of memory", row->key, pattern);
    if (status != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        if (stat(found.gl_pathv[i], &st) < 0 || !S_ISDIR(st.st_mode))
            add_file(&input->config->script, found.gl_pathv[i]);
    globfree(&found);
}

static void set_script(struct config_input *input, const struct config_row *row, char **words,
                       size_t nwords)
{
    bool pattern = strpbrk(words[0], WILDCARDS) != NULL;
    char *path = path_beside(input, words[0], strlen(words[0]), pattern);

    (void)nwords;
    if (!*words[0])
        config_fault(input, "%s '' is empty: write the name of a Lua file", row->key);
    else if (pattern)
        add_matches(input, row, path);
    else
        add_name(input, row, path);
    free(path);
}

static void set_path(struct config_input *input, const struct config_row *row, char **words,
                     size_t nwords)
{
    struct script_options *script = &input->config->script;
    bool cpath = nwords > 1 && strcmp(words[1], "cpath") == 0;

    if (nwords > 1 && !cpath && strcmp(words[1], "path") != 0) {
        config_fault(input, "%s: '%s' is neither path nor cpath", row->key, words[1]);
    } else if (!strchr(words[0], '?')) {
        config_fault(input, "%s '%s' needs a '?' where the module's name goes, such as %s",
                     row->key, words[0], row->example);
    } else if (strchr(words[0], ';')) {
        config_fault(input, "%s '%s' has a ';': give each pattern a line of its own", row->key,
                     words[0]);
    } else {
        script->paths = mem_resize(script->paths, (script->npaths + 1) * sizeof *script->paths);
        script->paths[script->npaths++] =
            (struct script_path){path_beside(input, words[0], strlen(words[0]), false), cpath};
    }
}

/* ---- handler ---- */

static bool limit_keyword(struct config_input *input, struct script_limit *limit,
                          const char *keyword, const char *text)
{
    bool is_timeout = strcmp(keyword, "timeout") == 0;
    uint64_t number = 0;
    const char *wrong;

    if (!is_timeout && strcmp(keyword, "concurrency") != 0) {
        config_fault(input, "'%s' is neither timeout nor concurrency", keyword);
        return false;
    }
    wrong = config_number(is_timeout ? CONFIG_TIME : CONFIG_COUNT, text, &number);
    if (wrong) {
        config_fault(input, "%s '%s' %s", keyword, text, wrong);
        return false;
    }
    if (number < 1 ||
        (is_timeout ? number < 1000 || number > UINT64_C(3600) * 1000000 : number > 1000000)) {
        config_fault(input, "%s %s is out of range: %s", keyword, text,
                     is_timeout ? "1ms to 1h" : "1 to 1000000");
        return false;
    }
    if (is_timeout)
        limit->timeout = (double)number / 1e6;
    else
        limit->concurrency = (unsigned)number;
    return true;
}

static void set_handler(struct config_input *input, const struct config_row *row, char **words,
                        size_t nwords)
{
    struct script_options *script = &input->config->script;
    struct script_limit limit = {.line = input->line};

    for (size_t i = 0; i < script->nlimits; i++) {
        if (strcmp(script->limits[i].name, words[0]) == 0) {
            config_fault(input, "%s %s is already in line %zu", row->key, words[0],
                         script->limits[i].line);
            return;
        }
    }
    if (nwords < 3 || nwords % 2 == 0) {
        config_fault(input, "%s %s needs a limit: %s %s", row->key, words[0], row->key,
                     row->syntax);
        return;
    }
    for (size_t i = 1; i < nwords; i += 2) {
        if (!limit_keyword(input, &limit, words[i], words[i + 1]))
            return;
    }
    limit.name = mem_strndup(words[0], strlen(words[0]));
    script->limits = mem_resize(script->limits, (script->nlimits + 1) * sizeof *script->limits);
    script->limits[script->nlimits++] = limit;
}

/* ---- the log ---- */

static void set_log_target(struct config_input *input, const struct config_row *row, char **words,
                           size_t nwords)
{
    const char *word = words[0];
    bool known = strcmp(word, "stderr") == 0 || strcmp(word, "syslog") == 0 ||
                 strncmp(word, "syslog:", 7) == 0;

    (void)nwords;
    if (known)
        input->config->log_target = mem_strndup(word, strlen(word));
    else if (strchr(word, '/'))
        input->config->log_target = path_beside(input, word, strlen(word), false);
    else
        config_fault(input, "%s '%s': write stderr, syslog, or a file with a / in its name",
                     row->key, word);
}

/* ---- by kind ---- */

static const struct setter {
    size_t most; /* words after the key */
    void (*set)(struct config_input *, const struct config_row *, char **words, size_t nwords);
} setters[] = {
    [CONFIG_TIME] = {1, set_number},       [CONFIG_SIZE] = {1, set_number},
    [CONFIG_COUNT] = {1, set_number},      [CONFIG_CHOICE] = {1, set_choice},
    [CONFIG_VARIABLE] = {1, set_variable}, [CONFIG_ADDRESS] = {7, set_address},
    [CONFIG_SCRIPT] = {1, set_script},     [CONFIG_PATH] = {2, set_path},
    [CONFIG_HANDLER] = {5, set_handler},   [CONFIG_USER] = {1, set_user},
    [CONFIG_GROUP] = {1, set_group},       [CONFIG_CONTROL] = {7, set_control},
    [CONFIG_METRICS] = {1, set_metrics},   [CONFIG_LOG] = {1, set_log_target},
};

void config_set(struct config_input *input, const struct config_row *row, char **words,
                size_t nwords)
{
    const struct setter *setter = &setters[row->kind];

    if (nwords > setter->most)
        config_fault(input, "%s: '%s' is too much: %s %s", row->key, words[setter->most], row->key,
                     row->syntax);
    else
        setter->set(input, row, words, nwords);
}
