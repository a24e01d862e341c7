#include "base/clock.h"

#include <time.h>

uint64_t clock_last;

uint64_t clock_look(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_last = (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
    return clock_last;
}

uint64_t clock_after(uint64_t from, double seconds)
{
    double ns = seconds * (double)CLOCK_SECOND;

    return ns < (double)(CLOCK_NEVER / 2) ? from + (uint64_t)(ns > 0 ? ns : 0) : CLOCK_NEVER;
}

double clock_seconds(uint64_t from, uint64_t to)
{
    return ((double)to - (double)from) / (double)CLOCK_SECOND;
}

void clock_timer(struct ev_loop *loop, ev_timer *timer, double seconds)
{
    ev_now_update(loop);
    ev_timer_stop(loop, timer);
    ev_timer_set(timer, seconds, 0);
    ev_timer_start(loop, timer);
}
