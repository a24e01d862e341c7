"""A time limit of spoa.dns, spoa.http and spoa.redis begins when the handler waits, not when it began to compute."""
import time
import unittest

from lib import dns, spop
from lib import redis_server as redis
from lib.agent import Agent
from lib.case import case

COMPUTED, LIMIT = 0.3, 0.5
LUA = """
local dns, http, redis = require "spoa.dns", require "spoa.http", require "spoa.redis"
dns.configure { servers = { "%s" }, try_timeout = 5 }
local busy = redis.new { port = %d, timeout = %g }
local greeted = redis.new { port = %d, db = 1, timeout = 5, connect_timeout = %g }
local url = "http://127.0.0.1:%d/"
local function waiting(wait)
    return function()
        local until_ = os.clock() + %g
        repeat until os.clock() > until_
        local v, _, code = wait()
        return { txn = { v = tostring(v), code = code } }
    end
end
ask_dns = waiting(function() return dns.a("silent.test", { timeout = %g }) end)
ask_http = waiting(function() return http.get(url, { timeout = %g }) end)
ask_redis = waiting(function() return busy:get "key" end)
connect_redis = waiting(function() return greeted:get "key" end)
"""


class ComputedBefore(unittest.TestCase):
    def test_all(self):
        def say_nothing(_sock, _n):
            silent.over.wait(30)

        with dns.Server({("silent.test", "A"): dns.Silent()}) as server, redis.Fake(say_nothing) as silent:
            lua = LUA % (server.address, silent.port, LIMIT, silent.port, LIMIT, silent.port, COMPUTED, LIMIT, LIMIT)
            with Agent(lua, config="handler-cpu 5s\nhandler-timeout 10s") as agent, \
                    spop.Client(agent.address) as client:
                client.handshake()
                for name in ("ask-dns", "ask-http", "ask-redis", "connect-redis"):
                    with case(name=name):
                        began = time.monotonic()
                        got = client.notify(name).vars()
                        self.assertGreater(time.monotonic() - began, COMPUTED + LIMIT)
                        self.assertEqual(got["txn.v"][1], "nil")
                        self.assertIn(got["txn.code"][1], ("timeout", "connect"))
