"""What the hostile tests share: a daemon to attack, and the client that must be served afterwards."""
import pathlib
import re

from lib import spop
from lib.agent import SANITIZER_ENV, Agent

HANDLERS = """
function echo(args)
    return { ["txn.v"] = args.v }
end

function sleep(args)
    spoa.sleep(args.v / 1000)
    return { ["txn.slept"] = args.v }
end
"""

# What is freed has to leave the process, or a flat memory could not be told from a growing one.
FREE_AT_ONCE = {"ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"] + ":quarantine_size_mb=1"}

MEBIBYTE = 1 << 20


def start(*config, scripts=HANDLERS, **more):
    """An Agent whose freed memory shows as freed; each argument is a line of configuration."""
    return Agent(scripts, "\n".join(config), env=FREE_AT_ONCE, **more)


def assert_serves(agent):
    """A well-behaved client, from its HELLO to its goodbye."""
    with spop.Client(agent.address) as client:
        client.handshake()
        for value in (("str", "well-behaved"), ("int64", -1), ("bool", True)):
            answer = client.notify("echo", ("v", value)).vars()
            if answer != {"txn.v": value}:
                raise AssertionError(f"the next client got {answer} for {value}")
        client.goodbye()


def peak(agent):
    """The most memory its processes ever had resident, in bytes."""
    return 1024 * sum(int(re.search(r"^VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])
                      for pid in agent.pids())


class Flat:
    """Fails when the daemon's memory inside the `with` block ever exceeds what it was by more than a bound."""

    def __init__(self, agent, mebibytes):
        self.agent, self.bound = agent, mebibytes * MEBIBYTE

    def __enter__(self):
        for pid in self.agent.pids():
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")     # VmHWM starts anew
        self.before = self.agent.rss()
        return self

    def __exit__(self, kind, *_):
        grown = peak(self.agent) - self.before
        if kind is None and grown > self.bound:
            raise AssertionError(f"memory grew by {grown / MEBIBYTE:.1f} MiB, the bound is {self.bound / MEBIBYTE:.0f}")


def answers(client):
    """Every frame up to the agent's close, each of a kind an agent may send."""
    found = client.drain()
    for frame in found:
        if frame.kind == spop.AGENT_DISCONNECT:
            frame.status        # well-formed, with the code's own message
        elif frame.kind == spop.ACK:
            frame.actions()
        elif frame.kind == spop.AGENT_HELLO:
            frame.keys()
        else:
            raise AssertionError(f"the agent sent {frame!r}")
    return found
