"""Every scope: who sees a variable, and for how long."""
from lib import http
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function on_request(args)
    if args.path == "/set" then
        return { proc = { p = "P" }, ["sess.s"] = "S", ["txn.t"] = "T", ["req.q"] = "Q", ["res.early"] = "E" }
    end
end
function on_response(args)
    return { ["res.r"] = args.status, ["req.late"] = "L" }
end
"""
MESSAGES = {"on-request": "args path=path", "on-response": "args status=status\nevent on-http-response"}
SHOW = {"p": "proc.t.p", "s": "sess.t.s", "t": "txn.t.t", "q": "req.t.q", "r": "res.t.r", "early": "res.t.early"}
RULES = "http-request set-var(txn.q_in_request) var(req.t.q)"


class Scopes(VersionsCase):
    def each_scope(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, MESSAGES, origin=True, rules=RULES,
                                          show={**SHOW, "q_in_request": "txn.q_in_request"}) as haproxy:
            client = http.Client(haproxy.port)
            reply = client.request("/set")
            self.assertEqual(reply["err"], None)
            self.assertEqual((reply["p"], reply["s"], reply["t"], reply["r"]), ("P", "S", "T", "200"))
            # A request's variables end with the request, and a response's do not begin before it.
            self.assertEqual((reply["q_in_request"], reply["q"], reply["early"]), ("Q", None, None))
            # The same session: txn's are gone, sess's stay.
            reply = client.request("/")
            self.assertEqual((reply["p"], reply["s"], reply["t"], reply["q_in_request"]), ("P", "S", None, None))
            client.close()
            # Another session: only the process's stay.
            reply = haproxy.get("/")
            self.assertEqual((reply["p"], reply["s"], reply["t"]), ("P", None, None))

    def each_default_scope(self, version):
        lua = "function f() return { bare = 7, ['sess.a.b'] = 8 } end"
        for config, shown in (("", ("7", None)), ("default-scope txn", (None, "7"))):
            with Agent(lua, config=config) as agent, \
                    HAProxy(version, agent, {"f": "args src"},
                            show={"proc": "proc.t.bare", "txn": "txn.t.bare", "ab": "sess.t.a.b"}) as haproxy:
                reply = haproxy.get()
                self.assertEqual((reply["proc"], reply["txn"]), shown)
                # The scope ends at the first dot.
                self.assertEqual((reply["ab"], reply["err"]), ("8", None))
