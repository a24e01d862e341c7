"""One broken peer that comes back thousands of times: few log lines, none of the others' lost."""
import unittest

from daemon import HANDLERS, Flat, assert_serves, start
from lib import spop

FAILING = HANDLERS + """
function fail() error("on purpose") end
function fail_too() error("also on purpose") end
"""


class LogFlood(unittest.TestCase):
    def test_broken_hellos(self):
        with start() as agent:
            assert_serves(agent)
            mark = agent.mark()
            broken = [(spop.hello(versions="1.0"), 8), (spop.hello(max_frame_size=10), 9), (b"GET ", 3)]
            with Flat(agent, 16):
                for n in range(5000):
                    data, status = broken[n // 1000 % 3]
                    with spop.Client(agent.address) as client:
                        client.send(data)
                        self.assertEqual(client.frame().status, status)
            lines = agent.log()[mark:].splitlines()
            self.assertLessEqual(len(lines), 500)
            self.assertGreaterEqual(len(lines), 1)
            assert_serves(agent)

    def test_failing_handlers(self):
        """Two handlers that fail each time: both are in the log, neither floods it."""
        with start(scripts=FAILING) as agent, spop.Client(agent.address) as client:
            client.handshake()
            for n in range(0, 3000, 100):
                client.send(*[spop.notify(n + k + 1, 1, spop.message("fail"), spop.message("fail-too"))
                              for k in range(100)])
                for ack in client.frames(100):
                    self.assertEqual(ack.actions(), [("set-var", "txn.spoa_error", ("str", "error"))])
            client.goodbye()
            agent.wait_log("handlers.lua:[0-9]+: on purpose")
            agent.wait_log("handlers.lua:[0-9]+: also on purpose")
            self.assertLess(len(agent.log().splitlines()), 400)
            assert_serves(agent)
