"""A reload with lower limits while connections that agreed to higher ones stay."""
import unittest

from daemon import assert_serves, start
from lib import spop

# Fails once the test has said so, by a file.
FAIL = """
function fail()
    while not io.open("fail_now") do spoa.sleep(0.02) end
    error("x")
end
"""


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
        with start("handler-timeout 20s", scripts=FAIL) as agent:
            with spop.Client(agent.address) as client:
                client.handshake(max_frame_size=256)
                ids = [client.send_notify("fail") for _ in range(3)]
                self.reload(agent, "error-variable sess." + "e" * 58)
                agent.write("fail_now", "")
                for _ in ids:
                    self.assertEqual(client.frame().vars(), {"sess." + "e" * 58: ("str", "error")})
                client.goodbye()

    def test_longer_error_variable(self):
        """An ACK that was sized before a reload is no longer than agreed when the variable's name has grown."""
        fill = 'function fill(args) return { ["txn.v"] = string.rep("x", args.v) } end'
        with start("handler-timeout 20s", "error-variable txn.e", scripts=FAIL + fill) as agent:
            with spop.Client(agent.address) as client:
                client.handshake(max_frame_size=256)
                sizes = range(100, 256)
                client.send(*[spop.notify(n, 1, spop.message("fill", ("v", n)), spop.message("fail")) for n in sizes])
                self.reload(agent, "error-variable sess." + "e" * 58)
                agent.write("fail_now", "")
                answers = client.frames(len(sizes))
                self.assertLessEqual(max(len(frame.encode()) - 4 for frame in answers), 255)
                filled = [frame for frame in answers if "txn.v" in frame.vars()]
                self.assertGreater(len(filled), 20)
                for frame in answers:
                    self.assertIn("sess." + "e" * 58, frame.vars())
                client.goodbye()

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
