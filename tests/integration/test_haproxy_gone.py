"""HAProxy dies while handlers wait: they are cancelled and their <close> variables run."""
import contextlib
import socket
import threading

from lib import http
from lib.agent import Agent
from lib.haproxy import EVENT, HAProxy, VersionsCase
from lib.waiting import wait_until

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
MANY = 500
COUNTING = """
local waiting, closed = 0, 0
local closing = { __close = function() closed = closed + 1 end }
function wait()
    local held <close> = setmetatable({}, closing)
    waiting = waiting + 1
    if waiting == %d then io.stderr:write("all are waiting\\n") end
    spoa.sleep(100)
    waiting = -1 -- none gets as far
end
function count() return { txn = { waiting = waiting, closed = closed } } end
""" % MANY


def try_get(haproxy, path):
    """A request that is expected to be cut off."""
    try:
        haproxy.get(path)
    except (OSError, http.http.client.HTTPException):
        pass


def await_descriptors(agent, count):
    """Until the agent has closed what it had opened meanwhile."""
    wait_until(lambda: agent.fds() == count, "descriptors stay open")


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
                haproxy.kill()
                for n in range(COUNT):
                    agent.wait_log(rf"^closed /{n}$")
                for thread in threads:
                    thread.join(20)
            with HAProxy(version, agent, {"wait": "args path=path"}, show={"path": "txn.t.path"}) as haproxy:
                self.assertEqual(haproxy.get("/quick")["path"], "/quick")
                haproxy.kill()
            await_descriptors(agent, descriptors)

    def each_killed_with_many_waiting(self, version):
        messages = {"wait": f"event {EVENT} if {{ path /wait }}", "count": f"event {EVENT} if {{ path /count }}"}
        show = {"waiting": "txn.t.waiting", "closed": "txn.t.closed"}
        with Agent(COUNTING, config="handler-timeout 100s") as agent:
            descriptors = agent.fds()
            with HAProxy(version, agent, messages, timeout="100s") as haproxy, contextlib.ExitStack() as requests:
                for _ in range(MANY):  # nobody reads the replies: there are none
                    sock = requests.enter_context(socket.create_connection(("127.0.0.1", haproxy.port), 20))
                    sock.sendall(b"GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
                agent.wait_log("^all are waiting$", timeout=60)
                haproxy.kill()
                await_descriptors(agent, descriptors)
            with HAProxy(version, agent, messages, show=show) as haproxy:
                wait_until(lambda: haproxy.get("/count")["closed"] == str(MANY), "not all were cancelled")
                self.assertEqual(haproxy.get("/count")["waiting"], str(MANY))
