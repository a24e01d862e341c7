"""Handshakes and NOTIFYs that arrive one byte at a time, on many connections in turn, are served."""
import unittest

from daemon import Flat, assert_serves, start
from lib import spop

BYTES = spop.hello() + spop.notify(1, 1, spop.message("echo", ("v", "slow"))) + spop.disconnect()


class SlowLoris(unittest.TestCase):
    def test_byte_by_byte(self):
        with start("hello-timeout 1m") as agent, Flat(agent, 8):
            clients = [self.enterContext(spop.Client(agent.address)) for _ in range(20)]
            for n in range(len(BYTES)):
                for client in clients:
                    client.send(BYTES[n:n + 1])
                clients[-1].await_read()
                if n % 40 == 0:
                    assert_serves(agent)
            for client in clients:
                self.assertEqual([frame.name for frame in client.drain()], ["AGENT-HELLO", "ACK", "AGENT-DISCONNECT"])
