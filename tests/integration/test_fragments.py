"""A 60 KB body that HAProxy up to 3.0 sends in fragments (haproxy.md, 5)."""
import hashlib
import zlib

from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

# Adler-32 sees every byte and its place.
LUA = """
function inspect(args)
    local a, b = 1, 0
    for i = 1, #args.body do
        a = (a + args.body:byte(i)) % 65521
        b = (b + a) % 65521
    end
    return { ["txn.length"] = #args.body, ["txn.sum"] = b << 16 | a, ["txn.after"] = args.after }
end
"""
GLOBALS = "tune.bufsize 131072"
MESSAGE = {"inspect": "args body=req.body after=path"}
RULES = "option http-buffer-request"
SHOW = {name: f"txn.t.{name}" for name in ("length", "sum", "after")}
CONFIG = "handler-cpu 20s\nhandler-timeout 20s\n"
# HAProxy's own limit: up to 3.0 it fragments a message that is larger.
SPOE = "max-frame-size 16384"


def body(length, seed):
    """Bytes of every value that no two places share."""
    blocks = (hashlib.sha256(f"{seed}/{n}".encode()).digest() for n in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def shown(length, seed, path):
    data = body(length, seed)
    return [str(length), str(zlib.adler32(data)), path]


class Fragments(VersionsCase):
    versions = ("2.6", "3.0")

    def proxy(self, version, agent):
        return HAProxy(version, agent, MESSAGE, show=SHOW, rules=RULES, globals_=GLOBALS, timeout="20s", spoe=SPOE)

    def each_60_kb_body(self, version):
        with Agent(LUA, config=CONFIG) as agent, self.proxy(version, agent) as haproxy:
            for length in (0, 1, 16000, 16384, 60000, 100000):
                path = f"/{length}"
                reply = haproxy.get(path, method="POST", body=body(length, path))
                self.assertEqual(([reply[name] for name in SHOW], reply["err"], reply["spoa_error"]),
                                 (shown(length, path, path), None, None))

    def each_bodies_of_many_clients(self, version):
        with Agent(LUA, config=CONFIG) as agent, self.proxy(version, agent) as haproxy:
            data = body(40000, "many")
            replies = haproxy.many(60, 6, path=lambda n: f"/{n}", method="POST", body=data)
            for n, reply in enumerate(replies):
                self.assertEqual(([reply[name] for name in SHOW], reply["err"]), (shown(40000, "many", f"/{n}"), None))

    def each_payload_above_the_limit(self, version):
        # Refused with an error that its own request sees, on a connection that goes on.
        with Agent(LUA, config=CONFIG + "max-payload 50k") as agent, self.proxy(version, agent) as haproxy:
            refused = haproxy.get("/over", method="POST", body=body(60000, "over"))
            self.assertEqual([refused[name] for name in SHOW], [None] * 3)
            reply = haproxy.get("/under", method="POST", body=body(40000, "under"))
            self.assertEqual(([reply[name] for name in SHOW], reply["err"]), (shown(40000, "under", "/under"), None))


class Whole(VersionsCase):
    def each_body_in_one_frame(self, version):
        # The agent accepts what HAProxy announces, up to its own limit, so one frame is enough.
        with Agent(LUA, config=CONFIG) as agent, \
                HAProxy(version, agent, MESSAGE, show=SHOW, rules=RULES, globals_=GLOBALS, timeout="20s") as haproxy:
            reply = haproxy.get("/whole", method="POST", body=body(60000, "whole"))
            self.assertEqual(([reply[name] for name in SHOW], reply["err"]), (shown(60000, "whole", "/whole"), None))
