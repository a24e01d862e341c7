"""Pipelined sleepers: ACKs leave as handlers end, not as they began, on one connection."""
import threading

from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase, has_mux

# A slow handler ends only when a later request says so.
LUA = """
local released = {}
function wait(args)
    local key, what = args.path:match("^/(%w+)/(%w+)$")
    if what == "slow" then
        io.stderr:write("waiting ", key, "\\n")
        while not released[key] do spoa.sleep(0.005) end
    elseif what == "release" then
        released[key] = true
    end
    return { ["txn.path"] = args.path }
end
"""


class OutOfOrder(VersionsCase):
    def each_later_answer_first(self, version):
        # `maxconn 1`: the applet may not open another connection to overtake on.  The multiplexer, which
        # counts streams there, need not: all these fit on the connection that the first request opened.
        with Agent(LUA, config="pipelining on\nhandler-timeout 20s") as agent, \
                HAProxy(version, agent, {"wait": "args path=path"}, show={"path": "txn.t.path"}, timeout="20s",
                        server="" if has_mux(version) else "maxconn 1") as haproxy:
            self.assertEqual(haproxy.get("/0/quick")["path"], "/0/quick")
            slow = {}
            threads = []
            for n in range(8):
                path = f"/{n}/slow"
                threads.append(threading.Thread(target=lambda path=path: slow.update({path: haproxy.get(path)})))
                threads[-1].start()
                agent.wait_log(rf"^waiting {n}$")
            for n in reversed(range(8)):
                self.assertEqual(slow, {})
                self.assertEqual(haproxy.get(f"/{n}/quick")["path"], f"/{n}/quick")
            for n in reversed(range(8)):
                self.assertEqual(haproxy.get(f"/{n}/release")["err"], None)
                threads[n].join(20)
                self.assertEqual(set(slow), {f"/{k}/slow" for k in range(n, 8)})
            self.assertEqual({reply["path"] for reply in slow.values()}, {f"/{n}/slow" for n in range(8)})
            self.assertEqual(haproxy.connections(), 1)
