"""spoa.unset and spoa.null take a variable away; nil leaves it alone."""
from lib import http
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

LUA = """
local actions = {
    ["/set"] = function() return { ["sess.a"] = 1, ["sess.b"] = 2, ["sess.c"] = 3, ["sess.d"] = 4 } end,
    ["/take"] = function() return { ["sess.a"] = spoa.unset, ["sess.b"] = spoa.null, ["sess.c"] = nil } end,
    ["/absent"] = function() return { ["sess.nothing"] = spoa.unset, ["sess.d"] = spoa.unset } end,
    ["/empty"] = function() return {} end,
    ["/none"] = function() end,
    ["/nil"] = function() return nil end,
}
function act(args) return actions[args.path]() end
"""


class Unset(VersionsCase):
    def each_unset_and_null(self, version):
        with Agent(LUA) as agent, HAProxy(version, agent, {"act": "args path=path"},
                                          show={name: f"sess.t.{name}" for name in "abcd"}) as haproxy:
            client = http.Client(haproxy.port)
            self.addCleanup(client.close)
            for path, left in (("/set", "1 2 3 4"), ("/empty", "1 2 3 4"), ("/none", "1 2 3 4"), ("/nil", "1 2 3 4"),
                               ("/take", "None None 3 4"), ("/absent", "None None 3 None"), ("/set", "1 2 3 4")):
                reply = client.request(path)
                self.assertEqual(" ".join(str(reply[name]) for name in "abcd"), left, path)
                self.assertEqual((reply["err"], reply["spoa_error"]), (None, None))
