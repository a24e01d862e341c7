"""Handlers that take all the memory they get: each costs its message, three times through one script."""
import unittest

from daemon import HANDLERS, Flat, assert_serves, start
from lib import spop

BOMBS = HANDLERS + """
function table_of_strings()
    local t = {}
    while true do t[#t + 1] = ("x"):rep(10000) .. #t end
end

function one_string()
    return { ["txn.v"] = ("x"):rep(1 << 30) }
end

function doubling()
    local s = "x"
    while true do s = s .. s end
end

function stubborn()
    local t = {}
    while true do
        if not pcall(function() t[#t + 1] = ("x"):rep(100000) .. #t end) then error("kept", 0) end
    end
end

function coroutines()
    local t = {}
    while true do
        local co = coroutine.create(function() coroutine.yield() end)
        coroutine.resume(co)
        t[#t + 1] = co
    end
end

function after_a_wait()
    local t = {}
    while true do
        for n = 1, 100 do t[#t + 1] = ("x"):rep(10000) .. #t end
        spoa.sleep(0)
    end
end
"""


class MemoryBomb(unittest.TestCase):
    def explode(self, name, reason="memory"):
        config = ("handler-memory 16m", "handler-cpu 20s", "handler-timeout 30s")
        with start(*config, scripts=BOMBS) as agent:
            assert_serves(agent)
            with Flat(agent, 96), spop.Client(agent.address, timeout=30) as client:
                client.handshake()
                for _ in range(3):
                    self.assertEqual(client.notify(name).vars(), {"txn.spoa_error": ("str", reason)})
                    self.assertEqual(client.notify("echo", ("v", 1)).vars(), {"txn.v": ("int64", 1)})
                client.goodbye()
            assert_serves(agent)

    def test_table_of_strings(self):
        self.explode("table-of-strings")

    def test_one_string(self):
        self.explode("one-string")

    def test_doubling(self):
        self.explode("doubling")

    def test_stubborn(self):
        """It catches the error and raises its own, which is what is reported."""
        self.explode("stubborn", "error")

    def test_coroutines(self):
        self.explode("coroutines")

    def test_after_a_wait(self):
        self.explode("after-a-wait")

    def test_a_large_notify(self):
        """Arguments that do not fit the heap fail their message; the connection goes on."""
        with start("handler-memory 1m", "max-payload 8m", scripts=BOMBS) as agent:
            with spop.Client(agent.address) as client:
                client.handshake(max_frame_size=1 << 20)
                payload = spop.message("echo", ("v", "x" * (4 << 20)))
                client.send(*spop.fragments(1, 1, payload, *range(1000000, len(payload), 1000000)))
                self.assertEqual(client.ack((1, 1)).vars(), {"txn.spoa_error": ("str", "memory")})
                client.stream_id = 1
                self.assertEqual(client.notify("echo", ("v", 1)).vars(), {"txn.v": ("int64", 1)})
                client.goodbye()
            assert_serves(agent)
