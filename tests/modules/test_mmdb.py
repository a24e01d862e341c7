"""require "spoa.mmdb", with databases that lib/mmdb.py makes."""
import os
import unittest

from lib import mmdb
from lib.agent import Agent, run, temp_folder

RECORDS = {
    "192.0.2.0/24": {"country": {"iso_code": "DE", "names": {"en": "Germany"}}, "list": [1, -2, "x"],
                     "flag": True, "off": False, "big": 1 << 40, "float": 0.5},
    "2001:db8::/32": {"country": {"iso_code": "FR"}},
}

SCRIPT = """
local mmdb = require "spoa.mmdb"
local db = assert(mmdb.open(%s, { interval = 0.01 }))
function country(args) return { ["txn.country"] = db:get(args.ip, "country", "iso_code") or "none" } end
"""


class Mmdb(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder("mmdb")
        self.path = self.folder / "test.mmdb"
        mmdb.write(self.path, RECORDS)

    def lua(self, body):
        script = self.folder / "h.lua"
        script.write_text(f"local mmdb = require 'spoa.mmdb'\nlocal path = '{self.path}'\nfunction h()\n{body}\nend\n")
        done = run("call", "-s", script, "h")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return sorted(done.stdout.splitlines())

    def test_paths(self):
        self.assertEqual(self.lua("""
            local db = assert(mmdb.open(path))
            local ip = "192.0.2.7"
            return { txn = { iso = db:get(ip, "country", "iso_code"), first = db:get(ip, "list", 1),
                second = db:get(ip, "list", 2), last = db:get(ip, "list", -1), flag = db:get(ip, "flag"),
                off = db:get(ip, "off"), big = db:get(ip, "big"), half = db:get(ip, "float") == 0.5,
                v6 = db:get("2001:db8::1", "country", "iso_code"), none = db:get("198.51.100.1") == nil,
                mapped = db:get("::ffff:192.0.2.1", "country", "iso_code"),
                nothing = db:get(ip, "country", "nothing") == nil, wrong = db:get(ip, "flag", "x") == nil } }
        """), ["set-var txn.big int64 1099511627776", "set-var txn.first int64 1", "set-var txn.flag bool true",
               "set-var txn.half bool true", "set-var txn.iso str DE", "set-var txn.last str x",
               "set-var txn.mapped str DE", "set-var txn.none bool true", "set-var txn.nothing bool true",
               "set-var txn.off bool false", "set-var txn.second int64 -2", "set-var txn.v6 str FR",
               "set-var txn.wrong bool true"])

    def test_records_and_metadata(self):
        self.assertEqual(self.lua("""
            local db = assert(mmdb.open(path))
            local r, m = db:get("192.0.2.1"), db:metadata()
            return { txn = { name = r.country.names.en, n = #r.list, type = m.database_type,
                             part = db:get("192.0.2.1", "country").iso_code } }
        """), ["set-var txn.n int64 3", "set-var txn.name str Germany", "set-var txn.part str DE",
               "set-var txn.type str test"])

    def test_wrong_use_and_wrong_files(self):
        (self.folder / "broken.mmdb").write_bytes(b"nonsense" * 100)
        self.assertEqual(self.lua(f"""
            local db = assert(mmdb.open(path))
            local ok, why = pcall(db.get, db, "no address")
            local none, missing = mmdb.open("/nowhere/x.mmdb")
            local no, broken = mmdb.open("{self.folder}/broken.mmdb")
            return {{ txn = {{ ok = ok, why = why:find("is no IP address", 1, true) ~= nil,
                missing = none == nil and missing:find("No such file") ~= nil,
                broken = no == nil and type(broken) == "string" }} }}
        """), ["set-var txn.broken bool true", "set-var txn.missing bool true", "set-var txn.ok bool false",
               "set-var txn.why bool true"])

    def test_truncated_databases_never_crash(self):
        whole = self.path.read_bytes()
        for cut in range(0, len(whole), 41):
            (self.folder / "cut.mmdb").write_bytes(whole[:cut] + whole[-200:])
            self.lua(f"""
                local db = mmdb.open("{self.folder}/cut.mmdb")
                if db then pcall(db.get, db, "192.0.2.1") pcall(db.metadata, db) end
            """)

    def test_a_replaced_file_is_opened_again_and_a_broken_one_is_not(self):
        with Agent(SCRIPT % repr(str(self.path))) as agent:
            new = self.folder / "new.mmdb"
            new.write_bytes(b"nonsense")
            os.replace(new, self.path)
            agent.wait_log(r"err .*test\.mmdb")
            mmdb.write(new, {"192.0.2.0/24": {"country": {"iso_code": "NL"}}})
            os.replace(new, self.path)
            agent.wait_log(r"(info|notice) .*test\.mmdb")


if __name__ == "__main__":
    unittest.main()
