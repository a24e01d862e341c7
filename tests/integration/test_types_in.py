"""Every type that HAProxy can send, as the handler sees it."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

# Position -> "type/Lua type/value"; binary data in hex.
LUA = """
function look(args)
    local seen = {}
    for k = 1, #args do
        local v, t = args[k], spoa.type(args, k)
        if t == "bin" then v = v:gsub(".", function(c) return ("%02x"):format(c:byte()) end) end
        seen["txn.a" .. k] = t .. "/" .. (math.type(args[k]) or type(args[k])) .. "/" .. tostring(v)
    end
    seen["txn.count"] = #args
    return seen
end
"""
ARGS = [
    ("src", "ipv4/string/127.0.0.1"),
    ("ipv6(2001:db8::1)", "ipv6/string/2001:db8::1"),
    ("ipv6(::ffff:10.0.0.1)", "ipv6/string/::ffff:10.0.0.1"),
    ("bool(true)", "bool/boolean/true"),
    ("bool(false)", "bool/boolean/false"),
    ("int(0)", "int64/integer/0"),
    ("int(-3)", "int64/integer/-3"),
    ("int(239)", "int64/integer/239"),
    ("int(240)", "int64/integer/240"),
    ("int(264432)", "int64/integer/264432"),
    ("int(9223372036854775807)", "int64/integer/9223372036854775807"),
    ("int(-9223372036854775808)", "int64/integer/-9223372036854775808"),
    ("req.hdr(absent)", "null/nil/nil"),
    ("method", "str/string/GET"),
    ("path", "str/string/"),
    ("str(x)", "str/string/x"),
    ("hdr(empty)", "str/string/"),
    ("bin(0001ff0a)", "bin/string/0001ff0a"),
]


def expected(path):
    return [text + path if fetch == "path" else text for fetch, text in ARGS]


class TypesIn(VersionsCase):
    def each_type(self, version):
        names = [f"a{k + 1}" for k in range(len(ARGS))]
        with Agent(LUA) as agent, \
                HAProxy(version, agent, {"look": "args " + " ".join(fetch for fetch, _ in ARGS)},
                        show={name: f"txn.t.{name}" for name in [*names, "count"]}) as haproxy:
            # The lengths are those where a varint grows by a byte.
            for length in (1, 239, 240, 2287, 2288):
                path = "/".ljust(length, "p")
                reply = haproxy.get(path, headers={"empty": ""})
                self.assertEqual([reply[name] for name in names], expected(path))
                self.assertEqual((reply["count"], reply["err"]), (str(len(ARGS)), None))
