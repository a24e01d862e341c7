"""Handlers that never give up the CPU: each costs its message, three times through one script."""
import unittest

from daemon import HANDLERS, assert_serves, start
from lib import spop

RUNAWAYS = HANDLERS + """
function spin()
    while true do end
end

function stubborn()
    while true do pcall(error) end
end

function caught()
    while true do pcall(function() while true do end end) end
end

function metamethod()
    local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end })
    while true do pcall(function() return t[1] end) end
end

function in_a_coroutine()
    local co = coroutine.wrap(function() while true do end end)
    while true do pcall(co) end
end

local spinning = { __close = function() while true do end end }

function in_a_close()
    local guard <close> = setmetatable({}, spinning)
end

function in_a_close_after_an_error()
    local guard <close> = setmetatable({}, spinning)
    error("out of here")
end

function in_a_close_after_a_wait()
    local guard <close> = setmetatable({}, spinning)
    spoa.sleep(60)
end

function strings()
    local n = 0
    while true do n = n + #tostring(n) end
end

function sleepless()
    while true do pcall(spoa.sleep, 0) end
end

function after_a_wait()
    spoa.sleep(0.001)
    while true do end
end
"""


class Runaway(unittest.TestCase):
    def run_away(self, name, timeout="20s"):
        with start("handler-cpu 50ms", f"handler {name} timeout {timeout}", "handler-timeout 20s",
                   scripts=RUNAWAYS) as agent:
            with spop.Client(agent.address) as client:
                client.handshake()
                for _ in range(3):
                    ack = client.notify(name)
                    self.assertEqual(ack.vars(), {"txn.spoa_error": ("str", "timeout")})
                    self.assertEqual(client.notify("echo", ("v", 1)).vars(), {"txn.v": ("int64", 1)})
                client.goodbye()
            agent.wait_log(r"handlers\.lua:\d+")
            assert_serves(agent)

    def test_spin(self):
        self.run_away("spin")

    def test_stubborn(self):
        self.run_away("stubborn")

    def test_caught(self):
        self.run_away("caught")

    def test_metamethod(self):
        self.run_away("metamethod")

    def test_in_a_coroutine(self):
        self.run_away("in-a-coroutine")

    def test_in_a_close(self):
        self.run_away("in-a-close")

    def test_in_a_close_after_an_error(self):
        self.run_away("in-a-close-after-an-error")

    def test_in_a_close_after_a_wait(self):
        self.run_away("in-a-close-after-a-wait", timeout="200ms")

    def test_strings(self):
        self.run_away("strings")

    def test_after_a_wait(self):
        self.run_away("after-a-wait")

    def test_sleepless(self):
        """It waits all the time, for nothing: its deadline ends it, others are served meanwhile."""
        self.run_away("sleepless", timeout="300ms")

    def assert_answered_in_time(self, agent, *frames):
        """Every ACK comes by about the deadline, so that most handlers do not get the CPU time they would take."""
        with spop.Client(agent.address) as client:
            client.handshake()
            before = agent.cpu()
            client.send(*frames)
            for ack in client.frames(len(frames)):
                self.assertEqual(ack.vars(), {"txn.spoa_error": ("str", "timeout")})
            self.assertLess(agent.cpu() - before, 1.5)
            client.goodbye()

    def test_many_in_one_notify(self):
        """30 messages of 100 ms each: one by one they would take 3 seconds."""
        with start("handler-cpu 100ms", "handler-timeout 500ms", scripts=RUNAWAYS) as agent:
            self.assert_answered_in_time(agent, spop.notify(1, 1, *[spop.message("spin")] * 30))
            assert_serves(agent)

    def test_many_notifies(self):
        with start("handler-cpu 100ms", "handler-timeout 500ms", scripts=RUNAWAYS) as agent:
            self.assert_answered_in_time(agent, *[spop.notify(n, 1, spop.message("spin")) for n in range(1, 31)])
            assert_serves(agent)
