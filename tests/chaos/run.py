#!/usr/bin/env python3
"""Handlers that do to one another whatever Lua can, drawn from a seed, and clients that come and go.

    tests/chaos/run.py [--seed N | --count N | --seconds S] [--jobs N] [--go-on]

A seed is a configuration, a few scripts, each loaded by a reload in the middle of the traffic for
the one before, and that traffic (draw.py has the scripts).  What must hold, whatever they do:

    no sanitizer says anything, no worker dies or is killed, the daemon ends with 0 when told to;
    who stays on a connection is answered every NOTIFY once, with a list of actions that can be read,
    by its deadline or a few seconds later (the machine may be busy);
    the handler `ok`, which does nothing, has the right answer, unless the limits drawn are in its way.

The first seed that fails ends it, with what was drawn and the log; `--seed` runs that one again.
What depends on time can need a few runs to come back.  --count takes the seeds from 1 on, --seconds
others each time; --go-on goes on behind failures.
"""
import argparse
import concurrent.futures
import itertools
import pathlib
import random
import re
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import draw  # noqa: E402
from lib import spop  # noqa: E402
from lib.agent import SANITIZER, SANITIZER_ENV, Agent  # noqa: E402

PATIENCE = 15
DIED = re.compile(rf"(?:{SANITIZER.pattern}|worker \d+ .*(?:was killed|ended with|started)|not ended are killed).*")
# What keeps `ok` from its answer: the limits on all handlers together.
IN_THE_WAY = ({"txn.spoa_error": ("str", "busy")}, {"txn.spoa_error": ("str", "memory")})
LOG_SHOWN = 20000


class Stayer:
    """A client that is owed an answer for all that it sends."""

    def __init__(self, run):
        self.random = run.random
        self.client = spop.Client(run.agent.address, timeout=run.deadline + PATIENCE)
        self.client.handshake()
        self.owed = {}

    def send(self, count):
        data = b"".join(self.notify() for _ in range(count))
        cuts = sorted(self.random.randrange(len(data)) for _ in range(self.random.randrange(4)))
        for start, end in itertools.pairwise([0, *cuts, len(data)]):
            self.client.send(data[start:end])
            if self.random.random() < 0.3:
                self.client.await_read()

    def notify(self):
        """One NOTIFY, sometimes in fragments; to `ok` alone, or to others with `ok` among them."""
        ids = (self.random.randrange(1 << 20), len(self.owed) + 1)
        right = self.random.randrange(1 << 30) if self.random.random() < 0.4 else None
        self.owed[ids] = right
        payload = message("ok", right) if right else messages(self.random)
        cuts = sorted(self.random.sample(range(1, len(payload)), self.random.choice((0, 0, 0, 2))))
        return b"".join(spop.fragments(*ids, payload, *cuts))

    def collect(self):
        """Every answer, each once, and then nothing more before the goodbye."""
        while self.owed:
            ack = self.client.frame()
            if ack.kind != spop.ACK or ack.ids not in self.owed:
                raise AssertionError(f"received {ack!r}, owed were {list(self.owed)}")
            right = self.owed.pop(ack.ids)
            if right is None:
                ack.actions()
            elif ack.vars() != {"txn.ok": ("int64", right)} and ack.vars() not in IN_THE_WAY:
                raise AssertionError(f"ok({right}) was answered {ack.vars()}")
        self.client.goodbye()
        self.client.close()


def message(name, value):
    return spop.message(name, ("v", value))


def messages(random):
    names = [random.choice((*(f"h{n + 1}" for n in range(draw.HANDLERS)), "ok")) for _ in range(random.choice((1, 1, 2, 5)))]
    return b"".join(message(name, 1) for name in names)


def leave(run):
    """A client that is gone in the middle of something."""
    client = spop.Client(run.agent.address, timeout=PATIENCE)
    data = b"".join(spop.notify(n, 1, messages(run.random)) for n in range(run.random.randint(1, 8)))
    if run.random.random() < 0.2:
        data = spop.hello() + data
    else:
        client.handshake()
    how = run.random.choice(("close", "reset", "half_close", "disconnect", "cut", "cut"))
    if how == "disconnect":
        data += spop.disconnect()
    client.send(data[:run.random.randrange(len(data))] if how == "cut" else data)
    if run.random.random() < 0.7:
        client.await_read()
    if how == "half_close":
        client.half_close()
    if how == "reset":
        client.reset()
    client.close()


class Run:
    """One seed."""

    def __init__(self, seed):
        self.seed, self.random = seed, random.Random(seed)
        self.config = draw.config(self.random)
        self.programs = [draw.program(self.random) for _ in range(self.random.randint(1, 4))]
        self.deadline = int(self.config["handler-timeout"].removesuffix("ms")) / 1000
        # Looking for leaks costs more than all the rest.
        leaks = "1" if self.random.random() < 0.1 else "0"
        self.env = {"ASAN_OPTIONS": f"{SANITIZER_ENV['ASAN_OPTIONS']}:detect_leaks={leaks}"}
        self.agent = None

    def play(self):
        """None, or what went wrong."""
        try:
            self.agent = Agent(self.programs[0], "".join(f"{k} {v}\n" for k, v in self.config.items()), env=self.env,
                               start=False)
            self.agent.start()
            for program in [*self.programs[1:], None]:
                self.load(program)
            self.settle()
            self.agent.stop()
            if died := DIED.search(self.agent.log()):
                raise AssertionError(died.group())
        except Exception as error:  # a socket's too
            return self.report(error)
        finally:
            self.agent.process.kill()
        shutil.rmtree(self.agent.folder, ignore_errors=True)
        return None

    def load(self, following):
        """Traffic for the script that serves, and for the next one while it takes over."""
        stayers = [Stayer(self) for _ in range(self.random.randint(1, 3))]
        self.traffic(stayers)
        if following:
            mark = self.agent.mark()
            self.agent.write("handlers.lua", following)
            self.agent.signal(signal.SIGHUP)
            self.traffic(stayers)
            self.agent.wait_log("scripts reloaded|reload failed", PATIENCE, mark)
            self.traffic(stayers)
        for stayer in stayers:
            stayer.collect()

    def traffic(self, stayers):
        for stayer in stayers:
            stayer.send(self.random.randint(1, 10))
            if self.random.random() < 0.4:
                leave(self)

    def settle(self):
        """Whatever was in its way, in the end `ok` is right."""
        deadline = time.monotonic() + PATIENCE
        with spop.Client(self.agent.address, timeout=PATIENCE) as client:
            client.handshake()
            while (answer := client.notify("ok", ("v", self.seed)).vars()) != {"txn.ok": ("int64", self.seed)}:
                if time.monotonic() > deadline:
                    raise AssertionError(f"in the end ok is still answered {answer}")
            client.goodbye()

    def report(self, error):
        if self.agent.process:
            time.sleep(0.2 if self.agent.process.running() else 0)      # for what a sanitizer still has to say
        log = self.agent.log()[-LOG_SHOWN:] if self.agent.process else ""
        died = DIED.search(log)
        scripts = "\n".join(f"---- script {n} ----\n{text}" for n, text in enumerate(self.programs, 1))
        drawn = "\n".join(f"{key} {value}" for key, value in self.config.items())
        return (f"{scripts}\n---- configuration ----\n{drawn}\n---- log ----\n{log}\n"
                f"seed {self.seed} failed: {died.group() if died else ''} {error!r:.500}\n"
                f"once more: make chaos SEED={self.seed}")


def seeds(options):
    if options.seed is not None:
        return iter([options.seed])
    if options.count:
        return iter(range(1, options.count + 1))
    first, end = random.SystemRandom().randrange(1 << 30), time.monotonic() + options.seconds
    return itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(first))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=3, help="seeds at once (%(default)s)")
    parser.add_argument("--go-on", action="store_true")
    options = parser.parse_args()
    coming, passed, failed = seeds(options), 0, 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        playing = {pool.submit(Run(seed).play) for seed in itertools.islice(coming, options.jobs)}
        while playing:
            done, playing = concurrent.futures.wait(playing, return_when=concurrent.futures.FIRST_COMPLETED)
            for one in done:
                if report := one.result():
                    print(report, flush=True)
                failed, passed = failed + bool(report), passed + (not report)
                if options.go_on or not failed:
                    playing |= {pool.submit(Run(seed).play) for seed in itertools.islice(coming, 1)}
    print(f"{passed} passed, {failed} failed", flush=True)
    return int(failed > 0 or not passed)


if __name__ == "__main__":
    sys.exit(main())
