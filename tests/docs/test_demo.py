"""`make demo`'s program: with every HAProxy, when an answer is wrong, and on a terminal."""
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request

from lib.agent import ROOT, binary, environment, temp_folder
from lib.haproxy import VersionsCase, command

ASKED = 5


class Demo(VersionsCase):
    def setUp(self):
        """A copy of what it consists of, so that the handler may be edited."""
        self.folder = temp_folder("demo")
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(ROOT / "conf/demo", self.folder / "conf/demo")
        (self.folder / "lua/examples").mkdir(parents=True)
        self.handler = pathlib.Path(shutil.copy(ROOT / "lua/examples/demo.lua", self.folder / "lua/examples"))
        (self.folder / "bin").mkdir()
        (self.folder / "tmp").mkdir()

    def environment(self, version):
        """With a haproxy of this version on the PATH."""
        self.haproxy(f'exec {shlex.join(command(version))} "$@"')
        return environment({"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "SPOA_LUA": binary(),
                            "TMPDIR": str(self.folder / "tmp")})

    def haproxy(self, text):
        program = self.folder / "bin/haproxy"
        program.write_text(f"#!/bin/bash\n{text}\n")
        program.chmod(0o755)

    def run_demo(self, env):
        """Its end, and that nothing of it is left."""
        done = subprocess.run([self.folder / "conf/demo/run"], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=100, cwd=self.folder)
        self.assertEqual(list((self.folder / "tmp").iterdir()), [])
        return done

    def edit(self, old, new):
        text = self.handler.read_text()
        self.assertIn(old, text)
        self.handler.write_text(text.replace(old, new))

    def each_ends_by_itself(self, version):
        done = self.run_demo(self.environment(version))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for kind in ("sent", "decided", "answered"):
            self.assertEqual(len(re.findall(f"^  {kind} ", done.stdout, re.M)), ASKED)
        self.assertIn(f"version {version}.", done.stdout)
        self.assertIn("check_client() in lua/examples/demo.lua decides", done.stdout)

    def test_wrong_answer(self):
        env = self.environment("2.6")
        self.edit('["127.0.0.66"] = 0', '["127.0.0.66"] = 60')
        done = self.run_demo(env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("EXPECTED", done.stdout)
        # Both sides' logs to their ends.
        self.assertRegex(done.stderr, "spoa-lua: .* notice stopped: ")
        self.assertRegex(done.stderr, "haproxy: .*Health check")

    def test_broken_handler(self):
        env = self.environment("2.6")
        self.edit("return actions", "return return actions")
        done = self.run_demo(env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("demo: spoa-lua does not start", done.stderr)
        self.assertIn("demo.lua:", done.stderr)

    def test_port_in_use(self):
        # Twice there is somebody else's listener on the port that was chosen.
        env = self.environment("2.6")
        real = (self.folder / "bin/haproxy").read_text().splitlines()[-1]
        self.haproxy(f"""
            if [ "$1" = -db ] && [ "$(wc -l 2>/dev/null <{self.folder}/tries)" != 2 ]; then
                echo "$DEMO_PORT" >>{self.folder}/tries
                echo "[ALERT] Starting proxy demo: cannot bind socket (Address already in use)"
                exit 1
            fi
            {real}""")
        done = self.run_demo(env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len((self.folder / "tries").read_text().split()), 2)

    def test_haproxy_that_does_not_start(self):
        env = self.environment("2.6")
        self.haproxy("echo '[ALERT] no such thing'; exit 1")
        done = self.run_demo(env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("demo: HAProxy does not start", done.stderr)
        self.assertIn("no such thing", done.stderr)

    def test_on_a_terminal(self):
        env = self.environment("2.6")
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(self.folder / "conf/demo/run", ["run"], env)
        self.addCleanup(os.close, terminal)
        shown = Terminal(terminal)
        try:
            shown.wait("Both stay up until Ctrl-C")
            url = re.search(r"at (http://\S+)", shown.text)[1]
            agent = int(re.search(r"kill -HUP (\d+)", shown.text)[1])
            self.assertEqual(score(url), "100")
            # The mistake is reported, and the old handler goes on.
            self.edit('["127.0.0.1"] = 100', '["127.0.0.1"] = = 70')
            os.kill(agent, signal.SIGHUP)
            shown.wait("reload failed")
            self.assertEqual(score(url), "100")
            self.edit("= = 70", "= 70")
            os.kill(agent, signal.SIGHUP)
            shown.wait("scripts reloaded")
            self.assertEqual(score(url), "70")
            os.write(terminal, b"\x03")
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
            pid = 0
        finally:
            if pid:
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
        self.assertEqual(list((self.folder / "tmp").iterdir()), [])
        with self.assertRaises(ProcessLookupError):
            os.kill(agent, 0)
        with self.assertRaises(OSError):
            score(url)


class Terminal:
    """What a program shows on it."""

    def __init__(self, fd):
        self.fd = fd
        self.text = ""

    def wait(self, text, timeout=60):
        deadline = time.monotonic() + timeout
        while text not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} on the terminal, but:\n{self.text}")
            self.text += os.read(self.fd, 65536).decode()


def score(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20) as reply:
        return reply.headers["x-score"]
