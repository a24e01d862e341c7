"""require "spoa.redis" against Debian's redis-server, and against servers that lie, dawdle or go away."""
import signal
import socket
import struct
import unittest

from lib import dns, ports, spop
from lib import redis_server as redis
from lib.agent import Agent
from lib.case import case

LUA = """
local redis = require "spoa.redis"
local r = redis.new{ %s }
local function show(v)
    if type(v) ~= "table" then return math.type(v) == "integer" and "i" .. v or tostring(v) end
    if v.err then return "<" .. v.err .. ">" end
    local out = {}
    for i, item in ipairs(v) do out[i] = show(item) end
    return "[" .. table.concat(out, " ") .. "]"
end
local function text(v, message, code)
    return { ["txn.v"] = show(v), ["txn.message"] = message, ["txn.code"] = code }
end
local env = setmetatable({ r = r, redis = redis }, { __index = _G })
function run(args)
    return text(assert(load("return " .. args.code, "=x", "t", env))())
end
function wrong(args) return { ["txn.v"] = select(2, pcall(load(args.code, "=x", "t", env))) } end
function get(args) return text(r:get(args.key)) end
function incr(args) return text(r:incr(args.key)) end
"""


class Using:
    """An agent with a client of a server; run() gives what a handler got."""

    def __init__(self, options, config=""):
        if not isinstance(options, str):
            options = f"port = {options.port}, timeout = 5"
        if "handler-timeout" not in config:
            config += "\nhandler-timeout 30s"
        if "handler-cpu" not in config:
            config += "\nhandler-cpu 20s"
        self.agent = Agent(LUA % options, config=config)

    def __enter__(self):
        self.agent.__enter__()
        self.client = spop.Client(self.agent.address, timeout=60)
        self.client.handshake()
        return self

    def __exit__(self, *args):
        self.client.close()
        return self.agent.__exit__(*args)

    def ask(self, name, *arguments):
        return {key[4:]: data for key, (_, data) in self.client.notify(name, *arguments).vars().items()}

    def run(self, code):
        return self.ask("run", ("code", code))


class Redis(unittest.TestCase):
    def check(self, using, code, want):
        got = using.run(code)
        self.assertEqual(got, {"v": want}, code)

    def fails(self, got, code, *words):
        self.assertEqual((got["v"], got.get("code")), ("nil", code), got)
        for word in words:
            self.assertIn(word, got["message"])

    def test_long_lists_in_the_background(self):
        """They become tables in pieces there; what is in them is the same, in a coroutine as well."""
        with redis.Server() as server, \
                Using(f"port = {server.port}, timeout = 60", "handler-cpu 30s\nhandler-timeout 30s") as using:
            using.run("""(function()
                _G.said = "under way"
                local function check()
                    for _, get in ipairs { r.eval, coroutine.wrap(r.eval) } do
                        local list = get(r, "local t = {} for i = 1, 30000 do t[i] = {i, 'x' .. i} end return t", 0)
                        assert(#list == 30000)
                        for i, item in ipairs(list) do assert(#item == 2 and item[1] == i and item[2] == "x" .. i) end
                    end
                    local commands = {}
                    for i = 1, 9000 do commands[i] = { "set", "k" .. i, i } end
                    assert(#r:pipeline(commands) == 9000)
                    for i = 1, 9000 do commands[i] = { "get", "k" .. i } end
                    for i, item in ipairs(r:pipeline(commands)) do assert(item == tostring(i)) end
                    assert(#r:eval("return {}", 0) == 0)
                end
                spoa.after(function() local _, why = pcall(check) _G.said = tostring(why) end)
            end)()""")
            said = "(function() spoa.sleep(0.05) return _G.said end)()"
            got = {"v": "under way"}
            for _ in range(1000):
                if (got := using.run(said)) != {"v": "under way"}:
                    break
            self.assertEqual(got, {"v": "nil"})

    def test_every_reply(self):
        with redis.Server() as server, Using(server) as using:
            self.check(using, "r:ping()", "PONG")
            self.check(using, "r:set('k', 'v')", "OK")
            self.check(using, "r:get('k')", "v")
            self.check(using, "r:command('GeT', 'k')", "v")
            self.check(using, "select('#', r:get('none'))", "i1")
            self.check(using, "r:get('none')", "nil")
            self.check(using, "r:set('n', math.maxinteger - 1)", "OK")
            self.check(using, "r:incr('n')", "i9223372036854775807")
            self.check(using, "r:decrby('m', 9223372036854775807)", "i-9223372036854775807")
            self.check(using, "r:set('f', 0.1)", "OK")
            self.check(using, "r:get('f')", "0.10000000000000001")
            self.check(using, "r:set('f', 5.0)", "OK")
            self.check(using, "r:incr('f')", "i6")
            self.check(using, "r:mget('k', 'none', 'f')", "[v false 6]")
            self.check(using, "r:lrange('none', 0, -1)", "[]")
            self.check(using, "r:eval('return {1, {\"a\", {}}, false, 2}', 0)", "[i1 [a []] false i2]")
            self.check(using, "#r:eval('return ARGV[1]', 0, ('\\0\\r\\n\\255'):rep(100))", "i400")
            self.check(using, "r:eval('return ARGV[1]', 0, '')", "")
            got = using.run("r:incr('k')")
            self.fails(got, "ERR", f"redis 127.0.0.1:{server.port} incr: ERR value is not an integer")
            self.fails(using.run("r:lpush('k', 1)"), "WRONGTYPE")
            self.fails(using.run("r:nosuch('k')"), "ERR", "unknown command")
            self.fails(using.run("r:incr('n')"), "ERR", "overflow")
            self.assertEqual(using.run("#assert(r:eval('return string.rep(\"x\", 5000000)', 0))"), {"v": "i5000000"})
            self.check(using, "r:set('big', ('y'):rep(9000000))", "OK")
            self.check(using, "r:strlen('big')", "i9000000")

    def test_pipelines(self):
        with redis.Server() as server, Using(server) as using:
            self.check(using, "r:pipeline{ {'incr', 'a'}, {'get', 'none'}, {'lpush', 'a', 1}, {'set', 'b', 'x'} }",
                       "[i1 false <WRONGTYPE Operation against a key holding the wrong kind of value> OK]")
            self.check(using, "r:pipeline(function(p) p:incr('a') p:command('incrby', 'a', 5) end)", "[i2 i7]")
            self.check(using, "r:pipeline{}", "[]")
            self.check(using, "r:pipeline{ {'multi'}, {'incr', 'a'}, {'get', 'b'}, {'exec'} }",
                       "[OK QUEUED QUEUED [i8 x]]")
            self.check(using, "r:pipeline{ {'multi'}, {'incr', 'a'}, {'discard'} }", "[OK QUEUED OK]")
            self.check(using, "#r:pipeline(function(p) for i = 1, 5000 do p:incr('c') end end)", "i5000")
            self.check(using, "r:get('c')", "5000")
            self.check(using, "r:pipeline({ {'ping'} }, { timeout = 1 })", "[PONG]")

    def test_wrong_use_raises(self):
        wrong = {"r:get(nil)": "argument #1 of get is a nil", "r:set('k', true)": "argument #2 of set is a boolean",
                 "r:set('k', {})": "is a table", "r:command()": "begins with its name",
                 "r:blpop('k', 0)": "BLPOP: the connection is shared", "r:subscribe('c')": "subscribing",
                 "r:multi()": "use r:pipeline", "r:exec()": "use r:pipeline", "r:select(1)": "say db=",
                 "r:watch('k')": "EVAL", "r:xread('block', 0, 'streams', 's', 0)": "XREAD", "r:hello(3)": "HELLO",
                 "r:client('reply', 'off')": "needs its reply", "r:quit()": "QUIT", "r:pipeline()": "list of commands",
                 "r:pipeline{ {'multi'} }": "there is no EXEC", "r:pipeline{ {'exec'} }": "MULTI, then commands",
                 "r:pipeline{ 'get' }": "#1 is a string", "r:pipeline{ {} }": "begins with its name",
                 "r:pipeline({ {'get', 'a'} }, { timeout = -1 })": "timeout must be",
                 "r.get('x')": "spoa.redis client expected",
                 "redis.new(5)": "table of options", "redis.new{ hots = 'x' }": "no option 'hots'",
                 "redis.new{ port = 0 }": "port must be", "redis.new{ port = 6379.5 }": "port must be",
                 "redis.new{ timeout = 0 }": "timeout must be", "redis.new{ db = -1 }": "db must be",
                 "redis.new{ host = 'a', unix = 'b' }": "not both", "redis.new{ username = 'a' }": "needs password",
                 "redis.new{ unix = ('x'):rep(200) }": "too long", "redis.new{ max_reply = 1 }": "max_reply must be"}
        with redis.Server() as server, Using(server) as using:
            for code, words in wrong.items():
                with case(code=code):
                    self.assertIn(words, using.ask("wrong", ("code", code))["v"])
            self.check(using, "r:ping()", "PONG")

    def test_unix_db_password_and_a_shared_connection(self):
        with redis.Server("--requirepass", "se cret") as server:
            options = f"unix = '{server.path}', password = 'se cret', db = 3, timeout = 5"
            with Using(options) as using:
                self.check(using, "r:set('k', 'three')", "OK")
                self.check(using, f"redis.connect{{ {options} }}:get('k')", "three")
                first = using.run(f"redis.new{{ {options} }}:client('id')")
                self.assertEqual(first, using.run("r:client('id')"))
                other = f"redis.new{{ port = {server.port}, username = 'default', password = 'se cret', timeout = 5 }}"
                self.check(using, f"{other}:get('k')", "nil")
                self.assertNotEqual(first, using.run(f"{other}:client('id')"))
                bad = f"redis.new{{ port = {server.port}, password = 'wrong', timeout = 5 }}"
                self.fails(using.run(f"{bad}:get('k')"), "auth", "AUTH", "WRONGPASS")
                self.fails(using.run(f"redis.new{{ port = {server.port} }}:get('k')"), "NOAUTH")
                bad = f"redis.new{{ port = {server.port}, password = 'se cret', db = 99, timeout = 5 }}"
                self.fails(using.run(f"{bad}:set('k', 1)"), "auth", "SELECT", "out of range")
                self.check(using, "r:get('k')", "three")

    def test_hosts_by_name(self):
        zone = {("redis.test", "A"): ["127.0.0.1"], ("redis.test", "AAAA"): ["::1"]}
        with redis.Server() as server, dns.Server(zone) as names:
            lua = f"require('spoa.dns').configure{{ servers = {{ '{names.address}' }}, timeout = 5 }}\n"
            with Agent({"a.lua": lua + LUA % f"host = 'redis.test', port = {server.port}, timeout = 5"}) as agent, \
                    spop.Client(agent.address) as client:
                client.handshake()
                for _ in range(3):
                    self.assertEqual(client.notify("run", ("code", "r:ping()")).vars()["txn.v"], ("str", "PONG"))
                code = f"redis.new{{ host = 'none.test', port = {server.port} }}:ping()"
                got = client.notify("run", ("code", code)).vars()
                self.assertEqual(got["txn.code"], ("str", "resolve"))
                code = f"redis.new{{ host = 'localhost', port = {server.port}, timeout = 5 }}:ping()"
                self.assertEqual(client.notify("run", ("code", code)).vars()["txn.v"], ("str", "PONG"))
                self.assertEqual(names.counts()["redis.test", "A"], 1)

    def test_down_then_up_and_down_again(self):
        with ports.bound_socket() as sock:
            port = sock.getsockname()[1]
        server = redis.Server(port=port)
        with Using(f"port = {port}, timeout = 5") as using:
            for _ in range(5):
                self.fails(using.run("r:get('k')"), "connect", f"127.0.0.1:{port} get: cannot connect")
            for _ in range(2):
                with server:
                    while using.run("r:ping()") != {"v": "PONG"}:
                        pass
                    server.command("SET", "k", "v")
                    self.check(using, "r:get('k')", "v")
                got = using.run("r:get('k')")
                self.assertIn(got.get("code"), ("closed", "connect"))

    def test_a_server_that_restarts_between_commands(self):
        def talk(sock, n):
            sock.recv(1000)
            sock.sendall(b":%d\r\n" % n)

        with redis.Fake(talk) as server, Using(server) as using:
            seen = set()
            while len(seen) < 5:
                got = using.run("r:get('k')")
                if got["v"] == "nil":
                    self.assertIn(got["code"], ("closed", "connect"))
                else:
                    seen.add(got["v"])

    def test_lies(self):
        lies = {
            b"nonsense\r\n": "badreply", b"HTTP/1.1 400 Bad Request\r\n\r\n": "badreply", b"\0" * 100: "badreply",
            b"$-5\r\n": "badreply", b":12x\r\n": "badreply", b"$99999999999999999999\r\n": "badreply",
            b"*-7\r\n": "badreply", b"*2000000000\r\n": "too_big", b"*1\r\n" * 50 + b":1\r\n": "badreply",
            b"%1\r\n+a\r\n:1\r\n": "badreply", b",1.5\r\n": "badreply", b"#t\r\n": "badreply",
            b"*3\r\n:1\r\n,2.5\r\n:3\r\n": "badreply", b"$5\r\nab": "closed", b"*2\r\n:1\r\n": "closed", b"": "closed",
            b"$3000000\r\n" + b"x" * 3000000 + b"\r\n": "too_big", b"*150000\r\n" + b":1\r\n" * 150000: "too_big",
            b":1\r\n:2\r\n": None,
        }
        for lie, code in lies.items():
            def talk(sock, n, lie=lie):
                sock.recv(1000)
                if n > 1:
                    sock.sendall(b"+good\r\n")
                    sock.recv(1000)
                else:
                    sock.sendall(lie)

            with case(lie=lie[:40]), redis.Fake(talk) as server, \
                    Using(f"port = {server.port}, timeout = 5, max_reply = 1000000") as using:
                got = using.run("r:get('k')")
                if code:
                    self.fails(got, code, f"127.0.0.1:{server.port} get: ")
                else:
                    self.assertEqual(got, {"v": "i1"})
                while using.run("r:get('k')") != {"v": "good"}:
                    pass

    def test_slow_server_and_late_replies(self):
        with redis.Server() as server, Using(f"port = {server.port}, timeout = 1") as using:
            self.check(using, "r:set('k', 'v')", "OK")
            server.process.signal(signal.SIGSTOP)
            for _ in range(3):
                self.fails(using.run("r:incr('late')"), "timeout", "incr: no reply in time")
            ids = using.client.send_notify("run", ("code", "r:pipeline({ {'get', 'k'}, {'incr', 'late'} }, { timeout = 5 })"))
            server.process.signal(signal.SIGCONT)
            self.assertEqual(using.client.ack(ids).vars()["txn.v"], ("str", "[v i4]"))
            self.check(using, "r:get('late')", "4")

    def test_given_up_before_it_was_sent(self):
        """A command whose handler has gone while there was no connection is not sent later."""
        def talk(sock, n):
            data = sock.recv(1000)
            if b"AUTH" in data and n == 1:
                release.wait(20)
            sock.sendall(b"+OK\r\n")
            while data := sock.recv(1000):
                seen.append(data)
                sock.sendall(b"+OK\r\n" * data.count(b"*"))

        import threading
        release, seen = threading.Event(), []
        with redis.Fake(talk) as server, \
                Using(f"port = {server.port}, password = 'x', timeout = 0.1, connect_timeout = 10") as using:
            self.fails(using.run("r:incr('a')"), "timeout")
            ids = using.client.send_notify("run", ("code", "r:pipeline({ {'incr', 'b'} }, { timeout = 5 })"))
            release.set()
            self.assertEqual(using.client.ack(ids).vars()["txn.v"], ("str", "[OK]"))
            self.assertEqual(b"".join(seen), b"*2\r\n$4\r\nincr\r\n$1\r\nb\r\n")

    def test_silent_server_is_given_up(self):
        def talk(sock, n):
            if n == 1:
                while sock.recv(1000):
                    pass
            else:
                sock.recv(1000)
                sock.sendall(b"+awake\r\n")
                sock.recv(1000)

        with redis.Fake(talk) as server, Using(f"port = {server.port}, timeout = 1") as using:
            self.fails(using.run("r:get('k')"), "timeout")
            while (got := using.run("r:get('k')"))["v"] == "nil":
                self.assertIn(got["code"], ("timeout", "closed"))
            self.assertEqual(got["v"], "awake")
            self.assertEqual(server.connections, 2)

    def test_a_server_that_never_accepts_or_resets(self):
        def reset(sock, n):
            sock.recv(1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        with redis.Fake(reset) as server, Using(server) as using:
            for _ in range(5):
                self.assertIn(using.run("r:get('k')")["code"], ("closed", "connect"))

        def greet_never(sock, n):
            while sock.recv(1000):
                pass

        with redis.Fake(greet_never) as server, \
                Using(f"port = {server.port}, password = 'x', timeout = 5, connect_timeout = 0.1") as using:
            self.fails(using.run("r:get('k')"), "connect", "no reply to AUTH")

    def test_deadline_and_client_gone(self):
        with redis.Server() as server, Using(server, "handler-timeout 100ms") as using:
            using.run("r:set('n', 0)")
            server.process.signal(signal.SIGSTOP)
            for _ in range(3):
                self.assertEqual(using.ask("incr", ("key", "n")), {"spoa_error": "timeout"})
            gone = spop.Client(using.agent.address)
            gone.handshake()
            for _ in range(500):
                gone.send_notify("get", ("key", "n"))
            gone.await_read()
            gone.reset()
            server.process.signal(signal.SIGCONT)
            while (got := using.ask("get", ("key", "n"))) != {"v": "3"}:
                self.assertEqual(got, {"spoa_error": "timeout"})

    def test_500_at_once(self):
        with redis.Server() as server, Using(server) as using:
            ids = [using.client.send_notify("incr", ("key", "n")) for _ in range(500)]
            acks = {frame.ids: frame.vars() for frame in using.client.frames(500)}
            self.assertEqual([acks[number]["txn.v"] for number in ids], [("str", f"i{n + 1}") for n in range(500)])
            self.assertIn(b"\r\nconnected_clients:2", server.command("INFO", "clients"))

    def test_queue_is_bounded(self):
        code = """(function()
            local tasks, codes, large = {}, {}, ('x'):rep(1000000)
            for i = 1, 100 do
                tasks[i] = spoa.spawn(function() return select(3, r:set('k', large)) end)
            end
            for i = 1, 100 do local c = tasks[i]:wait() codes[c or 'none'] = true end
            return codes.busy and 'bounded' or 'not bounded'
        end)()"""
        with redis.Server() as server, Using(f"port = {server.port}, timeout = 5",
                                             "handler-memory 1g\nworker-timeout 1m") as using:
            using.run("r:ping()")
            server.process.signal(signal.SIGSTOP)
            self.assertEqual(using.run(code)["v"], "bounded")
            server.process.signal(signal.SIGCONT)
            while using.run("r:ping()") != {"v": "PONG"}:
                pass

    def test_reload_and_stop_while_outstanding(self):
        with redis.Server() as server, Using(server, "drain-timeout 100ms") as using:
            using.run("r:set('k', 'v')")
            server.process.signal(signal.SIGSTOP)
            ids = using.client.send_notify("get", ("key", "k"))
            using.client.await_read()
            self.assertTrue(using.agent.reload())
            server.process.signal(signal.SIGCONT)
            self.assertEqual(using.client.ack(ids).vars()["txn.v"], ("str", "v"))
            self.check(using, "r:get('k')", "v")
            server.process.signal(signal.SIGSTOP)
            using.client.send_notify("get", ("key", "k"))
            using.client.await_read()


if __name__ == "__main__":
    unittest.main()
