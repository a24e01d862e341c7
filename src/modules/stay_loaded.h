/*
 * stay_loaded: for modules that have threads.
 *
 * Lua unloads a module with its state, but a thread that works for somebody who has gone may
 * still be in it, or in its library: so this file, and with it the library, stays.
 *
 * All of it is in this header since each Lua module is a shared object of its own.
 */
#ifndef MODULES_STAY_LOADED_H
#define MODULES_STAY_LOADED_H

#include <dlfcn.h>

static inline void stay_loaded(void)
{
    static const char here;
    Dl_info file;

    if (dladdr(&here, &file))
        dlopen(file.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

#endif
