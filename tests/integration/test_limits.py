"""Lua's memory and the number of handlers are bounded; what is above is told so, the rest goes on."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function hungry(args)
    if args.path == "/eat" then
        local t = {}
        for i = 1, math.huge do t[i] = ("x"):rep(1000000) .. i end
    end
    return { ["txn.x"] = args.path }
end
function sleeper(args)
    io.stderr:write("sleeping\\n")
    spoa.sleep(0.5)
    return { ["txn.x"] = args.path }
end
"""


class Limits(VersionsCase):
    def each_memory(self, version):
        with Agent(LUA, config="handler-memory 16m\nhandler-cpu 20s\nhandler-timeout 20s") as agent, \
                HAProxy(version, agent, {"hungry": "args path=path"}, show={"x": "txn.t.x"}, timeout="20s") as haproxy:
            for path in ("/", "/eat", "/eat", "/"):
                reply = haproxy.get(path)
                self.assertEqual((reply["x"], reply["spoa_error"], reply["err"]),
                                 (None, "memory", None) if path == "/eat" else (path, None, None))

    def each_concurrency(self, version):
        with Agent(LUA, config="handler-concurrency 5") as agent, \
                HAProxy(version, agent, {"sleeper": "args path=path"}, show={"x": "txn.t.x"}) as haproxy:
            replies = haproxy.many(20, 20)
            told = [reply["spoa_error"] for reply in replies]
            self.assertEqual({reply["err"] for reply in replies}, {None})
            self.assertEqual([reply["x"] for reply in replies], [None if why else "/" for why in told])
            self.assertLessEqual(set(told), {None, "busy"})
            self.assertGreaterEqual(told.count(None), 5)
            self.assertGreaterEqual(told.count("busy"), 1)
            self.assertEqual(haproxy.get()["x"], "/")
