"""spoa.dict: values and their types, times to live, a full dictionary, several processes, kill -9."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from lib.agent import ROOT, SANITIZER, Agent, binary, environment
from lib.spop import Client

CONFIG = (f'lua-prepend-path "{pathlib.Path(binary()).parent}/modules/?.so" cpath\n'
          "handler-timeout 30s\nhandler-cpu 20s\n")


class DictCase(unittest.TestCase):
    def setUp(self):
        self.shm = tempfile.mkdtemp(prefix="spoa-lua-test-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.shm)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dict-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def agent(self, script, **more):
        return Agent(script, CONFIG, env={"SPOA_LUA_SHM": self.shm, **more})

    def argv(self, script):
        (self.folder / "s.lua").write_text(script)
        (self.folder / "c.conf").write_text(f"listen 127.0.0.1:0\nscript s.lua\n{CONFIG}")
        return [binary(), "call", "-c", str(self.folder / "c.conf"), "f"]

    def run_lua(self, body, shm=None, top=""):
        """(status, stdout, stderr) of a handler with this body; d is a small dictionary, dict the module."""
        script = f"""local dict = require "spoa.dict"
            {top}
            function f() {body} end"""
        done = subprocess.run(self.argv(script), env=environment({"SPOA_LUA_SHM": shm or self.shm}),
                              capture_output=True, text=True, timeout=60)
        self.assertIsNone(SANITIZER.search(done.stderr), done.stderr)
        return done.returncode, done.stdout, done.stderr

    def good(self, body, top='local d = assert(dict.open("t", { size = "1m" }))'):
        status, out, err = self.run_lua(body, top=top)
        self.assertEqual(status, 0, err)
        return out


class Values(DictCase):
    def test_types_are_kept(self):
        self.good("""
            for _, v in ipairs { 1, math.mininteger, math.maxinteger, 0.5, -0.0, true, false, "", "1", "a\\0b" } do
                assert(d:set("k", v) == true)
                local got = d:get("k")
                assert(got == v and math.type(got) == math.type(v), tostring(v))
            end
            for i, k in ipairs { 1, "1", true, false, "true", math.mininteger } do assert(d:set(k, i)) end
            for i, k in ipairs { 1, "1", true, false, "true", math.mininteger } do assert(d:get(k) == i) end
            assert(d:get(1.0) == 1 and d:get("absent") == nil)
            assert(#d:get("k") == 3 and d:info().entries == 7)
            local long = string.rep("k", 502)
            assert(d:set(long, 1) and d:get(long) == 1)
            local no, why = d:set(long .. "k", 1); assert(no == nil and why == "key too long")
            no, why = d:get(long .. "k"); assert(no == nil and why == "key too long")
            local big = string.rep("0123456789abcdef", 8192)
            assert(d:set("big", big) and d:get("big") == big)
        """)

    def test_add_replace_incr_delete(self):
        self.good("""
            local function is(want, reason, got, why)
                assert(got == want and why == reason, tostring(got) .. " " .. tostring(why))
            end
            is(true, nil, d:add("a", 1)) is(nil, "exists", d:add("a", 2)) is(1, nil, d:get("a"))
            is(nil, "not found", d:replace("b", 1)) is(true, nil, d:replace("a", 3)) is(3, nil, d:get("a"))
            is(4, nil, d:incr("a")) is(2, nil, d:incr("a", -2)) is(2.5, nil, d:incr("a", 0.5))
            is(nil, "not found", d:incr("n")) is(15, nil, d:incr("n", 5, 10)) is(20, nil, d:incr("n", 5, 10))
            d:set("s", "5") is(nil, "not a number", d:incr("s")) is("5", nil, d:get("s"))
            d:set("m", math.maxinteger) is(nil, "out of range", d:incr("m")) is(math.maxinteger, nil, d:get("m"))
            is(true, nil, d:delete("a")) is(nil, "not found", d:delete("a")) is(nil, nil, d:get("a"))
            is(true, nil, d:clear()) is(0, nil, d:info().entries)
        """)

    def test_time_to_live(self):
        self.good("""
            d:set("ever", 1) d:set("long", 1, 100) d:set("short", 1, 2) d:set("moved", 1, 2)
            d:incr("window", 1, 0, 2) d:incr("window", 1, 0, 100)
            assert(d:ttl("ever") == math.huge and d:ttl("absent") == nil)
            assert(d:ttl("long") > 90 and d:ttl("long") <= 100 and d:ttl("short") <= 2)
            assert(d:ttl("window") <= 2)
            assert(d:expire("moved", 100) and d:expire("absent", 1) == nil)
            while d:get("short") or d:get("window") do spoa.sleep(0.01) end
            assert(d:ttl("short") == nil and d:get("moved") == 1 and d:ttl("moved") > 90)
            assert(d:replace("short", 1) == nil and d:incr("short") == nil and d:delete("short") == nil)
            assert(d:set("short", 2, 0.01) and d:add("window", 9, 0.01))
            while d:get("short") or d:get("window") do spoa.sleep(0.01) end
            assert(d:incr("short", 1, 41) == 42 and d:ttl("short") == math.huge)
            assert(d:expire("long") and d:ttl("long") == math.huge)
            d:set("x1", 1, 0.001) d:set("x2", 1, 0.001) d:set("x3", 1, 0.001)
            while d:get("x3") do spoa.sleep(0.01) end
            assert(d:flush_expired(2) == 2)
            d:flush_expired()
            assert(d:info().entries == 4)
        """)

    def test_wrong_use(self):
        for body, message in (
                ("d:get(nil)", "a key must be a string, integer or boolean, not nil"),
                ("d:get({})", "not table"),
                ("d:get(0.5)", "a float is no key"),
                ("d:set('a', nil)", "a value must be a string, number or boolean, not nil"),
                ("d:set('a')", "a value must be"),
                ("d:set('a', 1, 0)", "ttl must be more than 0"),
                ("d:set('a', 1, -1)", "ttl must be more than 0"),
                ("d:set('a', 1, 0/0)", "ttl must be more than 0"),
                ("d:set('a', 1, math.huge)", "ttl must be more than 0"),
                ("d:incr('a', 'x')", "number expected"),
                ("d:incr('a', 1, nil, 5)", "needs init"),
                ("d:flush_expired(0)", "1 or more"),
                ("dict.open()", "string expected"),
                ("dict.open('a/b')", "a name has 1 to 64"),
                ("dict.open('..')", "a name has 1 to 64"),
                ("dict.open('a\\0b')", "a name has 1 to 64"),
                ("dict.open(string.rep('a', 65))", "a name has 1 to 64"),
                ("dict.open('a', { siez = 1 })", "unknown option 'siez'"),
                ("dict.open('a', { size = 10 })", "size must be from 1m"),
                ("dict.open('a', { size = '4x' })", "size must be from 1m"),
                ("dict.open('a', { size = '9999999g' })", "size must be from 1m"),
                ("dict.open('a', { path = 'x' })", "absolute path"),
                ("d.get({}, 'a')", "spoa.dict expected"),
                ("d:__gc() d:get('a')", "closed")):
            with self.subTest(body):
                status, _, err = self.run_lua(body, top='local d = assert(dict.open("t", { size = "1m" }))')
                self.assertEqual(status, 1)
                self.assertIn(message, err)


class Places(DictCase):
    def refused(self, call, message, shm=None):
        status, _, err = self.run_lua(f"local no, why = {call} assert(no == nil) error(why)", shm)
        self.assertEqual(status, 1)
        self.assertIn(message, err)

    def test_file_and_permissions(self):
        shm = f"{self.shm}/new"
        status, _, err = self.run_lua("assert(dict.open('a.b'))", shm)
        self.assertEqual(status, 0, err)
        self.assertEqual(os.stat(shm).st_mode & 0o777, 0o700)
        self.assertEqual(sorted(os.listdir(shm)), ["a.b.mdb", "a.b.mdb-lock"])
        for name in os.listdir(shm):
            self.assertEqual(os.stat(f"{shm}/{name}").st_mode & 0o777, 0o600)
        file = os.stat(f"{shm}/a.b.mdb")
        self.assertEqual(file.st_size, 16 << 20)
        self.assertGreaterEqual(file.st_blocks * 512, 16 << 20)

    def test_path(self):
        self.good(f"assert(dict.open('a', {{ path = '{self.shm}/p' }}):set(1, 2))", top="")
        self.good(f"assert(dict.open('b', {{ path = '{self.shm}/p' }}):get(1) == 2)", top="")
        self.refused(f"dict.open('a', {{ path = '{self.shm}/none/p' }})", "No such file")
        self.refused("dict.open('a', { path = '/proc/self/status' })", "/proc/self/status")

    def test_bad_places(self):
        self.refused("dict.open('a')", "give an absolute path", "relative")
        os.mkdir(f"{self.shm}/open", 0o700)
        os.chmod(f"{self.shm}/open", 0o777)
        self.refused("dict.open('a')", "writable for nobody else", f"{self.shm}/open")
        os.symlink("/dev/shm", f"{self.shm}/link")
        self.refused("dict.open('a')", "is no folder", f"{self.shm}/link")
        pathlib.Path(f"{self.shm}/bad.mdb").write_bytes(b"no dictionary" * 1000)
        pathlib.Path(f"{self.shm}/bad.mdb-lock").write_bytes(b"")
        self.refused("dict.open('bad')", "remove it")
        os.mkdir(f"{self.shm}/dir.mdb")
        self.refused("dict.open('dir')", "cannot open")
        os.symlink("/etc/passwd", f"{self.shm}/ln.mdb")
        self.refused("dict.open('ln')", "cannot open")
        self.refused("dict.open('huge', { size = '1024g' })", "no memory for")

    def test_only_on_tmpfs(self):
        found = subprocess.run(["stat", "-f", "-c", "%T", str(ROOT)], capture_output=True, text=True, check=True)
        self.assertNotEqual(found.stdout.strip(), "tmpfs", "this test needs a disk under the project's folder")
        folder = tempfile.mkdtemp(prefix="dict-", dir=ROOT / "build")
        self.addCleanup(shutil.rmtree, folder)
        self.refused(f"dict.open('a', {{ path = '{folder}/p' }})", "memory file system")

    def test_half_a_pair_is_begun_anew(self):
        for half in ("t.mdb", "t.mdb-lock"):
            self.good("d:set('a', 1)")
            os.unlink(f"{self.shm}/{half}")
            self.good("assert(d:get('a') == nil) d:set('a', 2)")
            self.good("assert(d:get('a') == 2)")

    def test_size_grows_and_never_shrinks(self):
        def reopen(size):
            return f"assert(dict.open('t', {{ size = '{size}' }}):info().size)"
        self.good(f"local a = {reopen('1m')} local b = {reopen('2m')} assert(b > a and {reopen('1m')} == b)", top="")
        self.good(f"assert({reopen('1m')} > 1500000)", top="")


class Full(DictCase):
    def test_full(self):
        self.good("""
            local n, why = 0
            repeat local ok; ok, why = d:set("k" .. n, string.rep("x", 100)) n = n + 1 until not ok
            assert(why == "no memory" and n > 1000)
            for i = 0, n - 2 do assert(d:get("k" .. i)) end
            assert(d:incr("k0") == nil and d:set("k0", 1) and d:incr("k0") == 2)
            for i = 0, n - 2 do assert(d:delete("k" .. i)) end
            assert(d:info().entries == 0)
            for i = 1, n - 2 do assert(d:set(i, string.rep("x", 100))) end
            assert(d:clear() and d:set(1, 1))
        """)

    def test_expired_make_room(self):
        self.good("""
            local n, ok, why = 0
            repeat ok, why = d:set("k" .. n, string.rep("x", 100), n < 500 and 0.001 or 100) n = n + 1 until not ok
            assert(why == "no memory")
            assert(d:clear())
            n = 0
            repeat ok = d:set("k" .. n, string.rep("x", 100), 5) n = n + 1 until not ok
            while d:get("k" .. n - 2) do spoa.sleep(0.01) end
            for i = 1, 1000 do assert(d:set("n" .. i, string.rep("y", 100))) end
            assert(d:set("big", string.rep("z", 100000)))
        """)

    def test_for_ever(self):
        """Ten times what fits passes through, each entry with a short life."""
        self.good("""
            for i = 1, 20000 do
                local ok, why = d:set("k" .. i, string.rep("x", 300), 0.001)
                if not ok then assert(why == "no memory") spoa.sleep(0.002) assert(d:set("k" .. i, 1, 0.001)) end
            end
        """)


COUNT = """
local d = assert(require("spoa.dict").open("t", { size = "1m" }))
function f()
    for i = 1, 3000 do
        assert(d:incr("n", 1, 0))
        assert(d:set("p" .. i % 50, string.rep("v", i % 3000), i % 2 == 0 and 0.01 or nil))
        d:get("p" .. (i * 7) % 50)
    end
end
"""
# Two counters of one transaction each: b is never ahead of a, nor more than the writers behind.
PAIR = """
local d = assert(require("spoa.dict").open("t", { size = "1m" }))
function f()
    io.stdout:write("begun\\n") io.stdout:flush()
    for i = 1, 1e9 do
        assert(d:incr("a", 1, 0))
        assert(d:set("p" .. i % 20, string.rep("v", i % 3000), 0.01))
        assert(d:incr("b", 1, 0))
    end
end
"""


class Processes(DictCase):
    def test_atomic_in_four_processes(self):
        argv = self.argv(COUNT)
        env = environment({"SPOA_LUA_SHM": self.shm})
        children = [subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        for child in children:
            _, err = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0, err)
        self.good("assert(d:get('n') == 12000)")

    def test_killed_writers(self):
        argv = self.argv(PAIR)
        env = environment({"SPOA_LUA_SHM": self.shm})
        writers = []
        kills = 24
        try:
            for n in range(kills):
                writers.append(subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
                self.assertEqual(writers[-1].stdout.readline(), b"begun\n")
                if n:
                    self.assertIsNone(writers[n - 1].poll(), "a writer ended of itself")
                    writers[n - 1].kill()
                    writers[n - 1].wait(20)
        finally:
            for child in writers:
                child.kill()
                child.wait()
                child.stdout.close()
                child.stderr.close()
        self.good(f"""
            local a, b = d:get("a"), d:get("b")
            assert(a >= {kills - 1} and a >= b and a - b <= {kills}, a .. " " .. b)
            for i = 0, 19 do local v = d:get("p" .. i) assert(v == nil or v == string.rep("v", #v)) end
            assert(d:clear() and d:set("a", 1) and d:info().entries == 1)
        """)

    def test_larger_in_one_process_is_seen_by_another(self):
        script = 'local d = assert(require("spoa.dict").open("t", { size = "1m" }))\n' \
                 'function look(args) return { ["txn.x"] = d:get(args.k) or false } end\n' \
                 'function put() return { ["txn.x"] = d:set("mine", 1) } end'
        with self.agent(script) as agent, Client(agent.address) as client:
            client.handshake()
            self.good("for i = 1, 5000 do assert(d:set('k' .. i, string.rep('x', 300) .. i)) end",
                      top="local d = assert(dict.open('t', { size = '8m' }))")
            ack = client.notify("look", ("k", ("str", "k4999")))
            self.assertEqual(ack.vars()["txn.x"], ("str", "x" * 300 + "4999"))
            self.assertEqual(client.notify("put").vars()["txn.x"], ("bool", True))

    def test_reload_keeps_what_is_there(self):
        script = 'local d = assert(require("spoa.dict").open("t", { size = "%s" }))\n' \
                 'function count() return { ["txn.n"] = d:incr("n", 1, 0) } end\n' \
                 'function hold() repeat spoa.sleep(0.01) until io.open("go") return { ["txn.n"] = d:incr("n", 1, 0) } end'
        with self.agent(script % "1m") as agent, Client(agent.address) as client:
            client.handshake()
            self.assertEqual(client.notify("count").vars()["txn.n"], ("int64", 1))
            held = client.send_notify("hold")
            agent.write("handlers.lua", script % "2m")
            self.assertTrue(agent.reload())
            agent.write("go", "")
            self.assertEqual(client.ack(held).vars()["txn.n"][0], "int64")
            self.assertEqual(client.notify("count").vars()["txn.n"], ("int64", 3))
            agent.write("handlers.lua", "function other() end")
            self.assertTrue(agent.reload())
            self.good("assert(d:get('n') == 3)")
