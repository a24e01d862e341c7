"""Metrics and health over HTTP: what Prometheus reads is what happened, whoever served it."""
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest
import urllib.error
import urllib.request

from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase
from lib.spop import Client

LUA = """
function rate(args)
    if args.path == "/bad" then error("this one fails") end
    return { ["txn.score"] = 42 }
end
-- Until the test writes the file.
function wait(args)
    repeat spoa.sleep(0.01) until io.open("go")
end
"""


class Watched(Agent):
    def __init__(self, config="", scripts=LUA):
        super().__init__(scripts, f"metrics 127.0.0.1:0\n{config}")
        self.url = self.wait_log(r"notice metrics on (http://[\d.]+:\d+)/metrics$").group(1)

    def get(self, path):
        """(status, text)"""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self):
        status, text = self.get("/metrics")
        assert status == 200, status
        return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.M)}

    def total(self, family, **labels):
        """The sum of a family's samples with these labels."""
        found = 0
        for sample, value in self.samples().items():
            name, _, rest = sample.partition("{")
            if name == family and all(f'{key}="{text}"' in rest for key, text in labels.items()):
                found += value
        return found


class Metrics(unittest.TestCase):
    def test_names_are_as_prometheus_wants_them(self):
        promtool = shutil.which("promtool")
        self.assertIsNotNone(promtool, "promtool is in Debian's package prometheus")
        with Watched("workers 2") as agent:
            with Client(agent.address) as client:
                client.handshake()
                client.notify("rate", ("path", ("str", "/")))
            text = agent.get("/metrics")[1]
            done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_health_and_other_pages(self):
        with Watched() as agent:
            self.assertEqual(agent.get("/healthz"), (200, "ok\n"))
            self.assertEqual(agent.get("/readyz"), (200, "ready\n"))
            self.assertEqual(agent.get("/nowhere")[0], 404)
            request = urllib.request.Request(agent.url + "/metrics", data=b"x" * 100000, method="POST")
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=10)
            self.assertEqual(caught.exception.code, 405)
            caught.exception.close()

    def test_not_ready_while_draining(self):
        with Watched("handler-timeout 1m\ndrain-timeout 1m") as agent, Client(agent.address) as client:
            client.handshake()
            ids = client.send_notify("wait")
            while agent.total("spoa_lua_notifies_in_flight") == 0:
                pass
            agent.signal(signal.SIGTERM)
            agent.wait_log("notice stopping")
            self.assertEqual(agent.get("/readyz"), (503, "stopping\n"))
            self.assertEqual(agent.get("/healthz")[0], 200)
            agent.write("go", "")
            client.ack(ids)

    def test_unknown_messages_are_one_number(self):
        with Watched() as agent, Client(agent.address) as client:
            client.handshake()
            before = set(agent.samples())
            for n in range(100):
                client.notify(f"unknown-{n}")
            self.assertEqual(set(agent.samples()), before)
            self.assertEqual(agent.total("spoa_lua_messages_unknown_total"), 100)

    def test_many_handlers_share_the_last_place(self):
        lua = "\n".join(f"function h{n}(args) end" for n in range(400))
        with Watched(scripts=lua) as agent, Client(agent.address) as client:
            client.handshake()
            for n in (0, 254, 399):
                client.notify(f"h{n}")
            names = set(re.findall(r'spoa_lua_messages_total\{message="([^"]+)"', agent.get("/metrics")[1]))
            self.assertEqual(len(names), 256)
            self.assertIn("(others)", names)
            self.assertEqual(agent.total("spoa_lua_messages_total", result="ok"), 3)

    def test_refusals_by_status(self):
        with Watched() as agent:
            with Client(agent.address) as client:
                client.send(b"\0\0\0\x0a" + b"\x03" + b"\0" * 9)
                client.frame()
            self.assertEqual(agent.total("spoa_lua_handshakes_refused_total", status="4"), 1)

    def test_counters_survive_a_worker_and_reloads(self):
        with Watched("workers 1") as agent:
            for _ in range(2):
                with Client(agent.address) as client:
                    client.handshake()
                    client.notify("rate", ("path", ("str", "/")))
                    self.assertTrue(agent.reload())
                    mark = agent.mark()
                    os.kill(agent.pids()[1], signal.SIGKILL)
                    agent.wait_log("was killed by signal 9", after=mark)
                    while agent.total("spoa_lua_worker_up") == 0:
                        pass
            self.assertEqual(agent.total("spoa_lua_messages_total", message="rate", result="ok"), 2)
            self.assertEqual(agent.total("spoa_lua_worker_restarts_total"), 2)
            self.assertEqual(agent.total("spoa_lua_reloads_total", result="good"), 2)
            self.assertEqual(agent.total("spoa_lua_notifies_in_flight"), 0)
            agent.write("handlers.lua", "error('no')")
            self.assertFalse(agent.reload())
            self.assertEqual(agent.total("spoa_lua_last_reload_successful"), 0)

    def test_many_and_slow_scrapers_are_bounded(self):
        with Watched() as agent:
            host, port = agent.url[7:].split(":")
            crowd = [socket.create_connection((host, int(port))) for _ in range(40)]
            for sock in crowd:
                sock.sendall(b"GET /metrics HTTP/1.1\r\n")
            # Those that were let in hold their places; HAProxy's side goes on.
            with Client(agent.address) as client:
                client.handshake()
                client.notify("rate", ("path", ("str", "/")))
            for sock in crowd:
                sock.close()
            while True:
                try:
                    self.assertEqual(agent.get("/healthz")[0], 200)
                    break
                except OSError:
                    pass  # it has not seen all of them go


class BehindHAProxy(VersionsCase):
    def each_counts(self, version):
        with Watched("workers 2") as agent, \
                HAProxy(version, agent, {"rate": "args path=path"}, show={"score": "txn.t.score"}) as haproxy:
            for _ in range(10):
                self.assertEqual(haproxy.get("/")["score"], "42")
            haproxy.get("/bad")
            self.assertEqual(agent.total("spoa_lua_messages_total", message="rate", result="ok"), 10)
            self.assertEqual(agent.total("spoa_lua_messages_total", message="rate", result="error"), 1)
            self.assertEqual(agent.total("spoa_lua_message_duration_seconds_count", message="rate"), 11)
            self.assertEqual(agent.total("spoa_lua_message_duration_seconds_bucket", le="+Inf"), 11)
            self.assertEqual(agent.total("spoa_lua_frames_total", direction="in", type="notify"), 11)
            self.assertEqual(agent.total("spoa_lua_frames_total", direction="out", type="ack"), 11)
            self.assertGreater(agent.total("spoa_lua_bytes_total", direction="in"), 11 * 20)


if __name__ == "__main__":
    unittest.main()
