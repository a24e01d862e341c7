"""`option spop-check`: HAProxy's health check finds the agent up, and down when it is gone."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = "function f() return { ['txn.x'] = 1 } end"
BACKEND = "option spop-check\noption log-health-checks\ntimeout check 20s"


class SpopCheck(VersionsCase):
    def each_up_then_down(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, {"f": "args src"}, show={"x": "txn.t.x"}, backend=BACKEND,
                                          server="check inter 100ms fall 1 rise 2 init-addr none") as haproxy:
            haproxy.wait_log(r"Health check for server agents/agent succeeded.*Layer7 check passed")
            # Checks go on and take nothing from requests.
            for _ in range(20):
                reply = haproxy.get()
                self.assertEqual((reply["x"], reply["err"]), ("1", None))
            self.assertIn(",UP,", next(r for r in haproxy.show("show stat").splitlines() if "agents,agent" in r))
            self.assertNotRegex(agent.log(), r" (err|warning) ")
            agent.stop()
            haproxy.wait_log(r"Server agents/agent is DOWN")
