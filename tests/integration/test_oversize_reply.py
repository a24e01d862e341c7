"""A reply that would reach max-frame-size: not sent, and its request is told so."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function grow(args) return { ["txn.before"] = 1, ["txn.big"] = ("x"):rep(args.n) } end
function other(args) return { ["txn.other"] = args.n } end
"""
MESSAGES = {"other": "args n=path,field(2,/)", "grow": "args n=path,field(2,/)"}
SHOW = {"before": "txn.t.before", "n": "txn.t.big,length", "other": "txn.t.other"}


class OversizeReply(VersionsCase):
    def each_too_big(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, MESSAGES, show=SHOW) as haproxy:
            for size in (100, 16384, 17000, 1000000, 100):
                reply = haproxy.get(f"/{size}")
                self.assertEqual((reply["err"], reply["other"]), (None, str(size)))
                self.assertEqual((reply["before"], reply["n"], reply["spoa_error"]),
                                 ("1", str(size), None) if size < 16000 else (None, None, "too_big"))

    def each_size_up_to_the_limit(self, version):
        # One ACK of 16380 bytes is enough to freeze 3.1 and later for ever (haproxy.md, 4).
        with Agent(LUA) as agent, HAProxy(version, agent, MESSAGES, show=SHOW) as haproxy:
            outcomes = []
            for size in range(16250, 16400):
                reply = haproxy.get(f"/{size}")
                self.assertEqual((reply["err"], reply["other"]), (None, str(size)))
                outcomes.append(reply["spoa_error"])
                self.assertEqual(reply["n"], None if outcomes[-1] else str(size))
            limit = outcomes.index("too_big")
            self.assertEqual(outcomes, [None] * limit + ["too_big"] * (150 - limit))
            self.assertGreater(limit, 0)
