"""More NOTIFYs than a connection may have unanswered: it is not read until some are answered."""
import unittest

from daemon import HANDLERS, Flat, assert_serves, start
from lib import spop
from lib.waiting import wait_until

COUNTING = HANDLERS + """
local running, most = 0, 0

function wait(args)
    running = running + 1
    if running > most then most = running end
    local guard <close> = setmetatable({}, { __close = function() running = running - 1 end })
    spoa.sleep(args.v / 1000)
end

function counts()
    return { ["txn.running"] = running, sess = { most = most } }
end
"""


class Pending(unittest.TestCase):
    def counts(self, agent):
        with spop.Client(agent.address) as client:
            client.handshake()
            found = client.notify("counts").vars()
            client.goodbye()
            return found["txn.running"][1], found["sess.most"][1]

    def test_all_are_answered_a_few_at_a_time(self):
        with start("max-pending 10", scripts=COUNTING) as agent, spop.Client(agent.address) as client:
            client.handshake()
            ids = [(n, 1) for n in range(1, 301)]
            client.send(*[spop.notify(*i, spop.message("wait", ("v", 5))) for i in ids])
            got = [frame.ids for frame in client.frames(len(ids))]
            self.assertEqual(sorted(got), ids)
            client.goodbye()
            self.assertEqual(self.counts(agent), (0, 10))
            assert_serves(agent)

    def test_a_flood_to_sleeping_handlers(self):
        """It is held back with its handlers asleep; when it goes, so do they."""
        with start("max-pending 100", "handler-timeout 1m", scripts=COUNTING) as agent:
            assert_serves(agent)
            with Flat(agent, 32):
                with spop.Client(agent.address) as client:
                    client.handshake()
                    block = spop.notify(1, 1, spop.message("wait", ("v", 60000), "x" * 10000)) * 20
                    client.send_until_refused(block, 500)       # 100 MB
                    self.assertEqual(self.counts(agent), (100, 100))
                    client.reset()
                wait_until(lambda: self.counts(agent)[0] == 0, "handlers of a gone peer go on")
            assert_serves(agent)
