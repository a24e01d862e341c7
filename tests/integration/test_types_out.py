"""Every type that a handler can set, as HAProxy understands it."""
from lib.agent import Agent
from lib.haproxy import HAProxy, VersionsCase

# Lua value -> type and value as HAProxy's `debug` converter writes them (binary is not written).
VALUES = {
    "yes": ("true", "bool <1>"),
    "no": ("false", "bool <0>"),
    "zero": ("0", "sint <0>"),
    "negative": ("-1", "sint <-1>"),
    "lowest": ("math.mininteger", "sint <-9223372036854775808>"),
    "highest": ("math.maxinteger", "sint <9223372036854775807>"),
    "whole": ("42.0", "sint <42>"),
    "empty": ("''", "str <>"),
    "text": ("'some text'", "str <some text>"),
    "f_bool": ("spoa.bool(true)", "bool <1>"),
    "f_int32": ("spoa.int32(-2147483648)", "sint <-2147483648>"),
    "f_uint32": ("spoa.uint32(4294967295)", "sint <4294967295>"),
    "f_int64": ("spoa.int64(-264432)", "sint <-264432>"),
    # HAProxy reads it back as signed.
    "f_uint64": ("spoa.uint64(-1)", "sint <-1>"),
    "f_ipv4": ("spoa.ipv4('192.0.2.255')", "ipv4 <192.0.2.255>"),
    "f_ipv6": ("spoa.ipv6('2001:db8::ff')", "ipv6 <2001:db8::ff>"),
    "f_str": ("spoa.str('s')", "str <s>"),
    "f_bin": ("spoa.bin('\\0\\1\\255\\n')", "bin"),
}
LUA = "function set() return {\n" + "".join(f"    ['txn.{n}'] = {lua},\n" for n, (lua, _) in VALUES.items()) + "} end"
LONG = "function set(args) return { ['txn.long'] = ('x'):rep(args.n) } end"


class TypesOut(VersionsCase):
    def each_type(self, version):
        debug = "\n".join(f"http-request set-var(txn.seen) var(txn.t.{n}),debug({n},stderr)" for n in VALUES)
        with Agent(LUA) as agent, \
                HAProxy(version, agent, {"set": "args src"}, show={"bin": "txn.t.f_bin,hex"}, rules=debug) as haproxy:
            reply = haproxy.get()
            self.assertEqual((reply["bin"], reply["err"], reply["spoa_error"]), ("0001FF0A", None, None))
            for name, (_, seen) in VALUES.items():
                line = haproxy.wait_log(rf"^\[debug\] {name}: type=(.*)$").group(1)
                self.assertEqual(line[:len(seen)], seen, name)

    def each_length_where_a_varint_grows(self, version):
        with Agent(LONG) as agent, HAProxy(version, agent, {"set": "args n=path,field(2,/)"},
                                           show={"n": "txn.t.long,length"}) as haproxy:
            for length in (0, 1, 239, 240, 2287, 2288, 16000):
                reply = haproxy.get(f"/{length}")
                self.assertEqual((reply["n"], reply["err"]), (str(length), None))
