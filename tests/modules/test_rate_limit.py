"""lua/examples/rate-limit.lua behind a real HAProxy."""
import tempfile

from lib.agent import ROOT, Agent
from lib.haproxy import HAProxy, VersionsCase


class RateLimit(VersionsCase):
    versions = ("2.6", "3.2")

    def each_denies_what_is_too_much(self, version):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, \
                Agent(ROOT / "lua/examples/rate-limit.lua", env={"SPOA_LUA_SHM": memory}) as agent, \
                HAProxy(version, agent, {"limit-rate": "args ip=src"}, show={"left": "txn.t.left"},
                        rules="http-request deny status 429 if { var(txn.t.limited) -m bool }") as haproxy:
            replies = [haproxy.get("/") for _ in range(105)]
            self.assertEqual([reply.status for reply in replies], [200] * 100 + [429] * 5)
            self.assertEqual(replies[0]["left"], "99")
            self.assertEqual(replies[99]["left"], "0")
