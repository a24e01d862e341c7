"""Logs: text and JSON, where they go, and what each line is about."""
import json
import os
import re
import signal
import socket
import unittest

from lib.agent import Agent, run
from lib.haproxy import HAProxy, VersionsCase
from lib.spop import Client

LUA = """
function talk(args)
    spoa.log("notice", "before", "a \\"quoted\\" word", "\\27[31m\\xff")
    spoa.sleep(0.02)
    spoa.log("notice", "after")
end
function fails(args)
    error("on purpose")
end
"""


def objects(text):
    return [json.loads(line) for line in text.splitlines() if line]


class Logs(unittest.TestCase):
    def test_every_line_is_json(self):
        with Agent(LUA, "log-format json\nlog-level debug\nworkers 2", start=False) as agent:
            agent.await_start = r'"text":"ready"'
            agent.start()
            with Client(agent.address) as client:
                client.handshake(**{"engine-id": "an engine"})
                client.notify("talk")
                client.notify("fails")
                client.notify('no "handler"')
            with Client(agent.address) as client:
                client.send(b"\0\0\0\x0a" + b"\x03" + b"\0" * 9)
                client.frame()
            agent.stop()
            lines = objects(agent.log())
        for line in lines:
            self.assertLessEqual({"time", "level", "pid", "text"}, set(line))
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        before, after = (next(line for line in lines if re.search(rf"handlers\.lua:\d: {word}", line["text"]))
                         for word in ("before", "after"))
        self.assertEqual(before["text"][-len('a "quoted" word \\x1b[31m\\xff'):], 'a "quoted" word \\x1b[31m\\xff')
        failed = next(line for line in lines if "on purpose" in line["text"])
        for line, message, stream in ((before, "talk", 1), (after, "talk", 1), (failed, "fails", 2)):
            self.assertRegex(line["peer"], r"^127\.0\.0\.1:\d+$")
            self.assertEqual((line["engine_id"], line["stream_id"], line["message"]), ("an engine", stream, message))
        refused = next(line for line in lines if "HELLO refused with status 4" in line["text"])
        self.assertNotIn("stream_id", refused)
        self.assertNotEqual(refused["peer"], failed["peer"])

    def test_text_says_what_it_is_about(self):
        with Agent(LUA) as agent, Client(agent.address) as client:
            client.handshake(**{"engine-id": "an engine"})
            client.notify("talk")
            for word in ("before", "after"):
                agent.wait_log(rf'notice .*handlers\.lua:\d: {word}.* peer=127\.0\.0\.1:\d+ engine="an engine" '
                               r"stream=1 frame=1 message=talk$")
            client.notify("fails")
            agent.wait_log(r"err message failed, error: .*on purpose.* stream=2 frame=1 message=fails$")

    def test_a_file_that_is_moved_away_is_opened_anew(self):
        with Agent(LUA, "log-target ./agent.log\nworkers 2", start=False) as agent:
            log = agent.folder / "agent.log"
            agent.log_file = log
            agent.start()
            with Client(agent.address) as one, Client(agent.address) as other:
                one.handshake()
                other.handshake()
                log.rename(agent.folder / "agent.log.1")
                agent.signal(signal.SIGUSR1)
                while not log.exists():
                    pass
                for client in (one, other):
                    while "before" not in (text := log.read_text()) or client.notify("talk") is None:
                        client.notify("talk")
                pids = set()
                while len(pids) < 2:
                    one.notify("talk")
                    other.notify("talk")
                    pids = set(re.findall(r"peer=127\.0\.0\.1:(\d+)", log.read_text()))
            agent.stop()
            self.assertIn("notice stopped", log.read_text())
            self.assertIn("notice ready", (agent.folder / "agent.log.1").read_text())
            self.assertEqual(log.stat().st_mode & 0o777, 0o640 & ~umask())

    def test_syslog(self):
        with Agent(LUA, start=False) as agent, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            path = agent.folder / "syslog.sock"
            syslog.bind(str(path))
            syslog.settimeout(10)
            agent.config_file.write_text(agent.config_file.read_text() + f"\nlog-target syslog:{path}\n")
            agent.await_start = None
            agent.start()
            lines = []
            while not lines or not lines[-1].endswith(b": ready"):
                lines.append(syslog.recv(10000))
            self.assertRegex(lines[-1].decode(), r"^<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d spoa-lua\[\d+\]: ready$")
            agent.process.signal(signal.SIGTERM)
            self.assertEqual(agent.process.wait(), 0)

    def test_a_target_that_cannot_be_opened(self):
        with Agent(LUA, "log-target /nonexistent/agent.log", start=False) as agent:
            done = run("-c", agent.config_file)
            self.assertEqual(done.returncode, 71)
            self.assertEqual(done.stderr, "spoa-lua: log-target /nonexistent/agent.log: No such file or directory\n")

    def test_another_form_after_a_reload(self):
        with Agent(LUA) as agent, Client(agent.address) as client:
            client.handshake()
            agent.config_file.write_text(agent.config_file.read_text() + "\nlog-format json\n")
            self.assertTrue(agent.reload())
            mark = agent.mark()
            client.notify("talk")
            agent.wait_log(r'^\{"time":.*"text":".*handlers.lua:\d: after".*"message":"talk"\}$', after=mark)


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


class BehindHAProxy(VersionsCase):
    def each_failure_names_the_engine(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, {"fails": "args src"}) as haproxy:
            haproxy.get()
            agent.wait_log(r"err message failed, error: .* peer=127\.0\.0\.1:\d+ engine=[-\w]+ stream=\d+ frame=\d+ "
                           r"message=fails$")


if __name__ == "__main__":
    unittest.main()
