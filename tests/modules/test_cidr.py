"""spoa.cidr: sets and maps of prefixes, from tables and from files that change."""
import pathlib
import unittest

from lib import spop
from lib.agent import Agent
from lib.lua import LuaCase, modules_path

PREAMBLE = """
local cidr = require "spoa.cidr"
local function same(got, want)
  if got ~= want then error(string.format("got %s, wanted %s", got, want), 2) end
end
local function raises(pattern, f, ...)
  local good, text = pcall(f, ...)
  if good then error("raised nothing, wanted " .. pattern, 2) end
  if not string.find(text, pattern) then error(string.format("%q does not match %q", text, pattern), 2) end
end
local function write(name, text)
  local file <close> = assert(io.open("FOLDER/" .. name, "w"))
  file:write(text)
  return "FOLDER/" .. name
end
"""


class Tables(LuaCase):
    def cidr(self, body, *arguments):
        return self.lua(PREAMBLE + body, *arguments)

    def test_set(self):
        out = self.cidr(r"""
            local set = cidr.new { "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "10.0.0.0/8" }
            same(#set, 3)
            same(set:match("10.255.0.1"), true)
            same(set:match("11.0.0.0"), false)
            same(set:match("::ffff:10.0.0.1"), true)
            same(set:match("2001:db8::1"), true)
            same(tostring(set), "set of 3 prefixes")
            same(cidr.new({}):match("10.0.0.1"), false)
            same(cidr.new({ "10.1.2.3/8" }, { mask = true }):match("10.0.0.1"), true)
            return { ["txn.v4"] = set:match(args.v4), ["txn.v6"] = set:match(args.v6) }
        """, "v4=ipv4:192.0.2.1", "v6=ipv6:2001:db9::1")
        self.assertEqual(sorted(out.split("\n"))[1:], ["set-var txn.v4 bool true", "set-var txn.v6 bool false"])

    def test_map(self):
        self.cidr(r"""
            local t, f = {}, print
            local nan = 0/0
            local map = cidr.new { ["10.0.0.0/8"] = "eight", ["10.1.0.0/16"] = t, ["10.1.1.0/24"] = false,
                                   ["10.2.0.0/16"] = f, ["10.3.0.0/16"] = nan, ["10.4.0.0/16"] = 1,
                                   ["10.5.0.0/16"] = t, ["::/0"] = "six" }
            collectgarbage()
            same(#map, 8)
            same(map:match("10.9.9.9"), "eight")
            same(map:match("10.1.2.3"), t)
            same(map:match("10.1.1.3"), false)
            same(map:match("10.2.0.0"), f)
            assert(map:match("10.3.0.0") ~= map:match("10.3.0.0"))
            same(map:match("10.4.0.0"), 1)
            same(map:match("10.5.0.0"), t)
            same(map:match("11.0.0.0"), nil)
            same(map:match("::1"), "six")
            same(select("#", map:match("11.0.0.0")), 1)
        """)

    def test_wrong_use(self):
        self.cidr(r"""
            local set = cidr.new { "10.0.0.0/8" }
            raises("'nonsense' is no IP address", set.match, set, "nonsense")
            raises("'10.0.0.0/8' is no IP address", set.match, set, "10.0.0.0/8")
            raises("string expected, got nil", set.match, set, nil)
            raises("spoa.cidr expected", set.match, {}, "10.0.0.1")
            raises("table expected", cidr.new, "10.0.0.0/8")
            raises("'x' is no prefix", cidr.new, { "x" })
            raises("write 10.0.0.0/8, or say mask = true", cidr.new, { "10.0.0.1/8" })
            raises("a list of prefixes has a number in it", cidr.new, { 5 })
            raises("either a list", cidr.new, { "10.0.0.0/8", ["10.0.0.0/9"] = 1 })
            raises("either a list", cidr.new, { [true] = "10.0.0.0/8" })
            raises("unknown option 'masked'", cidr.new, {}, { masked = true })
            raises("bad option 'mask'", cidr.new, {}, { mask = 1 })
            raises("bad option 'interval'", cidr.load, "/x", { interval = 0 })
            raises("bad option 'interval'", cidr.load, "/x", { interval = "often" })
            raises("unknown option", cidr.load, "/x", { values = true })
            same(cidr.family("10.0.0.1"), 4)
            same(cidr.family("::1"), 6)
            same(cidr.family("::ffff:10.0.0.1"), 4)
            same(cidr.family("nonsense"), nil)
            same(cidr.family(nil), nil)
            same(cidr.family(10), nil)
        """)

    def test_files(self):
        self.cidr(r"""
            local set = assert(cidr.load(write("set", "# list\n10.0.0.0/8 # eight\n2001:db8::/32\n")))
            same(#set, 2)
            same(set:match("10.1.1.1"), true)
            same(set:match("11.1.1.1"), false)
            local map = assert(cidr.load(write("map", "10.0.0.0/8 DE\n10.1.0.0/16\n10.2.0.0/16 two words\n"), { map = true }))
            same(map:match("10.0.0.1"), "DE")
            same(map:match("10.1.0.1"), true)
            same(map:match("10.2.0.1"), "two words")
            same(map:match("11.0.0.1"), nil)
            local function fails(message, ...)
              local nothing, why = cidr.load(...)
              same(nothing, nil)
              same(why, message)
            end
            fails("FOLDER/none: No such file or directory", "FOLDER/none")
            fails("FOLDER: not a regular file", "FOLDER")
            fails("FOLDER/bad:2: 'oops' is no prefix: write 192.0.2.0/24, 2001:db8::/32 or an address",
                  write("bad", "10.0.0.0/8\noops\n"))
            fails("FOLDER/map:1: there is something behind the prefix: say map = true when it is a value", "FOLDER/map")
        """)

    def test_thousands_are_collected(self):
        self.cidr(r"""
            local list = {}
            for i = 0, 999 do list[i + 1] = "10." .. i // 256 .. "." .. i % 256 .. ".0/25" end
            for i = 1, 500 do
              local set = cidr.new(list)
              same(set:match("10.0.1.1"), true)
              same(set:match("10.0.1.200"), false)
            end
        """)

    def test_finalizers_that_ask_a_closed_one(self):
        self.cidr(r"""
            local set = cidr.new { "10.0.0.0/8" }
            kept = setmetatable({}, { __gc = function() set:match("10.0.0.1") end })
            kept2 = cidr.new { "10.0.0.0/8" }
        """)


HANDLERS = """
local cidr = require "spoa.cidr"
local set = assert(cidr.load("list.txt", { interval = 0.02 }))
local map = assert(cidr.load("map.txt", { interval = 0.02, map = true }))
function find(args) return { ["txn.set"] = set:match(args.ip), ["txn.map"] = map:match(args.ip), ["txn.n"] = #set } end
"""


class Reload(unittest.TestCase):
    def start(self):
        agent = Agent(HANDLERS, modules_path(), start=False)
        agent.write("list.txt", "10.0.0.0/8\n")
        agent.write("map.txt", "10.0.0.0/8 old\n")
        return agent.start()

    def find(self, agent, ip):
        with spop.Client(agent.address) as client:
            client.handshake()
            found = client.notify("find", ("ip", ("ipv4", ip))).vars()
        return {name: data for name, (_, data) in found.items()}

    def text(self, found):
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}

    def check(self, agent, ip, **want):
        self.assertEqual(self.text(self.find(agent, ip)), {f"txn.{k}": v for k, v in want.items()})

    def test_replaced_and_written_in_place(self):
        with self.start() as agent:
            self.check(agent, "10.0.0.1", set=True, map="old", n=1)
            self.check(agent, "11.0.0.1", set=False, n=1)
            agent.write("list.txt", "11.0.0.0/8\n12.0.0.0/8\n")
            agent.wait_log(r"info list\.txt: loaded again, 2 prefixes$")
            self.check(agent, "11.0.0.1", set=True, n=2)
            mark = agent.mark()
            (agent.folder / "map.txt").write_text("11.0.0.0/8 new\n13.0.0.0/8 x\n1.1.1.1 y")
            agent.wait_log(r"info map\.txt: loaded again, 3 prefixes$", after=mark)
            self.check(agent, "11.0.0.1", set=True, map="new", n=2)
            self.check(agent, "10.0.0.1", set=False, n=2)

    def test_broken_keeps_the_old_and_is_logged_once(self):
        with self.start() as agent:
            agent.write("list.txt", "10.0.0.0/8\n11.0.0.0/8\n\n12.0.0.0/99\n")
            agent.wait_log(r"err list\.txt:4: '12\.0\.0\.0/99' is no prefix: .*: the 1 prefixes from before go on$")
            self.check(agent, "10.0.0.1", set=True, map="old", n=1)
            self.check(agent, "11.0.0.1", set=False, n=1)
            (agent.folder / "map.txt").unlink()
            agent.wait_log(r"warning map\.txt: No such file or directory: what was loaded from it goes on$")
            self.check(agent, "10.0.0.1", set=True, map="old", n=1)
            agent.write("map.txt", "10.0.0.0/8 back\n")
            agent.wait_log(r"info map\.txt: loaded again, 1 prefixes$")
            agent.write("list.txt", "11.0.0.0/8\n")
            agent.wait_log(r"info list\.txt: loaded again, 1 prefixes$")
            self.check(agent, "11.0.0.1", set=True, n=1)
            self.check(agent, "10.0.0.1", set=False, map="back", n=1)
            self.assertEqual(agent.log().count("'12.0.0.0/99'"), 1)
            self.assertEqual(agent.log().count("No such file"), 1)

    def test_target_of_a_symbolic_link(self):
        with self.start() as agent:
            link = agent.folder / "list.txt"
            for n in (2, 3):
                target = agent.write(f"target{n}", "10.0.0.0/8\n" * n + "".join(f"{i}.0.0.0/8\n" for i in range(20, 20 + n)))
                fresh = agent.folder / "link.new"
                fresh.symlink_to(pathlib.Path(target).name)
                fresh.rename(link)
                agent.wait_log(rf"info list\.txt: loaded again, {n + 1} prefixes$")
            agent.write("target3", "30.0.0.0/8\n" + "".join(f"{i}.0.0.0/8\n" for i in range(40, 50)))
            agent.wait_log(r"info list\.txt: loaded again, 11 prefixes$")
            self.check(agent, "30.0.0.1", set=True, n=11)

    def test_scripts_reloaded_meanwhile(self):
        with self.start() as agent:
            for n in range(1, 6):
                agent.write("list.txt", "".join(f"{i}.0.0.0/8\n" for i in range(10, 10 + n)))
                self.assertTrue(agent.reload())
                self.check(agent, "10.0.0.1", set=True, map="old", n=n)
            mark = agent.mark()
            agent.write("list.txt", "10.0.0.0/8\n77.0.0.0/8\n")
            agent.wait_log(r"info list\.txt: loaded again, 2 prefixes$", after=mark)
            self.check(agent, "77.0.0.1", set=True, n=2)


if __name__ == "__main__":
    unittest.main()
