"""2,000 connections opened and dropped, in every way a connection can be dropped."""
import unittest

from daemon import Flat, assert_serves, start
from lib import spop
from lib.waiting import wait_until

WHOLE = spop.hello() + spop.notify(1, 1, spop.message("echo", ("v", "x" * 1000)))
SLEEPER = spop.hello() + spop.notify(1, 1, spop.message("sleep", ("v", 60000)))

# What is sent before it is dropped, and how.
WAYS = [(b"", "close"), (b"", "reset"), (WHOLE[:7], "close"), (WHOLE, "reset"), (WHOLE, "close"), (SLEEPER, "reset"),
        (SLEEPER, "close"), (WHOLE + SLEEPER, "close")]


class ConnectionFlood(unittest.TestCase):
    def test_opened_and_dropped(self):
        with start("handler-timeout 1m") as agent:
            assert_serves(agent)
            files = agent.fds()
            with Flat(agent, 24):
                for _ in range(5):
                    clients = [spop.Client(agent.address) for _ in range(400)]
                    for n, client in enumerate(clients):
                        client.send(WAYS[n % len(WAYS)][0])
                    for n, client in enumerate(clients):
                        getattr(client, WAYS[n % len(WAYS)][1])()
                    assert_serves(agent)
                wait_until(lambda: agent.fds() <= files, "descriptors stay open")

    def test_one_after_another(self):
        """As a refused HAProxy does it: connect, HELLO, read, gone."""
        with start() as agent:
            files = agent.fds()
            for _ in range(1000):
                with spop.Client(agent.address) as client:
                    client.handshake()
            assert_serves(agent)
            wait_until(lambda: agent.fds() <= files, "descriptors stay open")
