/*
 * dict_place: the file that a shared dictionary lives in: where it is, and that it is safe
 * to open: ours alone, and on a memory file system.
 */
#ifndef MODULES_DICT_PLACE_H
#define MODULES_DICT_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* "" for none; otherwise what is wrong, where, and what to do. */
struct dict_why {
    char text[256 + PATH_MAX];
};

#define DICT_NAME_MAX 64

/* Letters, digits, '_', '-' and '.', which is not the first; 1 to DICT_NAME_MAX of them. */
bool dict_name_valid(const char *name, size_t len);

/*
 * Writes where the dictionary called name is: NAME.mdb in $SPOA_LUA_SHM, or in
 * /dev/shm/spoa-lua-UID, a folder that is made (0700) if it is not there and must be
 * nobody else's.  False with a reason.
 */
bool dict_place_of(const char *name, char path[PATH_MAX], struct dict_why *why);

/*
 * Opens the file, which is made (0600) if it is not there, locked with flock against others
 * that open it, until it is closed.  A file whose other half, PATH-lock, was removed is
 * begun anew: those who have it open keep theirs.  Returns the descriptor, or -1 with a
 * reason; about is what fstat says.
 */
int dict_place_open(const char *path, struct stat *about, struct dict_why *why);

#endif
