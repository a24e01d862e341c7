"""10,000 messages of different names without a handler: bounded in memory and in log lines."""
import unittest

from daemon import Flat, assert_serves, start
from lib import spop


class UnknownNames(unittest.TestCase):
    def test_names(self):
        with start() as agent:
            assert_serves(agent)
            mark = agent.mark()
            with Flat(agent, 16), spop.Client(agent.address) as client:
                client.handshake()
                for n in range(0, 10000, 100):
                    names = [f"name-{n + k}-" + "x" * 200 for k in range(100)]
                    client.send(*[spop.notify(n + k + 1, 1, spop.message(name)) for k, name in enumerate(names)])
                    for ack in client.frames(100):
                        self.assertEqual(ack.actions(), [])
                client.goodbye()
            assert_serves(agent)
            lines = agent.log()[mark:].splitlines()
            self.assertLess(len(lines), 1500)
            self.assertLess(max(map(len, lines), default=0), 1000)

    def test_names_are_no_log_lines(self):
        """Control bytes in a name or in a DISCONNECT neither break a line of the log nor forge one."""
        with start() as agent, spop.Client(agent.address) as client:
            client.handshake()
            client.notify("x\n2026-01-01T00:00:00.000Z err forged\r\x1b[31m")
            client.send(spop.disconnect(1, "y\n2026-01-01T00:00:00.000Z err forged too\x1b[31m"))
            self.assertEqual(client.frame().status, 0)
            client.closed()
            agent.wait_log(r"x.*forged")
            agent.wait_log(r"y.*forged too")
            for line in agent.log().splitlines():
                self.assertFalse(line.startswith("2026-01-01T00:00:00"), line)
                self.assertNotIn("\x1b", line)

    def test_argument_names(self):
        """10,000 messages, each with arguments of other names."""
        with start() as agent:
            assert_serves(agent)
            with Flat(agent, 16), spop.Client(agent.address) as client:
                client.handshake()
                for n in range(0, 10000, 50):
                    for k in range(50):
                        client.send(spop.notify(n + k + 1, 1, spop.message(
                            "echo", (f"a{n + k}" + "x" * 200, 1), (f"b{n + k}", 2), ("v", n + k))))
                    for k, ack in enumerate(client.frames(50)):
                        self.assertEqual(ack.vars(), {"txn.v": ("int64", n + k)})
                client.goodbye()
            assert_serves(agent)
