#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit.h"
#include "daemon/config_row.h"
#include "saying.h"

/* ---- numbers and words ---- */

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
    ck_assert_uint_eq(checked, 4);
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

UNIT_MAIN("config_value", test_units, test_ranges, test_choices, test_values, test_error_variable,
          test_listen_keywords, test_listen_wrong, test_scripts, test_scripts_here,
          test_scripts_wrong, test_paths)
