/*
 * user: who the daemon runs as once it has bound its listeners.
 */
#ifndef DAEMON_USER_H
#define DAEMON_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Of the keys `user` and `group`; (uid_t)-1 for what they do not say. */
struct user {
    char *name; /* for its other groups; NULL where the number has no name */
    uid_t uid;
    gid_t gid;
    gid_t primary; /* the user's own group, unless `group` says another */
};

/* Becomes that user for good.  Nothing happens when it is this one already, or none is said.
 * False with the fault: there was no right to do so. */
bool user_become(const struct user *user, char *fault, size_t room);

#endif
