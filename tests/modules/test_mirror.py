"""lua/examples/mirror.lua behind a real HAProxy: the copy does not hold up the request."""
import threading

from lib.agent import ROOT, Agent
from lib.haproxy import HAProxy, VersionsCase
from lib.web import Rude


class Mirror(VersionsCase):
    versions = ("2.6", "3.2")

    def each_the_request_is_over_before_the_copy(self, version):
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def service(connection, head):
            go_on.wait(20)
            return b"HTTP/1.1 204 No Content\r\n\r\n"

        with Rude(service) as server, \
                Agent(ROOT / "lua/examples/mirror.lua", env={"MIRROR": server.url.rstrip("/")}) as agent, \
                HAProxy(version, agent, {"mirror": "args method=method uri=url host=req.hdr(host)"}) as haproxy:
            self.assertEqual(haproxy.get("/shop?item=7").status, 200)
            server.await_heads(1)
            go_on.set()
            head = server.heads[0].decode()
            self.assertTrue(head.startswith("GET /shop?item=7 HTTP/1.1\r\n"), head)
            self.assertIn(f"\r\nx-original-host: 127.0.0.1:{haproxy.port}\r\n", head)
