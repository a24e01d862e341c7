"""The control socket among clients that are broken, slow, gone or many: the daemon stays, and stays small."""
import os
import signal
import socket
import threading
import unittest

from lib import agent as agents
from lib.agent import Agent
from lib.spop import Client

LUA = """
function f(args)
    return { ["txn.x"] = 1 }
end
"""
PING = "pong\n"


class Control(unittest.TestCase):
    def setUp(self):
        self.agent = Agent(LUA, start=False)
        self.address = f"unix:{self.agent.folder}/control.sock"
        text = self.agent.config_file.read_text()
        self.agent.config_file.write_text(f"{text}\nworkers 2\ncontrol {self.address}\nmax-connections 2000\n")
        self.agent.start()
        self.enterContext(self.agent)

    def answer(self, data, close_writing=False):
        with agents.connect(self.address) as sock:
            try:
                sock.sendall(data)
                if close_writing:
                    sock.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return self.read(sock)

    @staticmethod
    def read(sock):
        text = b""
        try:
            while data := sock.recv(65536):
                text += data
        except ConnectionResetError:
            pass
        return text.decode()

    def alive(self):
        self.assertEqual(self.answer(b"ping\n"), PING)
        with Client(self.agent.address) as client:
            client.handshake()
            self.assertEqual(client.notify("f").vars(), {"txn.x": ("int64", 1)})

    def test_garbage(self):
        for data in (b"\0\0\0\0\n", b"\xff" * 500 + b"\n", b"\n", b" \t \n", b"show\n", b"show info json json\n",
                     b"a b c d e f g h i j k l\n", b"trace " + b"m" * 900 + b" on\n", b"trace f on 0\n",
                     b"trace f on 99999999999999999999\n", b"set log level \xff\n"):
            self.assertTrue(self.answer(data).startswith("error: "), data)
        self.assertEqual(self.answer(b"", close_writing=True)[:6], "error:")
        self.assertEqual(self.answer(b"ping", close_writing=True), PING)
        self.alive()

    def test_a_line_without_end(self):
        before = self.agent.rss()
        self.assertIn(self.answer(b"x" * (1 << 20)), ("", "error: the command is no line of at most 1024 bytes\n"))
        self.assertLess(self.agent.rss() - before, 8 << 20)
        self.alive()

    def test_too_many(self):
        crowd = [agents.connect(self.address) for _ in range(100)]
        refused = 0
        for sock in crowd[32:]:
            refused += self.read(sock).startswith("error: 32 clients")
        self.assertEqual(refused, 68)
        for sock in crowd:
            sock.close()
        while not self.answer(b"ping\n") == PING:
            pass
        self.alive()

    def test_a_slow_reader(self):
        clients = [Client(self.agent.address) for _ in range(300)]
        for client in clients:
            client.handshake()
        with agents.connect(self.address) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.sendall(b"show sessions json\n")
            self.alive()
            self.assertGreaterEqual(self.read(sock).count('"peer"'), 300)
        for client in clients:
            client.close()

    def test_tracers_that_go_away(self):
        for _ in range(20):
            sock = agents.connect(self.address)
            sock.sendall(b"trace f on 1000000\n")
            sock.close()
        with Client(self.agent.address) as client:
            client.handshake()
            for _ in range(200):
                client.notify("f")
        self.alive()

    def test_one_that_leaves_before_its_reload_is_done(self):
        mark = self.agent.mark()
        sock = agents.connect(self.address)
        sock.sendall(b"reload\n")
        sock.close()
        self.agent.wait_log("scripts reloaded", after=mark)
        self.alive()

    def test_reloads_at_once(self):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.answer(b"reload\n"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertIn("reloaded\n", answers)
        for text in answers:
            self.assertTrue(text == "reloaded\n" or "one is under way already" in text, text)
        self.alive()

    def test_the_end_in_the_middle_of_a_reload(self):
        self.agent.write("handlers.lua", "spoa.sleep(30)" + LUA)
        with agents.connect(self.address) as sock:
            sock.sendall(b"reload\n")
            self.assertEqual(self.answer(b"ping\n"), PING)
            self.agent.signal(signal.SIGTERM)
            self.assertIn("error: reload failed", self.read(sock))
        self.assertEqual(self.agent.process.wait(), 0)

    def test_a_worker_that_dies_in_the_middle_of_a_reload(self):
        # The prover does not run what spoa.at_start asks for: only the workers wait.
        self.agent.write("handlers.lua", "spoa.at_start(function() print('loading') spoa.sleep(30) end)" + LUA)
        mark = self.agent.mark()
        with agents.connect(self.address) as sock:
            sock.sendall(b"reload\n")
            self.agent.wait_log(r"handlers\.lua:1: loading", after=mark)
            self.agent.write("handlers.lua", LUA)  # for the one in its place
            os.kill(self.agent.pids()[1], signal.SIGKILL)
            self.assertIn("a worker died while it loaded the scripts", self.read(sock))
        # The one in its place serves again before the next reload.
        while '"gone"' in (rows := self.answer(b"show workers json\n")) or '"loading"' in rows:
            pass
        self.assertEqual(self.answer(b"reload\n"), "reloaded\n")
        self.alive()


if __name__ == "__main__":
    unittest.main()
