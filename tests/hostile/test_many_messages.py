"""As many messages as fit one NOTIFY: bounded, without and with handlers."""
import unittest

from daemon import HANDLERS, Flat, answers, assert_serves, start
from lib import spop
from lib.case import case

COUNTING = HANDLERS + """
local calls = 0
function call() calls = calls + 1 end
function large() return { ["txn.v"] = ("x"):rep(500000) } end
function calls_so_far() return { ["txn.v"] = calls } end
"""


class ManyMessages(unittest.TestCase):
    def notify(self, agent, payload):
        with spop.Client(agent.address, timeout=60) as client:
            client.handshake(max_frame_size=spop.OUR_MAX_FRAME_SIZE)
            client.send(spop.Frame(spop.NOTIFY, payload, 1, 1).encode(), spop.disconnect())
            return answers(client)

    def test_a_thousand_are_served(self):
        with start("handler-timeout 30s", scripts=COUNTING) as agent:
            found = self.notify(agent, spop.message("call") * 1000 + spop.message("calls_so_far"))
            self.assertEqual(found[0].vars(), {"txn.v": ("int64", 1000)})
            assert_serves(agent)

    def test_half_a_million_are_refused(self):
        """Two bytes each; the frame itself is within max-frame-size."""
        for name in ("", "call"):
            with case(name=name), start(scripts=COUNTING) as agent:
                assert_serves(agent)
                with Flat(agent, 16):
                    one = spop.message(name)
                    found = self.notify(agent, one * ((spop.OUR_MAX_FRAME_SIZE - 20) // len(one)))
                    self.assertEqual([frame.status for frame in found], [4])
                found = self.notify(agent, spop.message("calls_so_far"))
                self.assertEqual(found[0].vars(), {"txn.v": ("int64", 0)})
                assert_serves(agent)

    def test_more_replies_than_fit(self):
        """200 replies of 500 KB: what fits the ACK is kept, the rest is too_big, at no cost."""
        with start("handler-timeout 1m", "worker-timeout 1m", scripts=COUNTING) as agent:
            assert_serves(agent)
            with Flat(agent, 48):
                found = self.notify(agent, spop.message("large") * 200)
                self.assertEqual({action[1]: len(action[2][1]) for action in found[0].actions()},
                                 {"txn.v": 500000, "txn.spoa_error": len("too_big")})
            assert_serves(agent)
