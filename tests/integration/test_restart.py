"""The agent stopped and started again on its port: HAProxy finds it, and in between its requests go on."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase


def lua(number):
    return f"function f(args) return {{ ['txn.by'] = {number} }} end"


class Restart(VersionsCase):
    def each_restart(self, version):
        with Agent(lua(1)) as first:
            address = first.address
            with HAProxy(version, address, {"f": "args src"}, show={"by": "txn.t.by"},
                         timeout="1s") as haproxy:
                self.assertEqual({r["by"] for r in haproxy.many(20, 4)}, {"1"})
                first.stop()
                # Without an agent a request goes on without its variables, and says so.
                reply = haproxy.get()
                self.assertEqual((reply.status, reply["by"]), (200, None))
                self.assertNotEqual(reply["err"], None)
                with Agent(lua(2), listen=address) as second:
                    self.assertEqual(second.address, address)
                    self.assertEqual({(r["by"], r["err"]) for r in haproxy.many(20, 4)}, {("2", None)})
