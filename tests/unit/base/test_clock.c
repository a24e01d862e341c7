#include <unistd.h>

#include "../unit.h"
#include "base/clock.h"

START_TEST(a_look_never_goes_back)
{
    uint64_t first = clock_look();

    ck_assert_uint_ge(clock_look(), first);
}
END_TEST

START_TEST(what_was_seen_stays_until_it_is_forgotten)
{
    uint64_t seen = clock_look();

    usleep(1000);
    ck_assert_uint_eq(clock_seen(), seen);
    clock_forget();
    ck_assert_uint_gt(clock_seen(), seen);
}
END_TEST

START_TEST(a_time_after_another_is_that_many_seconds_away)
{
    uint64_t later = clock_after(CLOCK_SECOND, 1.5);

    ck_assert_uint_eq(later, CLOCK_SECOND * 5 / 2);
    ck_assert(clock_seconds(CLOCK_SECOND, later) == 1.5);
    ck_assert(clock_seconds(later, CLOCK_SECOND) == -1.5);
}
END_TEST

START_TEST(what_is_too_far_away_is_never)
{
    ck_assert_uint_eq(clock_after(CLOCK_SECOND, 1e12), CLOCK_NEVER);
    ck_assert_uint_eq(clock_after(CLOCK_SECOND, -1), CLOCK_SECOND);
}
END_TEST

static ev_tstamp fired_at;

static void fired(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)timer;
    (void)events;
    fired_at = ev_time();
    ev_break(loop, EVBREAK_ALL);
}

START_TEST(a_timer_counts_from_now_and_not_from_the_turn)
{
    struct ev_loop *loop = ev_loop_new(0);
    ev_timer timer;
    ev_tstamp asked;

    ev_timer_init(&timer, fired, 0, 0);
    usleep(60000); /* the loop's own clock does not see this */
    asked = ev_time();
    clock_timer(loop, &timer, 0.05);
    ev_run(loop, 0);
    ck_assert(fired_at - asked >= 0.049);
    ev_loop_destroy(loop);
}
END_TEST

UNIT_MAIN("clock", a_look_never_goes_back, what_was_seen_stays_until_it_is_forgotten,
          a_time_after_another_is_that_many_seconds_away, what_is_too_far_away_is_never,
          a_timer_counts_from_now_and_not_from_the_turn)
