#!/usr/bin/env python3
"""The gates that repeat exactly: instructions and system calls a message, of the release build.

    tests/bench/gate.py [--update] [--file FILE]

Instructions are callgrind's, the difference between a long and a short run; spoa-lua's are also
held against the yardstick's, in the same minute with the same compiler and Lua.  System calls
are strace's, the same way, at three shapes (connections x NOTIFYs outstanding).

A figure may be SLACK worse than the one committed in gate.json, and no worse than its limit.
Instructions by themselves are compared only where compiler and Lua are those of the committed
figure; their ratio everywhere.  --update writes what was measured into gate.json.  Ends with
`N passed, N failed`.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True

from agents import BUILD, SPOA_LUA, YARDSTICK, Running, faults, load  # noqa: E402
from machine import cpus  # noqa: E402

FIGURES = pathlib.Path(__file__).with_name("gate.json")
SLACK = 1.03
# Disturbances only ever add.
TRIES = 5
TIME_LIMIT = 100

# The limits that do not move with what is committed.
RATIO_LIMIT = 1.28
SHAPES = {"8x16": (8, 16, 0.20), "64x1": (64, 1, 2.2), "1x1": (1, 1, 3.1)}
SHORT, LONG = 4000, 44000
SYSCALLS_SHORT, SYSCALLS_LONG = 2000, 22000


def toolchain():
    """Compiler and Lua, as the program itself tells."""
    program = (BUILD / "spoa-lua").read_bytes()
    compilers = set(re.findall(rb"GCC: \(.*?\) [\d.]+|[A-Za-z ]*clang version [\d.]+", program))
    version = subprocess.run([str(BUILD / "spoa-lua"), "-V"], capture_output=True, text=True, check=True).stdout
    lua = re.search(r"Lua [\d.]+", version).group()
    return ", ".join(sorted(text.decode() for text in compilers) + [lua])


def run_load(agent, port, args, count):
    figures = load(port, ["-n", count, "-t", 20, *args], cpu=cpus()[1], timeout=TIME_LIMIT)
    if found := faults(figures):
        raise RuntimeError(f"{agent.name}: faults {found}")
    if figures["answered"] != count:
        raise RuntimeError(f"{agent.name}: {figures['answered']} of {count} answered")


def asked(agent, connections, outstanding):
    return ["-c", connections, "-p", outstanding, "-m", agent.message, "-a", "client_ip=ipv4:10.1.2.3",
            *agent.expected()]


def collected(agent, args, count, **running):
    """Instructions of one run from start to end."""
    wrapper = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    with Running(agent, cpus()[0], wrapper, **running) as started:
        run_load(agent, started.port, args, count)
        log = started.stop()
    found = re.findall(r"Collected\s*:\s*(\d+)", log)
    if not found:
        raise RuntimeError(f"callgrind said nothing of {agent.name}:\n{log}")
    return sum(map(int, found))


def instructions(agent):
    args = asked(agent, 1, 16)
    return (collected(agent, args, LONG) - collected(agent, args, SHORT)) / (LONG - SHORT)


def called(shape, count):
    """System calls of one run from start to end."""
    connections, outstanding, _ = SHAPES[shape]
    table = FIGURES.parent / "out" / f"strace-{shape}-{count}"
    table.parent.mkdir(exist_ok=True)
    with Running(SPOA_LUA, cpus()[0], ["strace", "-f", "-c", "-o", str(table)]) as running:
        run_load(SPOA_LUA, running.port, asked(SPOA_LUA, connections, outstanding), count)
        running.stop()
    text = table.read_text()
    table.unlink()
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\d+\s+)?(\d+)\s+(?:\d+\s+)?total$", text, re.M)
    if not total:
        raise RuntimeError(f"strace's table has no total:\n{text}")
    return int(total.group(1))


def syscalls(shape):
    return (called(shape, SYSCALLS_LONG) - called(shape, SYSCALLS_SHORT)) / (SYSCALLS_LONG - SYSCALLS_SHORT)


class Gate:
    def __init__(self, committed):
        self.committed = committed
        self.measured = {}
        self.passed = self.failed = 0

    def bound(self, name, limit=None, compared=True):
        """The most that a figure may be."""
        committed = self.committed.get(name) if compared else None
        bounds = ([committed * SLACK] if committed is not None else []) + ([limit] if limit is not None else [])
        return min(bounds) if bounds else None

    def check(self, name, measure, limit=None, compared=True):
        bound = self.bound(name, limit, compared)
        value = measure()
        for _ in range(TRIES - 1):
            if bound is None or value <= bound:
                break
            value = min(value, measure())
        self.judge(name, value, bound, limit)
        return value

    def judge(self, name, value, bound, limit):
        good = bound is None or value <= bound
        self.measured[name] = round(value, 4)
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        committed = self.committed.get(name)
        print(f"{'ok  ' if good else 'FAIL'} {name:34} {value:10,.3f}"
              f"   committed {'-' if committed is None else format(committed, ',.3f'):>10}"
              f"   limit {'-' if limit is None else format(limit, ',.2f'):>5}", flush=True)


def measure_all(gate, same):
    ours = gate.check("instructions spoa-lua", lambda: instructions(SPOA_LUA), compared=same)
    yardstick = gate.check("instructions yardstick", lambda: instructions(YARDSTICK), compared=same)
    gate.judge("instructions, ratio to yardstick", ours / yardstick,
               gate.bound("instructions, ratio to yardstick", RATIO_LIMIT), RATIO_LIMIT)
    for shape, (_, _, limit) in SHAPES.items():
        gate.check(f"system calls {shape}", lambda shape=shape: syscalls(shape), limit)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="commit to what is measured now")
    parser.add_argument("--file", type=pathlib.Path, default=FIGURES)
    options = parser.parse_args()
    known = json.loads(options.file.read_text()) if options.file.exists() else {}
    tools = toolchain()
    same = known.get("toolchain") == tools
    if known and not same:
        print(f"instructions are not compared by themselves: this is {tools}, the committed are of "
              f"{known.get('toolchain')}")
    gate = Gate({} if options.update else known.get("figures", {}))
    try:
        measure_all(gate, same)
    except (RuntimeError, AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"FAIL {error}")
        gate.failed += 1
    if options.update and not gate.failed:
        options.file.write_text(json.dumps({"toolchain": tools, "figures": gate.measured}, indent=2) + "\n")
        print(f"written: {options.file}")
    elif not options.update and not known:
        print(f"FAIL {options.file} is not there: --update writes it")
        gate.failed += 1
    print(f"{gate.passed} passed, {gate.failed} failed")
    return int(gate.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
