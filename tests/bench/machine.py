"""What else the machine is doing: measurements disturbed by it are worth nothing."""
import os
import platform
import time

from agents import descendants

TICK = os.sysconf("SC_CLK_TCK")


def cpus():
    """A CPU for the agent and one for the load; (None, None) where there is only one."""
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[1]) if len(found) > 1 else (None, None)


def busy(which):
    """Busy seconds of these CPUs so far, steal included."""
    names, total = {f"cpu{cpu}" for cpu in which}, 0
    with open("/proc/stat") as stat:
        for line in stat:
            name, *numbers = line.split()
            if name in names:
                user, nice, system, idle, iowait, irq, softirq, steal = map(int, numbers[:8])
                total += user + nice + system + irq + softirq + steal
    return total / TICK


def used(pid):
    """CPU seconds of a process and its children of now."""
    ticks = 0
    for each in [pid, *descendants(pid)]:
        try:
            with open(f"/proc/{each}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks / TICK


class Watch:
    """The share of two CPUs' time that others used, between start and share().  Ours are the
    processes given, this one, and its children that ended meanwhile: the load."""

    def __init__(self, pids):
        self.which = [cpu for cpu in cpus() if cpu is not None] or list(os.sched_getaffinity(0))[:1]
        self.pids = pids
        self.began, self.busy, self.ours = time.monotonic(), busy(self.which), self._ours()

    def _ours(self):
        ended = os.times()
        return sum(used(pid) for pid in self.pids) + sum(ended[:4])

    def share(self):
        elapsed = (time.monotonic() - self.began) * len(self.which)
        others = busy(self.which) - self.busy - (self._ours() - self.ours)
        return max(0.0, others) / elapsed


def description():
    model = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}"
