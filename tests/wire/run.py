#!/usr/bin/env python3
"""Plays the transcripts NAME.wire of this folder against the daemon: one test each (README).

    python3 tests/wire/run.py [-v] [NAME]...
"""
import pathlib
import re
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import notation
from lib import spop
from lib.agent import Agent


class Mismatch(AssertionError):
    pass


class Player:
    """One transcript being played: its daemon's address and its connections by name."""

    def __init__(self, transcript, agent):
        self.transcript, self.agent = transcript, agent
        self.connections = {}
        self.current = "first"
        self.cuts = []
        self.unwanted = []

    def client(self):
        if self.current not in self.connections:
            self.connections[self.current] = spop.Client(self.agent.address)
        return self.connections[self.current]

    def play(self):
        for step in self.transcript.steps:
            try:
                if step.kind == ">":
                    self.send(step.pattern.bytes())
                elif step.kind == "<":
                    self.expect(step.pattern)
                elif step.kind == "close":
                    self.client().closed()
                    self.forget()
                else:
                    self.direct(*step.words)
            except (AssertionError, OSError) as error:
                raise Mismatch(f"{self.transcript.path.name}:{step.line}: {error}") from None
        for name, client in self.connections.items():
            self.leave(name, client)

    def send(self, data):
        """A block, in as many writes as the last `half` or `bytewise` said."""
        client = self.client()
        edges = [0, *(range(1, len(data)) if self.cuts == "all" else self.cuts), len(data)]
        self.cuts = []
        for start, end in zip(edges, edges[1:]):
            client.send(data[start:end])
            if end < len(data):
                client.await_read()

    def expect(self, pattern):
        client = self.client()
        try:
            data = client.receive(len(pattern))
        except AssertionError:
            raise Mismatch(compare(pattern, client.buffer, "and then nothing")) from None
        if not pattern.matches(data):
            raise Mismatch(compare(pattern, data + client.buffer, f"and then {client.ended or 'maybe more'}"))

    def direct(self, verb, *words):
        if verb == "on":
            self.current = words[0]
        elif verb == "hello":
            options = dict(word.split("=", 1) for word in words)
            size = int(options.pop("max-frame-size", spop.MAX_FRAME_SIZE))
            self.client().handshake(max_frame_size=size, **options)
        elif verb == "half":
            self.cuts = [int(word) for word in words]
        elif verb == "bytewise":
            self.cuts = "all"
        elif verb == "log":
            self.agent.wait_log(" ".join(words))
        elif verb == "no-log":
            self.unwanted.append(" ".join(words))
        elif verb == "half-close":
            self.client().half_close()
        elif verb == "close":
            self.client().close()
            self.forget()
        else:
            raise notation.NotationError(f"no directive {verb!r}")

    def forget(self):
        self.connections.pop(self.current).close()
        self.current = "first"

    def leave(self, name, client):
        """Whatever is still open says goodbye; one byte too many, or one ACK, is seen here."""
        try:
            if client.agent_hello:
                client.goodbye()
        except AssertionError as error:
            raise Mismatch(f"{self.transcript.path.name}: at the end of connection {name!r}: {error}") from None
        finally:
            client.close()


def show(data):
    """Received or expected bytes, a line a frame, and what the frame means where it is one."""
    lines, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at:at + 4], "big")
        piece = data[at:end]
        try:
            meaning = repr(spop.Frame.decode(piece[4:])) if len(piece) == end - at else "(not whole)"
        except AssertionError as error:
            meaning = f"({error})"
        lines.append(f"    {piece[:400].hex(' ')}{' ...' if len(piece) > 400 else ''}   {meaning}")
        at = end
    return "\n".join(lines) or "    nothing"


def compare(pattern, data, end):
    expected = pattern.bytes()
    same = next((n for n, (a, b) in enumerate(zip(expected, data)) if a != b), min(len(expected), len(data)))
    return f"differs at byte {same}\n  due:\n{show(expected)}\n  received, {end}:\n{show(data)}"


class Wire(unittest.TestCase):
    """One test for each transcript."""


def add_test(path):
    def test(self):
        transcript = notation.parse(path)
        with Agent(transcript.script, "\n".join(transcript.config)) as agent:
            player = Player(transcript, agent)
            player.play()
        for pattern in player.unwanted:
            self.assertIsNone(re.search(pattern, agent.log(), re.M), f"{path.name}: /{pattern}/ in the log")
    test.__doc__ = None
    setattr(Wire, f"test_{path.stem}", test)


for found in sorted(HERE.glob("*.wire")):
    add_test(found)


class Counts(unittest.TextTestResult):
    """unittest's own, ending as tests/run's files do."""

    def printTotal(self):
        bad = len(self.failures) + len(self.errors)
        print(f"{self.testsRun - bad} passed, {bad} failed", flush=True)
        return bad or not self.testsRun


def main():
    names = [word.removesuffix(".wire").rpartition("/")[2] for word in sys.argv[1:] if word != "-v"]
    loader = unittest.defaultTestLoader
    suite = (loader.loadTestsFromNames([f"test_{name}" for name in names], Wire) if names
             else loader.loadTestsFromTestCase(Wire))
    result = unittest.TextTestRunner(verbosity=1 + ("-v" in sys.argv), resultclass=Counts).run(suite)
    sys.exit(int(bool(result.printTotal())))


if __name__ == "__main__":
    main()
