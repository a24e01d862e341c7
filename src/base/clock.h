/*
 * clock: the one monotonic clock, CLOCK_MONOTONIC in nanoseconds.  Nobody sets it, so nothing
 * that is measured with it jumps when somebody sets the system's time.
 *
 * A look costs as much as a small piece of Lua.  Who only wants to know when it is to within a
 * message asks for what was last seen.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <ev.h>
#include <stdint.h>

#define CLOCK_SECOND      UINT64_C(1000000000)
#define CLOCK_MILLISECOND UINT64_C(1000000)
#define CLOCK_NEVER       UINT64_MAX

/* clock.c's own: what the last look saw; 0 when that is old. */
extern uint64_t clock_last;

/* What it is now. */
uint64_t clock_look(void);

/* What the last look saw, or what it is now when there was none since clock_forget. */
static inline uint64_t clock_seen(void)
{
    return clock_last ? clock_last : clock_look();
}

/* What was seen is old: the loop has waited. */
static inline void clock_forget(void)
{
    clock_last = 0;
}

/* So much time from a point on; never later than CLOCK_NEVER. */
uint64_t clock_after(uint64_t from, double seconds);

/* Seconds from one point to another; below 0 when the other is the earlier. */
double clock_seconds(uint64_t from, uint64_t to);

/* Starts a timer that is to fire once, so many seconds from now.  libev's count from when the
 * loop last looked at its clock, which code that computes leaves behind. */
void clock_timer(struct ev_loop *loop, ev_timer *timer, double seconds);

#endif
