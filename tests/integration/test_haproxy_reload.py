"""HAProxy's own reload under load: no request without its decision (haproxy.md, 16 and 21)."""
from lib import http
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function decide(args)
    if tonumber(args.n) % 4 == 0 then spoa.sleep(0.02) end
    return { ["sess.n"] = args.n }
end
"""


class HaproxyReload(VersionsCase):
    def each_under_load(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, {"decide": "args n=path,field(2,/)"},
                                          show={"n": "sess.t.n"}) as haproxy:
            with http.Load(haproxy.port, 16, path=lambda n: f"/{n}") as load:
                load.await_replies(100)
                for _ in range(3):
                    haproxy.reload()
                    load.await_replies(100)
            wrong = [(n, reply) for n, reply in load.replies if reply["n"] != str(n) or reply["err"]]
            self.assertEqual(wrong, [])
            self.assertEqual(len(haproxy.processes), 4)
            self.assertNotRegex(agent.log(), r" (err|warning) ")
