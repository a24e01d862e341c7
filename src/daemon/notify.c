#include "daemon/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_len;
static double watchdog;

/* A path, or "@name" for an abstract socket, whose length is that of its name. */
static void find_socket(const char *path)
{
    size_t len = path ? strlen(path) : 0;

    if (len < 2 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static bool is_for_us(const char *pid)
{
    return !pid || strtol(pid, NULL, 10) == getpid();
}

void notify_open(void)
{
    const char *usec = getenv("WATCHDOG_USEC");

    address_len = 0;
    watchdog = 0;
    find_socket(getenv("NOTIFY_SOCKET"));
    if (usec && is_for_us(getenv("WATCHDOG_PID")))
        watchdog = (double)strtoull(usec, NULL, 10) / 1e6;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_send(const char *format, ...)
{
    char text[1024];
    va_list args;
    int len, fd;

    if (address_len == 0)
        return;
    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len >= (int)sizeof text)
        len = (int)sizeof text - 1;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    /* Nobody can be told that systemd does not listen; it will time out. */
    sendto(fd, text, (size_t)len, MSG_NOSIGNAL, (struct sockaddr *)&address, address_len);
    close(fd);
}

void notify_reloading(void)
{
    notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading", clock_look() / 1000);
}

double notify_watchdog(void)
{
    return watchdog;
}
