"""Debian's redis-server for a test, and servers that speak RESP badly.

    with Server() as server:                     # or Server("--requirepass", "secret")
        ... server.port, server.path, server.command("SET", "k", "v")
"""
import shutil
import signal
import socket
import threading
import time

from lib import agent as agents
from lib import ports


class Server:
    """Listens on a port of 127.0.0.1 and on a unix socket; awaited by connecting."""

    def __init__(self, *options, port=None):
        self.folder = agents.temp_folder("redis")
        self.path = str(self.folder / "redis.sock")
        self.options = options
        if port is None:
            with ports.bound_socket() as sock:
                port = sock.getsockname()[1]
        self.port = port
        self.process = None

    def start(self):
        self.folder.mkdir(exist_ok=True)
        self.process = agents.Process(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path, "--save", "",
             "--appendonly", "no", "--dir", str(self.folder), "--daemonize", "no", *self.options], name="redis-server")
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return self
            except OSError:
                if time.monotonic() > deadline or not self.process.running():
                    raise AssertionError(f"redis-server did not start:\n{self.process.log()}") from None
                time.sleep(0.01)

    def stop(self):
        self.process.signal(signal.SIGCONT)
        self.process.kill()

    def command(self, *words):
        """The bytes of one reply, for looking behind the agent's back."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            return sock.recv(65536)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Fake:
    """Runs talk(sock, n) for the n-th connection; closes it when that returns."""

    def __init__(self, talk):
        self.talk, self.connections, self.sock = talk, 0, ports.listening_socket()
        self.port = self.sock.getsockname()[1]
        self.over = threading.Event()

    def _one(self, sock, n):
        with sock:
            try:
                self.talk(sock, n)
            except OSError:
                pass

    def _run(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            sock.settimeout(20)
            self.connections += 1
            threading.Thread(target=self._one, args=(sock, self.connections), daemon=True).start()

    def __enter__(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.sock.close()
