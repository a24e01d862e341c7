#include "daemon/prover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

/* Scripts may wait for what they need, each function so long (script/load.c); somebody waits
 * for this answer. */
#define PATIENCE 120.0

/* Of errors; what is behind is not kept. */
#define TEXT_MAX 16384

struct prover {
    struct ev_loop *loop;
    pid_t pid;
    int fd; /* its stderr */
    ev_io reader;
    ev_child exit;
    ev_timer overdue;
    bool exited, silent; /* no more is to come */
    bool late;
    int status;
    size_t len;
    prover_done_fn *done;
    void *context;
    char text[TEXT_MAX + 1];
};

static void prover_free(struct prover *prover)
{
    ev_io_stop(prover->loop, &prover->reader);
    ev_child_stop(prover->loop, &prover->exit);
    ev_timer_stop(prover->loop, &prover->overdue);
    close(prover->fd);
    free(prover);
}

/* What it said may end without a word, as when it was killed. */
static void explain(struct prover *prover)
{
    char *at = prover->text + prover->len;
    size_t room = sizeof prover->text - prover->len;

    if (prover->late)
        snprintf(at, room, "the scripts have not loaded within %.0f s\n", PATIENCE);
    else if (WIFSIGNALED(prover->status))
        snprintf(at, room, "the process that loaded them was killed by signal %d (%s)\n",
                 WTERMSIG(prover->status), strsignal(WTERMSIG(prover->status)));
    else if (prover->len == 0)
        snprintf(at, room, "the process that loaded them ended with status %d\n",
                 WEXITSTATUS(prover->status));
}

static void prover_over(struct prover *prover)
{
    prover_done_fn *done = prover->done;
    void *context = prover->context;
    bool good = WIFEXITED(prover->status) && WEXITSTATUS(prover->status) == 0;
    char *text;

    if (!prover->exited || !prover->silent)
        return;
    if (!good)
        explain(prover);
    text = mem_strndup(prover->text, strlen(prover->text));
    prover_free(prover);
    done(context, good, text);
    free(text);
}

static void prover_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct prover *prover = io->data;
    char spilled[1024];
    bool full = prover->len == TEXT_MAX;
    ssize_t n = read(prover->fd, full ? spilled : prover->text + prover->len,
                     full ? sizeof spilled : TEXT_MAX - prover->len);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        if (!full)
            prover->len += (size_t)n;
        return;
    }
    ev_io_stop(loop, io);
    prover->silent = true;
    prover_over(prover);
}

static void prover_exited(struct ev_loop *loop, ev_child *child, int events)
{
    struct prover *prover = child->data;

    (void)events;
    ev_child_stop(loop, child);
    prover->status = child->rstatus;
    prover->exited = true;
    /* A process that a script started may hold the pipe open for ever. */
    while (!prover->silent && prover->len < TEXT_MAX) {
        ssize_t n = read(prover->fd, prover->text + prover->len, TEXT_MAX - prover->len);

        if (n <= 0)
            break;
        prover->len += (size_t)n;
    }
    prover->silent = true;
    prover_over(prover);
}

static void prover_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct prover *prover = timer->data;

    (void)loop;
    (void)events;
    prover->late = true;
    kill(prover->pid, SIGKILL);
}

static void become_prover(const char *path, int output)
{
    char *argv[] = {(char *)"spoa-lua", (char *)"-t", (char *)"-c", (char *)path, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    /* Its own file even when the package has been upgraded: what is proved is for us. */
    execv("/proc/self/exe", argv);
    dprintf(STDERR_FILENO, "cannot run /proc/self/exe: %s\n", strerror(errno));
    _exit(1);
}

struct prover *prover_start(struct ev_loop *loop, const char *path, prover_done_fn *done,
                            void *context)
{
    struct prover *prover = mem_zalloc(sizeof *prover);
    int ends[2] = {-1, -1};
    bool piped = pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;

    prover->pid = piped ? fork() : -1;
    if (prover->pid == 0)
        become_prover(path, ends[1]);
    if (prover->pid < 0) {
        int error = errno;

        if (piped) {
            close(ends[0]);
            close(ends[1]);
        }
        free(prover);
        errno = error;
        return NULL;
    }
    close(ends[1]);
    prover->loop = loop;
    prover->fd = ends[0];
    prover->done = done;
    prover->context = context;
    ev_io_init(&prover->reader, prover_readable, prover->fd, EV_READ);
    ev_child_init(&prover->exit, prover_exited, prover->pid, 0);
    ev_timer_init(&prover->overdue, prover_overdue, PATIENCE, 0);
    prover->reader.data = prover->exit.data = prover->overdue.data = prover;
    ev_io_start(loop, &prover->reader);
    ev_child_start(loop, &prover->exit);
    ev_timer_start(loop, &prover->overdue);
    return prover;
}

void prover_cancel(struct prover *prover)
{
    kill(prover->pid, SIGKILL);
    prover_free(prover);
}
