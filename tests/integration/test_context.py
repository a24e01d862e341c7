"""A handler's second parameter: which message, exchange, engine and peer."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase, has_mux

LUA = """
function what_is_it(args, ctx)
    local before = ctx.remaining()
    spoa.sleep(0.05)
    return { ["txn.message"] = ctx.message, ["txn.stream"] = ctx.stream_id, ["txn.frame"] = ctx.frame_id,
             ["txn.engine"] = ctx.engine_id, ["txn.peer"] = ctx.peer,
             ["txn.time"] = before > ctx.remaining() and before <= 20 and ctx.remaining() > 0 }
end
"""
NAMES = ("message", "stream", "frame", "engine", "peer", "time")


class Context(VersionsCase):
    def each_field(self, version):
        with Agent(LUA, "handler-timeout 20s") as agent, HAProxy(version, agent, {"what-is-it": "args src"},
                                          show={name: f"txn.t.{name}" for name in NAMES}) as haproxy:
            replies = [haproxy.get() for _ in range(3)]
            for reply in replies:
                self.assertEqual((reply["message"], reply["time"], reply["err"]), ("what-is-it", "1", None))
                self.assertRegex(reply["peer"], r"^127\.0\.0\.1:\d+$")
                self.assertRegex(reply["engine"], r"^[0-9A-Fa-f]{8}-")
            self.assertEqual(len({reply["engine"] for reply in replies}), 1)
            self.assertEqual(len({(reply["peer"], reply["stream"], reply["frame"]) for reply in replies}), 3)
            if has_mux(version):
                self.assertEqual([(r["stream"], r["frame"]) for r in replies], [("1", "1"), ("3", "1"), ("5", "1")])
