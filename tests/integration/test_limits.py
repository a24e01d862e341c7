"""Lua's memory and the number of handlers are bounded; what is above is told so, the rest goes on."""
import threading

from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase
from lib.waiting import wait_until

LUA = """
function hungry(args)
    if args.path == "/eat" then
        local t = {}
        for i = 1, math.huge do t[i] = ("x"):rep(1000000) .. i end
    end
    return { ["txn.x"] = args.path }
end
function sleeper(args)
    repeat spoa.sleep(0.01) until io.open("go")
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
        with Agent(LUA, config="handler-concurrency 5\nhandler-timeout 1m") as agent, \
                HAProxy(version, agent, {"sleeper": "args path=path"}, show={"x": "txn.t.x"}, timeout="1m") as haproxy:
            replies = []
            threads = [threading.Thread(target=lambda: replies.append(haproxy.get())) for _ in range(20)]
            for thread in threads:
                thread.start()
            wait_until(lambda: len(replies) == 15, "five wait, and the others are not told that it is busy")
            agent.write("go", "")
            for thread in threads:
                thread.join(20)
            told = [reply["spoa_error"] for reply in replies]
            self.assertEqual({reply["err"] for reply in replies}, {None})
            self.assertEqual([reply["x"] for reply in replies], [None if why else "/" for why in told])
            self.assertEqual((told.count(None), told.count("busy")), (5, 15))
            self.assertEqual(haproxy.get()["x"], "/")
