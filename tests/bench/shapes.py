"""Every shape against every agent, interleaved: a shape is connections x NOTIFYs outstanding on
each, perhaps with a body."""
from measure import Results, cpu, measured, rate, table, times

SHAPES = {
    "1x1": (["-c", "1", "-p", "1"], 0),
    "1x32": (["-c", "1", "-p", "32"], 0),
    "8x16": (["-c", "8", "-p", "16"], 0),
    "64x1": (["-c", "64", "-p", "1"], 0),
    "8x16+8K": (["-c", "8", "-p", "16"], 8192),
}

# What spoa-lua is to reach: (shape, figure, against, at most or at least, bound)
GOALS = [
    ("1x1", cpu, "floor", "<=", 1.35),
    ("64x1", cpu, "floor", "<=", 1.25),
    ("8x16", cpu, "yardstick", "<=", 1.5),
    ("8x16+8K", cpu, "yardstick", "<=", 1.5),
    ("8x16", rate, "floor", ">=", 0.4),
]


def measure(agents, shapes, options, say):
    results = Results()
    for repeat in range(options.repeats):
        for shape in shapes:
            args, body = SHAPES[shape]
            turn = repeat % len(agents)
            for agent in agents[turn:] + agents[:turn]:
                figures = measured(agent, args, options, body)
                results.add(shape, agent.name, repeat, figures)
                say(f"{repeat + 1}/{options.repeats} {shape:8} {agent.name:12} {rate(figures):11,.0f}/s "
                    f"{cpu(figures):8.3f} us   others had {figures['foreign']:.1%}")
    return results


def _faults(results, shape, name):
    return ", ".join(f"{k} {v}" for k, v in results.faults(shape, name).items()) or "none"


def tables(results, agents, shapes):
    texts = []
    for shape in shapes:
        rows = []
        for agent in agents:
            name = agent.name
            if not results.has(shape, name):
                continue
            spread = results.values(shape, name, cpu)
            alone = all(not figures["pipelining"] for figures in results.of(shape, name).values())
            rows.append([name + (" (no pipelining)" if alone else ""),
                         f"{results.median(shape, name, rate):,.0f}", times(results.ratio(shape, name, "floor", rate)),
                         f"{results.median(shape, name, cpu):.2f}", f"{min(spread):.2f}-{max(spread):.2f}",
                         times(results.ratio(shape, name, "floor", cpu)),
                         times(results.ratio(shape, name, "yardstick", cpu)),
                         f"{results.median(shape, name, lambda f: f['latency_us']['p50']):,.0f}",
                         f"{results.median(shape, name, lambda f: f['latency_us']['p99']):,.0f}",
                         f"{max(results.values(shape, name, lambda f: f['agent']['peak_kib'])) / 1024:.1f}",
                         f"{results.worst(shape, name):.0%}", _faults(results, shape, name)])
        texts.append(f"### {shape}\n\n" + table(
            ["agent", "ACKs/s", "x floor", "CPU us/ACK", "spread", "x floor", "x yardstick", "p50 us", "p99 us",
             "peak MiB", "others' CPU", "faults"], rows))
    return "\n\n".join(texts)


def goals(results, name="spoa-lua"):
    rows = []
    for shape, get, base, sense, bound in GOALS:
        ratio = results.ratio(shape, name, base, get)
        if ratio is None:
            continue
        met = ratio <= bound if sense == "<=" else ratio >= bound
        rows.append([f"{shape}: {'CPU' if get is cpu else 'ACKs/s'} x {base}", f"{ratio:.3f}", f"{sense} {bound}",
                     "yes" if met else "NO"])
    return table([f"goal of {name}", "measured", "wanted", "reached"], rows) if rows else ""
