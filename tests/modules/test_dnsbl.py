"""lua/examples/dnsbl.lua behind a real HAProxy and a name server."""
from lib import dns
from lib.agent import ROOT, Agent
from lib.examples import patient
from lib.haproxy import HAProxy, VersionsCase


class Dnsbl(VersionsCase):
    versions = ("2.6", "3.2")

    def ask(self, version, zone, expected, source=None):
        source = source or patient("dnsbl")["dnsbl.lua"]
        with dns.Server(zone) as server:
            script = f"require 'spoa.dns'.configure{{ servers = {{ '{server.address}' }} }}\n{source}"
            with Agent(script) as agent, HAProxy(version, agent, {"check-dnsbl": "args ip=src"},
                                                 show={"dnsbl": "sess.t.dnsbl"}) as haproxy:
                self.assertEqual(haproxy.get("/")["dnsbl"], expected)

    def each_listed(self, version):
        self.ask(version, {("1.0.0.127.dnsbl.example", "A"): dns.Records("127.0.0.4")}, "127.0.0.4")

    def each_clean(self, version):
        self.ask(version, {("1.0.0.127.dnsbl.example", "A"): dns.Code(3)}, "clean")

    def each_unknown(self, version):
        self.ask(version, {("1.0.0.127.dnsbl.example", "A"): dns.Silent()}, "unknown",
                 (ROOT / "lua/examples/dnsbl.lua").read_text())
