/*
 * saying: parses a configuration's text and compares all that is said about it.
 */
#ifndef SAYING_H
#define SAYING_H

#include <stdlib.h>
#include <string.h>

#include "../unit.h"
#include "daemon/config.h"

/* Parses text as if it were FILE; the errors are to be freed. */
static inline char *errors_of(struct config *config, const char *file, const char *text, size_t len)
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

static inline void must_parse_as(struct config *config, const char *file, const char *text)
{
    char *errors = errors_of(config, file, text, strlen(text));

    ck_assert_str_eq(errors, "");
    free(errors);
}

static inline void must_parse(struct config *config, const char *text)
{
    must_parse_as(config, "x.conf", text);
}

static inline void must_say_bytes(const char *text, size_t len, const char *expected)
{
    struct config config;
    char *errors = errors_of(&config, "x.conf", text, len);

    ck_assert_str_eq(errors, expected);
    free(errors);
    config_clear(&config);
}

static inline void must_say(const char *text, const char *expected)
{
    must_say_bytes(text, strlen(text), expected);
}

/* A text and all that is said about it. */
struct saying {
    const char *text, *errors;
};

static inline void check_sayings(const struct saying *sayings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must_say(sayings[i].text, sayings[i].errors);
}

#define CHECK_SAYINGS(sayings) check_sayings(sayings, sizeof(sayings) / sizeof *(sayings))

/* What the manual promises of a file that sets nothing. */
static inline void check_defaults(const struct config *config)
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

#endif
