"""How spoa-lua's cost of a message grows: with connections (CPU time), and with arguments and
handlers (callgrind's instructions, which repeat exactly)."""
from agents import SPOA_LUA, faults, has_key
from gate import collected
from measure import ADDRESS, cpu, measured, table

CONNECTIONS = [1, 8, 64, 256, 1000]
ARGUMENTS = [1, 10, 50, 100, 200]
HANDLERS = [1, 100, 1000, 10000]
SHORT, LONG = 1000, 6000


def connections(options, say):
    rows, first = [], None
    for count in CONNECTIONS:
        figures = measured(SPOA_LUA, ["-c", count, "-p", 16], options)
        first = first or cpu(figures)
        rows.append([f"{count:,}", f"{cpu(figures):.3f}", f"{cpu(figures) / first:.2f}",
                     f"{figures['foreign']:.0%}", faults(figures) or "none"])
        say(f"{count} connections: {cpu(figures):.3f} us")
    return table(["connections x16", "CPU us/ACK", "x the first", "others' CPU", "faults"], rows)


def instructions(words, message, script):
    def count(messages):
        return collected(SPOA_LUA, ["-c", 1, "-p", 16, "-m", message, *words], messages, script=script)
    return (count(LONG) - count(SHORT)) / (LONG - SHORT)


def arguments(say):
    rows = []
    script = "function many(args) return { ['sess.score'] = args.a0 } end"
    for count in ARGUMENTS:
        words = [word for n in range(count) for word in ("-a", f"a{n}=int64:{n}")]
        found = instructions([*words, "-x", "sess.score=0"], "many", script)
        rows.append([count, f"{found:,.0f}", f"{found / count:,.0f}"])
        say(f"{count} arguments: {found:,.0f} instructions")
    return table(["arguments", "instructions a message", "an argument"], rows)


def handlers(say):
    rows = []
    for count in HANDLERS:
        script = "\n".join(f"function h{n}(args) return {{ ['sess.score'] = {n} }} end" for n in range(count))
        found = instructions([*ADDRESS, "-x", f"sess.score={count // 2}"], f"h{count // 2}", script)
        rows.append([f"{count:,}", f"{found:,.0f}"])
        say(f"{count} handlers: {found:,.0f} instructions")
    return table(["handlers", "instructions a message"], rows)


def workers(options, say):
    """Without a CPU of its own each: two workers share the one that one worker has."""
    rows = []
    for count in (1, 2):
        figures = measured(SPOA_LUA, ["-c", 8, "-p", 16], options, workers=count)
        rows.append([count, f"{cpu(figures):.3f}", f"{figures['foreign']:.0%}"])
        say(f"{count} workers: {cpu(figures):.3f} us")
    return table(["workers, 8x16", "CPU us/ACK", "others' CPU"], rows)


def report(options, say):
    texts = [connections(options, say), arguments(say), handlers(say)]
    if has_key("workers"):
        texts.append(workers(options, say))
    return "\n\n".join(texts)
