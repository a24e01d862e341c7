"""lua/examples/session.lua behind a real HAProxy, with tokens signed by openssl."""
import base64
import json
import subprocess
import time

from lib.agent import ROOT, Agent, temp_folder
from lib.haproxy import HAProxy, VersionsCase


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Session(VersionsCase):
    versions = ("2.6", "3.2")

    def openssl(self, *arguments, data=None):
        return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=True,
                              timeout=60).stdout

    def token(self, key, **claims):
        signed = part(b'{"alg":"RS256"}') + "." + part(json.dumps(claims).encode())
        return signed + "." + part(self.openssl("dgst", "-sha256", "-sign", key, data=signed.encode()))

    def each_decides(self, version):
        folder = temp_folder("session")
        key, other, public = folder / "key.pem", folder / "other.pem", folder / "public.pem"
        for private in (key, other):
            self.openssl("genrsa", "-out", private, "2048")
        self.openssl("rsa", "-in", key, "-pubout", "-out", public)
        soon = int(time.time()) + 600
        with Agent(ROOT / "lua/examples/session.lua", env={"ISSUER": str(public)}) as agent, \
                HAProxy(version, agent, {"check-session": "args authorization=req.hdr(authorization)"},
                        show={"user": "txn.t.user", "reason": "txn.t.reason"}) as haproxy:
            def user(token):
                return haproxy.get("/", headers={"Authorization": f"Bearer {token}"} if token else {})["user"]

            self.assertEqual(user(self.token(key, sub="ann", aud="shop", exp=soon)), "ann")
            self.assertIsNone(user(self.token(key, sub="ann", aud="bank", exp=soon)))
            self.assertIsNone(user(self.token(key, sub="ann", aud="shop", exp=soon - 1200)))
            self.assertIsNone(user(self.token(other, sub="ann", aud="shop", exp=soon)))
            self.assertIsNone(user("nonsense"))
            self.assertIsNone(user(None))
            self.assertEqual(haproxy.get("/")["reason"], "no token")
