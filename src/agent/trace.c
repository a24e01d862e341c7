#include "agent/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/text.h"
#include "base/escape.h"
#include "base/mem.h"

/* Enough to see what a message is about; a request's body is longer. */
#define LINE_MAX_LEN 4096

struct trace {
    LIST_ENTRY(trace) entry;
    uint32_t id;
    char *message;
    unsigned left;
    trace_line_fn *line;
    void *context;
};

void trace_start(struct trace_list *traces, uint32_t id, const char *message, unsigned count,
                 trace_line_fn *line, void *context)
{
    struct trace *trace = mem_zalloc(sizeof *trace);

    trace->id = id;
    trace->message = mem_strndup(message, strlen(message));
    trace->left = count;
    trace->line = line;
    trace->context = context;
    LIST_INSERT_HEAD(traces, trace, entry);
}

static void trace_free(struct trace *trace)
{
    LIST_REMOVE(trace, entry);
    free(trace->message);
    free(trace);
}

unsigned trace_stop(struct trace_list *traces, uint32_t id, const char *message)
{
    struct trace *trace, *next;
    unsigned n = 0;

    for (trace = LIST_FIRST(traces); trace; trace = next) {
        next = LIST_NEXT(trace, entry);
        if (id ? trace->id != id : strcmp(trace->message, message) != 0)
            continue;
        if (!id)
            trace->line(trace->context, trace->id, "", true);
        trace_free(trace);
        n++;
    }
    return n;
}

void trace_stop_all(struct trace_list *traces)
{
    while (!LIST_EMPTY(traces))
        trace_free(LIST_FIRST(traces));
}

static bool is_about(const struct trace *trace, const char *name, size_t len)
{
    return strlen(trace->message) == len && memcmp(trace->message, name, len) == 0;
}

char *trace_begun(const struct trace_list *traces, const struct message *message,
                  const struct invoke_context *context)
{
    const struct trace *trace;
    char *text = NULL;
    size_t size;
    FILE *out;

    LIST_FOREACH (trace, traces, entry) {
        if (is_about(trace, message->name.at, message->name.len))
            break;
    }
    if (!trace)
        return NULL;
    out = open_memstream(&text, &size);
    text_bytes(out, message->name);
    fprintf(out, " (stream %" PRIu64 ", frame %" PRIu64 ", %s): ", context->subject.stream_id,
            context->subject.frame_id, context->subject.peer);
    text_arguments(out, message);
    fclose(out);
    return text;
}

static void put_outcome(FILE *out, const struct invoke_report *report)
{
    struct wire wire = wire_open(report->actions.at, report->actions.len);
    struct action action;
    unsigned n = 0;

    if (report->result != TASK_OK) {
        fprintf(out, "%s: %.*s", task_result_name(report->result), (int)strcspn(report->text, "\n"),
                report->text);
        return;
    }
    while (action_next(&wire, &action)) {
        fputs(n++ ? ", " : "", out);
        text_action(out, &action);
    }
    fputs(n ? "" : "no actions", out);
}

void trace_ended(struct trace_list *traces, char *begun, const struct invoke_report *report,
                 uint64_t nanoseconds)
{
    size_t len = strcspn(begun, " "), size;
    char *text = NULL, line[LINE_MAX_LEN + 1];
    FILE *out = open_memstream(&text, &size);
    struct trace *trace, *next;

    fprintf(out, "%s -> ", begun);
    put_outcome(out, report);
    fprintf(out, " [%.3f ms]", (double)nanoseconds / 1e6);
    fclose(out);
    line[escape_text(ESCAPE_LINE, line, LINE_MAX_LEN, text, size, false)] = '\0';
    for (trace = LIST_FIRST(traces); trace; trace = next) {
        next = LIST_NEXT(trace, entry);
        if (!is_about(trace, begun, len))
            continue;
        trace->line(trace->context, trace->id, line, --trace->left == 0);
        if (trace->left == 0)
            trace_free(trace);
    }
    free(text);
    free(begun);
}
