"""What a module has made, asked by a finalizer when its own has already run; and modules asked for
something new while the Lua state closes.

Lua finalizes in the order opposite to that in which objects were made: `late` is made before what it
asks, so it asks what is gone.
"""
import re
import shutil
import subprocess
import tempfile
import unittest

from lib import mmdb
from lib.agent import run, temp_folder

# The finalizer of what is made here says what became of each call.
LATE = """
local function late(...)
  local calls = { ... }
  return setmetatable({}, { __gc = function(self)
    for i, call in ipairs(calls) do print(i, select(2, pcall(call, self.it))) end
  end })
end
"""
# Collected as garbage while the handler runs, and when the state closes.
AS_GARBAGE = "do local l = late(calls()) l.it = make() end\ncollectgarbage() collectgarbage()"
AT_THE_END = "kept = late(calls()) kept.it = make()"


class Collected(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder("collected")

    def said(self, make, calls, way):
        """What the calls came to."""
        script = self.folder / "h.lua"
        script.write_text(f"{LATE}\nlocal path = '{self.folder}/'\nlocal function calls() return {', '.join(calls)} end\n"
                          f"local function make()\n{make}\nend\nfunction h()\n{way}\nend\n")
        done = run("call", "-s", script, "h")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        return re.findall(r"h\.lua:\d+: \d+ (.*?)(?: peer=.*)?\n", done.stderr)

    def check(self, make, *calls, ways=(AS_GARBAGE, AT_THE_END)):
        for way in ways:
            said = self.said(make, calls, way)
            self.assertEqual(len(said), len(calls), said)
            for text in said:
                self.assertRegex(text, "closed")

    def check_closing(self, module, *calls):
        self.check(f"local m = require '{module}'\nreturn m", *calls, ways=(AT_THE_END,))

    def test_cidr(self):
        self.check("return require 'spoa.cidr'.new { '192.0.2.0/24' }",
                   "function(set) return set:match('192.0.2.1') end", "function(set) return #set end")
        (self.folder / "list").write_text("192.0.2.0/24\n")
        self.check("return assert(require 'spoa.cidr'.load(path .. 'list'))",
                   "function(set) return set:match('192.0.2.1') end")
        self.check_closing("spoa.cidr", "function(cidr) return cidr.load(path .. 'list') end",
                           "function(cidr) return cidr.new { '192.0.2.0/24' } end")

    def test_mmdb(self):
        mmdb.write(self.folder / "test.mmdb", {"192.0.2.0/24": {"a": 1}})
        self.check("return assert(require 'spoa.mmdb'.open(path .. 'test.mmdb'))",
                   "function(db) return db:get('192.0.2.1') end", "function(db) return db:metadata() end")
        self.check_closing("spoa.mmdb", "function(mmdb) return mmdb.open(path .. 'test.mmdb') end")

    def test_dict(self):
        shm = tempfile.mkdtemp(prefix="spoa-lua-test-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, shm)
        opened = f"open('d', {{ path = '{shm}/d' }})"
        self.check(f"return assert(require 'spoa.dict'.{opened})",
                   "function(d) return d:get('x') end", "function(d) return d:set('x', 1) end",
                   "function(d) return d:info() end", ways=(AT_THE_END,))
        self.check_closing("spoa.dict", f"function(dict) return dict.{opened} end")

    def test_crypto(self):
        pem = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=True).stdout
        public = subprocess.run(["openssl", "pkey", "-pubout"], input=pem, capture_output=True, check=True).stdout
        (self.folder / "key.pem").write_bytes(public)
        read = "io.open(path .. 'key.pem'):read('a')"
        self.check(f"return assert(require 'spoa.crypto'.key({read}))", "function(key) return key:type() end",
                   "function(key) return key:bits() end",
                   "function(key) return require 'spoa.crypto'.verify('EdDSA', key, 'x', 'y') end", ways=(AT_THE_END,))
        self.check_closing("spoa.crypto", "function(crypto) return crypto.sha256('x') end",
                           "function(crypto) return crypto.hmac('sha256', 'k', 'x') end",
                           f"function(crypto) return crypto.key({read}) end")

    def test_redis(self):
        self.check("return require 'spoa.redis'.new { port = 1 }", "function(r) return r:get('x') end",
                   "function(r) return r:pipeline { { 'get', 'x' } } end")
        self.check_closing("spoa.redis", "function(redis) return redis.new { port = 1 } end",
                           "function(redis) return redis.new { port = 2 }:get('x') end")

    def test_http(self):
        self.check_closing("spoa.http", "function(http) return http.get('http://127.0.0.1:1/') end",
                           "function(http) return http.request { url = 'http://127.0.0.1:1/', headers = { a = 'b' } } end",
                           "function(http) return http.configure { connections = 1 } end")

    def test_dns(self):
        self.check_closing("spoa.dns", "function(dns) return dns.a('x.example') end",
                           "function(dns) return dns.addresses('localhost') end",
                           "function(dns) return dns.configure { servers = { '127.0.0.1:1' } } end")

    def test_first_required_while_closing(self):
        """What a module has at hand would never be given back."""
        for module in "dns", "http", "crypto":
            self.check("return 1", f"function() return require 'spoa.{module}' end", ways=(AT_THE_END,))

    def test_json(self):
        """It has nothing that could be gone."""
        for way in AS_GARBAGE, AT_THE_END:
            said = self.said("return require 'spoa.json'.array { 1 }",
                             ["function(list) return require 'spoa.json'.encode(list) end",
                              "function(list) return #require 'spoa.json'.decode('[1, 2]') end"], way)
            self.assertEqual(said, ["[1]", "2"])


if __name__ == "__main__":
    unittest.main()
