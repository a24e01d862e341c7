"""A peer that sends NOTIFYs and never reads an ACK: it is not read any more, costs no more memory
than its bounds, and is closed after write-timeout."""
import select
import unittest

from daemon import Flat, assert_serves, start
from lib import spop


class SlowReader(unittest.TestCase):
    def test_it_is_held_back_and_closed(self):
        with start("max-output 64k", "write-timeout 2s") as agent:
            assert_serves(agent)
            with Flat(agent, 16), spop.Client(agent.address) as client:
                client.handshake(max_frame_size=65536)
                block = spop.notify(1, 1, spop.message("echo", ("v", "x" * 4000))) * 16
                sent = client.send_until_refused(block, 2000)       # 128 MB
                self.assertLess(sent, 1000)
                assert_serves(agent)
                hung_up = select.poll()
                hung_up.register(client.sock, 0)
                self.assertTrue(hung_up.poll(20000), "write-timeout did not close it")
            assert_serves(agent)

    def test_a_reader_that_only_pauses_loses_nothing(self):
        """Held back, then read to the end: every NOTIFY is answered once."""
        with start("max-output 64k", "write-timeout 10s") as agent:
            with Flat(agent, 16), spop.Client(agent.address) as client:
                client.handshake(max_frame_size=65536)
                sent = 0
                client.sock.settimeout(0.5)
                pending = b""
                try:
                    while sent < 20000:
                        pending = spop.notify(sent + 1, 1, spop.message("echo", ("v", "x" * 4000)))
                        while pending:
                            pending = pending[client.sock.send(pending):]
                        sent += 1
                except TimeoutError:
                    pass
                self.assertLess(sent, 20000)
                got = [client.frame().stream_id for _ in range(sent)]
                self.assertEqual(sorted(got), list(range(1, sent + 1)))
                client.send(pending)
                self.assertEqual(client.frame().stream_id, sent + 1)
                client.goodbye()
            assert_serves(agent)
