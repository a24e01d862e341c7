"""Whoever reads the log has stopped: lines are lost and counted, nobody waits."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import unittest

from lib.agent import binary, environment, run, temp_folder
from lib.spop import Client

# More than a pipe holds, in a call or two, of lines that it takes whole.
LUA = """
function flood(args)
    for i = 1, 400 do print(("x"):rep(3000)) end
    return { ["txn.x"] = 1 }
end
function ok(args) return { ["txn.ok"] = 1 } end
"""


class Unread:
    """A daemon of two workers with this for its stderr, which the test reads or does not."""

    def __init__(self, stderr, config=""):
        self.folder = temp_folder("unread")
        self.address, self.control = f"unix:{self.folder}/s", f"unix:{self.folder}/c"
        (self.folder / "h.lua").write_text(LUA)
        (self.folder / "conf").write_text(f"listen {self.address}\ncontrol {self.control}\nscript h.lua\n"
                                          f"workers 2\nhandler-timeout 1m\nhandler-cpu 30s\n{config}\n")
        self.process = subprocess.Popen([binary(), "-c", self.folder / "conf"], stdin=subprocess.DEVNULL,
                                        stderr=stderr, env=environment())
        while self.ctl("show", "info").find("state: serving") < 0:
            assert self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ctl(self, *words):
        return run("ctl", "-s", self.control, *words).stdout

    def lost(self):
        return int(re.search(r"^log_lines_lost: (\d+)$", self.ctl("show", "stat"), re.M).group(1))

    def flood(self):
        """Both workers have lost lines."""
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(self.address)) for _ in range(2)]
            for client in clients:
                client.handshake()
            for client in clients:
                for _ in range(3):
                    assert client.notify("flood").vars() == {"txn.x": ("int64", 1)}
                assert client.notify("ok").vars() == {"txn.ok": ("int64", 1)}
        assert self.lost() > 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


class LogUnread(unittest.TestCase):
    def test_a_pipe(self):
        reader, writer = os.pipe()
        with open(reader, "rb") as log, Unread(writer) as agent:
            os.close(writer)
            agent.flood()
            self.assertIn("reloaded", agent.ctl("reload"))
            # Somebody reads again: what was lost is said, and nothing was torn.
            os.set_blocking(reader, False)
            while agent.lost() and not re.search(rb"Z warning \d+ lines lost: the log's reader did not take them\n",
                                                 text := log.read() or b""):
                agent.flood()
            for line in text.splitlines():
                self.assertRegex(line, rb"^\d{4}-\S+Z \w+ ")
            agent.flood()
            self.assertEqual(agent.stop(), 0)

    def test_a_socket_as_systemds(self):
        here, there = socket.socketpair()
        with here, Unread(there) as agent:
            there.close()
            agent.flood()
            self.assertEqual(agent.stop(), 0)

    def test_a_fifo_and_a_syslog(self):
        folder = temp_folder("unread")
        os.mkfifo(folder / "fifo")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.bind(str(folder / "log"))
            for target in (folder / "fifo", f"syslog:{folder}/log"):
                with Unread(subprocess.DEVNULL, f"log-target {target}") as agent:
                    agent.flood()
                    self.assertEqual(agent.stop(), 0)


if __name__ == "__main__":
    unittest.main()
