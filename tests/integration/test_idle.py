"""HAProxy closes an idle connection in its own way; the next request finds the agent as before."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase
from lib.waiting import wait_until

LUA = "function f(args) return { ['txn.path'] = args.path } end"


class Idle(VersionsCase):
    def each_connection(self, version):
        # Legacy says DISCONNECT 2 after `timeout idle` and waits for the answer; mux resets after
        # `pool-purge-delay` (haproxy.md, 14).
        with Agent(LUA) as agent, \
                HAProxy(version, agent, {"f": "args path=path"}, show={"path": "txn.t.path"},
                        spoe="timeout idle 200ms", server="pool-purge-delay 200ms") as haproxy:
            empty = agent.fds()
            for n in range(3):
                reply = haproxy.get(f"/{n}")
                self.assertEqual((reply["path"], reply["err"]), (f"/{n}", None))
                wait_until(lambda: agent.fds() == empty, "the idle connection stays")
            self.assertGreaterEqual(haproxy.connections(), 3)
            self.assertNotRegex(agent.log(), r" (err|warning) ")
