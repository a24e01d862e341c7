#include "script/budget.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "script/queue.h"

/* glibc has the member but, before 2.38, no name for it. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define BUDGET_SIGNAL SIGVTALRM

/* The kernel may look less often, and then says how many ticks there were.  More at once than at
 * its slowest is no work of ours, but time that another machine has had. */
#define TICK          0.002
#define TICKS_AT_ONCE 5

static struct {
    lua_State *volatile running; /* the innermost coroutine, NULL between runs */
    volatile enum budget_end end;
    volatile unsigned ticks; /* left of this run */
    volatile uint64_t until;
    volatile bool sliced;
    volatile bool slice_over;
    lua_Hook expired;
    timer_t ticker;
    timer_t slicer; /* of the wall clock, one shot at a time */
} budget;

/* ---- in the signal handler ---- */

static uint64_t monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* async-signal-safe, and base/clock is not */
    return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
}

static enum budget_end budget_judge(void)
{
    if (budget.ticks == 0)
        return BUDGET_CPU;
    if (budget.until != CLOCK_NEVER && monotonic() >= budget.until)
        return BUDGET_DEADLINE;
    return budget.sliced && budget.slice_over ? BUDGET_SLICE : BUDGET_LEFT;
}

/* lua_sethook is made to be called from a signal handler (lua.c does the same). */
static void budget_tick(int signal, siginfo_t *info, void *context)
{
    unsigned ticks = 1 + (unsigned)info->si_overrun;
    bool slice = info->si_value.sival_ptr == &budget.slicer;
    enum budget_end end;

    (void)signal;
    (void)context;
    if (slice)
        budget.slice_over = true;
    if (!budget.running)
        return;
    if (ticks > TICKS_AT_ONCE)
        ticks = TICKS_AT_ONCE;
    if (!slice)
        budget.ticks = budget.ticks > ticks ? budget.ticks - ticks : 0;
    end = budget_judge();
    if (end == BUDGET_LEFT)
        return;
    budget.end = end;
    lua_sethook(budget.running, budget.expired, LUA_MASKCOUNT, 1);
}

/* ---- the timers ---- */

static bool timer_make(clockid_t clock, timer_t *timer)
{
    struct sigevent event;

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = BUDGET_SIGNAL;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    event.sigev_value.sival_ptr = timer;
    return timer_create(clock, &event, timer) == 0;
}

bool budget_open(lua_Hook expired)
{
    struct sigaction action = {.sa_sigaction = budget_tick, .sa_flags = SA_RESTART | SA_SIGINFO};
    const struct timespec tick = {.tv_nsec = (long)(TICK * (double)CLOCK_SECOND)};
    struct itimerspec each = {tick, tick};

    budget.expired = expired;
    return sigaction(BUDGET_SIGNAL, &action, NULL) == 0 &&
           timer_make(CLOCK_THREAD_CPUTIME_ID, &budget.ticker) &&
           timer_make(CLOCK_MONOTONIC, &budget.slicer) &&
           timer_settime(budget.ticker, 0, &each, NULL) == 0;
}

void budget_close(void)
{
    timer_delete(budget.ticker);
    timer_delete(budget.slicer);
}

unsigned budget_ticks(double seconds)
{
    double ticks = seconds / TICK + 2; /* rounded up, and the first may come at once */

    return ticks < (double)UINT_MAX ? (unsigned)ticks : UINT_MAX;
}

/* A slice begins; 0 seconds: none does. */
static void slicer_set(uint64_t nanoseconds)
{
    struct itimerspec once = {.it_value = {.tv_nsec = (long)nanoseconds}};

    budget.slice_over = false;
    timer_settime(budget.slicer, 0, &once, NULL);
}

/* ---- runs ---- */

void budget_enter(lua_State *lua, const struct budget_limits *limits)
{
    budget.ticks = limits->ticks;
    budget.until = limits->until;
    budget.sliced = limits->sliced;
    if (limits->sliced)
        slicer_set(QUEUE_SLICE);
    budget.running = lua;
}

unsigned budget_leave(void)
{
    lua_State *last = budget.running;

    budget.running = NULL;
    if (budget.sliced)
        slicer_set(0);
    if (budget.end != BUDGET_LEFT) {
        budget.end = BUDGET_LEFT;
        lua_sethook(last, NULL, 0, 0);
    }
    return budget.ticks;
}

void budget_gone(void)
{
    budget.running = NULL;
    budget.end = BUDGET_LEFT;
}

bool budget_is_running(void)
{
    return budget.running != NULL;
}

lua_State *budget_switch(lua_State *lua)
{
    lua_State *before = budget.running;

    if (!before)
        return NULL;
    budget.running = lua;
    /* The hook of the coroutine that was left does not count instructions of this one. */
    if (budget.end != BUDGET_LEFT)
        lua_sethook(lua, budget.expired, LUA_MASKCOUNT, 1);
    return before;
}

struct budget_run budget_save(void)
{
    struct budget_run run = {.running = budget.running};

    budget.running = NULL; /* from here on no tick counts */
    run.end = budget.end;
    run.limits = (struct budget_limits){budget.ticks, budget.until, budget.sliced};
    budget.end = BUDGET_LEFT;
    if (run.running)
        lua_sethook(run.running, NULL, 0, 0);
    return run;
}

/* The inner run was neither sliced nor counted here, so what it took is looked at now: a run
 * that does little else might never meet a tick of its own. */
void budget_restore(const struct budget_run *run)
{
    budget.ticks = run->limits.ticks;
    budget.until = run->limits.until;
    budget.sliced = run->limits.sliced;
    budget.running = run->running;
    budget.end = run->end != BUDGET_LEFT ? run->end : budget_judge();
    if (budget.end != BUDGET_LEFT)
        lua_sethook(run->running, budget.expired, LUA_MASKCOUNT, 1);
}

enum budget_end budget_expired(lua_State *lua)
{
    if (budget.end == BUDGET_LEFT)
        lua_sethook(lua, NULL, 0, 0);
    return budget.end;
}

void budget_defer(lua_State *lua)
{
    lua_sethook(lua, budget.expired, lua_isyieldable(lua) ? LUA_MASKCOUNT : LUA_MASKRET, 1);
}

void budget_stretch(lua_State *lua)
{
    budget.end = BUDGET_LEFT;
    slicer_set(QUEUE_SLICE);
    lua_sethook(lua, NULL, 0, 0);
}

bool budget_over(void)
{
    return budget.end == BUDGET_CPU || budget.end == BUDGET_DEADLINE;
}
