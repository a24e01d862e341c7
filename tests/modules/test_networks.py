"""lua/examples/networks.lua behind a real HAProxy, its file replaced while it runs."""
import os

from lib.agent import ROOT, Agent, temp_folder
from lib.haproxy import HAProxy, VersionsCase


class Networks(VersionsCase):
    versions = ("2.6", "3.2")

    def each_longest_prefix_and_reload(self, version):
        path = temp_folder("networks") / "networks.txt"
        path.write_text("127.0.0.0/8 scanner\n192.0.2.0/24 other\n")
        with Agent(ROOT / "lua/examples/networks.lua", env={"NETWORKS": str(path)}) as agent, \
                HAProxy(version, agent, {"check-network": "args ip=src"}, show={"network": "sess.t.network"}) as haproxy:
            self.assertEqual(haproxy.get("/")["network"], "scanner")
            new = path.with_suffix(".new")
            new.write_text("127.0.0.0/8 scanner\n127.0.0.1 friend\n")
            os.replace(new, path)
            agent.wait_log(r"networks\.txt")
            self.assertEqual(haproxy.get("/")["network"], "friend")
