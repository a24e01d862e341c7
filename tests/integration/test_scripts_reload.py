"""SIGHUP under load: the scripts change between two requests, and none goes without a decision."""
import threading

from lib import http
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase


def lua(version):
    return f"""
function decide(args)
    if tonumber(args.n) % 3 == 0 then spoa.sleep(0.02) end
    return {{ ["txn.by"] = "{version}" }}
end
function hold(args)
    io.stderr:write("holding\\n")
    repeat spoa.sleep(0.01) until io.open("go")
    return {{ ["txn.by"] = "{version}" }}
end
"""


MESSAGE = {"decide": "args n=path,field(2,/)"}
SHOW = {"by": "txn.t.by"}


class ScriptsReload(VersionsCase):
    def each_under_load(self, version):
        with Agent(lua("one")) as agent, HAProxy(version, agent, MESSAGE, show=SHOW) as haproxy:
            with http.Load(haproxy.port, 16, path=lambda n: f"/{n}") as load:
                load.await_replies(100)
                for name in ("two", "three", "four"):
                    agent.write("handlers.lua", lua(name))
                    self.assertTrue(agent.reload())
                    self.assertEqual(haproxy.get("/1")["by"], name)
                    load.await_replies(100)
            names = ["one", "two", "three", "four"]
            wrong = [(n, reply) for n, reply in load.replies if reply["by"] not in names or reply["err"]]
            self.assertEqual(wrong, [])

    def each_broken_scripts_change_nothing(self, version):
        with Agent(lua("one")) as agent, HAProxy(version, agent, MESSAGE, show=SHOW) as haproxy:
            for broken in ("function decide( return end", "error('at load')", "local x = nil + 1"):
                agent.write("handlers.lua", broken)
                mark = agent.mark()
                self.assertFalse(agent.reload())
                agent.wait_log(r"err .*handlers\.lua:1: ", after=mark)
                self.assertEqual(haproxy.get("/1")["by"], "one")
            agent.write("handlers.lua", lua("two"))
            self.assertTrue(agent.reload())
            self.assertEqual(haproxy.get("/1")["by"], "two")

    def each_in_flight_ends_where_it_began(self, version):
        with Agent(lua("one"), "handler-timeout 1m") as agent, \
                HAProxy(version, agent, {"hold": "args n=path"}, show=SHOW, timeout="1m") as haproxy:
            replies = []
            thread = threading.Thread(target=lambda: replies.append(haproxy.get()))
            thread.start()
            agent.wait_log(r"^holding$")
            agent.write("handlers.lua", lua("two"))
            self.assertTrue(agent.reload())
            agent.write("go", "")
            thread.join(20)
            self.assertEqual(replies[0]["by"], "one")
            self.assertEqual(haproxy.get()["by"], "two")
