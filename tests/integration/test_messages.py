"""Several messages in one NOTIFY: each fails alone, all answer in one ACK, in message order."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function first(args) return { ["txn.first"] = args.path, ["txn.same"] = "first" } end
function fails(args)
    if args.path == "/fail" then error("on purpose") end
    if args.path == "/badname" then return { ["txn.half"] = 1, ["txn.bad-name"] = 2 } end
    if args.path == "/badvalue" then return { ["txn.half"] = 1, ["txn.float"] = 1.5 } end
    if args.path == "/string" then return "txn.half" end
end
function slow(args)
    spoa.sleep(0.05)
    return { ["txn.slow"] = args.path, ["txn.same"] = "slow" }
end
function last(args) return { ["txn.last"] = args.path, ["txn.same"] = "last" } end
function no_arguments() return { ["txn.bare"] = "here" } end
"""
MESSAGES = {"first": "args path=path", "no-arguments": "", "fails": "args path=path", "nobody": "args path=path",
            "slow": "args path=path", "last": "args path=path"}
SHOW = {name: f"txn.t.{name}" for name in ("first", "bare", "slow", "last", "same", "half")}


class Messages(VersionsCase):
    def each_fails_alone(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, MESSAGES, show=SHOW) as haproxy:
            for path in ("/", "/fail", "/badname", "/badvalue", "/string", "/"):
                reply = haproxy.get(path)
                self.assertEqual([reply[name] for name in SHOW], [path, "here", path, path, "last", None], path)
                self.assertEqual(reply["spoa_error"], None if path == "/" else "error", path)
                self.assertEqual(reply["err"], None)
            # The log says where, and of whom.
            agent.wait_log(r"err .*handlers\.lua:4: on purpose.* message=fails$")
            # A message without a handler is logged once for its name, not once for each message.
            self.assertEqual(agent.log().count("nobody"), 1)
