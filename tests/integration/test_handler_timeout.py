"""A handler's deadline: the NOTIFY is answered before HAProxy's own `timeout processing`."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function late(args)
    if args.path == "/sleep" then spoa.sleep(60) end
    if args.path == "/caught" then
        while true do pcall(spoa.sleep, 60) end
    end
    if args.path == "/spin" then while true do end end
    if args.path == "/swallow" then
        while true do pcall(function() while true do end end) end
    end
    return { ["txn.late"] = args.path }
end
function other(args) return { ["txn.other"] = args.path } end
"""
MESSAGES = {"late": "args path=path", "other": "args path=path"}
SHOW = {"late": "txn.t.late", "other": "txn.t.other"}


class HandlerTimeout(VersionsCase):
    def ask(self, version, config, *paths):
        """Every path but / ends `late`; HAProxy itself never gives up, and `other` is always there."""
        with Agent(LUA, config) as agent, HAProxy(version, agent, MESSAGES, show=SHOW, timeout="20s") as haproxy:
            for path in paths:
                reply = haproxy.get(path)
                self.assertEqual((reply["err"], reply["other"]), (None, path))
                self.assertEqual((reply["late"], reply["spoa_error"]),
                                 ("/", None) if path == "/" else (None, "timeout"), path)

    def each_that_waits_too_long_is_told(self, version):
        self.ask(version, "handler late timeout 1s\nhandler-timeout 10s", "/", "/sleep", "/caught", "/")

    def each_that_computes_too_long_is_told(self, version):
        self.ask(version, "handler-cpu 50ms\nhandler-timeout 10s",
                 "/", "/spin", "/spin", "/spin", "/swallow", "/swallow", "/")

    def each_many_at_once(self, version):
        with Agent(LUA, "handler late timeout 1s\nhandler-timeout 10s") as agent, \
                HAProxy(version, agent, MESSAGES, show=SHOW, timeout="20s") as haproxy:
            replies = haproxy.many(90, 30, path=lambda n: "/sleep" if n % 3 else "/")
            for n, reply in enumerate(replies):
                self.assertEqual((reply["late"], reply["spoa_error"], reply["err"]),
                                 (None, "timeout", None) if n % 3 else ("/", None, None))
