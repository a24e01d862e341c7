"""The key `pipelining`: whether HAProxy may send a NOTIFY before the last one's ACK came."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

# Every handler waits until all are there, which shows how many connections that takes.
LUA = """
local waiting = 0
function gather(args)
    if not args.path:find("alone") then
        waiting = waiting + 1
        while waiting < args.all do spoa.sleep(0.01) end
    end
    return { ["txn.path"] = args.path }
end
"""
ALL = 30


def connections(version, key):
    with Agent(LUA, config=f"pipelining {key}\nhandler-timeout 20s") as agent, \
            HAProxy(version, agent, {"gather": f"args path=path all=int({ALL})"}, show={"path": "txn.t.path"},
                    timeout="20s") as haproxy:
        # On a cold start HAProxy does not know yet what the agent can.
        assert haproxy.get("/0/alone")["path"] == "/0/alone"
        replies = haproxy.many(ALL, ALL, path=lambda n: f"/{n}")
        assert [(r["path"], r["err"]) for r in replies] == [(f"/{n}", None) for n in range(ALL)], replies
        return haproxy.connections()


class Pipelining(VersionsCase):
    def each_off_takes_a_connection_a_request(self, version):
        self.assertGreaterEqual(connections(version, "off"), ALL)

    def each_on_and_auto_answer_every_request(self, version):
        for key in ("on", "auto"):
            # Where HAProxy does not like what it was told, it opens thousands.
            self.assertLess(connections(version, key), 2 * ALL)


class Multiplexer(VersionsCase):
    versions = ("3.2",)

    def each_on_shares_connections(self, version):
        # At most 20 streams are on one.
        self.assertLess(connections(version, "on"), ALL)
