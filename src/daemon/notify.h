/*
 * notify: what a service tells systemd of itself, sd_notify(3), without its library.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* Takes NOTIFY_SOCKET and WATCHDOG_USEC out of the environment.  Without them, everything
 * here does nothing. */
void notify_open(void);

/* "READY=1", "STATUS=..." and so on, lines. */
void notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* RELOADING=1 with the time that it wants beside it; READY=1 ends it. */
void notify_reloading(void);

/* Within so many seconds systemd wants to hear WATCHDOG=1; 0: it does not. */
double notify_watchdog(void);

#endif
