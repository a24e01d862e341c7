"""A reload with lower limits while connections that agreed to higher ones stay."""
import unittest

from daemon import HANDLERS, assert_serves, start
from lib import spop


class ReloadSmaller(unittest.TestCase):
    def reload(self, agent, *lines):
        text = agent.config_file.read_text().splitlines()
        keys = {line.split()[0] for line in lines}
        kept = [line for line in text if line and line.split()[0] not in keys]
        agent.config_file.write_text("\n".join([*kept, *lines]) + "\n")
        self.assertTrue(agent.reload())

    def test_max_frame_size(self):
        """What was agreed in the HELLO holds for the connection, also for large replies."""
        with start("max-frame-size 1m") as agent, spop.Client(agent.address) as client:
            client.handshake(max_frame_size=1 << 20)
            self.reload(agent, "max-frame-size 256")
            for size in (100, 300, 70000, 1000000):
                value = ("str", "x" * size)
                self.assertEqual(client.notify("echo", ("v", value)).vars(), {"txn.v": value})
            with spop.Client(agent.address) as other:
                self.assertEqual(other.handshake().keys()["max-frame-size"], ("uint32", 256))
                other.goodbye()
            self.reload(agent, "max-frame-size 1m")
            self.assertEqual(client.notify("echo", ("v", "y" * 70000)).vars(), {"txn.v": ("str", "y" * 70000)})
            client.goodbye()
            assert_serves(agent)

    def test_error_variable(self):
        """A handler that fails after a reload sets the variable of the configuration it is answered under."""
        with start("handler-timeout 10s", scripts=HANDLERS + "function fail() spoa.sleep(0.2) error('x') end") as agent:
            with spop.Client(agent.address) as client:
                client.handshake(max_frame_size=256)
                ids = [client.send_notify("fail") for _ in range(3)]
                self.reload(agent, "error-variable sess." + "e" * 58)
                for _ in ids:
                    self.assertEqual(client.frame().vars(), {"sess." + "e" * 58: ("str", "error")})
                client.goodbye()
            assert_serves(agent)

    def test_max_pending(self):
        """Held back by the old limit, then by a lower one, everything is still answered."""
        with start("max-pending 20", "max-output 64k") as agent, spop.Client(agent.address) as client:
            client.handshake()
            ids = [(n, 1) for n in range(1, 101)]
            client.send(*[spop.notify(*i, spop.message("sleep", ("v", 30))) for i in ids])
            self.reload(agent, "max-pending 1", "max-output 1k")
            self.assertEqual(sorted(frame.ids for frame in client.frames(len(ids))), ids)
            client.goodbye()
            assert_serves(agent)
