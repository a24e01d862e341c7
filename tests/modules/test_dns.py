"""require "spoa.dns" against a DNS server that answers, lies, dawdles or is not there."""
import random
import signal
import unittest

from lib import dns, ports, spop
from lib.agent import Agent
from lib.case import case

LUA = """
local dns = require "spoa.dns"
dns.configure{ %s }
local function text(v, message, code)
    if type(v) == "table" then
        local out = {}
        for _, item in ipairs(v) do
            out[#out + 1] = type(item) == "table" and item.priority .. " " .. item.host or item
        end
        return { ["txn.list"] = table.concat(out, ","), ["txn.n"] = #v }
    end
    return { ["txn.list"] = tostring(v), ["txn.message"] = message, ["txn.code"] = code }
end
function look(args) return text(dns[args.f](args.name)) end
function resolve(args) return text(dns.resolve(args.name, args.type, args.timeout and { timeout = args.timeout / 1000 })) end
function listed(args) return text(dns.dnsbl(args.ip, args.zone)) end
function wrong(args) return { ["txn.said"] = select(2, pcall(load(args.code, "=x", "t", { dns = dns }))) } end
function twice(args) dns.a(args.name) return text(dns.a(args.name)) end
"""


class Asking:
    """An agent that asks a server; ask() gives what a handler got."""

    def __init__(self, server, options="timeout = 5", config=""):
        address = server if isinstance(server, str) else server.address
        self.agent = Agent(LUA % f"servers = {{ '{address}' }}, {options}",
                           config=config + ("" if "handler-timeout" in config else "\nhandler-timeout 10s"))

    def __enter__(self):
        self.agent.__enter__()
        self.client = spop.Client(self.agent.address)
        self.client.handshake()
        return self

    def __exit__(self, *args):
        self.client.close()
        return self.agent.__exit__(*args)

    def ask(self, name, *arguments):
        return {key[4:]: data for key, (_, data) in self.client.notify(name, *arguments).vars().items()}

    def look(self, function, name):
        return self.ask("look", ("f", function), ("name", name))


def as_text(value):
    """Bytes that are not UTF-8 come as surrogates from lib.spop."""
    return value.encode("utf-8", "surrogateescape").decode("latin-1") if isinstance(value, str) else value


class Dns(unittest.TestCase):
    def check(self, got, want):
        self.assertEqual(as_text(got.get("list")), want, got)

    def fails(self, got, code, *words):
        self.assertEqual((as_text(got["list"]), as_text(got["code"])), ("nil", code), got)
        for word in words:
            self.assertIn(word, as_text(got["message"]))

    def test_every_type(self):
        zone = {("a.test", "A"): ["192.0.2.1", "192.0.2.2"], ("a.test", "AAAA"): ["2001:db8::1"],
                ("a.test", "MX"): [(10, "mx.a.test"), (65535, "mx2.a.test")],
                ("a.test", "TXT"): [["v=spf1 ", "-all"], "x" * 255, "\x00\xff,"],
                ("4.3.2.1.in-addr.arpa", "PTR"): ["host.a.test"],
                ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): ["six.a.test"],
                ("_dmarc.a_b.test", "TXT"): ["v=DMARC1"]}
        with dns.Server(zone) as server, Asking(server) as asking:
            self.check(asking.look("a", "a.test"), "192.0.2.1,192.0.2.2")
            self.check(asking.look("a", "A.Test."), "192.0.2.1,192.0.2.2")
            self.check(asking.look("aaaa", "a.test"), "2001:db8::1")
            self.check(asking.look("mx", "a.test"), "10 mx.a.test,65535 mx2.a.test")
            self.check(asking.look("txt", "a.test"), "v=spf1 -all," + "x" * 255 + ",\x00\xff,")
            self.check(asking.look("ptr", "1.2.3.4"), "host.a.test")
            self.check(asking.look("ptr", "2001:db8::1"), "six.a.test")
            self.check(asking.look("txt", "_dmarc.a_b.test"), "v=DMARC1")
            self.check(asking.look("addresses", "a.test"), "192.0.2.1,192.0.2.2,2001:db8::1")
            self.check(asking.ask("resolve", ("name", "4.3.2.1.in-addr.arpa"), ("type", "ptr")), "host.a.test")
            self.check(asking.ask("resolve", ("name", "a.test")), "192.0.2.1,192.0.2.2")

    def test_aliases(self):
        alias = [("CNAME", "w.test", "x.test"), ("CNAME", "x.test", "y.test"), ("A", "y.test", "192.0.2.9")]
        strange = [("A", "other.test", "192.0.2.66"), ("CNAME", "w.test", "x.test")]
        zone = {("w.test", "A"): dns.Records(*alias), ("v.test", "A"): dns.Records(*strange),
                ("back.test", "A"): dns.Records(("A", "to.test", "192.0.2.8"), ("CNAME", "back.test", "to.test")),
                ("loop.test", "A"): dns.Records(("CNAME", "loop.test", "b.test"), ("CNAME", "b.test", "loop.test"))}
        with dns.Server(zone) as server, Asking(server) as asking:
            self.check(asking.look("a", "w.test"), "192.0.2.9")
            self.check(asking.look("a", "back.test"), "192.0.2.8")
            self.fails(asking.look("a", "v.test"), "nodata")
            self.fails(asking.look("a", "loop.test"), "nodata")

    def test_every_error(self):
        zone = {("s.test", "A"): dns.Code(dns.SERVFAIL), ("r.test", "A"): dns.Code(dns.REFUSED),
                ("n.test", "A"): dns.Code(dns.NOTIMP), ("q.test", "A"): dns.Silent()}
        with dns.Server(zone) as server, Asking(server, "timeout = 5, try_timeout = 1, tries = 2") as asking:
            self.fails(asking.look("a", "none.test"), "nxdomain", "dns a none.test: there is no such name")
            self.fails(asking.look("mx", "s.test"), "nodata")
            self.fails(asking.look("a", "s.test"), "servfail", server.address)
            self.fails(asking.look("a", "r.test"), "refused")
            self.fails(asking.look("a", "n.test"), "notimp")
            self.fails(asking.look("a", "q.test"), "timeout", server.address)
            for bad in ("", ".", "a..b", "a b", "x" * 64, "a." * 130, "a\\046b", "a\0.test", "\xe4.test"):
                with case(name=bad):
                    self.fails(asking.look("a", bad), "badname")
                    self.fails(asking.look("addresses", bad), "badname")

    def test_a_server_that_is_not_there(self):
        held = ports.bound_socket()
        address = "127.0.0.1:%d" % held.getsockname()[1]
        with held, Asking(address, "timeout = 2, try_timeout = 0.1, tries = 1") as asking:
            got = asking.look("a", "a.test")
            self.assertIn(as_text(got["code"]), ("unreachable", "timeout"), got)
            self.assertIn(address, as_text(got["message"]))

    def test_own_timeout_and_the_late_answer(self):
        held = dns.Held("192.0.2.5")
        with dns.Server({("slow.test", "A"): held, ("a.test", "A"): ["192.0.2.1"]}) as server, \
                Asking(server, "timeout = 5, try_timeout = 5") as asking:
            got = asking.ask("resolve", ("name", "slow.test"), ("type", "a"), ("timeout", 30))
            self.fails(got, "timeout", "slow.test")
            self.check(asking.look("a", "a.test"), "192.0.2.1")
            ids = asking.client.send_notify("look", ("f", "a"), ("name", "slow.test"))
            held.release.set()
            self.assertEqual(asking.client.ack(ids).vars()["txn.list"], ("str", "192.0.2.5"))
            self.assertEqual(server.counts()["slow.test", "A"], 1)

    def test_lies(self):
        rng = random.Random(5)
        good = dns.Records("192.0.2.1")

        def other_id(query):
            return bytes([query.id[0] ^ 1, query.id[1]]) + good.answer(query)[2:]

        def noise(query):
            return query.id + bytes(rng.randrange(256) for _ in range(rng.randrange(200)))

        def pointer_loop(query):
            at = 12 + len(query.question)
            return query.reply(answers=[bytes([0xc0, at]) + good.answer(query)[-14:]])

        def cut(query):
            return good.answer(query)[:-2]

        def short(query):
            return query.reply(answers=[dns.record(b"\xc0\x0c", "A", b"\x01\x02\x03", 60)])

        def many(query):
            return query.reply(answers=[dns.record(b"\xc0\x0c", "A", "192.0.2.1", 60)] * 1200)

        lies = {"otherid": other_id, "noise": noise, "pointer": pointer_loop, "cut": cut, "short": short}
        zone = {(f"{name}.test", "A"): dns.Raw(make) for name, make in lies.items()}
        zone["many.test", "A"] = dns.Raw(lambda query: many(query) if query.tcp else query.reply(flags=0x200))
        with dns.Server(zone) as server, Asking(server, "timeout = 3, try_timeout = 0.05, tries = 2") as asking:
            for name in lies:
                with case(lie=name):
                    got = asking.look("a", f"{name}.test")
                    self.assertIn(as_text(got["code"]), ("badreply", "timeout", "formerr", "servfail"), got)
            for _ in range(40):
                self.assertIn("code", asking.look("a", "noise.test"))
        with dns.Server(zone) as server, Asking(server) as asking:
            self.fails(asking.look("a", "many.test"), "badreply")

    def test_truncated_over_tcp(self):
        values = [f"192.0.2.{n}" for n in range(200)]
        with dns.Server({("big.test", "A"): dns.Records(*values, truncated=True)}) as server, \
                Asking(server) as asking:
            self.check(asking.look("a", "big.test"), ",".join(values))

    def test_cache(self):
        zone = {("k.test", "A"): dns.Records("192.0.2.1", ttl=600), ("z.test", "A"): dns.Records("192.0.2.2", ttl=0),
                ("neg.test", "A"): dns.Code(dns.NXDOMAIN, 60), ("neg0.test", "A"): dns.Code(dns.NXDOMAIN),
                ("s.test", "A"): dns.Code(dns.SERVFAIL), ("one.test", "A"): dns.Records("192.0.2.3", ttl=1)}
        with dns.Server(zone) as server, Asking(server, "timeout = 5, tries = 1") as asking:
            for _ in range(3):
                self.check(asking.look("a", "k.test"), "192.0.2.1")
                self.check(asking.look("a", "z.test"), "192.0.2.2")
                self.fails(asking.look("a", "neg.test"), "nxdomain")
                self.fails(asking.look("a", "neg0.test"), "nxdomain")
                self.fails(asking.look("a", "s.test"), "servfail")
            counts = server.counts()
            self.assertEqual([counts[f"{name}.test", "A"] for name in ("k", "z", "neg", "neg0", "s")], [1, 3, 1, 3, 3])
            self.check(asking.look("a", "one.test"), "192.0.2.3")
            server.zone["one.test", "A"] = ["192.0.2.4"]
            while as_text(asking.look("a", "one.test")["list"]) != "192.0.2.4":
                self.assertEqual(server.counts()["one.test", "A"], 1)

    def test_cache_bounded_or_off(self):
        zone = {(f"h{n}.test", "A"): ["192.0.2.1"] for n in range(5)}
        with dns.Server(zone) as server, Asking(server, "timeout = 5, cache = 2") as asking:
            for n in (0, 1, 0, 2, 0, 1):
                self.check(asking.look("a", f"h{n}.test"), "192.0.2.1")
            self.assertEqual([server.counts()[f"h{n}.test", "A"] for n in range(3)], [1, 2, 1])
        with dns.Server(zone) as server, Asking(server, "timeout = 5, cache = 0") as asking:
            for _ in range(2):
                self.check(asking.look("a", "h0.test"), "192.0.2.1")
            self.assertEqual(server.counts()["h0.test", "A"], 2)

    def test_dnsbl(self):
        six = "1." + "0." * 23 + "8.b.d.0.1.0.0.2.bl.test"
        zone = {("4.3.2.1.bl.test", "A"): ["127.0.0.2", "127.0.0.10"], (six, "A"): ["127.0.0.3"],
                ("5.3.2.1.bl.test", "A"): ["127.255.255.254"], ("6.3.2.1.bl.test", "A"): ["192.0.2.1"],
                ("7.3.2.1.bl.test", "A"): dns.Code(dns.SERVFAIL), ("8.3.2.1.bl.test", "TXT"): ["x"]}
        with dns.Server(zone) as server, Asking(server, "timeout = 5, tries = 1") as asking:
            def listed(ip, zone="bl.test"):
                return asking.ask("listed", ("ip", ip), ("zone", zone))

            self.check(listed("1.2.3.4"), "127.0.0.2,127.0.0.10")
            self.check(listed("1.2.3.4", "BL.test."), "127.0.0.2,127.0.0.10")
            self.check(listed("::ffff:1.2.3.4"), "127.0.0.2,127.0.0.10")
            self.check(listed("2001:db8::1"), "127.0.0.3")
            self.check(listed("1.2.3.9"), "false")
            self.check(listed("1.2.3.8"), "false")
            self.fails(listed("1.2.3.5"), "refused")
            self.fails(listed("1.2.3.6"), "badreply")
            self.fails(listed("1.2.3.7"), "servfail", "dnsbl 7.3.2.1.bl.test")
            self.fails(listed("nope"), "badname", "'nope' is no IP address")
            self.fails(listed("::1", ("x" * 60 + ".") * 4 + "test"), "badname")

    def test_addresses_without_the_network(self):
        with dns.Server({("half.test", "A"): ["192.0.2.1"], ("half.test", "AAAA"): dns.Silent(),
                         ("six.test", "AAAA"): ["::1"]}) as server, \
                Asking(server, "timeout = 5, try_timeout = 1, tries = 1") as asking:
            self.check(asking.look("addresses", "192.0.2.77"), "192.0.2.77")
            self.check(asking.look("addresses", "2001:db8::7"), "2001:db8::7")
            self.assertIn("127.0.0.1", as_text(asking.look("addresses", "LocalHost")["list"]))
            self.check(asking.look("addresses", "x.localhost"), "127.0.0.1,::1")
            self.assertEqual(server.asked, [])
            self.check(asking.look("addresses", "half.test"), "192.0.2.1")
            self.check(asking.look("addresses", "six.test"), "::1")
            self.fails(asking.look("addresses", "none.test"), "nxdomain", "addresses none.test")

    def test_wrong_use_raises(self):
        wrong = {"dns.a()": "string expected", "dns.a(nil)": "string expected", "dns.a({})": "string expected",
                 "dns.resolve('a.test', 'ns')": "invalid option 'ns'", "dns.a('a.test', 5)": "table of options",
                 "dns.a('a.test', {timeout = 0})": "timeout must be a number of seconds",
                 "dns.a('a.test', {timeout = 0/0})": "timeout must be", "dns.a('a.test', {time = 1})": "no option 'time'",
                 "dns.dnsbl('1.2.3.4')": "string expected", "dns.dnsbl('1.2.3.4', 'a b')": "a zone is a name",
                 "dns.configure{servers = 'x'}": "servers must be a list", "dns.configure{servers = {}}": "must be a list",
                 "dns.configure{servers = {'nonsense'}}": "nonsense", "dns.configure{servers = {5}}": "no string",
                 "dns.configure{tries = 0}": "tries must be an integer", "dns.configure{tries = 1.5}": "tries must be",
                 "dns.configure{cache = -1}": "cache must be", "dns.configure{nothing = 1}": "no option 'nothing'"}
        with dns.Server({}) as server, Asking(server) as asking:
            for code, words in wrong.items():
                with case(code=code):
                    self.assertIn(words, as_text(asking.ask("wrong", ("code", code))["said"]))
            self.fails(asking.look("a", "none.test"), "nxdomain")

    def test_at_the_top_level_and_from_resolv_conf(self):
        lua = """
            local dns = require "spoa.dns"
            dns.configure{ servers = { "%s" }, timeout = 5 }
            local list = assert(dns.a("a.test"))
            function f(args) return { ["txn.first"] = list[1] } end
        """
        with dns.Server({("a.test", "A"): ["192.0.2.1"]}) as server, Agent(lua % server.address) as agent, \
                spop.Client(agent.address) as client:
            client.handshake()
            self.assertEqual(client.notify("f").vars()["txn.first"], ("str", "192.0.2.1"))
        lua = 'local dns = require "spoa.dns" function f() return { ["txn.n"] = #dns.addresses("127.0.0.1") } end'
        with Agent(lua) as agent, spop.Client(agent.address) as client:
            client.handshake()
            self.assertEqual(client.notify("f").vars()["txn.n"], ("int64", 1))

    def test_deadline_while_asking(self):
        held = dns.Held("192.0.2.5")
        zone = {("slow.test", "A"): held, ("a.test", "A"): ["192.0.2.1"]}
        with dns.Server(zone) as server, \
                Asking(server, "timeout = 5, try_timeout = 5", "handler-timeout 1s") as asking:
            for _ in range(2):
                got = asking.look("a", "slow.test")
                self.assertEqual(as_text(got["spoa_error"]), "timeout")
            self.assertEqual(server.counts()["slow.test", "A"], 1)
            held.release.set()
            server.await_asked("slow.test", "A")
            while as_text(asking.look("a", "a.test")["list"]) != "192.0.2.1":
                pass
            self.check(asking.look("a", "slow.test"), "192.0.2.5")

    def test_500_at_once_and_the_client_gone(self):
        zone = {(f"h{n}.test", "A"): dns.Held(f"192.0.2.{n % 250}") for n in range(20)}
        with dns.Server(zone) as server, Asking(server, "timeout = 9, try_timeout = 9") as asking:
            gone = spop.Client(asking.agent.address)
            gone.handshake()
            for n in range(300):
                gone.send_notify("look", ("f", "addresses"), ("name", f"h{n % 20}.test"))
            ids = [asking.client.send_notify("look", ("f", "a"), ("name", f"h{n % 20}.test")) for n in range(500)]
            for n in range(20):
                server.await_asked(f"h{n}.test", "A")
            gone.reset()
            for held in zone.values():
                held.release.set()
            acks = {frame.ids: frame.vars() for frame in asking.client.frames(500)}
            for n, number in enumerate(ids):
                self.assertEqual(acks[number]["txn.list"], ("str", f"192.0.2.{n % 20}"))
            self.assertEqual(max(server.counts().values()), 1)

    def test_reload_while_asking(self):
        held = dns.Held("192.0.2.5")
        with dns.Server({("slow.test", "A"): held, ("b.test", "A"): ["192.0.2.2"]}) as server, \
                Asking(server, "timeout = 9, try_timeout = 9") as asking:
            ids = asking.client.send_notify("look", ("f", "a"), ("name", "slow.test"))
            server.await_asked("slow.test", "A")
            self.assertTrue(asking.agent.reload())
            other = spop.Client(asking.agent.address)
            other.handshake()
            self.assertEqual(other.notify("look", ("f", "a"), ("name", "b.test")).vars()["txn.list"],
                             ("str", "192.0.2.2"))
            other.close()
            held.release.set()
            self.assertEqual(asking.client.ack(ids).vars()["txn.list"], ("str", "192.0.2.5"))
            self.check(asking.look("a", "b.test"), "192.0.2.2")

    def test_configured_anew_while_asking(self):
        with dns.Server({("slow.test", "A"): dns.Silent(), ("b.test", "A"): ["192.0.2.2"]}) as server, \
                Asking(server, "timeout = 9, try_timeout = 9") as asking:
            ids = asking.client.send_notify("look", ("f", "a"), ("name", "slow.test"))
            server.await_asked("slow.test", "A")
            client = spop.Client(asking.agent.address)
            client.handshake()
            client.notify("wrong", ("code", f"dns.configure{{ servers = {{ '{server.address}' }} }} error('done', 0)"))
            self.assertEqual(asking.client.ack(ids).vars()["txn.code"], ("str", "closed"))
            self.check(asking.look("a", "b.test"), "192.0.2.2")
            client.close()

    def test_stop_while_asking(self):
        with dns.Server({("slow.test", "A"): dns.Silent()}) as server:
            with Asking(server, "timeout = 30, try_timeout = 30", "drain-timeout 100ms") as asking:
                asking.client.send_notify("look", ("f", "addresses"), ("name", "slow.test"))
                server.await_asked("slow.test", "A")
                asking.agent.signal(signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
