#include "daemon/config_row.h"

#define FIELD(member)                                                                              \
    .offset = offsetof(struct config, member), .width = sizeof((struct config *)NULL)->member

static const struct config_choice log_levels[] = {
#define X(id, priority, name) {name, LEVEL_##id},
    LOG_LEVELS(X)
#undef X
        {NULL, 0},
};

static const struct config_choice log_formats[] = {
    {"text", LOG_TEXT},
    {"json", LOG_JSON},
    {NULL, 0},
};

static const struct config_choice scopes[] = {
#define X(id, number, name) {name, SCOPE_##id},
    ACTION_SCOPES(X)
#undef X
        {NULL, 0},
};

static const struct config_choice pipelinings[] = {
    {"auto", PIPELINING_AUTO},
    {"on", PIPELINING_ON},
    {"off", PIPELINING_OFF},
    {NULL, 0},
};

static const struct config_choice worker_counts[] = {
    {"auto", 0},
    {NULL, 0},
};

/* A key is one row here and one field in struct config. */
const struct config_row config_rows[] = {
    {
        .heading = "The essentials",
        .key = "listen",
        .syntax = "ADDRESS [mode M] [owner U] [group G]",
        .kind = CONFIG_ADDRESS,
        .repeatable = true,
        .initial = "127.0.0.1:12345",
        .text = "Where HAProxy connects to: IP:PORT, [IP6]:PORT, *:PORT or :PORT (every IPv4 "
                "address), unix:/PATH, or abns:NAME for an abstract socket that HAProxy calls "
                "abns@NAME. For a unix: socket its mode (octal, 0660 unless given), owner and "
                "group (names or numbers) may follow. Several lines make several listeners. SPOP "
                "knows no password, so let nobody but HAProxy reach it.",
    },
    {
        .key = "script",
        .syntax = "GLOB",
        .kind = CONFIG_SCRIPT,
        .repeatable = true,
        .initial = "/etc/spoa-lua/handlers/*.lua",
        .text = "The Lua scripts whose global functions answer the messages. A relative path "
                "starts at this file's folder. Several lines are taken in their order, the "
                "matches of each alphabetically, and a script that several match is run once. A "
                "name without wildcards must exist.",
    },
    {
        .key = "log-level",
        .syntax = "err|warning|notice|info|debug",
        .kind = CONFIG_CHOICE,
        .initial = "info",
        .choices = log_levels,
        FIELD(log_level),
        .text = "The least important lines that are written. debug tells of every connection and "
                "is meant for looking into a problem.",
    },
    {
        .key = "log-format",
        .syntax = "text|json",
        .kind = CONFIG_CHOICE,
        .initial = "text",
        .choices = log_formats,
        FIELD(log_format),
        .text = "The form of a line: text for people, or a JSON object with time, level, pid, "
                "text, and peer, engine_id, stream_id, frame_id and message where they exist.",
    },
    {
        .key = "log-target",
        .syntax = "stderr|syslog[:SOCKET]|FILE",
        .kind = CONFIG_LOG,
        .initial = "stderr",
        .text = "Where lines go: standard error, which systemd keeps; syslog, at /dev/log unless "
                "another socket is named; or a file, with a slash in its name, that is opened "
                "anew at SIGUSR1. A relative name starts at this file's folder.",
    },
    {
        .key = "handler-timeout",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "1s",
        .min = "1ms",
        .max = "1h",
        FIELD(script.timeout),
        .text = "How long a handler may take from NOTIFY to ACK, whether it waits, computes or has "
                "yet to begin. It is then ended and its message fails with \"timeout\". Keep it "
                "below HAProxy's timeout processing, or HAProxy gives up first and never sees the "
                "reason.",
    },
    {
        .heading = "Handlers",
        .key = "handler-cpu",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "100ms",
        .min = "1ms",
        .max = "10m",
        FIELD(script.cpu),
        .text = "How much CPU time a handler may use between two waits. While it computes nobody "
                "else is served, so this bounds what one runaway loop costs the others. The "
                "message then fails with \"timeout\".",
    },
    {
        .key = "handler-memory",
        .syntax = "SIZE",
        .kind = CONFIG_SIZE,
        .initial = "128m",
        .min = "1m",
        .max = "64g",
        FIELD(script.memory),
        .text = "The most memory that all of Lua may take from the system in each worker: "
                "scripts, their tables and running handlers. "
                "What asks for more fails with \"memory\". Raise it for large tables kept in "
                "memory.",
    },
    {
        .key = "handler-concurrency",
        .syntax = "NUMBER",
        .kind = CONFIG_COUNT,
        .initial = "10000",
        .min = "1",
        .max = "1000000",
        FIELD(script.concurrency),
        .text = "How many handlers may be under way at once in each worker, nearly all of them "
                "waiting. A "
                "message above that fails at once with \"busy\". Lower it to shed load early, "
                "raise it for many slow waits.",
    },
    {
        .key = "handler",
        .syntax = "NAME [timeout TIME] [concurrency NUMBER]",
        .kind = CONFIG_HANDLER,
        .repeatable = true,
        .example = "get-ip-reputation timeout 50ms concurrency 200",
        .text = "Limits of one handler, by the name of its message or its function: a "
                "handler-timeout of its own, and how many of it may be under way at once (more "
                "fail with \"busy\"), so that one slow service cannot take all the places.",
    },
    {
        .key = "background-timeout",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "30s",
        .min = "1ms",
        .max = "1h",
        FIELD(script.background_timeout),
        .text = "How long a function of spoa.after, or one run of spoa.every, may take, waits "
                "included. It is then cancelled, which is logged.",
    },
    {
        .key = "background-cpu",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "10s",
        .min = "10ms",
        .max = "1h",
        FIELD(script.background_cpu),
        .text = "How much CPU time one such run may use in all. It computes in slices of a few "
                "milliseconds, between which handlers run.",
    },
    {
        .key = "background-concurrency",
        .syntax = "NUMBER",
        .kind = CONFIG_COUNT,
        .initial = "1000",
        .min = "1",
        .max = "1000000",
        FIELD(script.background_concurrency),
        .text = "How many functions of spoa.after may be waiting for their turn or under way at "
                "once; above that spoa.after raises an error.",
    },
    {
        .key = "default-scope",
        .syntax = "proc|sess|txn|req|res",
        .kind = CONFIG_CHOICE,
        .initial = "proc",
        .choices = scopes,
        FIELD(script.default_scope),
        .text = "The scope of variables that a handler returns without one. Variables of proc "
                "are shared by all requests, and HAProxy only takes those that its configuration "
                "mentions; txn is what most handlers mean.",
    },
    {
        .key = "error-variable",
        .syntax = "SCOPE.NAME",
        .kind = CONFIG_VARIABLE,
        .initial = "txn.spoa_error",
        .text = "The variable that is set when a message fails, to error, timeout, memory, "
                "too_big or busy. HAProxy puts its var-prefix in front of the name. SPOP has no "
                "other way to tell HAProxy.",
    },
    {
        .key = "lua-prepend-path",
        .syntax = "PATTERN [path|cpath]",
        .kind = CONFIG_PATH,
        .repeatable = true,
        .example = "/etc/spoa-lua/lib/?.lua",
        .text = "Where require looks first, as HAProxy's directive of this name: the pattern is "
                "put before Lua's package.path, or package.cpath. A question mark stands for the "
                "module's name. A relative pattern starts at this file's folder. Of several "
                "lines the last is looked at first.",
    },
    {
        .heading = "Connections from HAProxy",
        .key = "pipelining",
        .syntax = "auto|on|off",
        .kind = CONFIG_CHOICE,
        .initial = "auto",
        .choices = pipelinings,
        FIELD(agent.pipelining),
        .text = "Whether HAProxy may send a NOTIFY before the last is answered. HAProxy 3.1 and "
                "later can stall a connection for ever when ACKs meet on it, small ones too, so "
                "auto allows it only where HAProxy offers async, which is up to 3.0. On is for "
                "HAProxy up to 3.0 with no option async; with 3.1 and later it gains nothing and "
                "loses connections. Off forbids it always.",
    },
    {
        .key = "max-frame-size",
        .syntax = "SIZE",
        .kind = CONFIG_SIZE,
        .initial = "1m",
        .min = "256",
        .max = "1m",
        FIELD(agent.max_frame_size),
        .text = "The largest frame that is agreed to. HAProxy proposes its own, a little less "
                "than tune.bufsize, and the lower of the two holds. A lower one than HAProxy's "
                "makes large messages fail there, so there is hardly a reason to change it.",
    },
    {
        .key = "max-payload",
        .syntax = "SIZE",
        .kind = CONFIG_SIZE,
        .initial = "1m",
        .min = "256",
        .max = "64m",
        FIELD(agent.max_payload),
        .text = "The largest NOTIFY that is put together from fragments, which HAProxy up to 3.0 "
                "makes of messages above its frame size. A larger one is answered without its "
                "handlers being run. Raise it to see larger request bodies.",
    },
    {
        .key = "fragment-timeout",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "5s",
        .min = "1ms",
        .max = "1h",
        FIELD(agent.fragment_timeout),
        .text =
            "How long the fragments of one NOTIFY may take to arrive before it is given up, and "
            "the rest of a frame before its connection is closed. A connection whose handlers "
            "are under way is not closed for half a frame.",
    },
    {
        .key = "hello-timeout",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "5s",
        .min = "1ms",
        .max = "1h",
        FIELD(agent.hello_timeout),
        .text = "How long a new connection may take to say HAPROXY-HELLO before it is closed.",
    },
    {
        .key = "write-timeout",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "5s",
        .min = "1ms",
        .max = "1h",
        FIELD(agent.write_timeout),
        .text = "How long the output of a connection may wait without any progress before it is "
                "closed: a peer that stops reading is stuck or gone.",
    },
    {
        .key = "max-connections",
        .syntax = "NUMBER",
        .kind = CONFIG_COUNT,
        .initial = "10000",
        .min = "1",
        .max = "1000000",
        FIELD(agent.max_connections),
        .text = "How many connections each worker may have at once; one above that is closed as "
                "soon as it "
                "is accepted. A starting HAProxy opens one per concurrent request. The limit on "
                "open files (LimitNOFILE in systemd) must be higher.",
    },
    {
        .key = "max-pending",
        .syntax = "NUMBER",
        .kind = CONFIG_COUNT,
        .initial = "1000",
        .min = "1",
        .max = "1000000",
        FIELD(agent.max_pending),
        .text = "How many NOTIFYs of one connection may be unanswered; the connection is then not "
                "read until one is.",
    },
    {
        .key = "max-output",
        .syntax = "SIZE",
        .kind = CONFIG_SIZE,
        .initial = "1m",
        .min = "1k",
        .max = "1g",
        FIELD(agent.max_output),
        .text = "How much output of one connection may wait to be sent; the connection is then "
                "not read until less does.",
    },
    {
        .heading = "Processes",
        .key = "workers",
        .syntax = "NUMBER|auto",
        .kind = CONFIG_COUNT,
        .restart = true,
        .initial = "1",
        .min = "1",
        .max = "256",
        .choices = worker_counts,
        FIELD(workers),
        .text = "How many processes serve. Each runs all scripts for itself: their globals are "
                "its own, and what all must see belongs into spoa.dict or Redis. Connections are "
                "spread evenly. auto is one for each processor; one is enough until it needs a "
                "whole core.",
    },
    {
        .key = "worker-timeout",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "10s",
        .min = "1s",
        .max = "1h",
        FIELD(worker_timeout),
        .text = "How long a worker's loop may stand still before the worker is killed and "
                "replaced. handler-cpu stops Lua long before; this is for code that it cannot "
                "stop, such as a pattern that backtracks in string.find. Its connections are lost.",
    },
    {
        .key = "user",
        .syntax = "NAME",
        .kind = CONFIG_USER,
        .restart = true,
        .example = "daemon",
        .text = "Who the daemon becomes once its sockets are bound, by name or number, with that "
                "user's groups. It must be started as root for that. A reload can then bind no "
                "port below 1024, and reads everything as that user. Where systemd starts it, "
                "User= or DynamicUser= there is better.",
    },
    {
        .key = "group",
        .syntax = "NAME",
        .kind = CONFIG_GROUP,
        .restart = true,
        .example = "daemon",
        .text = "The group it then has, instead of the user's own.",
    },
    {
        .heading = "Looking inside",
        .key = "control",
        .syntax = "ADDRESS [mode M] [owner U] [group G]",
        .kind = CONFIG_CONTROL,
        .restart = true,
        .example = "unix:/run/spoa-lua/control.sock",
        .text = "Where spoa-lua ctl and spoa-lua reload connect to: unix:/PATH or abns:NAME. Who "
                "can connect can see messages and stop the daemon, so the mode of a unix: socket "
                "is 0600 unless given.",
    },
    {
        .key = "metrics",
        .syntax = "IP:PORT",
        .kind = CONFIG_METRICS,
        .restart = true,
        .example = "127.0.0.1:9912",
        .text = "Where Prometheus finds /metrics, and whoever asks finds /healthz (the daemon is "
                "there) and /readyz (it serves; 503 while it loads or drains). There is no "
                "password and no TLS: let only those who watch reach it.",
    },
    {
        .heading = "Stopping",
        .key = "drain-timeout",
        .syntax = "TIME",
        .kind = CONFIG_TIME,
        .initial = "10s",
        .min = "1ms",
        .max = "1h",
        FIELD(drain_timeout),
        .text = "How long handlers may finish after SIGTERM or SIGINT, while no new connection is "
                "accepted. What is not done by then is cancelled.",
    },
};

const size_t config_nrows = sizeof config_rows / sizeof config_rows[0];
