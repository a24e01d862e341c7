/*
 * Out of memory in the modules that wait, each as it is built, against a server in the same
 * loop: every allocation that Lua makes for a handler that asks, and while its module is
 * loaded, fails: once, whereupon Lua collects garbage and tries again, or with all behind it.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "../script/faulty.h"

#define PEERS 32

/* ---- a server ---- */

struct server;
typedef size_t server_answer_fn(uint8_t *answer, const uint8_t *bytes, size_t len);

struct peer {
    ev_io io;
    struct server *server;
};

struct server {
    struct ev_loop *loop;
    server_answer_fn *answer; /* to the bytes of one read, which hold whole requests */
    ev_io io;                 /* it listens, or is the UDP socket */
    struct peer peers[PEERS];
    uint16_t port;
};

static void peer_close(struct peer *peer)
{
    ev_io_stop(peer->server->loop, &peer->io);
    close(peer->io.fd);
    peer->server = NULL;
}

static void peer_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct peer *peer = io->data;
    uint8_t bytes[4096], answer[4096];
    ssize_t n = read(io->fd, bytes, sizeof bytes);

    (void)loop;
    (void)events;
    if (n <= 0) {
        peer_close(peer);
        return;
    }
    size_t len = peer->server->answer(answer, bytes, (size_t)n);

    ck_assert_int_eq(send(io->fd, answer, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void server_accept(struct ev_loop *loop, ev_io *io, int events)
{
    struct server *server = io->data;
    struct peer *peer = server->peers;
    int fd = accept(io->fd, NULL, NULL);

    (void)events;
    ck_assert_int_ge(fd, 0);
    while (peer->server)
        ck_assert(++peer < server->peers + PEERS);
    peer->server = server;
    peer->io.data = peer;
    ev_io_init(&peer->io, peer_ready, fd, EV_READ);
    ev_io_start(loop, &peer->io);
}

static void server_receive(struct ev_loop *loop, ev_io *io, int events)
{
    struct server *server = io->data;
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    uint8_t bytes[512], answer[600];
    ssize_t n = recvfrom(io->fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);

    (void)loop;
    (void)events;
    ck_assert_int_gt(n, 12);
    size_t len = server->answer(answer, bytes, (size_t)n);

    sendto(io->fd, answer, len, 0, (struct sockaddr *)&from, size);
}

static void server_open(struct server *server, struct ev_loop *loop, int type,
                        server_answer_fn *answer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, type, 0);

    *server = (struct server){.loop = loop, .answer = answer};
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    server->port = ntohs(at.sin_port);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(fd, PEERS), 0);
    ev_io_init(&server->io, type == SOCK_STREAM ? server_accept : server_receive, fd, EV_READ);
    server->io.data = server;
    ev_io_start(loop, &server->io);
}

static void server_close(struct server *server)
{
    for (int i = 0; i < PEERS; i++)
        if (server->peers[i].server)
            peer_close(&server->peers[i]);
    ev_io_stop(server->loop, &server->io);
    close(server->io.fd);
}

/* ---- what it says ---- */

/* To every command an array of all that a reply is made of. */
static size_t redis_answer(uint8_t *answer, const uint8_t *bytes, size_t len)
{
    static const char reply[] = "*4\r\n$5\r\nvalue\r\n:7\r\n$-1\r\n*1\r\n+OK\r\n";
    size_t size = 0;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '*') {
            memcpy(answer + size, reply, sizeof reply - 1);
            size += sizeof reply - 1;
        }
    }
    return size;
}

static size_t http_answer(uint8_t *answer, const uint8_t *bytes, size_t len)
{
    static const char reply[] =
        "HTTP/1.1 200 OK\r\nX-One: 1\r\nX-Two: 2\r\nContent-Length: 5\r\n\r\n"
        "value";

    ck_assert_mem_eq(bytes + len - 4, "\r\n\r\n", 4);
    memcpy(answer, reply, sizeof reply - 1);
    return sizeof reply - 1;
}

/* 192.0.2.1 and 192.0.2.2 to every question. */
static size_t dns_answer(uint8_t *answer, const uint8_t *bytes, size_t len)
{
    static const uint8_t head[] = {0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0};
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2};
    size_t end = 12;

    while (bytes[end])
        end += bytes[end] + 1u;
    end += 5;
    ck_assert_uint_le(end, len);
    memcpy(answer, bytes, end);
    memcpy(answer + 2, head, sizeof head);
    for (uint8_t i = 1; i <= 2; i++) {
        memcpy(answer + end, record, sizeof record);
        end += sizeof record;
        answer[end++] = i;
    }
    return end;
}

/* ---- the modules ---- */

struct module {
    int type;
    server_answer_fn *answer;
    const char *source; /* with the server's port, defines ask() */
    const char *says;
};

/* A module that could not be loaded is loaded again: nothing of it may be half made.  And fine()
 * ends what a handler left behind, before the next one asks. */
#define AGAIN                                                                                      \
    "local port = %d\n"                                                                            \
    "local function load(name)\n"                                                                  \
    "  local good, module = pcall(require, name)\n"                                                \
    "  return good and module or require(name)\n"                                                  \
    "end\n"                                                                                        \
    "local function closing()\n"                                                                   \
    "  return setmetatable({}, { __close = function() return ('x'):rep(50) .. 'y' end })\n"        \
    "end\n"                                                                                        \
    "function fine() for i = 1, 2 do collectgarbage() end return { ['txn.fine'] = true } end\n"

static const struct module redis = {
    SOCK_STREAM, redis_answer,
    AGAIN
    "local redis = load 'spoa.redis'\n"
    "local options = { port = port, timeout = 20, connect_timeout = 20 }\n"
    "local kept = redis.new(options)\n"
    "options.db = 1\n"
    "function ask()\n"
    "  local a <close> = closing()\n"
    "  local got, r = assert(kept:get 'key'), redis.new(options)\n"
    "  local both = assert(r:pipeline(function(p) p:incr 'n' p:expire('n', 10.5) end))\n"
    "  return { ['txn.got'] = table.concat({ got[1], got[2], got[4][1], both[2][1] }, ' ') }\n"
    "end\n",
    "ok set-var txn.got str value 7 OK value"};

static const struct module http = {
    SOCK_STREAM, http_answer,
    AGAIN "local http = load 'spoa.http'\n"
          "function ask()\n"
          "  local a <close> = closing()\n"
          "  local url = ('http://127.0.0.1:%%d/'):format(port)\n"
          "  local reply = assert(http.get(url, { timeout = 20, headers = { accept = 'x/y' } }))\n"
          "  return { ['txn.got'] = reply.status .. ' ' .. reply.headers['x-two'] .. ' ' .. "
          "reply.body }\n"
          "end\n",
    "ok set-var txn.got str 200 2 value"};

static const struct module dns = {
    SOCK_DGRAM, dns_answer,
    AGAIN "local dns = load 'spoa.dns'\n"
          "dns.configure { servers = { '127.0.0.1:' .. port }, timeout = 20, try_timeout = 20,\n"
          "  cache = 0 }\n"
          "function ask()\n"
          "  local a <close> = closing()\n"
          "  local list = assert(dns.a 'name.test')\n"
          "  table.sort(list)\n"
          "  return { ['txn.got'] = table.concat(list, ' ') }\n"
          "end\n",
    "ok set-var txn.got str 192.0.2.1 192.0.2.2"};

/* The modules are beside the unit programs. */
static void module_prepare(struct stage *stage, struct server *server, const struct module *module)
{
    static char pattern[4096];
    static struct script_path path = {.pattern = pattern, .cpath = true};
    char source[4096];
    ssize_t len = readlink("/proc/self/exe", source, sizeof source - 1);

    ck_assert_int_gt(len, 0);
    source[len] = '\0';
    *strrchr(source, '/') = '\0';
    snprintf(pattern, sizeof pattern, "%.4000s/../modules/?.so", source);
    stage_init(stage);
    ck_assert(budget_open(wait_expired));
    server_open(server, stage->loop, module->type, module->answer);
    stage->options.paths = &path;
    stage->options.npaths = 1;
    snprintf(source, sizeof source, module->source, server->port);
    stage_script(stage, "h.lua", source);
}

static void check_asking(const struct module *module, bool on)
{
    struct stage stage;
    struct server server;
    struct outcome outcome;
    struct faulty faulty = {0};
    unsigned long n = 0;
    bool reached;

    module_prepare(&stage, &server, module);
    ck_assert_msg(stage_load(&stage) != NULL, "%s", stage.faults);
    stage_expect(&stage, "ask", NO_ARGS, module->says);
    faulty.alloc = lua_getallocf(stage.script->lua, &faulty.heap);
    lua_setallocf(stage.script->lua, faulty_alloc, &faulty);
    do {
        if (n % 2)
            coroutine_pool_clear(stage.script);
        faulty_from(&faulty, ++n, on);
        stage_run(&stage, &outcome, "ask", NO_ARGS);
        reached = faulty_reached(&faulty);
        faulty_from(&faulty, 0, false);
        ck_assert_msg(outcome.result == TASK_MEMORY || outcome.result == TASK_OK,
                      "allocation %lu: %s", n, stage_says(&stage, &outcome));
        if (outcome.result == TASK_OK)
            ck_assert_str_eq(stage_says(&stage, &outcome), module->says);
        stage_expect(&stage, "fine", NO_ARGS, "ok set-var txn.fine bool true");
        ck_assert_uint_lt(n, 5000);
    } while (reached);
    ck_assert_uint_gt(n, 10);
    lua_setallocf(stage.script->lua, faulty.alloc, faulty.heap);
    stage_expect(&stage, "ask", NO_ARGS, module->says);
    server_close(&server);
    stage_close(&stage);
}

static void check_loading(const struct module *module, bool on)
{
    unsigned long n = 0;
    struct stage stage;
    struct server server;
    struct faulty faulty = {0};

    module_prepare(&stage, &server, module);
    do {
        faulty_from(&faulty, ++n, on);
        loading = &faulty;
        stage_load_again(&stage);
        loading = NULL;
        ck_assert((stage.script != NULL) == (stage.nfaults == 0));
        if (stage.script) {
            bool reached = faulty_reached(&faulty);

            faulty_from(&faulty, 0, false);
            stage_expect(&stage, "ask", NO_ARGS, module->says);
            lua_setallocf(stage.script->lua, faulty.alloc, faulty.heap);
            script_retire(stage.script, NULL);
            stage.script = NULL;
            if (!reached)
                break;
        }
        ck_assert_uint_lt(n, 5000);
    } while (true);
    ck_assert_uint_gt(n, 100);
    stage_forget_files(&stage);
    server_close(&server);
    stage_close(&stage);
}

#define FAULTS(name)                                                                               \
    START_TEST(name##_asks_once)                                                                   \
    {                                                                                              \
        check_asking(&name, false);                                                                \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_asks_from_there_on)                                                          \
    {                                                                                              \
        check_asking(&name, true);                                                                 \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_loads_once)                                                                  \
    {                                                                                              \
        check_loading(&name, false);                                                               \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_loads_from_there_on)                                                         \
    {                                                                                              \
        check_loading(&name, true);                                                                \
    }                                                                                              \
    END_TEST

FAULTS(redis)
FAULTS(http)
FAULTS(dns)

UNIT_MAIN("waiting_memory", redis_asks_once, redis_asks_from_there_on, redis_loads_once,
          redis_loads_from_there_on, http_asks_once, http_asks_from_there_on, http_loads_once,
          http_loads_from_there_on, dns_asks_once, dns_asks_from_there_on, dns_loads_once,
          dns_loads_from_there_on)
