"""Lengths of gibibytes and negative ones: refused at once, and nothing is allocated for them."""
import struct
import unittest

from daemon import Flat, answers, assert_serves, start
from lib import spop
from lib.case import case

FRAME_LENGTHS = [0xffffffff, 0xfffffffc, 0x80000000, 0x7fffffff, 0x40000000, 0x01000000, spop.OUR_MAX_FRAME_SIZE + 1]
STRING_LENGTHS = [-1, -2, -(1 << 31), 1 << 63, (1 << 63) - 1, 1 << 32, (1 << 32) - 1, 1 << 31, (1 << 31) - 1, 1 << 20]


class Lengths(unittest.TestCase):
    def attack(self, agent, *pieces):
        with spop.Client(agent.address) as client:
            try:
                client.send(*pieces)
            except ConnectionError:
                pass
            return answers(client)

    def test_of_frames(self):
        """The length alone is enough, with the peer still connected and able to send more."""
        with start() as agent, Flat(agent, 8):
            for length in FRAME_LENGTHS:
                for before, due in ((b"", 1), (spop.hello(), 2)):
                    with case(length=length, frames=due):
                        found = self.attack(agent, before, struct.pack("!I", length))
                        self.assertEqual(len(found), due)
                        self.assertEqual(found[-1].status, 3)
            assert_serves(agent)

    def test_of_frames_with_data(self):
        """Data behind such a length is neither kept nor waited for."""
        with start() as agent, Flat(agent, 8):
            for length in FRAME_LENGTHS:
                with spop.Client(agent.address) as client:
                    client.handshake()
                    try:
                        client.send(struct.pack("!I", length), b"x" * (4 << 20))
                    except ConnectionError:
                        pass
                    client.drain() if not client.ended else None
            assert_serves(agent)

    def test_announced_and_never_sent(self):
        """A length within max-frame-size costs no memory before its bytes have come."""
        with start() as agent:
            assert_serves(agent)
            with Flat(agent, 32):
                clients = [self.enterContext(spop.Client(agent.address)) for _ in range(300)]
                for client in clients:
                    client.handshake(max_frame_size=spop.OUR_MAX_FRAME_SIZE)
                    client.send(struct.pack("!I", spop.OUR_MAX_FRAME_SIZE), b"\3")
                    client.await_read()
                assert_serves(agent)
            for client in clients:
                client.close()
            assert_serves(agent)

    def test_of_strings(self):
        """In every place a length can stand, in a frame that is otherwise well-formed."""
        names = [lambda n: n + b"echo", lambda n: spop.string("echo") + b"\1" + n + b"v",
                 lambda n: spop.string("echo") + b"\1" + spop.string("v") + b"\x08" + n + b"text",
                 lambda n: spop.string("echo") + b"\1" + spop.string("v") + b"\x09" + n]
        with start() as agent, Flat(agent, 8):
            for length in STRING_LENGTHS:
                for n, make in enumerate(names):
                    with case(length=length, place=n):
                        payload = make(spop.varint(length))
                        found = self.attack(agent, spop.hello(), spop.Frame(spop.NOTIFY, payload, 1, 1).encode())
                        self.assertEqual([f.kind for f in found], [spop.AGENT_HELLO, spop.AGENT_DISCONNECT])
                        self.assertEqual(found[-1].status, 4)
            assert_serves(agent)

    def test_of_hello_keys(self):
        with start() as agent:
            for length in STRING_LENGTHS:
                for payload in (spop.varint(length) + b"supported-versions",
                                spop.string("supported-versions") + b"\x08" + spop.varint(length) + b"2.0"):
                    with case(length=length):
                        found = self.attack(agent, spop.Frame(spop.HAPROXY_HELLO, payload).encode())
                        self.assertEqual([frame.status for frame in found], [4])
            assert_serves(agent)
