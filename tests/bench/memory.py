"""spoa-lua's memory: the peak with 64 connections, the growth over a million messages, what an
idle connection holds."""
import os
import pathlib
import subprocess
import time

from agents import SPOA_LUA, SPOP_BENCH, Running, descendants, faults, load, pinned
from machine import cpus
from measure import ADDRESS, table

IDLE = 1000
MILLION = 1_000_000
PEAK_LIMIT = 6.0


def _field(pid, file, field):
    for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/{file} has no {field}")


def _sum(pid, file="smaps_rollup", field="Pss"):
    """KiB of all its processes: Pss has a page that several share once."""
    return sum(_field(each, file, field) for each in [pid, *descendants(pid)])


def _run(running, args):
    figures = load(running.port, [*args, "-t", 10, *ADDRESS, "-m", SPOA_LUA.message, *SPOA_LUA.expected()],
                   cpu=cpus()[1], pid=running.pid)
    if found := faults(figures):
        raise RuntimeError(f"faults {found}")
    return figures


def peak():
    with Running(SPOA_LUA, cpus()[0]) as running:
        _run(running, ["-c", 64, "-p", 16, "-n", 200_000])
        return _sum(running.pid) / 1024, _sum(running.pid, "status", "VmHWM") / 1024


def growth():
    """MiB after the first hundred thousand messages, and after a million more."""
    with Running(SPOA_LUA, cpus()[0]) as running:
        _run(running, ["-c", 8, "-p", 16, "-n", MILLION // 10])
        before = _sum(running.pid)
        _run(running, ["-c", 8, "-p", 16, "-n", MILLION])
        return before / 1024, _sum(running.pid) / 1024


def _descriptors(pid):
    return sum(len(os.listdir(f"/proc/{each}/fd")) for each in [pid, *descendants(pid)])


def idle():
    """KiB a connection that has said HELLO and is silent."""
    with Running(SPOA_LUA, cpus()[0]) as running:
        _run(running, ["-c", 8, "-n", 1000])
        before, descriptors = _sum(running.pid), _descriptors(running.pid)
        words = [*pinned(cpus()[1]), str(SPOP_BENCH), f"127.0.0.1:{running.port}", "-c", str(IDLE),
                 "-r", "1", "-w", "0", "-d", "3", "--json"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load_process:
            most = 0
            while load_process.poll() is None:
                if _descriptors(running.pid) >= descriptors + IDLE:
                    most = max(most, _sum(running.pid))
                time.sleep(0.05)
        if not most:
            raise RuntimeError(f"never had {IDLE} connections")
        return (most - before) / IDLE


def report():
    top, resident = peak()
    before, after = growth()
    each = idle()
    return table(["spoa-lua's memory", "measured", "wanted"],
                 [["supervisor and worker, 64 connections, MiB", f"{top:.2f}", f"<= {PEAK_LIMIT:.0f}"],
                  ["their resident peaks, shared pages twice, MiB", f"{resident:.2f}", ""],
                  ["after 100,000 messages, MiB", f"{before:.2f}", ""],
                  ["after a million more, MiB", f"{after:.2f}", "as before"],
                  ["an idle connection, KiB", f"{each:.2f}", "a few"]])
