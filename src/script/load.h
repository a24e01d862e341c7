/*
 * load: running the script files, one after the other, each as a task.
 */
#ifndef SCRIPT_LOAD_H
#define SCRIPT_LOAD_H

#include "script/script.h"

/* See script_load.  wrong: why the state could not be made, or NULL; then that is all that
 * there is to tell. */
void load_start(struct script *script, bool starting, const char *wrong, script_fault_fn *fault,
                script_loaded_fn *loaded, void *context);

/* The script ends; loading may not have come to its end. */
void load_forget(struct script *script);

#endif
