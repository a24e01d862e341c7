/*
 * mem: allocation that does not fail.
 *
 * Out of memory outside of Lua there is nothing sensible left to do for a worker: these log
 * one line and abort (the heap of handlers has a limit of its own and fails politely, see
 * script/heap).
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);  /* not cleared */
void *mem_zalloc(size_t size); /* all zeroes */
void *mem_resize(void *old, size_t size);
char *mem_strndup(const char *text, size_t len);

#endif
