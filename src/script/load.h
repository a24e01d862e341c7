/*
 * load: running the script files, one after the other, each as a task.
 */
#ifndef SCRIPT_LOAD_H
#define SCRIPT_LOAD_H

#include "script/script.h"

/* See script_load.  False when loading is over already; the script may be gone then. */
bool load_start(struct script *script, bool starting, script_fault_fn *fault,
                script_loaded_fn *loaded, void *context);

/* The script ends; loading may not have come to its end. */
void load_forget(struct script *script);

#endif
