#include <string.h>

#include "../unit.h"
#include "daemon/config_row.h"
#include "saying.h"

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

UNIT_MAIN("config_doc", test_rows, test_default_in_range, test_example_is_current,
          test_manual_is_current, test_example_is_accepted, test_manual_has_every_key)
