"""A valid conversation with each of its bytes changed, one at a time."""
import unittest

import conversation
from daemon import answers, assert_serves, start
from lib import spop
from lib.case import case


class EveryByteFlipped(unittest.TestCase):
    def flip(self, mask):
        with start() as agent:
            for at in range(len(conversation.BYTES)):
                data = bytearray(conversation.BYTES)
                data[at] ^= mask
                with case(byte=at), spop.Client(agent.address) as client:
                    try:
                        client.send(bytes(data))
                        client.half_close()
                    except ConnectionError:
                        pass        # refused before the end
                    found = answers(client)
                    self.assertLessEqual(len(found), 7, found)
                    self.assertEqual(len({f.ids for f in found if f.kind == spop.ACK}),
                                     len([f for f in found if f.kind == spop.ACK]), "an ACK came twice")
            assert_serves(agent)

    def test_lowest_bit(self):
        self.flip(0x01)

    def test_highest_bit(self):
        self.flip(0x80)

    def test_all_bits(self):
        self.flip(0xff)
