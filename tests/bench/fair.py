"""Whether a worker is fair: answers of a handler that costs nothing, while others compute, are all woken
at once, or a table is built in the background; each beside the same without them.  And that nobody, they
included, is answered later than a deadline and 20 ms."""
import collections
import json
import math
import socket
import subprocess
import time

from agents import SPOA_LUA, SPOP_BENCH, Running, pinned
from machine import Watch, cpus
from measure import loaded, quiet, table

from lib import spop

DEADLINE = 1.0          # handler-timeout's default
LATE = DEADLINE + 0.02
SLACK_MS = 10           # beyond what one of the others takes
SECONDS = 5             # of load for a figure
GREETED_WITHIN = 5      # or spop-bench gives up: its HELLO_TIMEOUT
PER_SECOND = 100
MANY = 40
WAKING = 150
PIPELINED = 1000
ENTRIES = 1_000_000
# CPU time, so that what others do to the machine does not make it shorter.
SCRIPT = """
local begun
local function compute(seconds)
  if not begun then begun = true io.stderr:write("disturbed\\n") end
  local over = os.clock() + seconds
  while os.clock() < over do end
end
function compute_1() compute(0.001) end
function compute_20() compute(0.020) end
function compute_60() compute(0.060) end
function woken()
  spoa.sleep(0.5 - spoa.now() % 0.5)
  compute(0.020)
end
function get_ip_reputation() return { ["sess.score"] = 42 } end
"""
REFRESH = f"""
spoa.every(0.1, function()
  compute(0)
  local entries = {{}}
  for n = 1, {ENTRIES} do entries[n] = "entry " .. n end
  table_of_all = entries
  print("refreshed")
end)
"""
CONFIG = "pipelining on\nhandler-memory 1g\n"


class Disturbers:
    """A load beside the one that is measured, from its first handler on until the `with` block ends."""

    def __init__(self, running, words):
        self.running, self.words = running, words
        self.process, self.figures = None, None

    def __enter__(self):
        if self.words:
            words = [*pinned(cpus()[1]), str(SPOP_BENCH), f"127.0.0.1:{self.running.port}", "--json", "-d", SECONDS + 2,
                     "-w", 0, "-t", LATE, *self.words]
            self.process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)
            self.running.process.wait_log("^disturbed$")
        return self

    @property
    def pids(self):
        return [self.process.pid] if self.process else []

    def __exit__(self, kind, *_):
        if self.process:
            if kind:
                self.process.kill()
            said = self.process.communicate()[0]
            self.figures = json.loads(said) if said else None


def _figures(seconds, late=0):
    """As spop-bench has them, of latencies in seconds."""
    ordered = sorted(1e6 * one for one in seconds)

    def percentile(share):
        return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
    return {"answered": len(ordered), "faults": {"late": late},
            "latency_us": {"p50": percentile(0.5), "p99": percentile(0.99), "max": ordered[-1]}}


def answers(running, _, ours):
    """Open loop: a message is late from when it was due, whether or not it could be sent."""
    try:
        return loaded(running, SPOA_LUA, ["-c", 4, "-p", 16, "-r", PER_SECOND, "-t", LATE], SECONDS, ours=ours)
    except RuntimeError as error:
        if "got through HELLO" not in str(error):
            raise
        return {**_figures([GREETED_WITHIN], late=1), "foreign": 0.0}


def _seconds_of_hello(running, **keys):
    began = time.monotonic()
    with spop.Client(f"127.0.0.1:{running.port}", timeout=30) as client:
        client.handshake(**keys)
        return time.monotonic() - began


def hellos(**keys):
    """One new connection after the other, from connect to AGENT-HELLO."""
    def measure(running, _, ours):
        watch, found, end = Watch([running.process.pid, *ours]), [], time.monotonic() + SECONDS
        while not found or time.monotonic() < end:
            found.append(_seconds_of_hello(running, **keys))
            time.sleep(1 / PER_SECOND)
        return {**_figures(found), "foreign": watch.share()}
    return measure


def _acks(sock, rest):
    """The frame ids of the ACKs that one read brings, and the bytes behind them."""
    data = sock.recv(1 << 16)
    if not data:
        raise RuntimeError("the agent has closed the connection")
    frames, rest = spop.split(rest + data)
    return [frame.ids[1] for frame in frames], rest


def same_connection(running, disturbed, ours):
    """A message that costs nothing every 10 ms, on a connection with MANY outstanding of 20 ms."""
    watch = Watch([running.process.pid, *ours])
    free, heavy = spop.message("get-ip-reputation"), spop.message("compute-20")
    ids, sent, found, late, rest = iter(range(1, 1 << 30)), {}, collections.defaultdict(list), 0, b""
    with spop.Client(f"127.0.0.1:{running.port}", timeout=30) as client:
        client.handshake()

        def send(payload):
            number = next(ids)
            sent[number] = payload, time.monotonic()
            client.send(spop.notify(1, number, payload))
        for _ in range(MANY if disturbed else 0):
            send(heavy)
        due, end = time.monotonic(), time.monotonic() + SECONDS
        while sent or time.monotonic() < end:
            now = time.monotonic()
            if due <= now < end:
                send(free)
                due += 1 / PER_SECOND
            client.sock.settimeout(max(due - now, 0.0005) if now < end else 30)
            try:
                answered, rest = _acks(client.sock, rest)
            except socket.timeout:
                continue
            for number in answered:
                payload, began = sent.pop(number)
                took = time.monotonic() - began
                found[payload].append(took)
                late += took > LATE
                if payload is heavy and time.monotonic() < end:
                    send(heavy)
    figures = {**_figures(found[free], late), "foreign": watch.share()}
    return {**figures, "disturbers": _figures(found[heavy]) if disturbed else None}


# The name, what one disturber takes in ms, spop-bench's words for them, what is measured, more of the script.
CASES = [
    (f"{MANY} connections of 20 ms", 20, ["-c", MANY, "-m", "compute-20"], answers, ""),
    (f"{PIPELINED:,} pipelined of 1 ms", 1, ["-p", PIPELINED, "-m", "compute-1"], answers, ""),
    (f"{WAKING} woken at once, 20 ms", 20, ["-c", WAKING, "-m", "woken"], answers, ""),
    (f"a refresh of {ENTRIES:,} entries", 5, [], answers, REFRESH),
    (f"{MANY} of 60 ms, health check", 60, ["-c", MANY, "-m", "compute-60"], hellos(healthcheck=True), ""),
    (f"{MANY} of 60 ms, new connection", 60, ["-c", MANY, "-m", "compute-60"], hellos(), ""),
    (f"{MANY} of 20 ms, same connection", 20, [], same_connection, ""),
]


def _measured(case, disturbed):
    _, _, words, measure, more = case
    with Running(SPOA_LUA, cpus()[0], script=SCRIPT + (more if disturbed else ""), config=CONFIG) as running:
        if more and disturbed:
            running.process.wait_log("^disturbed$")
        with Disturbers(running, words if disturbed else None) as others:
            figures = measure(running, disturbed, others.pids)
        return {"disturbers": others.figures, **figures, "refreshed": running.log().count("refreshed")}


def _late(figures):
    return sum(figures["faults"].get(name, 0) for name in ("late", "missing"))


def _milliseconds(figures):
    return [f"{figures['latency_us'][name] / 1000:,.1f}" for name in ("p50", "p99", "max")]


def _others(figures):
    """What became of the disturbers."""
    if others := figures["disturbers"]:
        return f"{others['answered']:,} answers, max {others['latency_us']['max'] / 1000:,.0f} ms"
    return f"{figures['refreshed']} times"


def report(options, say):
    rows = []
    for case in CASES:
        name, takes = case[:2]
        alone, beside = (quiet(lambda disturbed=disturbed: _measured(case, disturbed), options)
                         for disturbed in (False, True))
        wanted = takes + SLACK_MS
        reached = beside["latency_us"]["p99"] <= 1000 * wanted
        late = _late(beside) + _late(beside["disturbers"] or {"faults": {}})
        rows.append([name, " / ".join(_milliseconds(alone)), " / ".join(_milliseconds(beside)),
                     f"{wanted}{'' if reached else ': NO'}", _others(beside), late or "none",
                     f"{max(alone['foreign'], beside['foreign']):.0%}"])
        say(f"{name}: p99 {beside['latency_us']['p99'] / 1000:,.1f} ms, alone {alone['latency_us']['p99'] / 1000:,.1f} ms")
    return table(["beside", "alone p50 / p99 / max ms", "beside p50 / p99 / max ms", "p99 wanted",
                  "disturbers", f"later than {1000 * LATE:,.0f} ms", "others' CPU"], rows)
