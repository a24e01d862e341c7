"""Peers that go away while their handlers wait: the waits are cancelled, nothing is kept of them."""
import unittest

from daemon import HANDLERS, Flat, assert_serves, start
from lib import spop
from lib.waiting import wait_until

COUNTING = HANDLERS + """
local waiting, closed = 0, 0

function wait()
    waiting = waiting + 1
    local guard <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
    while true do pcall(spoa.sleep, 60) end
end

function counts()
    return { ["txn.v"] = waiting .. " " .. closed }
end
"""


class GonePeers(unittest.TestCase):
    def test_all_waits_are_cancelled(self):
        with start("handler-timeout 5m", scripts=COUNTING) as agent, spop.Client(agent.address) as watcher:
            watcher.handshake()
            with Flat(agent, 24):
                clients = [spop.Client(agent.address) for _ in range(100)]
                for client in clients:
                    client.send(spop.hello(), *[spop.notify(n, 1, spop.message("wait")) for n in range(1, 11)])
                self.wait_for(watcher, "1000 0")
                for n, client in enumerate(clients):
                    client.reset() if n % 2 else client.close()
                self.wait_for(watcher, "1000 1000")
            watcher.goodbye()
            assert_serves(agent)

    def wait_for(self, watcher, counts):
        wait_until(lambda: watcher.notify("counts").vars()["txn.v"][1] == counts, f"never came to {counts}")

    def test_stop_while_handlers_wait(self):
        """SIGTERM with waits that would outlast drain-timeout: the daemon ends all the same, with 0."""
        with start("handler-timeout 5m", "drain-timeout 500ms", scripts=COUNTING) as agent:
            client = self.enterContext(spop.Client(agent.address))
            client.send(spop.hello(), *[spop.notify(n, 1, spop.message("wait")) for n in range(1, 101)])
            with spop.Client(agent.address) as watcher:
                watcher.handshake()
                self.wait_for(watcher, "100 0")
                watcher.goodbye()
