"""spoa.http and servers that are slow, reset, lie, or never end; and handlers that go away meanwhile."""
import gzip
import threading
import time
import unittest

from lib.agent import Agent
from lib.case import case
from lib.spop import Client
from lib.waiting import wait_until
from lib.web import Nginx, Rude, reset, until_closed

RUN = """
local http = require "spoa.http"
local function show(response, message, code)
    if not response then return { txn = { message = message, code = code } } end
    return { txn = { status = response.status, body = response.body } }
end
local closing = { __close = function(self) io.stderr:write("closed ", self[1], "\\n") end }
local env = setmetatable({ http = http, show = show, closing = closing }, { __index = _G })
function run(args) return assert(load(args.code, "=code", "t", env))() end
"""
OK = b"HTTP/1.1 200 OK\r\n"


def plain(values):
    return {name.removeprefix("txn."): value[1] for name, value in values.items()}


def run_lua(client, code):
    return plain(client.notify("run", ("code", code)).vars())


def endless(connection, head, piece):
    """Begins a response and repeats a piece until the agent has had enough."""
    connection.sendall(head)
    while True:
        connection.sendall(piece)


def wait_then_close(connection, head):
    until_closed(connection)


class RudeCase(unittest.TestCase):
    config = "handler-timeout 10s"

    def setUp(self):
        self.agent = self.enterContext(Agent(RUN, config=self.config))
        self.client = self.connect()

    def connect(self):
        client = self.enterContext(Client(self.agent.address, timeout=20))
        client.handshake()
        return client

    def rude(self, answer):
        return self.enterContext(Rude(answer))

    def get(self, server, options=""):
        return run_lua(self.client, f'return show(http.get("{server.url}", {{ {options} }}))')


class Answers(RudeCase):
    def test_fixed_bytes(self):
        """What a server sends before it closes: the code, or the response."""
        big = b"x-filler: " + b"y" * 8000 + b"\r\n"
        for code, data in (
                ("closed", None),
                ("bad_reply", b"SSH-2.0-OpenSSH\r\n"),
                ("bad_reply", b"\0" * 100),
                ("bad_reply", OK + b"content-length: -5\r\n\r\n"),
                ("bad_reply", OK + b"x: a\0b\r\n\r\n"),
                ("closed", OK + b"content-length: 10\r\n\r\nhello"),
                ("closed", OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel"),
                ("closed", OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nhel"),
                ("too_big", OK + big * 9 + b"\r\n"),
                ("too_big", OK + b"a: b\r\n" * 600 + b"\r\n"),
                ("too_big", OK + b"a: " + b"x" * 200000 + b"\r\n\r\n"),
                ("too_big", b"HTTP/1.1 100 Continue\r\n\r\n" * 5000),
                ("too_big", OK + b"\r\n" + b"x" * ((1 << 20) + 1))):
            server = self.rude(lambda connection, head, data=data: data)
            with case(data=data and data[:70]):
                self.assertEqual(self.get(server).get("code"), code)
        for body, data in (
                ("hello", OK + b"content-length: 5\r\n\r\nhello and more"),
                ("hello", OK + b"\r\nhello"),
                ("hello", b"HTTP/1.0 200 OK\n\nhello"),
                ("hello", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nx: y\r\n\r\n" + OK + b"\r\nhello"),
                ("hello", OK + b"transfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nt: 1\r\n\r\n")):
            server = self.rude(lambda connection, head, data=data: data)
            with case(data=data):
                self.assertEqual(self.get(server), {"status": 200, "body": body})

    def test_headers_of_all_shapes(self):
        server = self.rude(lambda connection, head: OK + b"A: 1\r\nb:2\r\nC:\r\na:  3 \r\nD: one\r\n  two\r\n\r\n")
        self.assertEqual(run_lua(self.client, f"""
            local r, all = http.get("{server.url}"), {{}}
            for i, pair in ipairs(r.header_list) do all[i] = pair[1] .. "=" .. pair[2] end
            return {{ txn = {{ all = table.concat(all, ";"), a = r.headers.a, d = r.headers.d, c = r.headers.c }} }}"""),
                         {"all": "a=1;b=2;c=;a=3;d=one two", "a": "1, 3", "c": "", "d": "one two"})

    def test_endless(self):
        for head, piece in ((OK + b"\r\n", b"x" * 65536),
                            (OK, b"x-y: z\r\n"),
                            (OK + b"x: ", b"y" * 65536),
                            (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
                            (OK + b"transfer-encoding: chunked\r\n\r\n1;", b"x" * 65536),
                            (b"", b"HTTP/1.1 100 Continue\r\n\r\n")):
            server = self.rude(lambda connection, _, head=head, piece=piece: endless(connection, head, piece))
            with case(head=head, piece=piece[:20]):
                self.assertIn(self.get(server, "timeout = 3").get("code"), ("too_big", "failed", "timeout"))
                server.await_closed()

    def test_bomb(self):
        bomb = gzip.compress(b"\0" * (50 << 20))
        server = self.rude(lambda connection, head: OK + b"content-encoding: gzip\r\n\r\n" + bomb)
        self.assertEqual(run_lua(self.client, f'local r = http.get("{server.url}") return {{ txn = {{ n = #r.body }} }}'),
                         {"n": len(bomb)})
        self.assertEqual(self.get(server, "decode = true")["code"], "too_big")
        # Compressed for the connection, which was not asked for either.
        server = self.rude(lambda connection, head: OK + b"transfer-encoding: gzip, chunked\r\n\r\n%x\r\n" % len(bomb)
                           + bomb + b"\r\n0\r\n\r\n")
        self.assertIn("code", self.get(server))

    def test_reset(self):
        def answer(connection, head):
            connection.sendall(OK + b"content-length: 10\r\n\r\nhello")
            reset(connection)
        self.assertEqual(self.get(self.rude(answer))["code"], "closed")
        self.assertEqual(self.get(self.rude(lambda connection, head: reset(connection)))["code"], "closed")

    def test_slow(self):
        server = self.rude(wait_then_close)
        result = self.get(server, "timeout = 0.1")
        self.assertEqual(result["code"], "timeout")
        self.assertIn(f"127.0.0.1:{server.port}: no complete answer within 0.1 s", result["message"])
        server.await_closed()

        def drip(connection, head):
            connection.sendall(OK + b"\r\n")
            while True:
                connection.sendall(b"x")
                time.sleep(0.01)
        server = self.rude(drip)
        self.assertEqual(self.get(server, "timeout = 0.2")["code"], "timeout")
        server.await_closed()

    def test_tls_that_never_shakes_hands(self):
        listener = self.rude(wait_then_close)
        result = run_lua(self.client, f'return show(http.get("https://127.0.0.1:{listener.port}/", '
                                      '{ connect_timeout = 0.1 }))')
        self.assertEqual(result["code"], "timeout")
        self.assertIn("connect_timeout", result["message"])


class GoingAway(RudeCase):
    config = "handler-timeout 2s"

    def test_deadline(self):
        server = self.rude(wait_then_close)
        nginx = self.enterContext(Nginx())
        self.assertEqual(run_lua(self.client, f'return show(http.get("{nginx.url}/connection"))')["status"], 200)
        ids = [self.client.send_notify("run", ("code", f'local held <close> = setmetatable({{ {n} }}, closing) '
                                                       f'return show(http.get("{server.url}"))')) for n in range(20)]
        got = dict((frame.ids, plain(frame.vars())) for frame in self.client.frames(20))
        self.assertEqual(got, {i: {"spoa_error": "timeout"} for i in ids})
        server.await_closed()
        for n in range(20):
            self.agent.wait_log(rf"^closed {n}$")
        self.assertEqual(run_lua(self.client, f'return show(http.get("{nginx.url}/connection"))')["status"], 200)

    def test_where_it_ends_itself(self):
        """A request given up in a pcall's handler starts another at once."""
        server = self.rude(wait_then_close)
        self.assertEqual(run_lua(self.client, f"""
            local first = select(3, http.get("{server.url}", {{ timeout = 0.05 }}))
            return {{ txn = {{ first = first, second = select(3, http.get("{server.url}", {{ timeout = 0.05 }})) }} }}"""),
                         {"first": "timeout", "second": "timeout"})


class Gone(RudeCase):
    config = "handler-timeout 60s\nmax-pending 5000"

    def test_haproxy_gone(self):
        server = self.rude(wait_then_close)
        other = self.connect()
        descriptors = self.agent.fds()
        for n in range(60):
            other.send_notify("run", ("code", f'return show(http.get("{server.url}", {{ timeout = 50 }}))'))
        server.await_heads(60)
        other.reset()
        server.await_closed()
        wait_until(lambda: self.agent.fds() < descriptors, "descriptors stay open")
        good = self.rude(lambda connection, head: OK + b"\r\nhello")
        self.assertEqual(self.get(good)["body"], "hello")

    def test_stopped_while_waiting(self):
        server = self.rude(wait_then_close)
        agent = Agent(RUN, config="handler-timeout 60s\ndrain-timeout 100ms")
        with agent, Client(agent.address) as client:
            client.handshake()
            client.send_notify("run", ("code", f'return show(http.get("{server.url}", {{ timeout = 50 }}))'))
            server.await_heads(1)

    def test_reload(self):
        released = threading.Event()

        def answer(connection, head):
            released.wait(20)
            return OK + b"\r\nhello"
        server = self.rude(answer)
        ids = {self.client.send_notify("run", ("code", f'return show(http.get("{server.url}", {{ timeout = 50 }}))'))
               for n in range(20)}
        server.await_heads(20)
        self.assertTrue(self.agent.reload())
        self.agent.write("handlers.lua", "function run() return { ['txn.new'] = 1 } end")
        self.assertTrue(self.agent.reload())  # and the module is not wanted any more
        released.set()
        got = {frame.ids: plain(frame.vars()) for frame in self.client.frames(20)}
        self.assertEqual(got, {i: {"status": 200, "body": "hello"} for i in ids})
        self.assertEqual(run_lua(self.client, ""), {"new": 1})

    def test_many_at_once(self):
        """More than there are connections for: they queue; and a slow server holds no other up."""
        slow = self.rude(wait_then_close)
        nginx = self.enterContext(Nginx())
        stuck = self.connect()
        for n in range(100):
            stuck.send_notify("run", ("code", f'return show(http.get("{slow.url}", {{ timeout = 50 }}))'))
        slow.await_heads(64)
        patient = "{ timeout = 50, connect_timeout = 50 }"
        ids = [self.client.send_notify("run", ("code", f'return show(http.get("{nginx.url}/hello", {patient}))'))
               for n in range(500)]
        got = {frame.ids: plain(frame.vars()) for frame in self.client.frames(500)}
        self.assertEqual(got, {i: {"status": 200, "body": "hello"} for i in ids})
        self.assertEqual(len(slow.heads), 64)
        self.assertEqual(self.get(slow, "timeout = 0.1")["code"], "timeout")  # while it waits for a connection
        stuck.reset()
        slow.await_closed()

    def test_limits(self):
        held = threading.Semaphore(0)

        def answer(connection, head):
            held.acquire(timeout=20)
            return OK + b"content-length: 0\r\n\r\n"
        server = self.rude(answer)
        run_lua(self.client, "http.configure{ connections = 3, connections_per_host = 2 }")
        for n in range(6):
            self.client.send_notify("run", ("code", f'return show(http.get("{server.url}", {{ timeout = 50 }}))'))
        for seen in (2, 3, 4, 5, 6, 6):
            server.await_heads(seen)
            self.assertEqual(len(server.heads), seen)
            held.release()
            self.assertEqual(plain(self.client.frame().vars())["status"], 200)

    def test_server_restarts(self):
        """A kept connection that the server has closed is noticed, and the request sent on another."""
        nginx = self.enterContext(Nginx())
        self.assertEqual(run_lua(self.client, f'return show(http.get("{nginx.url}/hello"))')["status"], 200)
        nginx.process.kill()
        self.assertEqual(run_lua(self.client, f'return show(http.get("{nginx.url}/hello"))')["code"], "connect")
        nginx.unix.unlink(missing_ok=True)
        nginx.start()
        self.assertEqual(run_lua(self.client, f'return show(http.get("{nginx.url}/hello"))')["status"], 200)


class OutOfMemory(unittest.TestCase):
    def test_response_that_does_not_fit(self):
        with Agent(RUN, config="handler-timeout 10s\nhandler-memory 2m") as agent, \
                Rude(lambda connection, head: OK + b"\r\n" + b"x" * (8 << 20)) as server, Client(agent.address) as client:
            client.handshake()
            for n in range(5):
                self.assertEqual(run_lua(client, f'return show(http.get("{server.url}", {{ max_body = 1 << 30 }}))'),
                                 {"spoa_error": "memory"})
            self.assertEqual(run_lua(client, f'return show(http.get("{server.url}"))')["code"], "too_big")


if __name__ == "__main__":
    unittest.main()
