"""lua/examples/rate-limit-redis.lua behind a real HAProxy, with a real Redis and without."""
from lib.agent import Agent
from lib.examples import patient
from lib.haproxy import HAProxy, VersionsCase
from lib.redis_server import Server

SHOW = {"left": "txn.t.left", "uncounted": "txn.t.uncounted", "why": "txn.t.spoa_error"}
DENY = "http-request deny status 429 if { var(txn.t.limited) -m bool }"


class RateLimitRedis(VersionsCase):
    versions = ("2.6", "3.2")

    def each_denies_what_is_too_much(self, version):
        example = patient("rate-limit-redis")
        with Server() as redis, Agent(example, "workers 2", env={"REDIS_PORT": str(redis.port)}) as agent, \
                HAProxy(version, agent, {"limit-rate-shared": "args ip=src"}, show=SHOW, rules=DENY) as haproxy:
            replies = [haproxy.get("/") for _ in range(105)]
            self.assertEqual([reply.status for reply in replies], [200] * 100 + [429] * 5)
            self.assertEqual((replies[0]["left"], replies[99]["left"]), ("99", "0"))
            self.assertRegex(redis.command("TTL", "rate:127.0.0.1"), rb"^:[1-9]")

    def each_lets_through_without_redis(self, version):
        example = patient("rate-limit-redis")
        with Server() as redis, Agent(example, env={"REDIS_PORT": str(redis.port)}) as agent, \
                HAProxy(version, agent, {"limit-rate-shared": "args ip=src"}, show=SHOW, rules=DENY) as haproxy:
            self.assertEqual(haproxy.get("/")["left"], "99")
            redis.stop()
            reply = haproxy.get("/")
            self.assertEqual((reply.status, reply["uncounted"], reply["left"], reply["why"]), (200, "1", None, None))
            agent.wait_log(r"warning .*rate-limit-redis\.lua:\d+: limit-rate-shared: .* message=limit_rate_shared$")
