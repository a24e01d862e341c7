/*
 * activation: the sockets that systemd opened and hands over, sd_listen_fds(3), without its
 * library.
 */
#ifndef DAEMON_ACTIVATION_H
#define DAEMON_ACTIVATION_H

/*
 * How many descriptors there are from ACTIVATION_FIRST on; 0 when the environment speaks of
 * none for this process.  They are close-on-exec and non-blocking then, and the environment
 * says nothing any more.
 */
#define ACTIVATION_FIRST 3
unsigned activation_take(void);

/* The name that the socket unit gives it (FileDescriptorName=), or "". */
const char *activation_name(unsigned index);

#endif
