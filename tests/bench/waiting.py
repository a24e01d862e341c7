"""What handlers that wait cost: the answers of one that does not wait, while a thousand others do;
and the CPU time of a message whose handler waits on Redis, beside one that has the answer."""
import os
import statistics

from agents import SPOA_LUA, SPOP_BENCH, Running, faults, pinned
from machine import cpus
from measure import Results, cpu, loaded, measured, quiet, rate, table, times

from lib.agent import Process
from lib.redis_server import Server

WAITING = 1000
PER_SECOND = 2000
# Not all at once, and shorter than handler-timeout.
SLEEPING = f"""
local waiting = 0
function wait()
  waiting = waiting + 1
  if waiting == {WAITING} then io.stderr:write("all are waiting\\n") end
  spoa.sleep(0.25 + math.random() / 2)
  waiting = waiting - 1
end
function get_ip_reputation() return {{ ["sess.score"] = 42 }} end
"""
# The same work but for the wait.
HAVING = """
local score = "42"
function get_ip_reputation(args)
  return { ["sess.score"] = tonumber(score) }
end
"""
ASKING = """
local r = require "spoa.redis".new { port = %d }
function get_ip_reputation(args)
  return { ["sess.score"] = tonumber(r:get "score") }
end
"""
SHAPES = ["1x1", "8x16", "64x1"]


class Waiters:
    """A load that keeps so many handlers waiting, from entering the `with` block on."""

    def __init__(self, running):
        words = [*pinned(cpus()[1]), str(SPOP_BENCH), f"127.0.0.1:{running.port}", "-c", "50", "-p", str(WAITING // 50),
                 "-m", "wait", "-d", "600", "-w", "0"]
        self.running, self.words = running, words

    def __enter__(self):
        self.process = Process(self.words)
        self.running.process.wait_log("^all are waiting$")
        return self

    def __exit__(self, *_):
        self.process.kill()


def _answers(count, options):
    """Open loop: a message is late from when it was due, whether or not it could be sent."""
    words = ["-c", 4, "-p", 16, "-r", PER_SECOND]
    with Running(SPOA_LUA, cpus()[0], script=SLEEPING) as running:
        if not count:
            return loaded(running, SPOA_LUA, words, options.seconds)
        with Waiters(running) as waiters:
            return loaded(running, SPOA_LUA, words, options.seconds, ours=[waiters.process.pid])


def latency(options, say):
    found = {0: [], WAITING: []}
    for _ in range(options.repeats):
        for count, figures in found.items():
            figures.append(quiet(lambda count=count: _answers(count, options), options))
    rows = []
    for count, figures in found.items():
        p50, p99, worst = (statistics.median(one["latency_us"][name] for one in figures)
                           for name in ("p50", "p99", "max"))
        wrong = sum(sum(faults(one).values()) for one in figures)
        rows.append([f"{count:,}", f"{p50:,.0f}", f"{p99:,.0f}", f"{worst:,.0f}",
                     f"{max(one['foreign'] for one in figures):.0%}", wrong or "none"])
        say(f"{count} waiting: p99 {p99:,.0f} us of those that do not")
    return table([f"handlers waiting, {PER_SECOND:,} others a second", "p50 us", "p99 us", "max us", "others' CPU",
                  "faults"], rows)


def redis(options, say):
    results = Results()
    with Server() as server:
        server.command("SET", "score", "42")
        if cpus()[1] is not None:
            os.sched_setaffinity(server.process.pid, {cpus()[1]})
        scripts = {"has it": HAVING, "asks Redis": ASKING % server.port}
        for repeat in range(options.repeats):
            for shape in SHAPES:
                connections, outstanding = shape.split("x")
                for name, script in scripts.items():
                    figures = measured(SPOA_LUA, ["-c", connections, "-p", outstanding], options,
                                       ours=[server.process.pid], script=script)
                    results.add(shape, name, repeat, figures)
                    say(f"{shape}, a handler that {name}: {cpu(figures):.3f} us")
    rows = []
    for shape in SHAPES:
        for name in scripts:
            rows.append([f"{shape}, {name}", f"{results.median(shape, name, rate):,.0f}",
                         f"{results.median(shape, name, cpu):.2f}", times(results.ratio(shape, name, "has it", cpu)),
                         f"{results.worst(shape, name):.0%}", sum(results.faults(shape, name).values()) or "none"])
    return table(["handler", "ACKs/s", "CPU us/ACK", "x has it", "others' CPU", "faults"], rows)


def report(options, say):
    return latency(options, say) + "\n\n" + redis(options, say)
