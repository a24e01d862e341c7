"""The control socket: `spoa-lua ctl`, `spoa-lua reload`, and the socket itself, behind a real HAProxy."""
import json
import os
import signal
import subprocess
import threading
import unittest

from lib import agent as agents
from lib.agent import Agent, binary, environment, run
from lib.haproxy import HAProxy, VersionsCase
from lib.spop import Client

LUA = """
function rate(args)
    if args.path == "/bad" then error("this one fails") end
    return { ["txn.score"] = 42, ["txn.host"] = spoa.unset }
end
-- Until the test writes the file.
function wait(args)
    repeat spoa.sleep(0.01) until io.open("go")
end
"""


class Controlled(Agent):
    """An agent whose control socket is `control.sock` in its folder."""

    def __init__(self, config=""):
        super().__init__(LUA, start=False)
        self.control = f"unix:{self.folder}/control.sock"
        text = self.config_file.read_text()
        self.config_file.write_text(f"{text}\ncontrol {self.control}\n{config}\n")
        self.start()

    def ctl(self, *words):
        return run("ctl", "-s", self.control, *words)

    def ask(self, *words):
        done = self.ctl(*words)
        if done.returncode:
            raise AssertionError(f"ctl {words}: {done.returncode}, {done.stderr}")
        return done.stdout

    def rows(self, *words):
        return json.loads(self.ask(*words, "json"))


class Control(unittest.TestCase):
    def test_ping_and_help(self):
        with Controlled() as agent:
            self.assertEqual(agent.ask("ping"), "pong\n")
            self.assertIn("set log level LEVEL\n", agent.ask("help"))

    def test_the_socket_is_plain_text(self):
        with Controlled() as agent, agents.connect(agent.control) as sock:
            sock.sendall(b"ping\n")
            self.assertEqual(sock.recv(100), b"pong\n")
            self.assertEqual(sock.recv(100), b"")

    def test_only_its_user_may_connect(self):
        with Controlled() as agent:
            self.assertEqual((agent.folder / "control.sock").stat().st_mode & 0o777, 0o600)

    def test_wrong_commands_say_what_to_write(self):
        with Controlled() as agent:
            for words, answer in ((["shwo", "info"], "error: no such command: `help` lists them\n"),
                                  (["set", "log", "level"], "error: write set log level LEVEL\n"),
                                  (["trace", "rate", "maybe"],
                                   "error: write trace MESSAGE on [N] (1 to 1000000) or off\n")):
                done = agent.ctl(*words)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", answer))

    def test_nobody_listens(self):
        done = run("ctl", "-s", "unix:/nonexistent/control.sock", "ping")
        self.assertEqual(done.returncode, 69)
        self.assertRegex(done.stderr, r"unix:/nonexistent/control.sock: No such file .*is it running")

    def test_reload_tells_what_is_wrong(self):
        with Controlled() as agent:
            done = run("reload", "-c", agent.config_file)
            self.assertEqual((done.returncode, done.stdout), (0, "reloaded\n"))
            agent.write("handlers.lua", "local x = nil + 1")
            done = run("reload", "-c", agent.config_file)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, r"error: reload failed, .*\n.*handlers\.lua:1: attempt to perform arithmetic")

    def test_a_broken_file_still_says_where_the_daemon_is(self):
        with Controlled() as agent:
            text = agent.config_file.read_text()
            agent.config_file.write_text(f"{text}\nno-such-key 1\n")
            self.assertEqual(run("ctl", "-c", agent.config_file, "ping").stdout, "pong\n")
            done = run("reload", "-c", agent.config_file)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"spoa-lua\.conf:\d+: unknown key 'no-such-key'")

    def test_log_level_at_run_time(self):
        with Controlled("workers 2") as agent:
            for level, expected in (("debug", True), ("warning", False)):
                self.assertEqual(agent.ask("set", "log", "level", level), "ok\n")
                mark = agent.mark()
                for _ in range(2):
                    with Client(agent.address) as client:
                        client.handshake()
                        client.notify("rate", ("path", ("str", "/")))
                self.assertEqual(": connected" in agent.log()[mark:], expected)

    def test_shutdown_and_drain_end_it(self):
        for command, answer in (("shutdown", "stopping\n"), ("drain", "draining\n")):
            with Controlled("handler-timeout 1m") as agent:
                with Client(agent.address) as client:
                    client.handshake()
                    ids = client.send_notify("wait")
                    # The worker has it: it is in flight.
                    while agent.rows("show", "info")["notifies_in_flight"] == 0:
                        pass
                    self.assertEqual(agent.ask(command), answer)
                    if command == "drain":
                        agent.write("go", "")
                        self.assertEqual(client.ack(ids).vars(), {})
                self.assertEqual(agent.process.wait(), 0)

    def test_a_killed_workers_part_is_missing(self):
        with Controlled("workers 2") as agent:
            before = agent.rows("show", "workers")
            self.assertEqual([row["state"] for row in before], ["serving", "serving"])
            os.kill(before[0]["pid"], signal.SIGKILL)
            agent.wait_log("worker 1 is started again")
            while (now := agent.rows("show", "workers"))[0]["state"] != "serving":
                pass
            self.assertEqual((now[0]["restarts"], now[1]["restarts"]), (1, 0))
            self.assertNotEqual(now[0]["pid"], before[0]["pid"])


class BehindHAProxy(VersionsCase):
    def each_show(self, version):
        show = {"score": "txn.t.score", "why": "txn.t.spoa_error"}
        with Controlled("workers 2") as agent, \
                HAProxy(version, agent, {"rate": "args path=path client=src"}, show=show) as haproxy:
            for _ in range(4):
                self.assertEqual(haproxy.get("/")["score"], "42")
            self.assertEqual(haproxy.get("/bad")["why"], "error")
            handlers = {(row["handler"], row["worker"]): row for row in agent.rows("show", "handlers")}
            self.assertEqual(sum(handlers["rate", w]["ok"] for w in (1, 2)), 4)
            self.assertEqual(sum(handlers["rate", w]["error"] for w in (1, 2)), 1)
            stat = agent.rows("show", "stat")
            self.assertEqual((stat["messages_ok"], stat["messages_error"], stat["frames_out_ack"]), (4, 1, 5))
            sessions = agent.rows("show", "sessions")
            self.assertTrue(sessions)
            self.assertTrue(all(row["state"] in ("running", "closing", "hello") for row in sessions), sessions)
            errors = agent.rows("show", "errors")
            self.assertEqual(len(errors), 1)
            self.assertRegex(errors[0]["error"], r"message rate .*handlers\.lua:3: this one fails")
            info = agent.rows("show", "info")
            self.assertEqual((info["state"], info["workers"], info["pid"]), ("serving", 2, agent.pid))
            for words in ("info", "stat", "handlers", "sessions", "workers", "errors"):
                self.assertRegex(agent.ask("show", words), r"\w+(=|: )")

    def each_trace(self, version):
        with Controlled("workers 3") as agent, \
                HAProxy(version, agent, {"rate": "args path=path client=src none=hdr(none)"}) as haproxy:
            tracer = subprocess.Popen([binary(), "ctl", "-s", agent.control, "trace", "rate", "on", "2"],
                                      stdout=subprocess.PIPE, text=True, env=environment())
            lines = []
            reader = threading.Thread(target=lambda: lines.extend(tracer.stdout))
            reader.start()
            # It looks on from the moment that the worker has heard of it: until it has two.
            while reader.is_alive():
                haproxy.get("/a%20b")
            reader.join()
            self.assertEqual(tracer.wait(10), 0)
            self.assertEqual(len(lines), 2)
            for line in lines:
                self.assertRegex(line, r"^rate \(stream \d+, frame \d+, 127\.0\.0\.1:\d+\): path=str /a%20b, "
                                       r"client=ipv4 127\.0\.0\.1, none=null -> "
                                       r"(set-var txn\.score int64 42, unset-var txn\.host|"
                                       r"unset-var txn\.host, set-var txn\.score int64 42) \[\d+\.\d{3} ms\]$")


if __name__ == "__main__":
    unittest.main()
