"""require "socket" and "ssl" in handlers: their own functions, unmodified clients on them, and
servers that are down, slow, rude."""
import socket
import ssl
import threading
import unittest

from lib import dns
from lib.agent import Agent
from lib.ports import bound_socket
from lib.redis_server import Server as Redis
from lib.spop import Client, message, notify
from lib.streams import Server
from lib.web import Nginx, reset, until_closed

RUN = """
local env = setmetatable({ socket = require "socket" }, { __index = _G })
package.path = package.path .. ";/usr/share/lua/5.3/?.lua" -- where Debian 12 has redis-lua
function run(args)
    local values = table.pack(assert(load(args.code, "=code", "t", env))())
    local text = {}
    for i = 1, values.n do text[i] = tostring(values[i]) end
    return { txn = { got = table.concat(text, "|") } }
end
"""
CONFIG = "handler-timeout 15s\nhandler-cpu 10s\n"


class SocketCase(unittest.TestCase):
    config = CONFIG

    @classmethod
    def setUpClass(cls):
        cls.agent = cls.enterClassContext(Agent(RUN, config=cls.config))

    def setUp(self):
        self.client = self.enterContext(Client(self.agent.address, timeout=30))
        self.client.handshake()

    def serve(self, function, **options):
        return self.enterContext(Server(function, **options))

    def run_lua(self, code):
        """What the code returned, as text with | in between."""
        values = self.client.notify("run", ("code", code)).vars()
        self.assertIn("txn.got", values, f"{values}\n{self.agent.log()[-2000:]}")
        return values["txn.got"][1]

    def connected(self, server, code, timeout=10):
        return self.run_lua(f"""local s = assert(socket.connect("127.0.0.1", {server.port}))
            s:settimeout({timeout}) {code}""")


class Streams(SocketCase):
    def test_patterns(self):
        def serve(connection):
            connection.sendall(b"one\r\n\r\ntwo\nthree" + b"x" * 200000 + b"rest")
        server = self.serve(serve)
        self.assertEqual(self.connected(server, """
            local a, b, c, d = s:receive(), s:receive "*l", s:receive("*l", "p:"), s:receive(5)
            local x, e = s:receive(200004, "0123"), s:receive(0)
            local rest = s:receive("*a", "the ")
            local done, why, partial = s:receive(3)
            return a, b, c, d, #x, x:sub(1, 6), e, rest, done, why, partial, s:close(), s:close(), s:getfd() < 0"""),
            "one||p:two|three|200004|0123xx||the rest|nil|closed||1|1|true")

    def test_partial_writes(self):
        size = 8 << 20
        totals = []

        def serve(connection):
            connection.recv(1)
            total = 1
            while data := connection.recv(1 << 16):
                total += len(data)
            totals.append(total)
            connection.sendall(b"%d" % total)
        server = self.serve(serve)
        self.assertEqual(self.connected(server, f"""local sent = s:send(string.rep("x", {size}))
            s:shutdown "send" return sent, s:receive "*a" """), f"{size}|{size}")
        self.assertEqual(totals, [size])

    def test_send_range(self):
        server = self.serve(lambda connection: connection.sendall(connection.recv(100)))
        self.assertEqual(self.connected(server, 'return s:send("abcdef", 2, -2), s:receive(4)'), "5|bcde")

    def test_timeout_with_partial(self):
        def serve(connection):
            connection.sendall(b"!half")
            server.release.wait(20)
        server = self.serve(serve)
        for pattern in '"*l"', '"*a"', "10":
            self.assertEqual(self.connected(server, f"s:receive(1) s:settimeout(0.1) return s:receive({pattern})"),
                             "nil|timeout|half")
        self.assertEqual(self.connected(server, """s:receive(1) s:settimeout(nil)
            s:settimeout(0.1, "t") return s:receive(10)"""),
                         "nil|timeout|half")
        self.assertEqual(self.connected(server, """s:receive(5) s:settimeout(0) local a, b = s:receive()
            s:settimeout(-1) return a, b, s:gettimeout()"""), "nil|timeout|-1|-1")

    def test_slow_reader(self):
        server = self.serve(lambda connection: server.release.wait(20))
        values = self.connected(server, 'return s:send(string.rep("x", 16 << 20))', timeout=0.3).split("|")
        self.assertEqual(values[:2], ["nil", "timeout"])
        self.assertGreater(int(values[2]), 0)

    def test_down(self):
        with bound_socket() as nobody:
            port = nobody.getsockname()[1]
            self.assertEqual(self.run_lua(f'return socket.connect("127.0.0.1", {port})'), "nil|connection refused")
            self.assertEqual(self.run_lua(f'local s = socket.tcp() return s:connect("127.0.0.1", {port})'),
                             "nil|connection refused")

    def test_full_backlog(self):
        with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            one.connect(address)
            two.setblocking(False)
            two.connect_ex(address)
            self.assertEqual(self.run_lua(f"""local s = socket.tcp() s:settimeout(0.3)
                return s:connect("127.0.0.1", {address[1]})"""), "nil|timeout")

    def test_reset(self):
        def serve(connection):
            connection.recv(1)
            reset(connection)
        server = self.serve(serve)
        self.assertEqual(self.connected(server, 's:send "x" return s:receive()'), "nil|closed|")

    def test_close_wakes(self):
        server = self.serve(until_closed)
        self.assertEqual(self.connected(server, """
            local reader = spoa.spawn(function() return s:receive() end)
            spoa.sleep(0.01) s:close() return reader:wait()""", timeout="nil"), "nil|closed|")
        server.await_ended(1)

    def test_every_address(self):
        for host in "127.0.0.1", "::1":
            server = self.serve(lambda connection: connection.sendall(b"hi\n"), host=host)
            self.assertEqual(self.run_lua(f"""package.loaded["spoa.dns"] = {{ addresses = function()
                    return {{ "127.0.0.1", "::1" }} end }}
                local s = socket.tcp() s:settimeout(5) local ok, why = s:connect("both.test", {server.port})
                package.loaded["spoa.dns"] = nil
                return ok, why, ok and s:receive(), (ok and s:getpeername())"""), f"1|nil|hi|{host}")
        self.assertEqual(self.run_lua(f"""return select(2, socket.connect6("127.0.0.1", {server.port}))"""),
                         "'127.0.0.1' has no IPv6 address")

    def test_names(self):
        server = self.serve(lambda connection: connection.sendall(b"hi\n"))
        self.assertEqual(self.run_lua(f"""local s = assert(socket.connect("localhost", {server.port}))
            return s:receive(), socket.dns.toip "localhost" == "127.0.0.1" """), "hi|true")
        self.assertEqual(self.run_lua("""package.loaded["spoa.dns"] = { addresses = function(name)
                return nil, name .. " is not there", "nxdomain" end }
            local a, b = socket.connect("none.test", 1) package.loaded["spoa.dns"] = nil return a, b"""),
            "nil|none.test is not there")
        text = self.run_lua(f"""package.preload["spoa.dns"] = function() error "was not built" end
            local loaded = package.loaded["spoa.dns"] package.loaded["spoa.dns"] = nil
            local s = socket.connect("LocalHost", {server.port})
            local a, b = socket.connect("none.test", 1)
            package.preload["spoa.dns"], package.loaded["spoa.dns"] = nil, loaded
            return s and s:receive(), a, b""")
        self.assertRegex(text, r"(?s)^hi\|nil\|cannot resolve 'none.test' without spoa.dns.*libc-ares-dev.*not built")

    def test_asks_dns(self):
        """By the real spoa.dns; the first address refuses, the second answers; no such name."""
        server = self.serve(lambda connection: connection.sendall(b"hi\n"), host="127.0.0.1")
        zone = {("two.test", "A"): ["127.0.0.2", "127.0.0.1"], ("two.test", "AAAA"): dns.Code(dns.NOERROR),
                ("none.test", "A"): dns.Code(dns.NXDOMAIN), ("none.test", "AAAA"): dns.Code(dns.NXDOMAIN)}
        with dns.Server(zone) as asked:
            text = self.run_lua(f"""require "spoa.dns".configure {{ servers = {{ "{asked.address}" }}, timeout = 10 }}
                local s = assert(socket.connect("two.test", {server.port}))
                return s:receive(), socket.connect("none.test", 1)""")
        self.assertRegex(text, r"^hi\|nil\|.*none\.test.*no such name")

    def test_wrong_use(self):
        for code, text in (('socket.bind("*", 0)', "clients only"), ("socket.tcp():listen()", "clients only"),
                           ("socket.tcp():connect(nil, 1)", "bad host"), ('socket.tcp():settimeout("x")', "seconds"),
                           ("socket.tcp():settimeout(1, 'x')", "mode"), ("socket.select({}, {})", "no socket"),
                           ('socket.udp():sendto("x", "a.test", 1)', "IP address"),
                           ('require "ssl".wrap(socket.tcp(), { mode = "server" })', "clients only")):
            self.assertIn(text, self.run_lua(f"return pcall(function() {code} end)"))

    def test_exceptions(self):
        self.assertEqual(self.run_lua("""local closed = 0
            local try = socket.newtry(function() closed = closed + 1 end)
            local f = socket.protect(function(x) spoa.sleep(0) try(x, "broken") return x end)
            local a, b = f(false)
            local other = select(2, pcall(socket.protect(function() error("mine", 0) end)))
            return f(7), a, b, closed, other"""), "7|nil|broken|1|mine")


class OtherSockets(SocketCase):
    def test_udp(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(20)
            port = peer.getsockname()[1]
            self.client.send(notify(1, 1, message("run", ("code", f"""local u = socket.udp()
                u:setpeername("127.0.0.1", {port}) u:send "ping" local got = u:receive()
                u:settimeout(0.05) local a, b = u:receive() u:close()
                local v = socket.udp4() v:setsockname("*", 0) v:sendto("pong", "127.0.0.1", {port})
                local data, host = v:receivefrom() return got, a, b, data, host"""))))
            for want, answer in (b"ping", b"one"), (b"pong", b"two"):
                data, address = peer.recvfrom(100)
                self.assertEqual(data, want)
                peer.sendto(answer, address)
            self.assertEqual(self.client.frame().vars()["txn.got"][1], "one|nil|timeout|two|127.0.0.1")

    def test_select(self):
        silent = self.serve(until_closed)
        def talk(connection):
            connection.recv(1)
            connection.sendall(b"x\ny\n")
            until_closed(connection)
        talker = self.serve(talk)
        self.assertEqual(self.run_lua(f"""
            local a, b = socket.connect("127.0.0.1", {silent.port}), socket.connect("127.0.0.1", {talker.port})
            local r, w, why = socket.select({{ a, b }}, nil, 0.02)
            local _, w2 = socket.select({{ a }}, {{ b }}, 10)
            b:send "!" local r3, _, none = socket.select({{ a, b }}, nil)
            b:receive() local r4 = socket.select({{ a, b }}, nil, 0)
            return #r, #w, why, #w2, w2[1] == b, #r3, r3[1] == b, r3[b], none, r4[1] == b"""),
            "0|0|timeout|1|true|1|true|1|nil|true")

    def test_clock(self):
        self.assertEqual(self.run_lua("local t = socket.gettime() socket.sleep(0.02) return socket.gettime() > t"),
                         "true")

    def test_no_leak_of_descriptors(self):
        server = self.serve(until_closed)
        before = self.agent.fds()
        self.assertEqual(self.run_lua(f"""for _ = 1, 20 do assert(socket.connect("127.0.0.1", {server.port})) end
            collectgarbage() collectgarbage() return "ok" """), "ok")
        server.await_ended(19)
        self.assertLessEqual(self.agent.fds(), before + 1)


class Redises(SocketCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.redis = cls.enterClassContext(Redis())

    def test_redis_lua(self):
        self.assertEqual(self.run_lua(f"""local redis = require "redis"
            local c = redis.connect {{ host = "127.0.0.1", port = {self.redis.port}, timeout = 10 }}
            c:set("k", "v") c:rpush("list", "a", "b", "c")
            local replies = c:transaction(function(t) t:incr "n" t:incr "n" t:get "k" end)
            local got = c:get "k" local list = table.concat(c:lrange("list", 0, -1), ",")
            local ok, why = pcall(c.incr, c, "k") c:quit()
            return got, list, table.concat(replies, ","), ok, why:find("not an integer", 1, true) ~= nil"""),
            "v|a,b,c|1,2,v|false|true")

    def test_unix(self):
        self.assertEqual(self.run_lua(f"""local c = require "redis".connect("unix://{self.redis.path}")
            return c:ping(), c:echo "hello" """), "true|hello")
        self.assertEqual(self.run_lua(f"""local s = require "socket.unix"() s:settimeout(5)
            local ok = s:connect "{self.redis.path}" s:send "PING\\r\\n" local line = s:receive()
            return ok, line, s:close(), select(2, require "socket.unix".stream():connect "/nowhere")"""),
            "1|+PONG|1|No such file or directory")

    def test_hundred_at_once(self):
        code = f"""local c = require "redis".connect("127.0.0.1", {self.redis.port})
            local got = c:blpop("go", 10)[2] c:quit() return got"""
        for i in range(1, 101):
            self.client.send(notify(i, 1, message("run", ("code", code))))
        with Client(self.agent.address, timeout=30) as other:
            other.handshake()
            answer = other.notify("run", ("code", f"""local c = require "redis".connect("127.0.0.1", {self.redis.port})
                repeat spoa.sleep(0.01) until c:info().blocked_clients == "100" or c:info().clients.blocked_clients == "100"
                for i = 1, 100 do c:rpush("go", i) end return "pushed" """)).vars()
            self.assertEqual(answer["txn.got"][1], "pushed")
        got = {int(self.client.frame().vars()["txn.got"][1]) for _ in range(100)}
        self.assertEqual(got, set(range(1, 101)))


class Web(SocketCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = cls.enterClassContext(Nginx())
        cls.nginx.write("big", b"0123456789" * 100000)

    def test_http(self):
        self.assertEqual(self.run_lua(f"""local http = require "socket.http"
            local body, code = http.request "{self.nginx.url}/hello"
            local big = http.request "{self.nginx.url}/big"
            local moved, code2 = http.request "{self.nginx.url}/moved"
            local _, missing = http.request "{self.nginx.url}/none"
            return body, code, #big, moved, code2, missing"""),
            "hello|200|1000000|hello|200|404")

    def test_http_down(self):
        with bound_socket() as nobody:
            self.assertEqual(self.run_lua(f"""return require "socket.http".request
                "http://127.0.0.1:{nobody.getsockname()[1]}/" """), "nil|connection refused")

    def https(self, path, ca="ca.pem"):
        return self.run_lua(f"""local out = {{}}
            local ok, code = require "ssl.https".request {{ url = "{self.nginx.tls_url}{path}", verify = "peer",
                cafile = "{self.nginx.file(ca)}", sink = require "ltn12".sink.table(out) }}
            local body = table.concat(out) return ok, code, #body, body:sub(1, 5)""")

    def test_https(self):
        self.assertEqual(self.https("/hello"), "1|200|5|hello")
        self.assertEqual(self.https("/big"), "1|200|1000000|01234")
        self.assertRegex(self.https("/hello", "other.pem"), r"^nil\|certificate verify failed\|0\|$")

    def test_https_hundred_at_once(self):
        code = f"""local _, code = require "ssl.https".request {{ url = "{self.nginx.tls_url}/hello",
            verify = "peer", cafile = "{self.nginx.file('ca.pem')}" }} return code"""
        for i in range(1, 101):
            self.client.send(notify(i, 1, message("run", ("code", code))))
        self.assertEqual({self.client.frame().vars()["txn.got"][1] for _ in range(100)}, {"200"})

    def wrapped(self, port, code):
        return self.run_lua(f"""local ssl = require "ssl"
            local s = socket.tcp() s:settimeout(10) assert(s:connect("127.0.0.1", {port}))
            local c = assert(ssl.wrap(s, {{ mode = "client", protocol = "any", verify = "peer",
                cafile = "{self.nginx.file('ca.pem')}" }})) {code}""")

    def tls_server(self, talk):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.nginx.file("localhost.pem"), self.nginx.file("localhost.key"))

        def serve(connection):
            with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True) as wrapped:
                talk(wrapped)
        return self.serve(serve)

    def test_wrapped(self):
        self.assertEqual(self.wrapped(self.nginx.tls_port, """local shaken = c:dohandshake()
            c:send "GET /hello HTTP/1.0\\r\\n\\r\\n" local line = c:receive()
            local rest = c:receive "*a" return shaken, s:getfd() < 0, line, rest:sub(-5),
            c:info "protocol" ~= nil, c:getpeerverification(), c:close(), c:receive()"""),
            "true|true|HTTP/1.1 200 OK|hello|true|true|1|nil|closed|")

    def test_tls_timeout_and_partial(self):
        def talk(wrapped):
            wrapped.sendall(b"!half")
            server.release.wait(20)
        server = self.tls_server(talk)
        self.assertEqual(self.wrapped(server.port, """assert(c:dohandshake()) c:receive(1) c:settimeout(0.1)
            local a, b, d = c:receive(10) c:settimeout(0) local e, f = c:receive(10)
            c:settimeout(nil) local reader = spoa.spawn(function() return c:receive() end)
            spoa.sleep(0.01) c:close() return a, b, d, e, f, reader:wait()"""),
            "nil|timeout|half|nil|wantread|nil|closed|")

    def test_tls_slow_reader_closes_at_once(self):
        server = self.tls_server(lambda wrapped: server.release.wait(20))
        values = self.wrapped(server.port, """assert(c:dohandshake()) c:settimeout(0.3)
            local a, b, n = c:send(string.rep("x", 16 << 20)) return a, b, n > 0, c:close()""")
        self.assertEqual(values, "nil|timeout|true|1")

    def test_handshake_fails(self):
        silent = self.serve(until_closed)
        self.assertEqual(self.wrapped(silent.port, "c:settimeout(0.2) return c:dohandshake()"), "false|timeout")
        plain = self.serve(lambda connection: connection.sendall(b"no TLS here\n" * 10))
        self.assertRegex(self.wrapped(plain.port, "return c:dohandshake()"), r"^false\|wrong version number$")
        def hang_up(connection):
            connection.recv(1)
            reset(connection)
        self.assertEqual(self.wrapped(self.serve(hang_up).port, "return c:dohandshake()"), "false|closed")


class Ends(SocketCase):
    def test_haproxy_gone(self):
        arrived = threading.Semaphore(0)

        def serve(connection):
            connection.recv(1)
            arrived.release()
            until_closed(connection)
        server = self.serve(serve)
        code = f"""local s <close> = assert(socket.connect("127.0.0.1", {server.port})) s:send "x" s:receive()"""
        with Client(self.agent.address, timeout=20) as other:
            other.handshake()
            for i in range(1, 101):
                other.send(notify(i, 1, message("run", ("code", code))))
            for _ in range(100):
                self.assertTrue(arrived.acquire(timeout=20))
        server.await_ended(100)

    def test_reload(self):
        arrived, go = threading.Event(), threading.Event()

        def serve(connection):
            arrived.set()
            go.wait(20)
            connection.sendall(b"late\n")
        server = self.serve(serve)
        code = f"""return assert(socket.connect("127.0.0.1", {server.port})):receive()"""
        self.client.send(notify(1, 1, message("run", ("code", code))))
        self.assertTrue(arrived.wait(20))
        self.assertTrue(self.agent.reload())
        go.set()
        self.assertEqual(self.client.frame().vars()["txn.got"][1], "late")


class Deadline(SocketCase):
    config = "handler-timeout 1s\nhandler-cpu 10s\n"

    def test_cancelled_handler_closes(self):
        server = self.serve(until_closed)
        code = f"""local s = assert(socket.connect("127.0.0.1", {server.port})) s:receive()"""
        for _ in range(3):
            values = self.client.notify("run", ("code", code)).vars()
            self.assertEqual(values["txn.spoa_error"][1], "timeout")
        self.assertEqual(self.run_lua('collectgarbage() collectgarbage() return "collected"'), "collected")
        server.await_ended(3)

    def test_close_variable(self):
        server = self.serve(until_closed)
        code = f"""local s <close> = assert(socket.connect("127.0.0.1", {server.port})) s:receive()"""
        self.assertEqual(self.client.notify("run", ("code", code)).vars()["txn.spoa_error"][1], "timeout")
        server.await_ended(1)


if __name__ == "__main__":
    unittest.main()
