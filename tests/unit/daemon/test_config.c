#include "daemon/config.h"

#include <string.h>
#include <unistd.h>

#include "../unit.h"
#include "daemon/config_row.h"
#include "saying.h"

/* ---- what is set ---- */

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
         "x.conf:1: script '/nix/\\ \" \\x09 \\x0a': No such file or directory\n"},
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
         "x.conf:1: log-level 'de\\x0dbug' is none of err|warning|notice|info|debug\n"},
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
        {"\xff\x01", "x.conf:1: unknown key '\\xff\\x01': spoa-lua.conf(5) lists them all\n"},
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
        {"handler a timeout 1s\nhandler b timeout 1s", ""},
        {"handler a timeout 1s\n\nhandler a concurrency 2",
         "x.conf:3: handler a is already in line 1\n"},
    };
    struct config config;

    CHECK_SAYINGS(sayings);
    /* Every key that is not said to be repeatable. */
    for (size_t i = 0; i < config_nrows; i++) {
        const struct config_row *row = &config_rows[i];
        const char *value = row->initial ? row->initial : row->example;
        char text[256], expected[128];

        if (row->kind == CONFIG_ADDRESS || row->kind == CONFIG_HANDLER)
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

UNIT_MAIN("config", test_defaults, test_every_key, test_quotes, test_lines, test_long_line,
          test_did_you_mean, test_twice, test_all_at_once, test_read)
