"""Garbage in place of HELLO, behind it, and as the payload of well-formed frames."""
import random
import unittest

from daemon import answers, assert_serves, start
from lib import spop
from lib.case import case

PROTOCOLS = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    bytes.fromhex("1603010200010001fc0303") + bytes(512),     # a TLS ClientHello
    b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
    b"\0" * 4096, b"\xff" * 4096, b"\n" * 100,
]


def garbage(random_source):
    """Random bytes, half of them behind a length that makes them one frame."""
    data = random_source.randbytes(random_source.randrange(1, 400))
    return spop.prefixed(data) if random_source.random() < 0.5 else data


class Garbage(unittest.TestCase):
    def setUp(self):
        self.agent = self.enterContext(start())
        self.random = random.Random(2)

    def attack(self, *pieces):
        with spop.Client(self.agent.address) as client:
            try:
                client.send(*pieces)
                client.half_close()
            except ConnectionError:
                pass        # it has heard enough
            return answers(client)

    def test_other_protocols(self):
        for data in PROTOCOLS:
            with case(data=data[:20]):
                found = self.attack(data)
                self.assertLessEqual({frame.status for frame in found}, {3, 4})
        assert_serves(self.agent)

    def test_in_place_of_hello(self):
        for _ in range(300):
            found = self.attack(garbage(self.random))
            self.assertLessEqual(len(found), 1)
            self.assertLessEqual({frame.status for frame in found}, {3, 4})
        assert_serves(self.agent)

    def test_behind_hello(self):
        for _ in range(300):
            found = self.attack(spop.hello(), garbage(self.random))
            self.assertEqual(found[0].kind, spop.AGENT_HELLO)
        assert_serves(self.agent)

    def test_as_a_payload(self):
        for kind in (spop.HAPROXY_HELLO, spop.NOTIFY, spop.HAPROXY_DISCONNECT):
            for _ in range(150):
                payload = self.random.randbytes(self.random.randrange(1, 60))
                found = self.attack(spop.hello(), spop.Frame(kind, payload, 1, 1).encode())
                self.assertLessEqual(len(found), 2, found)
        assert_serves(self.agent)
