/*
 * hosts: the addresses that a hosts file (/etc/hosts) gives a name, read again when it changed.
 */
#ifndef MODULES_DNS_HOSTS_H
#define MODULES_DNS_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define DNS_HOSTS_BYTES (1024 * 1024) /* of a larger file the rest is not seen */

struct dns_hosts {
    const char *path; /* the caller's */
    char *text;       /* in lower case, comments cut off */
    struct stat known;
};

void dns_hosts_open(struct dns_hosts *hosts, const char *path);
void dns_hosts_close(struct dns_hosts *hosts);

/*
 * The addresses of a name, in lower case and without its last dot, one a call, from *at which
 * begins as 0; false after the last.  localhost, and what ends in it, has 127.0.0.1 and ::1
 * without a file (RFC 6761, 6.3).  Nothing else in between.
 */
bool dns_hosts_next(struct dns_hosts *hosts, const char *name, size_t *at, char *address,
                    size_t size);

#endif
