"""Arguments without a name, and of the same name."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function look(args)
    return { ["txn.count"] = #args, ["txn.first"] = args[1], ["txn.arg0"] = args["arg(0)"], ["txn.third"] = args[3],
             ["txn.arg2"] = args["arg(2)"], ["txn.arg1"] = args["arg(1)"] or "none", ["txn.named"] = args.named,
             ["txn.type"] = spoa.type(args, "arg(2)") }
end
function twice(args)
    return { ["txn.one"] = args[1], ["txn.two"] = args[2], ["txn.x"] = args.x, ["txn.count"] = #args }
end
"""


class Nameless(VersionsCase):
    def each_by_position_and_arg(self, version):
        names = ("count", "first", "arg0", "third", "arg2", "arg1", "named", "type")
        with Agent(LUA) as agent, \
                HAProxy(version, agent, {"look": "args str(a) named=str(b) int(7) req.hdr(absent)"},
                        show={name: f"txn.t.{name}" for name in names}) as haproxy:
            reply = haproxy.get()
            self.assertEqual([reply[name] for name in names], ["4", "a", "a", "7", "7", "none", "b", "int64"])
            self.assertEqual(reply["spoa_error"], None)

    def each_same_name(self, version):
        names = ("one", "two", "x", "count")
        with Agent(LUA) as agent, HAProxy(version, agent, {"twice": "args x=str(a) x=str(b)"},
                                          show={name: f"txn.t.{name}" for name in names}) as haproxy:
            reply = haproxy.get()
            self.assertEqual([reply[name] for name in names], ["a", "b", "b", "2"])
