"""Sockets from systemd, and what it is told: by hand, for no systemd runs here."""
import os
import signal
import socket
import subprocess
import unittest

from lib import http
from lib.agent import Agent, Process, binary, environment, run
from lib.haproxy import HAProxy, VersionsCase
from lib.spop import Client

LUA = """
function one(args)
    return { ["txn.n"] = 1 }
end
"""
# LISTEN_PID is the daemon's own, which only it and the shell that becomes it know.
EXEC = ['sh', '-c', 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"', 'sh']


class Activated(Agent):
    """An agent that finds these sockets, given as {name: socket}, from descriptor 3 on."""

    def __init__(self, sockets, config="", listen=(), notify=None, watchdog=None, start=True):
        super().__init__(LUA, config, listen=listen, start=False)
        self.sockets = sockets
        self._env["LISTEN_FDS"] = str(len(sockets))
        self._env["LISTEN_FDNAMES"] = ":".join(sockets)
        if notify:
            self._env["NOTIFY_SOCKET"] = notify
        if watchdog:
            self._env["WATCHDOG_USEC"] = str(watchdog)
        if start:
            self.start()

    def start(self, *options):
        wanted = [sock.fileno() for sock in self.sockets.values()]
        moves = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(wanted))
        words = list(EXEC)
        words[2] = f"exec {moves}; {EXEC[2]}" if moves else EXEC[2]
        self.process = Process([*words, binary(), "-c", str(self.config_file), *options], cwd=self.folder,
                               env=self._env, name="spoa-lua", pass_fds=wanted)
        try:
            self._await_start()
        except AssertionError:
            self.process.kill()
            raise
        return self


def listening(family=socket.AF_INET, address=("127.0.0.1", 0)):
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen(1024)
    return sock


def address_of(sock):
    return "{}:{}".format(*sock.getsockname())


class Sockets(unittest.TestCase):
    def check(self, address):
        with Client(address) as client:
            client.handshake()
            self.assertEqual(client.notify("one").vars(), {"txn.n": ("int64", 1)})

    def test_one_that_no_line_names(self):
        with listening() as sock, Activated({"spoa.socket": sock}) as agent:
            self.check(address_of(sock))
            # The default listener is for those who say nothing at all.
            self.assertEqual(agent.log().count("notice listening on"), 1)
            agent.wait_log(rf"info socket 'spoa\.socket' was handed over: {address_of(sock)}$")

    def test_one_that_a_line_names(self):
        with listening() as sock, Activated({"a": sock}, listen=[address_of(sock), "127.0.0.1:0"]) as agent:
            self.check(address_of(sock))
            self.assertEqual(agent.log().count("notice listening on"), 2)

    def test_it_stays_over_reloads(self):
        with listening() as sock, Activated({"a": sock}, listen=[address_of(sock)]) as agent:
            agent.config_file.write_text("script handlers.lua\n")
            self.assertTrue(agent.reload())
            self.check(address_of(sock))

    def test_the_file_of_a_unix_socket_stays(self):
        with Agent(LUA, start=False) as other:
            path = other.folder / "spoa.sock"
            with listening(socket.AF_UNIX, str(path)) as sock:
                with Activated({"a": sock}, listen=[f"unix:{path}"]):
                    self.check(f"unix:{path}")
                self.assertTrue(path.exists())

    def test_one_that_does_not_listen(self):
        with socket.socket() as sock:
            agent = Activated({"strange": sock}, start=False)
            agent.await_start = None
            agent.start()
            self.assertEqual(agent.process.wait(), 71)
            self.assertRegex(agent.log(), r"err socket activation, socket 'strange': descriptor 3 is no stream socket "
                                          r"that listens \(ListenStream=\)")

    def test_those_of_another_process_are_not_ours(self):
        with listening() as sock:
            env = environment({"LISTEN_PID": "1", "LISTEN_FDS": "1"})
            with Agent(LUA, start=False) as agent:
                agent._env = env
                agent.start()
                self.assertNotIn(address_of(sock), agent.addresses)


class Notifications(unittest.TestCase):
    def test_what_systemd_is_told(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind("")  # an abstract name that the kernel chooses
            systemd.settimeout(20)
            name = "@" + systemd.getsockname()[1:].decode()

            def told(wanted):
                while wanted not in (text := systemd.recv(4096).decode()).split("\n"):
                    pass
                return text

            with Activated({}, listen=["127.0.0.1:0"], notify=name, watchdog=30000000) as agent:
                told("READY=1")
                told("WATCHDOG=1")
                agent.signal(signal.SIGHUP)
                self.assertRegex(told("RELOADING=1"), r"\nMONOTONIC_USEC=\d+\n")
                told("READY=1")
                agent.signal(signal.SIGTERM)
                told("STOPPING=1")
                self.assertEqual(agent.process.wait(), 0)


class User(unittest.TestCase):
    def test_a_number_without_a_group(self):
        with Agent(LUA, "user 54321", start=False) as agent:
            done = run("-c", agent.config_file)
            self.assertEqual(done.returncode, 77)
            self.assertIn("user 54321: it has no group of its own, so say which: group NAME", done.stderr)

    def test_another_user(self):
        if os.getuid() == 0:
            with Agent(LUA, "user nobody\nworkers 2", start=False) as agent:
                agent.folder.chmod(0o755)
                agent.start()
                uids = {os.stat(f"/proc/{pid}").st_uid for pid in agent.pids()}
                self.assertEqual(uids, {65534})
                with Client(agent.address) as client:
                    client.handshake()
                    client.notify("one")
        else:
            with Agent(LUA, "user root", start=False) as agent:
                done = subprocess.run([binary(), "-c", agent.config_file], capture_output=True, text=True, timeout=20,
                                      env=environment())
                self.assertEqual(done.returncode, 77)
                self.assertIn("start it as root", done.stderr)


class Restart(VersionsCase):
    def each_restart_refuses_no_connection(self, version):
        with listening() as sock:
            address = address_of(sock)
            agent = Activated({"a": sock})
            try:
                with HAProxy(version, address, {"one": "args src"}, show={"n": "txn.t.n"}, timeout="10s") as haproxy:
                    with http.Load(haproxy.port, 8) as load:
                        for _ in range(5):
                            load.await_replies(50)
                            agent.stop()
                            agent = Activated({"a": sock})
                        load.await_replies(100)
                    # A goodbye that crosses a NOTIFY on its way costs that request (haproxy.md, 16); nothing else does.
                    lost = [reply for _, reply in load.replies if reply["n"] is None]
                    self.assertLessEqual(len(lost), 5 * 8, lost)
                    self.assertLessEqual({reply["err"] for reply in lost}, {"256", "257", None})
            finally:
                agent.stop()


if __name__ == "__main__":
    unittest.main()
