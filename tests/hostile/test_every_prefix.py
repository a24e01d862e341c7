"""A valid conversation cut short at every byte, by a close and by a half-close."""
import unittest

import conversation
from daemon import Flat, answers, assert_serves, start
from lib import spop
from lib.case import case


class EveryPrefix(unittest.TestCase):
    def test_half_closed(self):
        """What arrived whole is answered, then the agent closes."""
        with start() as agent:
            for length in range(len(conversation.BYTES) + 1):
                with case(length=length), spop.Client(agent.address) as client:
                    client.send(conversation.BYTES[:length])
                    client.half_close()
                    found = answers(client)
                    if found and found[-1].kind == spop.AGENT_DISCONNECT and length < len(conversation.BYTES):
                        found.pop()     # it may say that a frame was cut
                    self.assertEqual(len(found), conversation.due(length), found)
            assert_serves(agent)

    def test_closed(self):
        with start() as agent, Flat(agent, 16):
            for length in range(len(conversation.BYTES) + 1):
                client = spop.Client(agent.address)
                client.send(conversation.BYTES[:length])
                client.reset() if length % 2 else client.close()
            assert_serves(agent)
