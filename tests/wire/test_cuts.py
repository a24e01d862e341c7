"""Cuts that would be too many to write down: a fragmented payload cut at every place, a byte stream
cut between reads at every place."""
import unittest

from lib import spop
from lib.agent import Agent
from lib.case import case

SCRIPT = """
function echo(args)
    return { ["txn.v"] = args.v, ["sess.n"] = #args }
end
"""

PAYLOAD = spop.message("echo", ("v", "x" * 250), ("other", ("int64", 1 << 40)), ("ipv6", "::1")) \
    + spop.message("nobody") + spop.message("echo", ("v", -1))

ACTIONS = {("txn.v", ("str", "x" * 250)), ("sess.n", ("int64", 3)), ("txn.v", ("int64", -1)), ("sess.n", ("int64", 1))}


class Cuts(unittest.TestCase):
    def setUp(self):
        agent = self.enterContext(Agent(SCRIPT))
        self.client = self.enterContext(spop.Client(agent.address))
        self.client.handshake()
        self.ids = (0, 1)

    def fresh(self):
        self.ids = (self.ids[0] + 1, 1)
        return self.ids

    def assert_answered(self):
        answer = self.client.ack(self.ids)
        self.assertEqual(answer.flags, spop.FIN)
        self.assertEqual({action[1:] for action in answer.actions()}, ACTIONS)

    def test_one_cut_of_a_payload(self):
        for cut in range(len(PAYLOAD) + 1):
            with case(cut=cut):
                self.client.send(*spop.fragments(*self.fresh(), PAYLOAD, cut))
                self.assert_answered()
        self.client.goodbye()

    def test_every_cut_of_a_payload(self):
        """One byte a fragment."""
        self.client.send(*spop.fragments(*self.fresh(), PAYLOAD, *range(1, len(PAYLOAD))))
        self.assert_answered()
        self.client.goodbye()

    def test_one_cut_between_reads(self):
        """Two frames, the first one fragmented, cut anywhere between two reads."""
        for cut in range(1, 2 * len(PAYLOAD) + 45):
            with case(cut=cut):
                first, second = self.fresh(), self.fresh()
                data = b"".join(spop.fragments(*first, PAYLOAD, 100)) + spop.notify(*second, PAYLOAD)
                self.client.send(data[:cut])
                self.client.await_read()
                self.client.send(data[cut:])
                for self.ids in (first, second):
                    self.assert_answered()
        self.client.goodbye()
