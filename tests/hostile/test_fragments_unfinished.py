"""Fragmented NOTIFYs that are never finished, and one that never ends: bounded in time and in bytes."""
import unittest

from daemon import MEBIBYTE, Flat, assert_serves, start
from lib import spop

BLOCK = b"x" * 16000


def fragment(first, stream_id=1):
    return spop.Frame(spop.NOTIFY if first else spop.UNSET, BLOCK, stream_id, 1, flags=0).encode()


class FragmentsUnfinished(unittest.TestCase):
    def test_never_finished(self):
        """Each is given up after fragment-timeout, its memory with it; the connection stays of use."""
        with start("fragment-timeout 1s") as agent:
            assert_serves(agent)
            clients = [self.enterContext(spop.Client(agent.address)) for _ in range(50)]
            with Flat(agent, 24):
                for round in range(3):
                    for client in clients:
                        if not round:
                            client.handshake()
                        client.send(fragment(True), fragment(False), fragment(False))
                    for client in clients:
                        answer = client.ack((1, 1))
                        self.assertEqual(answer.flags, spop.FIN | spop.ABORT)
                        self.assertEqual(answer.vars(), {"txn.spoa_error": ("str", "timeout")})
                        client.send(spop.Frame(spop.UNSET, b"", 1, 1).encode())
                        self.assertEqual(client.notify("echo", ("v", round)).vars(), {"txn.v": ("int64", round)})
                        client.stream_id = 1
            for client in clients:
                client.goodbye()
            assert_serves(agent)

    def test_never_ends(self):
        """100 MB of fragments: refused once above max-payload, then ignored at no cost."""
        with start("max-payload 256k") as agent:
            assert_serves(agent)
            with Flat(agent, 8), spop.Client(agent.address) as client:
                client.handshake()
                client.send(fragment(True))
                rest = fragment(False)
                for _ in range(100 * MEBIBYTE // len(rest)):
                    client.send(rest)
                answer = client.ack((1, 1))
                self.assertEqual(answer.flags, spop.FIN | spop.ABORT)
                self.assertEqual(answer.vars(), {"txn.spoa_error": ("str", "too_big")})
                client.send(spop.Frame(spop.UNSET, b"", 1, 1).encode())
                client.stream_id = 1
                self.assertEqual(client.notify("echo", ("v", True)).vars(), {"txn.v": ("bool", True)})
                client.goodbye()
            assert_serves(agent)

    def test_empty_ones_without_end(self):
        """200,000 fragments of nothing are nothing."""
        with start() as agent, Flat(agent, 8), spop.Client(agent.address) as client:
            client.handshake()
            client.send(spop.Frame(spop.NOTIFY, spop.message("echo", ("v", 1)), 1, 1, flags=0).encode())
            some = spop.Frame(spop.UNSET, b"", 1, 1, flags=0).encode() * 1000
            for _ in range(200):
                client.send(some)
            client.send(spop.Frame(spop.UNSET, b"", 1, 1).encode())
            self.assertEqual(client.ack((1, 1)).vars(), {"txn.v": ("int64", 1)})
            client.goodbye()
