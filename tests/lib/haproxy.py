"""A real HAProxy for one test, with a frontend that asks spoa-lua and shows what it decided.

    with HAProxy("3.2", agent, {"score": "args ip=src"}, show={"score": "sess.t.score"}) as haproxy:
        reply = haproxy.get("/")
        reply["score"]                      # the variable's text, or None where it is not set

Variables carry the prefix `t`.  Every reply also shows `err` (HAProxy's own `option set-on-error`,
a number where its SPOE failed) and `spoa_error` (spoa-lua's error variable).
"""
import csv
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

from lib import http
from lib.agent import Process, temp_folder
from lib.ports import listening_socket

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSIONS = ("2.6", "3.0", "3.2", "3.4")
EVENT = "on-frontend-http-request"
_commands = {}


def command(version):
    """The shell words that run this version (.ci/haproxy brings it)."""
    if version not in _commands:
        done = subprocess.run([str(ROOT / ".ci/haproxy"), version], stdout=subprocess.PIPE, text=True, check=True,
                              timeout=200)
        _commands[version] = shlex.split(done.stdout)
    return _commands[version]


def has_mux(version):
    """From 3.1 on the SPOP multiplexer, before it the SPOE applet."""
    return tuple(map(int, version.split("."))) >= (3, 1)


def server_address(address):
    """A listener's address as spoa-lua writes it in its log, in HAProxy's words."""
    for ours, theirs in (("unix:", "unix@"), ("abns:", "abns@")):
        if address.startswith(ours):
            return theirs + address.removeprefix(ours)
    return address


class VersionsCase(unittest.TestCase):
    """A test case whose methods each_NAME(self, version) are tests, one for every version."""

    versions = VERSIONS

    def __init_subclass__(cls):
        for name, method in list(vars(cls).items()):
            if name.startswith("each_"):
                for version in cls.versions:
                    def test(self, method=method, version=version):
                        method(self, version)
                    setattr(cls, f"test_{name.removeprefix('each_')}_{version.replace('.', '_')}", test)


class HAProxy:
    """HAProxy in the foreground, on inherited listening sockets.

    version:   one of VERSIONS
    agent:     lib.agent.Agent, or an address as it logs it
    messages:  {message: its lines after `spoe-message`}; without an `event` line on-frontend-http-request
    show:      {name: variable or other fetch expression}, shown by every reply; conversions may follow a comma
    rules:     further lines of the frontend, before the reply is made
    body:      log-format of the reply's body
    origin:    True: the reply comes from a server behind, so that there is a response phase
    groups:    {spoe-group: its messages}; these messages are sent by `send-spoe-group` alone
    spoe:      further lines of spoe-agent
    timeout:   `timeout processing`
    server:    further words of the `server` line
    backend:   further lines of the agent's backend
    globals_:  further lines of `global`
    """

    def __init__(self, version, agent, messages, show=None, rules="", body="ok", origin=False, groups=None, spoe="",
                 timeout="5s", server="", backend="", globals_="", start=True):
        self.version = version
        self.folder = temp_folder("haproxy")
        self.processes = []
        self.listener = listening_socket()
        self.origin = listening_socket() if origin else None
        self.port = self.listener.getsockname()[1]
        self.socket = self.folder / "admin.sock"
        address = server_address(agent if isinstance(agent, str) else agent.address)
        shown = {"err": "txn.t.err", "spoa_error": "txn.t.spoa_error", **(show or {})}
        self._write("spoe.cfg", self._spoe(messages, groups or {}, spoe, timeout))
        self._write("haproxy.cfg", self._config(address, shown, rules, body, server, backend, globals_))
        if start:
            try:
                self.start()
            except BaseException:
                self.stop()
                raise

    def _write(self, name, lines):
        (self.folder / name).write_text("\n".join(lines) + "\n")

    @staticmethod
    def _spoe(messages, groups, extra, timeout):
        grouped = {message for members in groups.values() for message in members}
        asked = [message for message in messages if message not in grouped]
        lines = ["[test]", "spoe-agent test"]
        lines += [f"    messages {' '.join(asked)}"] if asked else []
        lines += [f"    groups {' '.join(groups)}"] if groups else []
        lines += ["    option var-prefix t", "    option set-on-error err", "    option continue-on-error",
                  "    timeout hello 5s", "    timeout idle 1m", f"    timeout processing {timeout}",
                  "    use-backend agents", "    log global"]
        lines += [f"    {line.strip()}" for line in extra.splitlines() if line.strip()]
        for message, text in messages.items():
            lines += ["", f"spoe-message {message}"]
            lines += [f"    {line.strip()}" for line in text.splitlines() if line.strip()]
            if message in asked and not re.search(r"^\s*event\s", text, re.M):
                lines.append(f"    event {EVENT}")
        for group, members in groups.items():
            lines += ["", f"spoe-group {group}", f"    messages {' '.join(members)}"]
        return lines

    def _config(self, address, shown, rules, body, server, backend, globals_):
        mode = "spop" if has_mux(self.version) else "tcp"
        phase = "http-response" if self.origin else "http-request"
        frontend = ["frontend fe", f"    bind fd@{self.listener.fileno()}",
                    f"    filter spoe engine test config {self.folder}/spoe.cfg",
                    *(f"    {line.strip()}" for line in rules.splitlines() if line.strip())]
        for name, expression in shown.items():
            fetch, _, converters = expression.partition(",")
            fetch = fetch if "(" in fetch else f"var({fetch})"
            value = f"var(txn.shown.{name})" + (f",{converters}" if converters else "")
            frontend += [f"    {phase} set-var(txn.shown.{name}) {fetch}",
                         f"    http-after-response set-header x-show-{name} -",
                         f'    http-after-response set-header x-show-{name} "=%[{value}]"'
                         f" if {{ var(txn.shown.{name}) -m found }}"]
        answer = f'    http-request return status 200 content-type text/plain lf-string "{body}"'
        tail = []
        if self.origin:
            frontend.append("    default_backend origin")
            tail = ["backend origin", f"    server origin 127.0.0.1:{self.origin.getsockname()[1]}",
                    "frontend origin_server", f"    bind fd@{self.origin.fileno()}", answer]
        else:
            frontend.append(answer)
        return ["global", *(["    nbthread 1"] if "nbthread" not in globals_ else []), "    maxconn 4000", "    log stderr format raw local0 notice",
                f"    stats socket {self.socket} mode 600 level admin expose-fd listeners",
                *(f"    {line.strip()}" for line in globals_.splitlines() if line.strip()),
                "defaults", "    mode http", "    log global", "    timeout connect 5s", "    timeout client 30s",
                "    timeout server 30s", "    option dontlog-normal", *frontend, *tail,
                "backend agents", f"    mode {mode}",
                *(f"    {line.strip()}" for line in backend.splitlines() if line.strip()),
                f"    server agent {address} {server}"]

    def start(self, *more):
        """Starts a process on the same sockets and waits until it serves; returns it."""
        env = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "HAPROXY_STATS_SOCKET")}
        listeners = [sock.fileno() for sock in (self.listener, self.origin) if sock]
        process = Process([*command(self.version), "-db", "-f", str(self.folder / "haproxy.cfg"), *more],
                          cwd=self.folder, env=env, name="haproxy", pass_fds=listeners)
        self.processes.append(process)
        deadline = time.monotonic() + 20
        while f"Pid: {process.pid}\n" not in self._info():
            if not process.running() or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"HAProxy {self.version} does not start:\n{process.log()}\n"
                                     f"{(self.folder / 'haproxy.cfg').read_text()}")
            time.sleep(0.02)
        return process

    def _info(self):
        try:
            return self.show("show info")
        except OSError:
            return ""

    def show(self, what):
        """The answer of the admin socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(self.socket))
            sock.sendall(what.encode() + b"\n")
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return answer.decode("utf-8", "backslashreplace")

    def reload(self, timeout=60):
        """A new process beside the old, which finishes its requests and ends; waits for both."""
        old = self.processes[-1]
        self.start("-x", str(self.socket), "-sf", str(old.pid))
        old.wait(timeout)

    def log(self):
        return "".join(process.log() for process in self.processes)

    def mark(self):
        return self.processes[-1].mark()

    def wait_log(self, pattern, timeout=20, after=0):
        return self.processes[-1].wait_log(pattern, timeout, after)

    def get(self, path="/", **request):
        return http.request(self.port, path, **request)

    def connections(self):
        """How many connections to the agent were opened so far."""
        header, *rows = csv.reader(self.show("show stat").removeprefix("# ").splitlines())
        for row in rows:
            if row[:2] == ["agents", "agent"]:
                return int(row[header.index("connect")])
        raise AssertionError("show stat has no agents/agent")

    def many(self, count, concurrency, **request):
        return http.many(self.port, count, concurrency, **request)

    def kill(self):
        """SIGKILL to the running process, as if its machine had gone."""
        self.processes.pop().kill()

    def stop(self):
        for process in self.processes:
            if process.running():
                process.signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for sock in (self.listener, self.origin):
            if sock:
                sock.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        crashed = [p for p in self.processes if p.popen.returncode not in (0, -signal.SIGTERM, 128 + signal.SIGTERM)]
        if kind is not None or crashed:
            print(f"--- HAProxy {self.version}'s log ({self.folder}):\n{self.log()}---", file=sys.stderr, flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None and crashed:
            raise AssertionError(f"HAProxy {self.version} ended with {[p.popen.returncode for p in crashed]}")
