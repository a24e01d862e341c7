"""Peers that send half a frame and stop: closed after hello-timeout or fragment-timeout, whatever they trickle."""
import time
import unittest

from daemon import answers, assert_serves, start
from lib import spop

HELLO = spop.hello()


class HalfFrames(unittest.TestCase):
    def assert_given_up(self, client):
        """Closed, with a word about it at the most."""
        self.assertLessEqual({frame.status for frame in answers(client)}, {2})

    def test_held(self):
        """With nothing, half a length, half a frame: other clients are served meanwhile."""
        with start("hello-timeout 2s") as agent:
            began = time.monotonic()
            clients = [spop.Client(agent.address) for _ in range(60)]
            for n, client in enumerate(clients):
                client.send(HELLO[:(0, 3, 4, 11, len(HELLO) // 2, len(HELLO) - 1)[n % 6]])
            assert_serves(agent)
            for client in clients:
                with client:
                    self.assert_given_up(client)
            self.assertGreater(time.monotonic() - began, 1.9)
            assert_serves(agent)

    def test_trickled(self):
        """A byte now and then does not put the timeout off."""
        with start("hello-timeout 500ms") as agent, spop.Client(agent.address) as client:
            for byte in HELLO[:-1]:
                client.send(bytes([byte]))
                if client.poll(0.05):
                    break
            else:
                self.fail("it was waited for to the end")
            self.assert_given_up(client)
            assert_serves(agent)

    def test_after_hello(self):
        """Once greeted, half a NOTIFY has another time than a HELLO; the rest of it is welcome."""
        with start("hello-timeout 1s", "fragment-timeout 1h") as agent, spop.Client(agent.address) as client:
            client.handshake()
            whole = spop.notify(1, 1, spop.message("echo", ("v", 1)))
            client.send(whole[:9])
            with spop.Client(agent.address) as other:
                self.assert_given_up(other)         # so long that a hello-timeout has passed
            client.send(whole[9:])
            self.assertEqual(client.ack((1, 1)).vars(), {"txn.v": ("int64", 1)})
            client.goodbye()

    def test_halves_of_notifies(self):
        """However much of it there is, and whether it is trickled: told and closed after fragment-timeout."""
        whole = spop.notify(2, 1, spop.message("echo", ("v", "x" * 16000)))
        with start("fragment-timeout 300ms") as agent:
            for cut in (1, 3, 4, 5, 11, len(whole) // 2, len(whole) - 1):
                with spop.Client(agent.address) as client:
                    client.handshake()
                    client.send(spop.notify(1, 1, spop.message("echo", ("v", cut))) + whole[:cut])
                    self.assertEqual(client.ack((1, 1)).vars(), {"txn.v": ("int64", cut)})
                    self.assertEqual([frame.status for frame in client.drain()], [2])
            with spop.Client(agent.address) as client:
                client.handshake()
                try:
                    for byte in whole[:200]:
                        client.send(bytes([byte]))
                        time.sleep(0.02)
                    self.fail("a frame was trickled for 4 s")
                except ConnectionError:
                    pass
            assert_serves(agent)
