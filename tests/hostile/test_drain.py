"""SIGTERM while peers hold the daemon up in every way they can: it ends with 0, within drain-timeout."""
import concurrent.futures
import threading
import time
import unittest

from daemon import start
from lib import spop


class Drain(unittest.TestCase):
    def test_peers_that_hold_on(self):
        with start("drain-timeout 500ms", "handler-timeout 1m", "hello-timeout 1m", "write-timeout 1m",
                   "max-pending 3") as agent:
            clients = [self.enterContext(spop.Client(agent.address)) for _ in range(6)]
            silent, half_hello, half_notify, fragment, full, slow = clients
            half_hello.send(spop.hello()[:20])
            for client in clients[2:]:
                client.handshake()
            half_notify.send(spop.notify(1, 1, spop.message("echo"))[:12])
            fragment.send(spop.notify(1, 1, spop.message("echo"), flags=0))
            full.send(*[spop.notify(n, 1, spop.message("sleep", ("v", 60000))) for n in range(1, 10)])
            slow.send_until_refused(spop.notify(1, 1, spop.message("echo", ("v", "x" * 10000))) * 20, 500)
            agent.stop()    # which bounds it

    def test_busy_ones_are_told(self):
        """Pipelining without a pause: whatever is answered is whole, then goodbye, long before drain-timeout."""
        with start("drain-timeout 1m") as agent:
            clients = [self.enterContext(spop.Client(agent.address)) for _ in range(4)]
            stop = threading.Event()

            def keep_busy(client):
                try:
                    while not stop.is_set():
                        client.send(*[spop.notify(n, 1, spop.message("sleep", ("v", 5))) for n in range(1, 11)])
                        time.sleep(0.002)
                except (OSError, ConnectionError):
                    pass

            for client in clients:
                client.handshake()
                client.notify("sleep", ("v", 1))
            with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
                ended = [pool.submit(keep_busy, client) for client in clients]
                for client in clients:
                    client.frame()
                try:
                    agent.stop()
                finally:
                    stop.set()
                for each in ended:
                    each.result()
            self.assertNotIn("drain-timeout", agent.log())

    def test_idle_ones_are_told(self):
        with start("drain-timeout 1m") as agent:
            clients = [self.enterContext(spop.Client(agent.address)) for _ in range(20)]
            for client in clients:
                client.handshake()
            agent.stop()
            for client in clients:
                self.assertEqual([frame.status for frame in client.drain()], [0])
