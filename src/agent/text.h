/*
 * text: values, arguments and actions in words for people: `spoa-lua call`, the trace.
 */
#ifndef AGENT_TEXT_H
#define AGENT_TEXT_H

#include <stdio.h>

#include "spop/action.h"
#include "spop/message.h"

/* As base/escape has a value. */
void text_bytes(FILE *out, struct span bytes);

/* "str www.example.org", "bin 00ff", "null". */
void text_value(FILE *out, const struct value *value);

/* "set-var sess.score int64 42" or "unset-var txn.host". */
void text_action(FILE *out, const struct action *action);

/* "client_ip=ipv4 192.0.2.1, host=null": each argument of the message. */
void text_arguments(FILE *out, const struct message *message);

#endif
