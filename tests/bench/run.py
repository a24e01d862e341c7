#!/usr/bin/env python3
"""Measures spoa-lua beside the floor and the yardstick, and prints ratios.

    tests/bench/run.py [--seconds S] [--repeats N] [--parts P,...] [--shapes S,...] [--agents FILE]

Parts:  shapes  every shape (connections x NOTIFYs outstanding) against every agent
        memory  peak, growth over a million messages, an idle connection
        scale   cost of a message by connections, arguments, handlers
        waiting answers while a thousand handlers wait; a handler that waits on Redis
        fair    answers of a handler that costs nothing, health checks and HELLOs beside others that compute
        e2e     requests a second through real HAProxy with wrk

The agent runs on one CPU, the load on another.  Every agent is started afresh for every figure;
repeats are interleaved over the agents, and ratios are the medians of those within one repeat.  A
figure during which other processes had more than --disturbed of the two CPUs is measured again, up
to --tries times; the column "others' CPU" tells what was left of that.

--agents adds agents of others, a JSON list:
    [{"name": "other", "command": ["/path/agent", "-p", "{port}"], "message": "get-ip-reputation",
      "expect": "sess.score=42"}]
Each must answer the message with one client_ip=ipv4 argument with that variable.

Tables, all figures (JSON) and plots (SVG) stay in tests/bench/out/.
"""
import argparse
import datetime
import json
import pathlib
import sys

sys.dont_write_bytecode = True

import end_to_end  # noqa: E402
import fair  # noqa: E402
import memory  # noqa: E402
import plot  # noqa: E402
import scaling  # noqa: E402
import shapes  # noqa: E402
import waiting  # noqa: E402
from agents import OURS, foreign  # noqa: E402
from gate import toolchain  # noqa: E402
from machine import description  # noqa: E402
from measure import Options, cpu  # noqa: E402

OUT = pathlib.Path(__file__).with_name("out")
PARTS = ["shapes", "memory", "scale", "waiting", "fair", "e2e"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=Options.seconds, help="of load for a figure (%(default)s)")
    parser.add_argument("--repeats", type=int, default=Options.repeats, help="of every figure (%(default)s)")
    parser.add_argument("--tries", type=int, default=Options.tries, help="for a quiet one (%(default)s)")
    parser.add_argument("--disturbed", type=float, default=Options.disturbed, help="share of CPU (%(default)s)")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--shapes", default=",".join(shapes.SHAPES))
    parser.add_argument("--versions", default=",".join(end_to_end.VERSIONS), help="of HAProxy (%(default)s)")
    parser.add_argument("--agents", help="a file with agents of others")
    options = parser.parse_args()
    for name, known in (("parts", PARTS), ("shapes", list(shapes.SHAPES))):
        chosen = [word for word in getattr(options, name).split(",") if word]
        if unknown := set(chosen) - set(known):
            parser.error(f"--{name}: {', '.join(sorted(unknown))} is none of {', '.join(known)}")
        setattr(options, name, chosen)
    options.versions = options.versions.split(",")
    return options


def shapes_panels(results, agents, chosen):
    panels = []
    for shape in chosen:
        rows = []
        for agent in agents:
            found = results.values(shape, agent.name, cpu)
            ratio = results.ratio(shape, agent.name, "floor", cpu)
            label = f"{results.median(shape, agent.name, cpu):.2f} us, {ratio:.2f} x floor"
            rows.append((agent.name, results.median(shape, agent.name, cpu), min(found), max(found), label))
        panels.append((f"{shape} (connections x outstanding)", rows))
    return panels


def e2e_panels(results, agents, versions):
    panels = []
    for version in versions:
        rows = []
        for agent in agents:
            found = results.values(version, agent.name, lambda figures: figures["per_second"])
            median = results.median(version, agent.name, lambda figures: figures["per_second"])
            rows.append((agent.name, median, min(found), max(found), f"{median:,.0f}/s"))
        panels.append((f"HAProxy {version}", rows))
    return panels


class Report:
    def __init__(self, note):
        self.note = note
        self.texts = [note]
        self.figures = []
        OUT.mkdir(exist_ok=True)

    def add(self, heading, text):
        self.texts.append(f"## {heading}\n\n{text}")
        print(f"\n## {heading}\n\n{text}\n", flush=True)
        # After each part, so that what is measured stays when a later one fails.
        (OUT / "report.md").write_text("\n\n".join(self.texts) + "\n")
        (OUT / "figures.json").write_text(json.dumps(self.figures, indent=1) + "\n")

    def draw(self, name, title, panels):
        (OUT / name).write_text(plot.bars(title, self.note, panels))
        print(f"plot: {OUT / name}", flush=True)


def say(text):
    print(text, flush=True)


def run_shapes(report, agents, options):
    results = shapes.measure(agents, options.shapes, options, say)
    report.figures += results.listed()
    report.add("Shapes", shapes.tables(results, agents, options.shapes) + "\n\n" + shapes.goals(results))
    report.draw("shapes.svg", "CPU of the agent, microseconds a message (less is better)",
                shapes_panels(results, agents, options.shapes))


def run_e2e(report, agents, options):
    results = end_to_end.measure(agents, options.versions, options, say)
    report.figures += results.listed()
    report.add("Through HAProxy", end_to_end.tables(results, agents, options.versions))
    report.draw("haproxy.svg", "Requests a second through HAProxy (more is better)",
                e2e_panels(results, agents, options.versions))


def main():
    options = parse()
    agents = OURS + (foreign(options.agents) if options.agents else [])
    report = Report(f"{datetime.date.today()}, {description()}, {toolchain()}")
    print(report.note, flush=True)
    if "shapes" in options.parts:
        run_shapes(report, agents, options)
    if "memory" in options.parts:
        report.add("Memory", memory.report())
    if "scale" in options.parts:
        report.add("Scale", scaling.report(options, say))
    if "waiting" in options.parts:
        report.add("Waiting", waiting.report(options, say))
    if "fair" in options.parts:
        report.add("Fair", fair.report(options, say))
    if "e2e" in options.parts:
        run_e2e(report, agents, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
