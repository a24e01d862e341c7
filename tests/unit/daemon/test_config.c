#include "daemon/config.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit.h"
#include "daemon/config_row.h"

/* ---- parsing a text ---- */

/* Parses text as if it were FILE; the errors are to be freed. */
static char *errors_of(struct config *config, const char *file, const char *text, size_t len)
{
    char *errors = NULL;
    size_t size = 0, faults, lines = 0;
    FILE *out = open_memstream(&errors, &size);

    ck_assert_ptr_nonnull(out);
    faults = config_parse(config, file, text, len, out);
    ck_assert_int_eq(fclose(out), 0);
    for (size_t i = 0; i < size; i++)
        lines += errors[i] == '\n';
    ck_assert_uint_eq(lines, faults);
    return errors;
}

static void must_parse_as(struct config *config, const char *file, const char *text)
{
    char *errors = errors_of(config, file, text, strlen(text));

    ck_assert_str_eq(errors, "");
    free(errors);
}

static void must_parse(struct config *config, const char *text)
{
    must_parse_as(config, "x.conf", text);
}

static void must_say_bytes(const char *text, size_t len, const char *expected)
{
    struct config config;
    char *errors = errors_of(&config, "x.conf", text, len);

    ck_assert_str_eq(errors, expected);
    free(errors);
    config_clear(&config);
}

static void must_say(const char *text, const char *expected)
{
    must_say_bytes(text, strlen(text), expected);
}

/* A text and all that is said about it. */
struct saying {
    const char *text, *errors;
};

static void check_sayings(const struct saying *sayings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must_say(sayings[i].text, sayings[i].errors);
}

#define CHECK_SAYINGS(sayings) check_sayings(sayings, sizeof(sayings) / sizeof *(sayings))

static const struct config_row *row_of(const char *key)
{
    for (size_t i = 0; i < config_nrows; i++)
        if (strcmp(config_rows[i].key, key) == 0)
            return &config_rows[i];
    ck_abort_msg("no key %s", key);
}

/* ---- the rows ---- */

START_TEST(test_rows)
{
    ck_assert_uint_gt(config_nrows, 0);
    ck_assert_ptr_nonnull(config_rows[0].heading);
    for (size_t i = 0; i < config_nrows; i++) {
        const struct config_row *row = &config_rows[i];
        size_t len = strlen(row->text);

        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(row->key, config_rows[k].key);
        ck_assert_msg(row->initial || row->example, "%s shows no value", row->key);
        ck_assert_msg(len > 20 && row->text[len - 1] == '.', "%s: no sentence", row->key);
        ck_assert_msg(!strpbrk(row->text, "\n\t\\") && !strstr(row->text, "  "),
                      "%s: more than words in its text", row->key);
    }
}
END_TEST

START_TEST(test_default_in_range)
{
    size_t checked = 0;

    for (size_t i = 0; i < config_nrows; i++) {
        const struct config_row *row = &config_rows[i];
        uint64_t least, value, most;

        if (row->kind > CONFIG_COUNT) {
            ck_assert_msg(!row->min && !row->max, "%s has a range", row->key);
            continue;
        }
        ck_assert_ptr_null(config_number(row->kind, row->min, &least));
        ck_assert_ptr_null(config_number(row->kind, row->initial, &value));
        ck_assert_ptr_null(config_number(row->kind, row->max, &most));
        ck_assert_msg(least <= value && value <= most && least < most, "%s", row->key);
        if (row->kind != CONFIG_TIME)
            ck_assert_msg(row->width == sizeof(size_t) || most <= UINT32_MAX,
                          "%s: its most is more than its field holds", row->key);
        checked++;
    }
    ck_assert_uint_gt(checked, 0);
}
END_TEST

/* What a choice's syntax shows is what it takes. */
START_TEST(test_choices)
{
    size_t checked = 0;

    for (size_t i = 0; i < config_nrows; i++) {
        const struct config_row *row = &config_rows[i];
        char joined[128] = "";

        if (row->kind != CONFIG_CHOICE)
            continue;
        for (const struct config_choice *choice = row->choices; choice->name; choice++) {
            struct config config;
            char line[64];
            unsigned value;

            if (*joined)
                strcat(joined, "|");
            strcat(joined, choice->name);
            snprintf(line, sizeof line, "%s %s", row->key, choice->name);
            must_parse(&config, line);
            ck_assert_uint_eq(row->width, sizeof value);
            memcpy(&value, (const char *)&config + row->offset, sizeof value);
            ck_assert_uint_eq(value, choice->value);
            config_clear(&config);
        }
        ck_assert_str_eq(row->syntax, joined);
        checked++;
    }
    ck_assert_uint_eq(checked, 3);
}
END_TEST

/* ---- what is set ---- */

static void check_defaults(const struct config *config)
{
    ck_assert_uint_eq(config->nlisteners, 1);
    ck_assert_str_eq(config->listeners[0].text, "127.0.0.1:12345");
    ck_assert_int_eq(config->log_level, LEVEL_INFO);
    ck_assert_double_eq(config->drain_timeout, 10);
    ck_assert_int_eq(config->script.default_scope, SCOPE_PROC);
    ck_assert_double_eq(config->script.timeout, 1);
    ck_assert_double_eq(config->script.cpu, 0.1);
    ck_assert_uint_eq(config->script.memory, 128 << 20);
    ck_assert_uint_eq(config->script.concurrency, 10000);
    ck_assert_int_eq(config->agent.pipelining, PIPELINING_AUTO);
    ck_assert_uint_eq(config->agent.max_frame_size, 1 << 20);
    ck_assert_uint_eq(config->agent.max_payload, 1 << 20);
    ck_assert_uint_eq(config->agent.max_connections, 10000);
    ck_assert_uint_eq(config->agent.max_pending, 1000);
    ck_assert_uint_eq(config->agent.max_output, 1 << 20);
    ck_assert_double_eq(config->agent.hello_timeout, 5);
    ck_assert_double_eq(config->agent.fragment_timeout, 5);
    ck_assert_double_eq(config->agent.write_timeout, 5);
    ck_assert_int_eq(config->agent.error_scope, SCOPE_TXN);
    ck_assert(span_is(config->agent.error_name, "spoa_error"));
}

START_TEST(test_defaults)
{
    struct config config;

    must_parse(&config, "");
    check_defaults(&config);
    ck_assert_uint_eq(config.script.npaths, 0);
    config_clear(&config);
    ck_assert_ptr_null(config.listeners);
    config_clear(&config);

    config_defaults(&config);
    check_defaults(&config);
    ck_assert_uint_eq(config.script.npaths, 0);
    ck_assert_uint_eq(config.script.nfiles, 0);
    config_clear(&config);
}
END_TEST

/* Every key, each with a value of its own. */
START_TEST(test_every_key)
{
    struct config config;

    must_parse(&config, "drain-timeout 1ms\n"
                        "max-output 2k\n"
                        "max-pending 3\n"
                        "max-connections 4\n"
                        "write-timeout 5m\n"
                        "hello-timeout 6m\n"
                        "fragment-timeout 7m\n"
                        "max-payload 8k\n"
                        "max-frame-size 9k\n"
                        "pipelining off\n"
                        "handler-concurrency 10\n"
                        "handler-memory 11m\n"
                        "handler-cpu 12345us\n"
                        "handler-timeout 1h\n"
                        "error-variable sess.a.b\n"
                        "default-scope res\n"
                        "log-level err\n"
                        "lua-prepend-path /a/?.lua\n"
                        "lua-prepend-path /b/?.so cpath\n"
                        "lua-prepend-path /c/?.lua path\n"
                        "listen *:1\n"
                        "listen abns:x\n"
                        "script nothing-here-*.lua\n");
    ck_assert_double_eq(config.drain_timeout, 0.001);
    ck_assert_uint_eq(config.agent.max_output, 2048);
    ck_assert_uint_eq(config.agent.max_pending, 3);
    ck_assert_uint_eq(config.agent.max_connections, 4);
    ck_assert_double_eq(config.agent.write_timeout, 300);
    ck_assert_double_eq(config.agent.hello_timeout, 360);
    ck_assert_double_eq(config.agent.fragment_timeout, 420);
    ck_assert_uint_eq(config.agent.max_payload, 8192);
    ck_assert_uint_eq(config.agent.max_frame_size, 9216);
    ck_assert_int_eq(config.agent.pipelining, PIPELINING_OFF);
    ck_assert_uint_eq(config.script.concurrency, 10);
    ck_assert_uint_eq(config.script.memory, 11 << 20);
    ck_assert_double_eq(config.script.cpu, 0.012345);
    ck_assert_double_eq(config.script.timeout, 3600);
    ck_assert_int_eq(config.agent.error_scope, SCOPE_SESS);
    ck_assert(span_is(config.agent.error_name, "a.b"));
    ck_assert_int_eq(config.script.default_scope, SCOPE_RES);
    ck_assert_int_eq(config.log_level, LEVEL_ERR);
    ck_assert_uint_eq(config.script.npaths, 3);
    ck_assert_str_eq(config.script.paths[0].pattern, "/a/?.lua");
    ck_assert_str_eq(config.script.paths[1].pattern, "/b/?.so");
    ck_assert(!config.script.paths[0].cpath && config.script.paths[1].cpath &&
              !config.script.paths[2].cpath);
    ck_assert_uint_eq(config.nlisteners, 2);
    ck_assert_str_eq(config.listeners[0].text, "*:1");
    ck_assert_str_eq(config.listeners[1].text, "abns:x");
    ck_assert_uint_eq(config.script.nfiles, 0);
    config_clear(&config);
}
END_TEST

START_TEST(test_units)
{
    static const struct {
        enum config_kind kind;
        const char *text;
        uint64_t number;
    } good[] = {
        {CONFIG_TIME, "0us", 0},
        {CONFIG_TIME, "500us", 500},
        {CONFIG_TIME, "500ms", 500000},
        {CONFIG_TIME, "2s", 2000000},
        {CONFIG_TIME, "1m", 60000000},
        {CONFIG_TIME, "1h", UINT64_C(3600000000)},
        {CONFIG_TIME, "1d", UINT64_C(86400000000)},
        {CONFIG_TIME, "18446744073709551615us", UINT64_MAX},
        {CONFIG_TIME, "18446744073709551616us", UINT64_MAX},
        {CONFIG_TIME, "18446744073709551615d", UINT64_MAX},
        {CONFIG_TIME, "99999999999999999999999999999999s", UINT64_MAX},
        {CONFIG_SIZE, "0", 0},
        {CONFIG_SIZE, "1000", 1000},
        {CONFIG_SIZE, "64k", 65536},
        {CONFIG_SIZE, "1m", 1048576},
        {CONFIG_SIZE, "1g", 1073741824},
        {CONFIG_SIZE, "17179869183g", UINT64_C(17179869183) << 30},
        {CONFIG_SIZE, "17179869184g", UINT64_MAX},
        {CONFIG_COUNT, "007", 7},
        {CONFIG_COUNT, "10000", 10000},
    };
    static const struct {
        enum config_kind kind;
        const char *text;
    } bad[] = {
        {CONFIG_TIME, ""},     {CONFIG_TIME, "1"},    {CONFIG_TIME, "s"},    {CONFIG_TIME, "1S"},
        {CONFIG_TIME, "1.5s"}, {CONFIG_TIME, "-1s"},  {CONFIG_TIME, "1 s"},  {CONFIG_TIME, "1s "},
        {CONFIG_TIME, "1k"},   {CONFIG_TIME, "1min"}, {CONFIG_TIME, "+1s"},  {CONFIG_SIZE, ""},
        {CONFIG_SIZE, "k"},    {CONFIG_SIZE, "1K"},   {CONFIG_SIZE, "1kb"},  {CONFIG_SIZE, "1s"},
        {CONFIG_SIZE, "0x10"}, {CONFIG_COUNT, ""},    {CONFIG_COUNT, "10k"}, {CONFIG_COUNT, "ten"},
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t number = 1;

        ck_assert_msg(!config_number(good[i].kind, good[i].text, &number), "%s", good[i].text);
        ck_assert_msg(number == good[i].number, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t number;

        ck_assert_msg(config_number(bad[i].kind, bad[i].text, &number) != NULL, "%s", bad[i].text);
    }
}
END_TEST

/* Both ends of every range are in it, and one more is not. */
START_TEST(test_ranges)
{
    for (size_t i = 0; i < config_nrows; i++) {
        const struct config_row *row = &config_rows[i];
        const char *base = row->kind == CONFIG_TIME ? "us" : "";
        char line[128], expected[256];
        struct config config;
        uint64_t outside[2];

        if (!row->min)
            continue;
        for (int end = 0; end < 2; end++) {
            snprintf(line, sizeof line, "%s %s", row->key, end ? row->max : row->min);
            must_parse(&config, line);
            config_clear(&config);
        }
        config_number(row->kind, row->min, &outside[0]);
        config_number(row->kind, row->max, &outside[1]);
        outside[0]--;
        outside[1]++;
        for (int end = 0; end < 2; end++) {
            snprintf(line, sizeof line, "%s %ju%s", row->key, (uintmax_t)outside[end], base);
            snprintf(expected, sizeof expected, "x.conf:1: %s is out of range: %s to %s\n", line,
                     row->min, row->max);
            must_say(line, expected);
        }
    }
}
END_TEST

/* ---- words ---- */

/* How a script's name is written, seen in the error that it is not there. */
START_TEST(test_quotes)
{
    static const struct saying sayings[] = {
        {"script /nix/a\\b", "x.conf:1: script '/nix/a\\b': No such file or directory\n"},
        {"script \"/nix/a b\"", "x.conf:1: script '/nix/a b': No such file or directory\n"},
        {"script \"/nix/#\"  # c", "x.conf:1: script '/nix/#': No such file or directory\n"},
        {"script '/nix/#\\n\"'", "x.conf:1: script '/nix/#\\n\"': No such file or directory\n"},
        {"script \"/nix/\\\\ \\\" \\t \\n\"",
         "x.conf:1: script '/nix/\\ \" ? ?': No such file or directory\n"},
        {"script /'n'i\"x/\"''y", "x.conf:1: script '/nix/y': No such file or directory\n"},
        {"script \"/nix/'\"", "x.conf:1: script '/nix/'': No such file or directory\n"},
        {"script /nix/y#z", "x.conf:1: script '/nix/y': No such file or directory\n"},
        {"\t script \t /nix \t ", "x.conf:1: script '/nix': No such file or directory\n"},
        {"'script' /nix", "x.conf:1: script '/nix': No such file or directory\n"},
        {"script \"/nix", "x.conf:1: the double quote is not closed\n"},
        {"script '/nix", "x.conf:1: the single quote is not closed\n"},
        {"script \"/nix\\", "x.conf:1: the double quote is not closed\n"},
        {"script \"/nix\\\"", "x.conf:1: the double quote is not closed\n"},
        {"script \"\nscript '", "x.conf:1: the double quote is not closed\n"
                                "x.conf:2: the single quote is not closed\n"},
        {"script \"\\x41\"", "x.conf:1: '\\x' is no escape: \\\\ \\\" \\n \\t are\n"},
        {"script \"\\'\"", "x.conf:1: '\\'' is no escape: \\\\ \\\" \\n \\t are\n"},
        {"script ''", "x.conf:1: script '' is empty: write the name of a Lua file\n"},
    };

    CHECK_SAYINGS(sayings);
}
END_TEST

START_TEST(test_lines)
{
    static const struct saying sayings[] = {
        {"\n\r\n  \t\n# all of it\n  # this too\r\n#", ""},
        {"log-level debug\r\nmax-pending 5\r\n", ""},
        {"log-level debug#x", ""},
        {"\n\nx1\r\n\nx2", "x.conf:3: unknown key 'x1': spoa-lua.conf(5) lists them all\n"
                           "x.conf:5: unknown key 'x2': spoa-lua.conf(5) lists them all\n"},
        {"log-level debug\r", ""},
        {"log-level de\rbug",
         "x.conf:1: log-level 'de?bug' is none of err|warning|notice|info|debug\n"},
        {"a a a a a a a a a a a a a a a a a", "x.conf:1: the line has more than 16 words\n"},
    };

    static const char nul[] = "max-pending 1\nlog-level\0 info\nmax-output 2k\n";

    CHECK_SAYINGS(sayings);
    must_say_bytes(nul, sizeof nul - 1,
                   "x.conf:2: the line has a NUL byte: this is no text file\n");
    must_say_bytes("#\0", 2, "x.conf:1: the line has a NUL byte: this is no text file\n");
}
END_TEST

START_TEST(test_long_line)
{
    char text[4200], expected[4300];

    memset(text, 'x', sizeof text);
    text[0] = '#';
    must_say_bytes(text, 4096, "");
    must_say_bytes(text, 4097, "x.conf:1: the line is longer than 4096 bytes\n");
    text[4096] = '\n';
    text[4097] = '\n';
    must_say_bytes(text, 4099, "x.conf:3: unknown key 'x': spoa-lua.conf(5) lists them all\n");

    /* The most words in the longest line, and the longest word. */
    memset(text, 'x', sizeof text);
    memcpy(text, "log-level ", 10);
    for (size_t i = 0; i < 14; i++)
        text[11 + 2 * i] = ' ';
    must_say_bytes(text, 4096,
                   "x.conf:1: log-level: 'x' is too much: log-level "
                   "err|warning|notice|info|debug\n");
    memset(text, 'x', sizeof text);
    snprintf(expected, sizeof expected,
             "x.conf:1: unknown key '%.4096s': spoa-lua.conf(5) lists them all\n", text);
    must_say_bytes(text, 4096, expected);
}
END_TEST

/* ---- keys ---- */

START_TEST(test_did_you_mean)
{
    static const struct saying sayings[] = {
        {"handler-timout 1s",
         "x.conf:1: unknown key 'handler-timout': did you mean 'handler-timeout'?\n"},
        {"listn *:1", "x.conf:1: unknown key 'listn': did you mean 'listen'?\n"},
        {"scripts x", "x.conf:1: unknown key 'scripts': did you mean 'script'?\n"},
        {"log_level info", "x.conf:1: unknown key 'log_level': did you mean 'log-level'?\n"},
        {"Log-Level info", "x.conf:1: unknown key 'Log-Level': did you mean 'log-level'?\n"},
        {"max-conections 1",
         "x.conf:1: unknown key 'max-conections': did you mean 'max-connections'?\n"},
        {"lua-prepend-paht x",
         "x.conf:1: unknown key 'lua-prepend-paht': did you mean 'lua-prepend-path'?\n"},
        {"bind *:1", "x.conf:1: unknown key 'bind': spoa-lua.conf(5) lists them all\n"},
        {"''", "x.conf:1: unknown key '': spoa-lua.conf(5) lists them all\n"},
        {"handler-timeout-handler-timeout-handler-timeout",
         "x.conf:1: unknown key 'handler-timeout-handler-timeout-handler-timeout': "
         "spoa-lua.conf(5) lists them all\n"},
        {"\xff\x01", "x.conf:1: unknown key '\xff?': spoa-lua.conf(5) lists them all\n"},
    };

    CHECK_SAYINGS(sayings);
}
END_TEST

START_TEST(test_values)
{
    static const struct saying sayings[] = {
        {"log-level",
         "x.conf:1: log-level needs a value: log-level err|warning|notice|info|debug\n"},
        {"listen # none",
         "x.conf:1: listen needs a value: listen ADDRESS [mode M] [owner U] [group G]\n"},
        {"max-pending 1 2", "x.conf:1: max-pending: '2' is too much: max-pending NUMBER\n"},
        {"script a b", "x.conf:1: script: 'b' is too much: script GLOB\n"},
        {"log-level warn", "x.conf:1: log-level 'warn' is none of err|warning|notice|info|debug\n"},
        {"log-level ''", "x.conf:1: log-level '' is none of err|warning|notice|info|debug\n"},
        {"pipelining yes", "x.conf:1: pipelining 'yes' is none of auto|on|off\n"},
        {"default-scope session",
         "x.conf:1: default-scope 'session' is none of proc|sess|txn|req|res\n"},
        {"handler-timeout 500", "x.conf:1: handler-timeout '500' needs a unit: us, ms, s, m, h or "
                                "d (HAProxy would take it as ms)\n"},
        {"handler-timeout 0.5s",
         "x.conf:1: handler-timeout '0.5s' is not a time: write a whole number and its unit, us, "
         "ms, s, m, h or d\n"},
        {"max-output 1mb", "x.conf:1: max-output '1mb' is not a size: write a whole number of "
                           "bytes, or one with k, m or g behind\n"},
        {"max-pending 1k", "x.conf:1: max-pending '1k' is not a whole number\n"},
        {"max-pending -1", "x.conf:1: max-pending '-1' is not a whole number\n"},
        {"max-frame-size 4g", "x.conf:1: max-frame-size 4g is out of range: 256 to 1m\n"},
        {"max-pending 4294967297",
         "x.conf:1: max-pending 4294967297 is out of range: 1 to 1000000\n"},
        {"lua-prepend-path /x.lua",
         "x.conf:1: lua-prepend-path '/x.lua' needs a '?' where the module's name goes, such as "
         "/etc/spoa-lua/lib/?.lua\n"},
        {"lua-prepend-path '/?.lua;/b/?.lua'",
         "x.conf:1: lua-prepend-path '/?.lua;/b/?.lua' has a ';': give each pattern a line of its "
         "own\n"},
        {"lua-prepend-path /?.lua lua",
         "x.conf:1: lua-prepend-path: 'lua' is neither path nor cpath\n"},
        {"lua-prepend-path /?.lua cpath x", "x.conf:1: lua-prepend-path: 'x' is too much: "
                                            "lua-prepend-path PATTERN [path|cpath]\n"},
    };

    CHECK_SAYINGS(sayings);
}
END_TEST

START_TEST(test_twice)
{
    static const struct saying sayings[] = {
        {"max-pending 1\n\nmax-pending 1", "x.conf:3: max-pending is already set in line 1\n"},
        {"max-pending x\nmax-pending 1\nmax-pending 2",
         "x.conf:1: max-pending 'x' is not a whole number\n"
         "x.conf:2: max-pending is already set in line 1\n"
         "x.conf:3: max-pending is already set in line 1\n"},
        {"listen *:1\nlisten *:2\nlisten 0.0.0.0:1",
         "x.conf:3: listen 0.0.0.0:1 is already in line 1\n"},
        {"listen unix:/a mode 600\nlisten unix:/a",
         "x.conf:2: listen unix:/a is already in line 1\n"},
        {"listen *:0\nlisten *:0", ""},
        {"lua-prepend-path /?\nlua-prepend-path /?", ""},
    };
    struct config config;

    CHECK_SAYINGS(sayings);
    /* Every key that is not said to be repeatable. */
    for (size_t i = 0; i < config_nrows; i++) {
        const struct config_row *row = &config_rows[i];
        const char *value = row->initial ? row->initial : row->example;
        char text[256], expected[128];

        if (row->kind == CONFIG_ADDRESS)
            continue;
        snprintf(text, sizeof text, "%s %s\n%s %s\n", row->key, value, row->key, value);
        snprintf(expected, sizeof expected, "x.conf:2: %s is already set in line 1\n", row->key);
        if (row->repeatable)
            must_parse(&config, text);
        else
            must_say(text, expected);
        if (row->repeatable)
            config_clear(&config);
    }
}
END_TEST

/* The line of the first error does not hide the others. */
START_TEST(test_all_at_once)
{
    must_say("listen 127.0.0.1\n"
             "listen unix:/a mode 9 owner nobody-at-all group\n"
             "listne *:1\n"
             "log-level \"info\n"
             "script /nix.lua\n"
             "error-variable x\n"
             "max-pending 0\n",
             "x.conf:1: listen '127.0.0.1': write IP:PORT, [IP6]:PORT, *:PORT, unix:/PATH or "
             "abns:NAME\n"
             "x.conf:2: mode '9' is not octal of 3 or 4 digits, such as 0660\n"
             "x.conf:2: owner 'nobody-at-all': there is no such user\n"
             "x.conf:2: 'group' needs a value\n"
             "x.conf:3: unknown key 'listne': did you mean 'listen'?\n"
             "x.conf:4: the double quote is not closed\n"
             "x.conf:5: script '/nix.lua': No such file or directory\n"
             "x.conf:6: error-variable 'x' needs a scope: SCOPE.NAME with proc, sess, txn, req or "
             "res, such as txn.spoa_error\n"
             "x.conf:7: max-pending 0 is out of range: 1 to 1000000\n");
}
END_TEST

START_TEST(test_error_variable)
{
    struct config config;
    struct span name = {"a-b", 3};
    char expected[256], longest[80] = "error-variable txn.";

    must_parse(&config, "error-variable req.x");
    ck_assert_int_eq(config.agent.error_scope, SCOPE_REQ);
    ck_assert(span_is(config.agent.error_name, "x"));
    config_clear(&config);

    snprintf(expected, sizeof expected, "x.conf:1: error-variable 'txn.a-b' %s\n",
             action_name_fault(SCOPE_TXN, name));
    must_say("error-variable txn.a-b", expected);
    name.len = 0;
    snprintf(expected, sizeof expected, "x.conf:1: error-variable 'txn.' %s\n",
             action_name_fault(SCOPE_TXN, name));
    must_say("error-variable txn.", expected);
    must_say("error-variable session.x",
             "x.conf:1: error-variable 'session.x' needs a scope: SCOPE.NAME with proc, sess, txn, "
             "req or res, such as txn.spoa_error\n");

    memset(longest + 19, 'x', ACTION_NAME_MAX - 4);
    must_parse(&config, longest);
    config_clear(&config);
}
END_TEST

/* ---- listen ---- */

START_TEST(test_listen_keywords)
{
    struct config config;
    struct passwd *root = getpwuid(0);
    struct group *wheel = getgrgid(0);
    char text[160];

    ck_assert(root && wheel);
    snprintf(text, sizeof text,
             "listen unix:/a mode 0640 owner %s group %s\n"
             "listen unix:/b group 4711 mode 777\n"
             "listen unix:/c owner 4294967294\n",
             root->pw_name, wheel->gr_name);
    must_parse(&config, text);
    ck_assert_uint_eq(config.nlisteners, 3);
    ck_assert_uint_eq(config.listeners[0].mode, 0640);
    ck_assert_uint_eq(config.listeners[0].owner, 0);
    ck_assert_uint_eq(config.listeners[0].group, 0);
    ck_assert_uint_eq(config.listeners[1].mode, 0777);
    ck_assert_uint_eq(config.listeners[1].owner, (uid_t)-1);
    ck_assert_uint_eq(config.listeners[1].group, 4711);
    ck_assert_uint_eq(config.listeners[2].mode, (mode_t)-1);
    ck_assert_uint_eq(config.listeners[2].owner, 4294967294);
    config_clear(&config);
}
END_TEST

START_TEST(test_listen_wrong)
{
    static const struct saying sayings[] = {
        {"listen localhost:1",
         "x.conf:1: listen 'localhost:1': 'localhost' is not an IPv4 address (names are not "
         "resolved)\n"},
        {"listen *:1 mode 0660", "x.conf:1: 'mode' is for unix: addresses only\n"},
        {"listen [::]:1 owner root group root", "x.conf:1: 'owner' is for unix: addresses only\n"
                                                "x.conf:1: 'group' is for unix: addresses only\n"},
        {"listen abns:x mode 0660", "x.conf:1: 'mode' is for unix: addresses only\n"},
        {"listen unix:/a mod 0660", "x.conf:1: 'mod' is none of mode, owner and group\n"},
        {"listen unix:/a mode", "x.conf:1: 'mode' needs a value\n"},
        {"listen unix:/a mode 600 mode 600", "x.conf:1: 'mode' is given twice\n"},
        {"listen unix:/a mode 66", "x.conf:1: mode '66' is not octal of 3 or 4 digits, such as "
                                   "0660\n"},
        {"listen unix:/a mode 00660", "x.conf:1: mode '00660' is not octal of 3 or 4 digits, such "
                                      "as 0660\n"},
        {"listen unix:/a mode 1777", "x.conf:1: mode '1777' is not octal of 3 or 4 digits, such "
                                     "as 0660\n"},
        {"listen unix:/a mode 668", "x.conf:1: mode '668' is not octal of 3 or 4 digits, such as "
                                    "0660\n"},
        {"listen unix:/a mode rw", "x.conf:1: mode 'rw' is not octal of 3 or 4 digits, such as "
                                   "0660\n"},
        {"listen unix:/a group nobody-at-all",
         "x.conf:1: group 'nobody-at-all': there is no such group\n"},
        {"listen unix:/a owner 4294967295",
         "x.conf:1: owner '4294967295': there is no such user\n"},
        {"listen unix:/a mode 600 owner 0 group 0 x",
         "x.conf:1: listen: 'x' is too much: listen ADDRESS [mode M] [owner U] [group G]\n"},
    };

    CHECK_SAYINGS(sayings);
}
END_TEST

/* ---- scripts and paths ---- */

static char folder[64];

static void make_file(const char *name)
{
    char path[160];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_ptr_nonnull(file = fopen(path, "w"));
    ck_assert_int_eq(fclose(file), 0);
}

static void make_folder(const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

#define PLAIN_FOLDER "/tmp/spoa-lua-config-XXXXXX"
#define ODD_FOLDER   "/tmp/spoa-lua-[config]-*\\-XXXXXX" /* wildcards that are none */

static void folder_make(const char *template)
{
    strcpy(folder, template);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_folder("h");
    make_folder("h/lib.lua");
    make_file("h/c.lua");
    make_file("h/a.lua");
    make_file("h/b.lua");
    make_file("h/notes.txt");
}

static void folder_remove(void)
{
    static const char *const names[] = {"h/c.lua",   "h/a.lua", "h/b.lua", "h/notes.txt",
                                        "h/lib.lua", "h",       ""};
    char path[160];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        ck_assert_int_eq(remove(path), 0);
    }
}

/* Parses a text in which %s is the folder, of a file in the folder. */
static void check_files(const char *format, const char *const *expected, size_t n)
{
    struct config config;
    char file[128], text[512], path[160];

    snprintf(file, sizeof file, "%s/x.conf", folder);
    snprintf(text, sizeof text, format, folder);
    must_parse_as(&config, file, text);
    ck_assert_uint_eq(config.script.nfiles, n);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, expected[i]);
        ck_assert_str_eq(config.script.files[i], path);
    }
    config_clear(&config);
}

START_TEST(test_scripts)
{
    static const char *const sorted[] = {"h/a.lua", "h/b.lua", "h/c.lua"};
    static const char *const moved[] = {"h/c.lua", "h/a.lua", "h/b.lua"};
    static const char *const some[] = {"h/b.lua", "h/notes.txt"};

    folder_make(ODD_FOLDER);
    check_files("script h/*.lua\n", sorted, 3); /* h/lib.lua is a folder */
    check_files("script h/c.lua\nscript h/*.lua\nscript h/a.lua\n", moved, 3);
    check_files("script h/[b]*.lua\nscript h/notes.txt\n", some, 2);
    check_files("script h/nothing-*.lua\nscript nowhere/*.lua\nscript h/a.lua/*\n", NULL, 0);
    folder_remove();
    folder_make(PLAIN_FOLDER);
    check_files("script %1$s/h/b.lua\nscript %1$s/h/n*\n", some, 2);
    folder_remove();
}
END_TEST

/* Without a folder in its name, the file is in the working directory. */
START_TEST(test_scripts_here)
{
    struct config config;
    char back[4096];

    folder_make(ODD_FOLDER);
    ck_assert_ptr_nonnull(getcwd(back, sizeof back));
    ck_assert_int_eq(chdir(folder), 0);
    must_parse(&config, "script h/*.lua\nscript h/notes.txt\nlua-prepend-path h/?.lua\n");
    ck_assert_uint_eq(config.script.nfiles, 4);
    ck_assert_str_eq(config.script.files[0], "h/a.lua");
    ck_assert_str_eq(config.script.files[3], "h/notes.txt");
    ck_assert_str_eq(config.script.paths[0].pattern, "h/?.lua");
    config_clear(&config);
    ck_assert_int_eq(chdir(back), 0);
    folder_remove();
}
END_TEST

START_TEST(test_scripts_wrong)
{
    struct config config;
    char file[128], expected[1024], *errors;
    static const char text[] = "script h\nscript h/x.lua\nscript \"h/a.lua/x\"\n";

    folder_make(ODD_FOLDER);
    snprintf(file, sizeof file, "%s/x.conf", folder);
    snprintf(expected, sizeof expected,
             "%s:1: script '%s/h' is a folder: write %s/h/*.lua for the scripts in it\n"
             "%s:2: script '%s/h/x.lua': No such file or directory\n"
             "%s:3: script '%s/h/a.lua/x': Not a directory\n",
             file, folder, folder, file, folder, file, folder);
    errors = errors_of(&config, file, text, strlen(text));
    ck_assert_str_eq(errors, expected);
    ck_assert_uint_eq(config.script.nfiles, 0);
    free(errors);
    config_clear(&config);
    folder_remove();
}
END_TEST

START_TEST(test_paths)
{
    struct config config;

    must_parse_as(&config, "/etc/spoa-lua/x.conf",
                  "lua-prepend-path lib/?.lua\nlua-prepend-path ./?.so cpath\n"
                  "lua-prepend-path /usr/share/?/init.lua\n");
    ck_assert_uint_eq(config.script.npaths, 3);
    ck_assert_str_eq(config.script.paths[0].pattern, "/etc/spoa-lua/lib/?.lua");
    ck_assert_str_eq(config.script.paths[1].pattern, "/etc/spoa-lua/./?.so");
    ck_assert_str_eq(config.script.paths[2].pattern, "/usr/share/?/init.lua");
    config_clear(&config);
}
END_TEST

/* ---- files ---- */

static void check_read(const char *path, const char *expected)
{
    struct config config;
    char *errors = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&errors, &size);

    ck_assert_uint_eq(config_read(&config, path, out), *expected ? 1 : 0);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_str_eq(errors, expected);
    ck_assert_uint_eq(config.script.concurrency, *expected ? 10000 : 77);
    free(errors);
    config_clear(&config);
}

START_TEST(test_read)
{
    char path[] = "/tmp/spoa-lua-config-XXXXXX", expected[128];
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");

    ck_assert_ptr_nonnull(file);
    fputs("handler-concurrency 77", file);
    ck_assert_int_eq(fflush(file), 0);
    check_read(path, "");
    fputs("\n#", file);
    for (int i = 0; i < 1 << 20; i++)
        fputc(i % 80 ? ' ' : '\n', file);
    ck_assert_int_eq(fclose(file), 0);
    snprintf(expected, sizeof expected, "%s: cannot be read: File too large\n", path);
    check_read(path, expected);
    ck_assert_int_eq(unlink(path), 0);
    snprintf(expected, sizeof expected, "%s: cannot be read: No such file or directory\n", path);
    check_read(path, expected);
    check_read("/tmp", "/tmp: cannot be read: Is a directory\n");
}
END_TEST

/* ---- what documents it ---- */

static char *file_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 18);

    ck_assert_msg(file != NULL, "%s: the tests run in the source's folder", path);
    ck_assert_uint_lt(fread(text, 1, (1 << 18) - 1, file), (1 << 18) - 1);
    fclose(file);
    return text;
}

static char *written(void (*write_it)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    write_it(out);
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

START_TEST(test_example_is_current)
{
    char *file = file_text("spoa-lua.conf.example"), *rows = written(config_write_example);

    ck_assert_msg(strcmp(file, rows) == 0,
                  "build/config-doc example > spoa-lua.conf.example, and commit it");
    free(file);
    free(rows);
}
END_TEST

START_TEST(test_manual_is_current)
{
    char *file = file_text("doc/spoa-lua.conf.5"), *rows = written(config_write_manual);

    ck_assert_msg(strcmp(file, rows) == 0,
                  "build/config-doc manual > doc/spoa-lua.conf.5, and commit it");
    free(file);
    free(rows);
}
END_TEST

START_TEST(test_example_is_accepted)
{
    char *text = written(config_write_example), *line = text, *out = text;
    struct config config;
    size_t keys = 0;

    must_parse(&config, text);
    check_defaults(&config);
    config_clear(&config);

    /* As its first lines say: "remove the `#` before a key". */
    while (*line) {
        size_t len = strcspn(line, "\n") + 1;
        bool key = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z';

        ck_assert_uint_le(len - 1, 100);
        keys += key;
        memmove(out, line + key, len - key);
        out += len - key;
        line += len;
    }
    *out = '\0';
    ck_assert_uint_eq(keys, config_nrows);
    must_parse(&config, text);
    check_defaults(&config);
    ck_assert_uint_eq(config.script.npaths, 1);
    ck_assert_str_eq(config.script.paths[0].pattern, row_of("lua-prepend-path")->example);
    config_clear(&config);
    free(text);
}
END_TEST

START_TEST(test_manual_has_every_key)
{
    char *text = written(config_write_manual), item[128];

    for (size_t i = 0; i < config_nrows; i++) {
        snprintf(item, sizeof item, "\n.It Ic %s Ar ", config_rows[i].key);
        ck_assert_msg(strstr(text, item), "%s", config_rows[i].key);
    }
    free(text);
}
END_TEST

UNIT_MAIN("config", test_rows, test_default_in_range, test_choices, test_defaults, test_every_key,
          test_units, test_ranges, test_quotes, test_lines, test_long_line, test_did_you_mean,
          test_values, test_twice, test_all_at_once, test_error_variable, test_listen_keywords,
          test_listen_wrong, test_scripts, test_scripts_here, test_scripts_wrong, test_paths,
          test_read, test_example_is_current, test_manual_is_current, test_example_is_accepted,
          test_manual_has_every_key)
