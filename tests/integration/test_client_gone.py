"""HTTP clients that leave while their handler waits: nobody tells the agent, and nobody else notices."""
import socket

from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase
from lib.waiting import wait_until

LUA = """
function wait(args)
    if args.path:find("^/gone") then
        io.stderr:write("waiting ", args.path, "\\n")
        repeat spoa.sleep(0.01) until io.open("go")
        io.stderr:write("done ", args.path, "\\n")
    end
    return { ["txn.path"] = args.path }
end
"""
COUNT = 10


class ClientGone(VersionsCase):
    def each_late_acks_are_harmless(self, version):
        for pipelining in ("on", "auto"):
            with Agent(LUA, config=f"pipelining {pipelining}\nhandler-timeout 1m") as agent, \
                    HAProxy(version, agent, {"wait": "args path=path"}, show={"path": "txn.t.path"},
                            timeout="2s") as haproxy:
                clients = [socket.create_connection(("127.0.0.1", haproxy.port), 10) for _ in range(COUNT)]
                for n, client in enumerate(clients):
                    client.sendall(f"GET /gone{n} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                for n, client in enumerate(clients):
                    agent.wait_log(rf"^waiting /gone{n}$")
                    client.close()
                replies = haproxy.many(100, 4, path=lambda n: f"/{n}")
                # HAProxy has given those up, at the latest after its own timeout.
                wait_until(lambda: " fe=fe " not in haproxy.show("show sess"), "HAProxy keeps their streams")
                # These go in between the late answers of the others.
                agent.write("go", "")
                replies += haproxy.many(100, 4, path=lambda n: f"/{n}")
                for n in range(COUNT):
                    agent.wait_log(rf"^done /gone{n}$")
                replies += haproxy.many(100, 4, path=lambda n: f"/{n}")
                self.assertEqual([r["path"] for r in replies], [f"/{n}" for n in range(100)] * 3)
                self.assertNotRegex(agent.log(), r" (err|warning) ")
