#include "daemon/activation.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than any unit has. */
#define SOCKETS_MAX 256
#define NAMES_MAX   4096

static char names[NAMES_MAX];

static unsigned taken(const char *pid, const char *fds)
{
    unsigned long n = fds ? strtoul(fds, NULL, 10) : 0;

    if (!pid || strtol(pid, NULL, 10) != getpid() || n > SOCKETS_MAX)
        return 0;
    return (unsigned)n;
}

unsigned activation_take(void)
{
    unsigned n = taken(getenv("LISTEN_PID"), getenv("LISTEN_FDS"));
    const char *text = getenv("LISTEN_FDNAMES");
    size_t len = text && n > 0 ? strlen(text) : 0;

    if (len >= sizeof names)
        len = sizeof names - 1;
    if (len > 0)
        memcpy(names, text, len);
    names[len] = '\0';
    for (int fd = ACTIVATION_FIRST; fd < ACTIVATION_FIRST + (int)n; fd++) {
        int flags = fcntl(fd, F_GETFL);

        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (flags >= 0)
            fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return n;
}

const char *activation_name(unsigned index)
{
    static char name[256];
    const char *at = names;
    size_t len;

    while (index-- > 0) {
        at += strcspn(at, ":");
        at += *at == ':';
    }
    len = strcspn(at, ":");
    if (len >= sizeof name)
        len = sizeof name - 1;
    memcpy(name, at, len);
    name[len] = '\0';
    return name;
}
