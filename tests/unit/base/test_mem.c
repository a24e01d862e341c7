#include "base/mem.h"

#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit.h"

/* Let malloc refuse a size as it does without AddressSanitizer. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:log_path=/dev/null";
}

START_TEST(sizes)
{
    uint8_t *block = mem_alloc(10);
    char *copy;

    memset(block, 7, 10);
    block = mem_resize(block, 1000);
    for (size_t i = 0; i < 10; i++)
        ck_assert_uint_eq(block[i], 7);
    memset(block, 7, 1000);
    free(block);
    block = mem_zalloc(1000);
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(block[i], 0);
    free(block);
    copy = mem_strndup("a\0b, and more", 3);
    ck_assert_mem_eq(copy, "a\0b", 4);
    free(copy);
    copy = mem_strndup("", 0);
    ck_assert_str_eq(copy, "");
    free(copy);
}
END_TEST

/* Nothing at all is a block too: NULL would look like a failure. */
START_TEST(nothing_is_a_block)
{
    void *block = mem_alloc(0), *zeroes = mem_zalloc(0);

    ck_assert_ptr_nonnull(block);
    ck_assert_ptr_nonnull(zeroes);
    block = mem_resize(block, 0);
    ck_assert_ptr_nonnull(block);
    free(block);
    free(zeroes);
}
END_TEST

static volatile size_t too_much = SIZE_MAX / 4;

static void alloc_too_much(void)
{
    free(mem_alloc(too_much));
}

static void zalloc_too_much(void)
{
    free(mem_zalloc(too_much));
}

static void resize_too_much(void)
{
    static void *volatile block; /* still there at the end, as no leak */

    block = mem_alloc(1);
    free(mem_resize(block, too_much));
}

/* One line, then SIGABRT. */
static void expect_abort(void (*attempt)(void))
{
    char text[4096], *line;
    int fds[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        attempt();
        _exit(0);
    }
    close(fds[1]);
    while ((n = read(fds[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %d: %s", status,
                  text);
    line = strstr(text, "out of memory: 4611686018427387903 bytes could not be had\n");
    ck_assert_msg(line != NULL, "%s", text);
}

START_TEST(no_memory_is_the_end)
{
    expect_abort(alloc_too_much);
    expect_abort(zalloc_too_much);
    expect_abort(resize_too_much);
}
END_TEST

UNIT_MAIN("mem", sizes, nothing_is_a_block, no_memory_is_the_end)
