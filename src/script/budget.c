#include "script/budget.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* glibc has the member but, before 2.38, no name for it. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define BUDGET_SIGNAL SIGVTALRM
#define TICKS         4 /* in a budget */

static struct {
    lua_State *volatile running; /* the innermost coroutine, NULL between runs */
    volatile unsigned ticks;     /* left of this run */
    lua_State *volatile armed;   /* the last one the hook was set on */
    volatile unsigned long beats;
    lua_Hook expired;
    timer_t timer;
} budget;

/* lua_sethook is made to be called from a signal handler (lua.c does the same). */
static void budget_tick(int signal)
{
    (void)signal;
    if (!budget.running)
        return;
    budget.beats++;
    if (budget.ticks > 0) {
        budget.ticks--;
        return;
    }
    budget.armed = budget.running;
    lua_sethook(budget.running, budget.expired, LUA_MASKCOUNT, 1);
}

bool budget_open(double seconds, lua_Hook expired)
{
    struct sigaction action = {.sa_handler = budget_tick, .sa_flags = SA_RESTART};
    struct sigevent event;
    long ns = (long)(seconds * 1e9 / TICKS);
    struct timespec period = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    struct itimerspec each = {.it_interval = period, .it_value = period};

    budget.expired = expired;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = BUDGET_SIGNAL;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    return sigaction(BUDGET_SIGNAL, &action, NULL) == 0 &&
           timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &budget.timer) == 0 &&
           timer_settime(budget.timer, 0, &each, NULL) == 0;
}

void budget_close(void)
{
    timer_delete(budget.timer);
}

void budget_enter(lua_State *lua, unsigned allowance)
{
    budget.ticks = TICKS * allowance;
    budget.running = lua;
}

struct budget_run budget_save(void)
{
    struct budget_run run = {budget.running, budget.armed, budget.ticks};

    budget.running = NULL;
    budget.armed = NULL;
    return run;
}

void budget_restore(struct budget_run run)
{
    budget.ticks = run.ticks;
    budget.armed = run.armed;
    budget.running = run.running;
    if (run.armed)
        lua_sethook(run.running, budget.expired, LUA_MASKCOUNT, 1);
}

void budget_switch(lua_State *lua)
{
    budget.running = lua;
    /* The hook of the coroutine that was left does not count instructions of this one. */
    if (budget.armed)
        lua_sethook(lua, budget.expired, LUA_MASKCOUNT, 1);
}

unsigned long budget_beats(void)
{
    return budget.beats;
}

bool budget_expired(lua_State *lua)
{
    if (budget.armed)
        return true;
    lua_sethook(lua, NULL, 0, 0);
    return false;
}

bool budget_over(void)
{
    return budget.armed != NULL;
}

void budget_leave(void)
{
    lua_State *last = budget.running;

    budget.running = NULL;
    if (!budget.armed)
        return;
    budget.armed = NULL;
    lua_sethook(last, NULL, 0, 0);
}
