"""A spoe-group: messages sent by a rule, `http-request send-spoe-group`."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
function always(args) return { ["txn.always"] = args.path } end
function first(args) return { ["txn.first"] = args.path } end
function second(args) return { ["txn.second"] = args.path } end
"""
MESSAGES = {"always": "args path=path", "first": "args path=path", "second": "args path=path"}
SHOW = {name: f"txn.t.{name}" for name in MESSAGES}


class Groups(VersionsCase):
    def each_send_spoe_group(self, version):
        with Agent(LUA) as agent, \
                HAProxy(version, agent, MESSAGES, groups={"pair": ["first", "second"]}, show=SHOW,
                        rules="http-request send-spoe-group test pair if { path_beg /ask }") as haproxy:
            for path, asked in (("/ask", True), ("/not", False), ("/ask/again", True)):
                reply = haproxy.get(path)
                found = path if asked else None
                self.assertEqual([reply[name] for name in MESSAGES], [path, found, found])
                self.assertEqual(reply["err"], None)
