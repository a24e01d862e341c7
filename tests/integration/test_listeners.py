"""The other kinds of listener, each with HAProxy's own way to connect to it."""
import os
import stat
import uuid

from lib.agent import Agent, temp_folder
from lib.haproxy import HAProxy, VersionsCase

LUA = "function f(args, ctx) return { ['txn.path'] = args.path, ['txn.peer'] = ctx.peer } end"


class Listeners(VersionsCase):
    def serves(self, version, agent):
        with HAProxy(version, agent, {"f": "args path=path"}, show={"path": "txn.t.path"}) as haproxy:
            replies = haproxy.many(40, 8, path=lambda n: f"/{n}")
            self.assertEqual([(r["path"], r["err"]) for r in replies], [(f"/{n}", None) for n in range(40)])

    def each_unix_socket(self, version):
        folder = temp_folder("unix")
        path = folder / "spoa.sock"
        try:
            with Agent(LUA, listen=f"unix:{path} mode 0640") as agent:
                self.assertEqual(agent.address, f"unix:{path}")
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)
                self.serves(version, agent)
            self.assertFalse(path.exists())
        finally:
            for left in folder.iterdir():
                left.unlink()
            os.rmdir(folder)

    def each_abstract_socket(self, version):
        name = f"spoa-{uuid.uuid4().hex[:12]}"
        with Agent(LUA, listen=f"abns:{name}") as agent:
            self.assertEqual(agent.address, f"abns:{name}")
            self.serves(version, agent)

    def each_ipv6(self, version):
        with Agent(LUA, listen="[::1]:0") as agent:
            self.assertRegex(agent.address, r"^\[::1\]:\d+$")
            self.serves(version, agent)

    def each_two_at_once(self, version):
        with Agent(LUA, listen=["127.0.0.1:0", "127.0.0.1:0"]) as agent:
            self.assertEqual(len(set(agent.addresses)), 2)
            for address in agent.addresses:
                self.serves(version, address)
