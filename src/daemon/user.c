#include "daemon/user.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool fails(const char *what, char *fault, size_t room)
{
    snprintf(fault, room, "%s: %s%s", what, strerror(errno),
             errno == EPERM ? " (start it as root, or as that user and without the keys)" : "");
    return false;
}

bool user_become(const struct user *user, char *fault, size_t room)
{
    gid_t gid = user->gid != (gid_t)-1 ? user->gid : user->primary;
    bool other_group = gid != (gid_t)-1 && gid != getegid();
    bool other_user = user->uid != (uid_t)-1 && user->uid != geteuid();

    if (!other_group && !other_user)
        return true;
    if (other_user && gid == (gid_t)-1) {
        snprintf(fault, room, "user %u: it has no group of its own, so say which: group NAME",
                 (unsigned)user->uid);
        return false;
    }
    /* In this order: without root no group can be taken or left. */
    if (other_user && user->name ? initgroups(user->name, gid) < 0 : setgroups(0, NULL) < 0)
        return fails("its groups", fault, room);
    if (other_group && setresgid(gid, gid, gid) < 0)
        return fails("group", fault, room);
    if (other_user && setresuid(user->uid, user->uid, user->uid) < 0)
        return fails("user", fault, room);
    if (other_user && user->uid != 0 && setuid(0) == 0) {
        snprintf(fault, room, "user: it could become root again");
        return false;
    }
    return true;
}
