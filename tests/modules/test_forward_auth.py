"""lua/examples/forward-auth.lua behind a real HAProxy, with the rules that its comment shows."""
import re

from lib.agent import ROOT, Agent
from lib.examples import patient
from lib.haproxy import HAProxy, VersionsCase
from lib.web import Rude

EXAMPLE = ROOT / "lua/examples/forward-auth.lua"


def shown(text):
    """The HAProxy lines of the example's comment, with the prefix that the tests' HAProxy has."""
    comment = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    return "\n".join(line.replace(".auth.", ".t.") for line in comment if line.startswith("http-request "))


def message(text):
    """Its spoe-message, the arguments on one line."""
    inside = re.search(r"spoe-message forward-auth\n(.*?)event", text, re.S).group(1)
    return " ".join(inside.replace("--", " ").replace("(one line)", " ").split())


def service(connection, head):
    """Knows ann; sends others to log in; forbids /admin to all; is out of order for /broken."""
    text = head.decode("latin-1").lower()
    if "x-forwarded-uri: /broken" in text:
        return None
    if "x-forwarded-uri: /admin" in text:
        return b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
    if "x-forwarded-uri: /api" in text and "authorization:" not in text:
        return b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
    if "cookie: session=ann" in text or "authorization: bearer ann" in text:
        return b"HTTP/1.1 200 OK\r\nX-User: ann\r\ncontent-length: 0\r\n\r\n"
    return b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\ncontent-length: 0\r\n\r\n"


class ForwardAuth(VersionsCase):
    versions = ("2.6",)

    def each_decides(self, version):
        text = EXAMPLE.read_text()
        with Rude(service) as server, Agent(patient("forward-auth"), env={"AUTH_SERVICE": server.url + "auth"}) as agent, \
                HAProxy(version, agent, {"forward-auth": message(text)}, rules=shown(text),
                        body="%[req.hdr(x-user)]") as haproxy:
            def get(path, **headers):
                reply = haproxy.get(path, headers={"X-User": "forged", **headers})
                return reply.status, reply.body

            self.assertEqual(get("/", Cookie="session=ann"), (200, b"ann"))
            self.assertEqual(get("/api", Authorization="Bearer ann"), (200, b"ann"))
            self.assertEqual(haproxy.get("/").status, 302)
            self.assertIn(("location", "https://login.example/"), haproxy.get("/").headers)
            self.assertEqual(get("/api")[0], 401)
            self.assertEqual(get("/admin", Cookie="session=ann")[0], 403)
            self.assertEqual(get("/broken", Cookie="session=ann")[0], 503)
            agent.wait_log(r"forward-auth\.lua:.*Empty reply from server")
            head = server.heads[0].decode()
            self.assertTrue(head.startswith("GET /auth HTTP/1.1\r\n"), head)
            for line in ("x-forwarded-for: 127.0.0.1", f"x-forwarded-host: 127.0.0.1:{haproxy.port}",
                         "x-forwarded-method: GET", "x-forwarded-uri: /", "cookie: session=ann"):
                self.assertIn(f"\r\n{line}\r\n", head)

    def each_denies_when_the_agent_is_gone(self, version):
        text = EXAMPLE.read_text()
        with Agent(EXAMPLE) as agent, \
                HAProxy(version, agent, {"forward-auth": message(text)}, rules=shown(text)) as haproxy:
            agent.stop()
            self.assertEqual(haproxy.get("/", headers={"Cookie": "session=ann"}).status, 503)
