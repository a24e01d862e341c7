"""SIGTERM: what is in flight is answered, then goodbye, then exit status 0."""
import signal
import threading

from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function nap(args)
    io.stderr:write("napping ", args.path, "\\n")
    repeat spoa.sleep(0.01) until io.open("go")
    return { ["txn.path"] = args.path }
end
"""
COUNT = 20


class Drain(VersionsCase):
    def ask(self, haproxy, agent):
        """COUNT requests whose handlers have all begun, as (threads, replies to come)."""
        replies = {}
        threads = [threading.Thread(target=lambda path=f"/{n}": replies.update({path: haproxy.get(path)}))
                   for n in range(COUNT)]
        for thread in threads:
            thread.start()
        for n in range(COUNT):
            agent.wait_log(rf"^napping /{n}$")
        return threads, replies

    def each_in_flight_is_answered(self, version):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Agent(LUA, config="handler-timeout 1m\ndrain-timeout 1m") as agent, \
                    HAProxy(version, agent, {"nap": "args path=path"}, show={"path": "txn.t.path"}, timeout="1m") as haproxy:
                threads, replies = self.ask(haproxy, agent)
                agent.signal(number)
                agent.wait_log("notice stopping")
                agent.write("go", "")
                for thread in threads:
                    thread.join(20)
                self.assertEqual({path: (reply["path"], reply["err"]) for path, reply in replies.items()},
                                 {f"/{n}": (f"/{n}", None) for n in range(COUNT)})
                self.assertEqual(agent.process.wait(20), 0)
                agent.wait_log(r"notice stopped")

    def each_bounded(self, version):
        # They wait for longer than the drain may take: it ends all the same, and with status 0.
        with Agent(LUA, config="handler-timeout 100s\ndrain-timeout 300ms") as agent, \
                HAProxy(version, agent, {"nap": "args path=path"}, show={"path": "txn.t.path"}) as haproxy:
            threads, replies = self.ask(haproxy, agent)
            agent.signal(signal.SIGTERM)
            self.assertEqual(agent.process.wait(20), 0)
            for thread in threads:
                thread.join(20)
            self.assertEqual({reply["path"] for reply in replies.values()}, {None})
