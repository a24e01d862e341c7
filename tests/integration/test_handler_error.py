"""Handlers that fail while others succeed: each request gets what its own handler decided."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function decide(args)
    local n = tonumber(args.n)
    if n % 3 == 0 then spoa.sleep(0.002) end
    if n % 5 == 0 then error("five divides it") end
    if n % 7 == 0 then local nothing; return nothing.field end
    return { ["txn.n"] = n }
end
"""
MESSAGE = {"decide": "args n=path,field(2,/)"}


class HandlerError(VersionsCase):
    def each_under_load(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, MESSAGE, show={"n": "txn.t.n"}) as haproxy:
            replies = haproxy.many(700, 20, path=lambda n: f"/{n}")
            for n, reply in enumerate(replies):
                failed = n % 5 == 0 or n % 7 == 0
                self.assertEqual((reply["n"], reply["spoa_error"], reply["err"]),
                                 (None, "error", None) if failed else (str(n), None, None))
            agent.wait_log(r"err .*handlers\.lua:5: five divides it.* message=decide$")
            # Repeats are counted, not written: 140 errors are not 140 lines, each with its traceback.
            self.assertLess(agent.log().count("five divides it"), 70)

    def each_error_variable_of_the_configuration(self, version):
        with Agent(LUA, config="error-variable sess.why") as agent, \
                HAProxy(version, agent, MESSAGE, show={"why": "sess.t.why"}) as haproxy:
            reply = haproxy.get("/5")
            self.assertEqual((reply["why"], reply["spoa_error"], reply["err"]), ("error", None, None))
