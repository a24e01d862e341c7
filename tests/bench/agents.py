"""The agents that are measured, each started afresh on a port of its own and stopped by its pid.

    with Running(SPOA_LUA, cpu=0) as agent:
        figures = load(agent.port, ["-c", "8", "-p", "16", "-d", "1"], cpu=1, pid=agent.pid)
"""
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS))

from lib.agent import Process, temp_folder  # noqa: E402

BUILD = ROOT / "build/release"
SPOP_BENCH = BUILD / "spop-bench"
LISTENING = r"listening on 127\.0\.0\.1:(\d+)"
HANDLER = """function get_ip_reputation(args)
  local ip = args.client_ip
  return { ["sess.score"] = 42 }
end
"""


@dataclasses.dataclass
class Agent:
    """command: words, with {port} (0: the agent says on its log which it got), {config}, {folder}.
    expect: what spop-bench's -x takes; expect_body replaces it where a body is sent along."""

    name: str
    command: list
    message: str = "get-ip-reputation"
    expect: str = "sess.score=42"
    expect_body: str = ""
    says_port: bool = False

    def expected(self, body=False):
        found = self.expect_body or self.expect if body else self.expect
        return ["-x", found] if found else []


FLOOR = Agent("floor", [str(BUILD / "bench-floor"), "{port}"], says_port=True)
YARDSTICK = Agent("yardstick", [str(BUILD / "bench-yardstick"), "{port}"], says_port=True)
SPOA_LUA = Agent("spoa-lua", [str(BUILD / "spoa-lua"), "-c", "{config}"], says_port=True)
OURS = [FLOOR, YARDSTICK, SPOA_LUA]


def foreign(path):
    """Agents of others: a JSON list of objects with Agent's fields; {port} stands in `command`."""
    return [Agent(**fields) for fields in json.loads(pathlib.Path(path).read_text())]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def has_key(key):
    """Does the configuration have this key?"""
    return any(line.lstrip("# ").split(" ", 1)[0] == key
               for line in (ROOT / "spoa-lua.conf.example").read_text().splitlines() if line.strip("# "))


def descendants(pid):
    found = [pid]
    for parent in found:
        for children in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                pass
    return found[1:]


def pinned(cpu):
    return [] if cpu is None else ["taskset", "-c", str(cpu)]


class Running:
    """One agent, serving.  wrapper: words before its command (strace, valgrind); script,
    workers and config (more lines of it) are spoa-lua's."""

    def __init__(self, agent, cpu=None, wrapper=(), script=HANDLER, workers=1, config="",
                 timeout=30):
        self.agent = agent
        self.folder = temp_folder("bench")
        self.timeout = timeout
        config_file = self.folder / "spoa-lua.conf"
        (self.folder / "handler.lua").write_text(script)
        config_file.write_text("listen 127.0.0.1:0\nscript handler.lua\n" +
                               (f"workers {workers}\n" if has_key("workers") else "") +
                               ("metrics 127.0.0.1:0\n" if has_key("metrics") else "") + config)
        port = 0 if agent.says_port else free_port()
        words = [word.format(port=port, config=config_file, folder=self.folder) for word in agent.command]
        env = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
        self.process = Process([*pinned(cpu), *wrapper, *words], cwd=ROOT, env=env, name=agent.name)
        try:
            self.port = port or int(self.process.wait_log(LISTENING, timeout).group(1))
            self._wait_connect()
        except BaseException:
            self._kill()
            raise
        # strace is the parent of what it watches; valgrind and taskset become it.
        self.pid = (descendants(self.process.pid) or [self.process.pid])[0] if "strace" in wrapper else self.process.pid

    def _wait_connect(self):
        deadline = time.monotonic() + self.timeout
        while True:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if not self.process.running() or time.monotonic() > deadline:
                raise RuntimeError(f"{self.agent.name} does not serve:\n{self.process.log()}")
            time.sleep(0.02)

    def _kill(self):
        for pid in [*descendants(self.process.pid), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.kill()

    def log(self):
        return self.process.log()

    def stop(self):
        """SIGTERM, and all output read; by force when that does not end it."""
        if self.process.running():
            os.kill(self.pid, signal.SIGTERM)
        try:
            self.process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            self._kill()
        return self.process.log()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"--- {self.agent.name}'s log:\n{self.log()}---", file=sys.stderr, flush=True)


def load(port, args, cpu=None, pid=None, timeout=120):
    """spop-bench's figures as its JSON has them."""
    words = [*pinned(cpu), str(SPOP_BENCH), f"127.0.0.1:{port}", "--json", *map(str, args)]
    if pid:
        words += ["--pid", str(pid)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    if not done.stdout:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def faults(figures):
    return {name: count for name, count in figures["faults"].items() if count}
