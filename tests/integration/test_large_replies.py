"""4,000-byte replies at 40 concurrent requests, by the default configuration: none is lost.

From 3.1 on HAProxy freezes a connection for ever when 16,384 bytes of ACKs wait for it at once, so an
agent that lets it pipeline loses most of these (haproxy.md, 4).
"""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function big(args)
    return { ["txn.reply"] = args.path .. ("x"):rep(4000 - #args.path) }
end
"""


class LargeReplies(VersionsCase):
    def each_at_40_concurrent(self, version):
        self.none_is_lost(version)

    def each_with_threads(self, version):
        self.none_is_lost(version, globals_="nbthread 4")

    def none_is_lost(self, version, **options):
        count = 2000
        with Agent(LUA) as agent, \
                HAProxy(version, agent, {"big": "args path=path"}, body="%[var(txn.t.reply)]", **options) as haproxy:
            replies = haproxy.many(count, 40, path=lambda n: f"/{n}")
            expected = [f"/{n}".ljust(4000, "x").encode() for n in range(count)]
            self.assertEqual([r["err"] for r in replies if r["err"]], [])
            lost = [n for n, reply in enumerate(replies) if reply.body != expected[n]]
            self.assertEqual(lost, [])

    def each_burst_on_a_cold_start(self, version):
        # HAProxy opens a connection for each request of the burst (haproxy.md, 21).
        with Agent(LUA) as agent, \
                HAProxy(version, agent, {"big": "args path=path"}, show={"size": "txn.t.reply,length"}) as haproxy:
            replies = haproxy.many(200, 100, keep_alive=False)
            self.assertEqual({(r["size"], r["err"]) for r in replies}, {("4000", None)})
