"""TCP servers that do what a test says, one thread a connection."""
import socket
import threading

from lib.ports import listening_socket


class Server:
    """Calls serve(connection) in a thread for each connection, which is closed afterwards.
    `release` is an event for serve to wait for; leaving the `with` block sets it."""

    def __init__(self, serve, host="127.0.0.1"):
        self.serve = serve
        self.release = threading.Event()
        self.listener = listening_socket(host)
        self.port = self.listener.getsockname()[1]
        self.ended, self.changed = 0, threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.release.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(20)
        try:
            with connection:
                self.serve(connection)
        except OSError:
            pass
        with self.changed:
            self.ended += 1
            self.changed.notify_all()

    def await_ended(self, count, seconds=15):
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended >= count, seconds):
                raise AssertionError(f"{self.ended} connections ended, not {count}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
