"""One measurement: an agent started afresh, warmed up, loaded, and the load again when others
used the CPUs meanwhile; the least disturbed try stays.  Also medians and ratios of several."""
import statistics

from agents import Running, faults, load
from machine import Watch, cpus

ADDRESS = ["-a", "client_ip=ipv4:10.1.2.3"]
WARMUP = 0.3


class Options:
    seconds = 2.0
    repeats = 3
    tries = 4
    disturbed = 0.04


def loaded(running, agent, args, seconds, body=0, ours=()):
    """ours: further processes that belong to the measurement."""
    words = [*args, "-d", seconds, "-w", WARMUP, "-m", agent.message, *ADDRESS, *agent.expected(bool(body))]
    if body:
        words += ["-a", f"body=bin:{body}"]
    watch = Watch([running.process.pid, *ours])
    figures = load(running.port, words, cpu=cpus()[1], pid=running.pid, timeout=seconds + 30)
    figures["foreign"] = watch.share()
    return figures


def quiet(once, options):
    """The first figures that were not disturbed, or the least disturbed of all tries."""
    best = None
    for _ in range(options.tries):
        figures = once()
        if best is None or figures["foreign"] < best["foreign"]:
            best = figures
        if best["foreign"] <= options.disturbed:
            break
    return best


def measured(agent, args, options, body=0, ours=(), **running):
    def once():
        with Running(agent, cpus()[0], **running) as started:
            return loaded(started, agent, args, options.seconds, body, ours)
    return quiet(once, options)


def cpu(figures):
    return figures["agent"]["cpu_us_per_ack"]


def rate(figures):
    return figures["acks_per_second"]


class Results:
    """Figures by (what, agent, repeat)."""

    def __init__(self):
        self.rows = {}

    def add(self, what, agent, repeat, figures):
        self.rows[what, agent, repeat] = figures

    def of(self, what, agent):
        return {key[2]: figures for key, figures in self.rows.items() if key[:2] == (what, agent)}

    def has(self, what, agent):
        return bool(self.of(what, agent))

    def values(self, what, agent, get):
        return [get(figures) for figures in self.of(what, agent).values()]

    def median(self, what, agent, get):
        return statistics.median(self.values(what, agent, get))

    def ratio(self, what, agent, base, get):
        """The median of the ratios within one repeat; None when there is none."""
        mine, theirs = self.of(what, agent), self.of(what, base)
        found = [get(mine[n]) / get(theirs[n]) for n in mine if n in theirs and get(theirs[n])]
        return statistics.median(found) if found else None

    def worst(self, what, agent):
        """The share of the CPUs that others had in the most disturbed figures that stayed."""
        return max(self.values(what, agent, lambda figures: figures["foreign"]))

    def faults(self, what, agent):
        found = {}
        for figures in self.of(what, agent).values():
            for name, count in faults(figures).items():
                found[name] = found.get(name, 0) + count
        return found

    def listed(self):
        return [{"what": what, "agent": agent, "repeat": repeat, **figures}
                for (what, agent, repeat), figures in self.rows.items()]


def table(header, rows):
    """A Markdown table whose columns stand below one another."""
    texts = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]

    def line(row):
        return "| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                 for i, (cell, w) in enumerate(zip(row, widths))) + " |"
    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(texts[0]), rule, *map(line, texts[1:])])


def times(ratio):
    return "-" if ratio is None else f"{ratio:.2f}"
