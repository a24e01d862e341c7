"""Requests a second through a real HAProxy that asks an agent on every request, driven by wrk.

HAProxy has one thread and the agent's CPU, wrk and the agent share the other.  The frontend
answers by itself, so there is nothing behind it but SPOE; a request whose SPOE processing failed
gets a 503 and is counted as failed."""
import re
import shutil
import signal
import socket
import subprocess

from agents import Running, pinned
from lib.agent import Process, temp_folder
from lib.haproxy import command, has_mux
from lib.ports import listening_socket
from machine import Watch, cpus, used
from measure import Results, quiet, table, times

VERSIONS = ["2.6", "3.2"]
CONNECTIONS = 32
WANTED = 0.9

CONFIG = """global
    nbthread 1
    maxconn 4000
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
frontend fe
    bind fd@{fd}
    filter spoe engine bench config {folder}/spoe.cfg
    http-request return status 503 content-type text/plain string failed if {{ var(txn.bench.err) -m found }}
    http-request return status 503 content-type text/plain string unset unless {{ var({variable}) -m found }}
    http-request return status 200 content-type text/plain lf-string "%[var({variable})]"
backend agents
    mode {mode}
    timeout connect 1s
    timeout server 1m
    server agent 127.0.0.1:{port}
"""
SPOE = """[bench]
spoe-agent bench
    messages {message}
    option var-prefix bench
    option set-on-error err
    timeout hello 1s
    timeout idle 1m
    timeout processing 1s
    use-backend agents
spoe-message {message}
    args client_ip=src
    event on-frontend-http-request
"""


class Proxy:
    def __init__(self, version, agent, port, cpu):
        self.folder = temp_folder("bench-haproxy")
        self.listener = listening_socket()
        scope, _, name = agent.expect.split("=")[0].partition(".")
        (self.folder / "spoe.cfg").write_text(SPOE.format(message=agent.message))
        (self.folder / "haproxy.cfg").write_text(CONFIG.format(
            fd=self.listener.fileno(), folder=self.folder, port=port, variable=f"{scope}.bench.{name}",
            mode="spop" if has_mux(version) else "tcp"))
        self.process = Process([*pinned(cpu), *command(version), "-db", "-f", str(self.folder / "haproxy.cfg")],
                               cwd=self.folder, name="haproxy", pass_fds=[self.listener.fileno()])
        self.port = self.listener.getsockname()[1]

    def answer(self):
        """The body of one reply; the inherited socket keeps it waiting until HAProxy serves."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            reply = b""
            while data := sock.recv(65536):
                reply += data
        head, _, body = reply.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(f"HAProxy answers {reply!r}; its log:\n{self.process.log()}")
        return body.decode()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.running():
            self.process.signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def wrk(port, seconds, cpu):
    text = subprocess.run([*pinned(cpu), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency",
                           f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=seconds + 30).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    return {"requests": int(re.search(r"(\d+) requests in", text).group(1)),
            "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
            "failed": (int(failed.group(1)) if failed else 0) + sum(map(int, broken.groups() if broken else [])),
            "p99_us": float(p99) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]}


def once(version, agent, seconds):
    first, second = cpus()
    with Running(agent, second) as running, Proxy(version, agent, running.port, first) as proxy:
        proxy.answer()
        wrk(proxy.port, 1, second)
        agent_cpu, proxy_cpu = used(running.process.pid), used(proxy.process.pid)
        watch = Watch([running.process.pid, proxy.process.pid])
        figures = wrk(proxy.port, seconds, second)
        figures["foreign"] = watch.share()
        for name, before, pid in (("agent_us", agent_cpu, running.process.pid),
                                  ("haproxy_us", proxy_cpu, proxy.process.pid)):
            figures[name] = (used(pid) - before) * 1e6 / max(figures["requests"], 1)
        return figures


def measure(agents, versions, options, say):
    results = Results()
    for repeat in range(options.repeats):
        for version in versions:
            turn = repeat % len(agents)
            for agent in agents[turn:] + agents[:turn]:
                figures = quiet(lambda: once(version, agent, options.seconds), options)
                results.add(version, agent.name, repeat, figures)
                say(f"{repeat + 1}/{options.repeats} HAProxy {version} {agent.name:12} "
                    f"{figures['per_second']:9,.0f} requests/s, {figures['failed']} failed   "
                    f"others had {figures['foreign']:.1%}")
    return results


def tables(results, agents, versions):
    texts = []
    for version in versions:
        def median(name, field):
            return results.median(version, name, lambda figures: figures[field])
        rows = [[agent.name, f"{median(agent.name, 'per_second'):,.0f}",
                 times(results.ratio(version, agent.name, "yardstick", lambda figures: figures["per_second"])),
                 f"{median(agent.name, 'p99_us'):,.0f}", f"{median(agent.name, 'agent_us'):.1f}",
                 f"{median(agent.name, 'haproxy_us'):.1f}",
                 sum(results.values(version, agent.name, lambda figures: figures["failed"])),
                 f"{results.worst(version, agent.name):.0%}"]
                for agent in agents if results.has(version, agent.name)]
        texts.append(f"### HAProxy {version}, wrk with {CONNECTIONS} connections "
                     f"(wanted: {WANTED} x the yardstick's requests, none failed)\n\n" +
                     table(["agent", "requests/s", "x yardstick", "p99 us", "agent us/request", "HAProxy us/request",
                            "failed", "others' CPU"], rows))
    return "\n\n".join(texts)
