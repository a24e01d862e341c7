"""More connections than max-connections, and more than there are descriptors."""
import resource
import unittest

from daemon import assert_serves, start
from lib import spop
from lib.waiting import wait_until


class Limits(unittest.TestCase):
    def test_max_connections(self):
        """Those above are closed at once; when some have gone, new ones are served."""
        with start("max-connections 20") as agent:
            files, clients = agent.fds(), []
            for _ in range(20):
                client = self.enterContext(spop.Client(agent.address))
                client.handshake()
                clients.append(client)
            for _ in range(30):
                with spop.Client(agent.address) as client:
                    client.closed()
            for client in clients:
                self.assertEqual(client.notify("echo", ("v", 1)).vars(), {"txn.v": ("int64", 1)})
                client.goodbye()
                client.close()
            wait_until(lambda: agent.fds() == files, "descriptors stay open")
            assert_serves(agent)
            self.assertLess(len(agent.log().splitlines()), 15)

    def test_descriptors(self):
        """Out of descriptors it neither spins nor floods its log; the ones it has go on, and once
        some are free again the waiting ones are served."""
        with start() as agent:
            resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (agent.fds() + 10,) * 2)
            clients = [self.enterContext(spop.Client(agent.address)) for _ in range(40)]
            for client in clients:
                client.send(spop.hello())
            served = []
            while len(served) < 10:
                served = [client for client in clients if client.poll(0.05)]
            for client in served:
                self.assertEqual(client.frame().kind, spop.AGENT_HELLO)
            before = agent.cpu()
            self.assertEqual([client for client in clients if client.poll(0.05)], [])
            self.assertLess(agent.cpu() - before, 0.5)
            self.assertLess(len(agent.log().splitlines()), 30)
            for client in served:
                self.assertEqual(client.notify("echo", ("v", 1)).vars(), {"txn.v": ("int64", 1)})
                client.goodbye()
                client.close()
            for client in clients:
                if client not in served:
                    self.assertEqual(client.frame().kind, spop.AGENT_HELLO)
                    client.close()
            assert_serves(agent)
