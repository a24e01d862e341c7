#include "daemon/worker_show.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/sheet.h"

static void answer(struct channel *channel, enum channel_type type, uint32_t number,
                   const char *text)
{
    channel_send(channel, &(struct packet){type, number, text, strlen(text), -1});
}

static void show_session(struct sheet *sheet, const struct conn *conn)
{
    static const char *const states[] = {
        [CONN_HELLO] = "hello",
        [CONN_RUNNING] = "running",
        [CONN_LEAVING] = "leaving",
        [CONN_CLOSING] = "closing",
    };
    uint64_t now = clock_look(), oldest = exchange_oldest(conn);

    sheet_text(sheet, "peer", conn->peer);
    sheet_text(sheet, "engine_id", conn->engine_id);
    sheet_text(sheet, "state", states[conn->state]);
    sheet_real(sheet, "age_seconds", clock_seconds(conn->opened, now), 1);
    sheet_number(sheet, "in_flight", conn->pending);
    sheet_real(sheet, "oldest_seconds", oldest < now ? clock_seconds(oldest, now) : 0, 3);
    sheet_number(sheet, "max_frame_size", conn->max_frame_size);
    sheet_number(sheet, "unsent_bytes", buf_len(&conn->out));
    sheet_end_row(sheet);
}

static void show_sessions(const struct agent *agent, struct channel *channel, uint32_t number,
                          bool json)
{
    const struct conn *conn;

    LIST_FOREACH (conn, &agent->conns, entry) {
        char *text = NULL;
        size_t size;
        struct sheet sheet = {.out = open_memstream(&text, &size), .json = json};

        show_session(&sheet, conn);
        fclose(sheet.out);
        answer(channel, CHANNEL_ANSWER, number, text);
        free(text);
    }
    answer(channel, CHANNEL_END, number, "");
}

/* A trace_line_fn.  Who reads slower than messages come loses lines, not the worker memory. */
static void traced(void *context, uint32_t id, const char *line, bool last)
{
    struct channel *channel = context;

    if (*line && !channel_behind(channel)) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "%s\n", line);
        fclose(out);
        answer(channel, CHANNEL_ANSWER, id, text);
        free(text);
    }
    if (last)
        answer(channel, CHANNEL_END, id, "");
}

void worker_show(struct agent *agent, struct channel *channel, const struct packet *packet)
{
    char message[256];
    unsigned count;

    if (sscanf(packet->text, "trace %255s %u", message, &count) == 2) {
        trace_start(&agent->traces, packet->number, message, count, traced, channel);
        return;
    }
    if (sscanf(packet->text, "untrace %255s", message) == 1) {
        trace_stop(&agent->traces, 0, message);
        answer(channel, CHANNEL_END, packet->number, "");
        return;
    }
    if (strcmp(packet->text, "ping") == 0) {
        answer(channel, CHANNEL_END, packet->number, "");
        return;
    }
    show_sessions(agent, channel, packet->number, strcmp(packet->text, "sessions json") == 0);
}

void worker_show_forget(struct agent *agent, uint32_t number)
{
    trace_stop(&agent->traces, number, "");
}
