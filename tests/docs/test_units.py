"""systemd's units, what `make install` puts where, and the completion."""
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from lib.agent import ROOT, Agent, Process, environment
from lib.spop import Client

UNITS = [ROOT / "conf/spoa-lua.service", ROOT / "conf/spoa-lua.socket"]


class Units(unittest.TestCase):
    def test_exposure(self):
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", UNITS[0]],
                              capture_output=True, text=True)
        self.assertRegex(done.stdout, r"Overall exposure level for spoa-lua\.service: (0\.\d|1\.[0-5]) ")
        self.assertEqual(done.returncode, 0)

    def test_systemd_has_nothing_to_say(self):
        with tempfile.TemporaryDirectory() as folder:
            for unit in UNITS:
                # Neither the program nor its manual are installed here.
                text = unit.read_text().replace("/usr/sbin/spoa-lua", "/bin/true")
                text = re.sub(r"^(User|SocketGroup)=.*$", r"\1=root", text, flags=re.M)
                text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
                with open(os.path.join(folder, unit.name), "w", encoding="utf-8") as file:
                    file.write(text)
            for unit in UNITS:
                done = subprocess.run(["systemd-analyze", "verify", "--man=no", os.path.join(folder, unit.name)],
                                      capture_output=True, text=True)
                self.assertEqual([line for line in done.stderr.splitlines() if folder in line or "spoa-lua" in line], [])

    def test_what_they_name_exists(self):
        service = UNITS[0].read_text()
        self.assertIn("ExecReload=/usr/sbin/spoa-lua reload -c /etc/spoa-lua/spoa-lua.conf\n", service)
        self.assertIn("Type=notify\n", service)


USES_MUCH = """
local dict, dns, http = require "spoa.dict", require "spoa.dns", require "spoa.http"
local counts = dict.open("counts", { size = "1m" })
dns.configure { servers = { "127.0.0.1:1" } }
function much(args)
    http.get("http://127.0.0.1:1/")
    dns.resolve("agent.invalid")
    return { ["txn.n"] = counts:incr("n", 1, 0) }
end
"""


class Traced(Agent):
    """The release build, as the unit starts it, under strace; the daemon is the process itself (-D)."""

    def start(self, *options):
        self.trace = self.folder / "trace"
        self.process = Process(["strace", "-D", "-f", "-qq", "-o", self.trace, ROOT / "build/spoa-lua", "-c",
                                self.config_file], cwd=self.folder, env=self._env, name="spoa-lua")
        try:
            self._await_start()
        except AssertionError:
            self.process.kill()
            raise
        self.addresses = re.findall(r"listening on (\S+)$", self.log(), re.M)
        self.address = self.addresses[0]
        return self


class SystemCalls(unittest.TestCase):
    """No systemd runs here that would filter them, so what the daemon calls is held against the filter."""

    def names(self, word):
        if not word.startswith("@"):
            return {word}
        said = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
        lines = [line.strip() for line in said.stdout.splitlines()[1:]]
        return set().union(*(self.names(line) for line in lines if line and not line.startswith("#")))

    def test_the_filter_lets_them_pass(self):
        allowed = set()
        for but, words in re.findall(r"^SystemCallFilter=(~?)(.*)$", UNITS[0].read_text(), re.M):
            for word in words.split():
                allowed = allowed - self.names(word) if but else allowed | self.names(word)
        self.assertGreater(len(allowed), 200)
        shm = tempfile.mkdtemp(prefix="spoa-lua-test-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, shm)
        with Traced(USES_MUCH, f"workers 2\ncontrol unix:{shm}/control.sock", env={"SPOA_LUA_SHM": shm}) as agent:
            with Client(agent.address) as client:
                client.handshake()
                self.assertEqual(client.notify("much").vars(), {"txn.n": ("int64", 1)})
                self.assertTrue(agent.reload())
                self.assertEqual(client.notify("much").vars(), {"txn.n": ("int64", 2)})
            agent.stop()
            trace = agent.trace.read_text()
        called = set(re.findall(r"^\d+ +(\w+)\(", trace, re.M))
        self.assertLessEqual({"execve", "accept4", "sendto", "prctl"}, called)
        self.assertEqual(called - allowed, set())


class Install(unittest.TestCase):
    def test_it_runs_where_it_was_put(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["make", "--no-print-directory", "install", f"DESTDIR={folder}", "PREFIX=/opt/spoa"],
                                  cwd=ROOT, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            there = {os.path.relpath(os.path.join(parent, name), f"{folder}/opt/spoa")
                     for parent, _, names in os.walk(folder) for name in names}
            for name in ("sbin/spoa-lua", "lib/spoa-lua/spoa/json.so", "share/spoa-lua/spoa/jwt.lua",
                         "share/man/man8/spoa-lua.8", "share/man/man5/spoa-lua.conf.5",
                         "lib/systemd/system/spoa-lua.service", "share/bash-completion/completions/spoa-lua",
                         "share/doc/spoa-lua/spoa-lua.conf.example"):
                self.assertIn(name, there)
            # The whole prefix moved elsewhere still finds its own.
            shutil.move(f"{folder}/opt/spoa", f"{folder}/moved")
            script = f"{folder}/handlers.lua"
            with open(script, "w", encoding="utf-8") as file:
                file.write('local json, jwt = require "spoa.json", require "spoa.jwt"\n'
                           "function f(args) return { ['txn.n'] = #json.decode(args.text), ['txn.j'] = jwt ~= nil } end\n")
            done = subprocess.run([f"{folder}/moved/sbin/spoa-lua", "call", "-s", script, "f", "text=str:[1,2,3]"],
                                  capture_output=True, text=True, env=environment())
            self.assertEqual((done.stdout, done.stderr), ("set-var txn.j bool true\nset-var txn.n int64 3\n", ""))


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = f"""source {shlex.quote(str(ROOT))}/conf/bash-completion
            COMP_WORDS=({' '.join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
            _spoa_lua; printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_words(self):
        self.assertLessEqual({"call", "reload", "ctl", "-c", "--single"}, self.complete("spoa-lua", ""))
        self.assertEqual(self.complete("spoa-lua", "re"), {"reload"})
        self.assertEqual(self.complete("spoa-lua", "ctl", "-s", "unix:/x", "set", "log", "level", "n"), {"notice"})

    def test_every_command_of_the_control_socket(self):
        rows = re.findall(r'^    \{"([a-z ]+)", "', (ROOT / "src/daemon/control_commands.c").read_text(), re.M)
        self.assertGreater(len(rows), 10)
        for row in rows:
            words = row.split()
            for n, word in enumerate(words):
                self.assertIn(word, self.complete("spoa-lua", "ctl", *words[:n], ""))


if __name__ == "__main__":
    unittest.main()
