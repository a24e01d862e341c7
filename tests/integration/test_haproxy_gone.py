"""HAProxy dies while handlers wait: they are cancelled and their <close> variables run."""
import threading
import time

from lib import http
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
local closing = { __close = function(self) io.stderr:write("closed ", self.path, "\\n") end }
function wait(args)
    local held <close> = setmetatable({ path = args.path }, closing)
    if args.path ~= "/quick" then
        io.stderr:write("waiting ", args.path, "\\n")
        spoa.sleep(60)
    end
    return { ["txn.path"] = args.path }
end
"""
COUNT = 10


def try_get(haproxy, path):
    """A request that is expected to be cut off."""
    try:
        haproxy.get(path)
    except (OSError, http.http.client.HTTPException):
        pass


class HaproxyGone(VersionsCase):
    def each_killed(self, version):
        with Agent(LUA, config="handler-timeout 100s") as agent:
            descriptors = agent.fds()
            with HAProxy(version, agent, {"wait": "args path=path"}, timeout="100s") as haproxy:
                threads = [threading.Thread(target=try_get, args=(haproxy, f"/{n}")) for n in range(COUNT)]
                for thread in threads:
                    thread.start()
                for n in range(COUNT):
                    agent.wait_log(rf"^waiting /{n}$")
                began = time.monotonic()
                haproxy.kill()
                for n in range(COUNT):
                    agent.wait_log(rf"^closed /{n}$")
                self.assertLess(time.monotonic() - began, 10)
                for thread in threads:
                    thread.join(20)
            with HAProxy(version, agent, {"wait": "args path=path"}, show={"path": "txn.t.path"}) as haproxy:
                self.assertEqual(haproxy.get("/quick")["path"], "/quick")
                haproxy.kill()
            deadline = time.monotonic() + 10
            while agent.fds() != descriptors and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(agent.fds(), descriptors)
