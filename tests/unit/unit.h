/*
 * unit: the main of a test program.  A new test is one file, tests/unit/.../test_NOUN.c,
 * that ends with
 *
 *     UNIT_MAIN("noun", test_one, test_two)
 *
 * Each test runs in a process of its own, so that one which crashes fails alone.
 */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <stdlib.h>

/* Generous: under valgrind on a busy machine everything is fifty times slower. */
#define UNIT_TIMEOUT 120

static inline int unit_run(const char *name, const TTest *const *tests, size_t count)
{
    TCase *tcase = tcase_create(name);
    Suite *suite = suite_create(name);

    tcase_set_timeout(tcase, UNIT_TIMEOUT);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define UNIT_MAIN(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const unit_tests[] = {__VA_ARGS__};                                           \
        return unit_run(name, unit_tests, sizeof unit_tests / sizeof *unit_tests);                 \
    }

#endif
