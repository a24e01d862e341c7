"""spoa.json: JSON to Lua values and back."""
import json
import unittest

from lib.agent import run
from lib.lua import CONFIG, LuaCase, modules_path

PREAMBLE = """
local json = require "spoa.json"
local function same(got, want)
  if got ~= want or math.type(got) ~= math.type(want) then
    error(string.format("got %q, wanted %q", got, want), 2)
  end
end
local function raises(pattern, f, ...)
  local good, text = pcall(f, ...)
  if good then error("raised nothing, wanted " .. pattern, 2) end
  if not string.find(text, pattern) then error(string.format("%q does not match %q", text, pattern), 2) end
end
local function fails(message, ...)
  local value, text = json.decode(...)
  if value ~= nil or text ~= message then error(string.format("got %s, %q, wanted %q", value, text, message), 2) end
end
"""


class JsonCase(LuaCase):
    def json(self, body, *arguments):
        return self.lua(PREAMBLE + body, *arguments)


class Encode(JsonCase):
    def test_scalars(self):
        self.json(r"""
            same(json.encode(true), "true")
            same(json.encode(false), "false")
            same(json.encode(nil), "null")
            same(json.encode(json.null), "null")
            same(json.encode(spoa.null), "null")
            same(json.encode(""), '""')
            same(json.encode(0), "0")
            raises("value expected", json.encode)
        """)

    def test_integers_are_exact(self):
        self.json(r"""
            same(json.encode(5), "5")
            same(json.encode(math.maxinteger), "9223372036854775807")
            same(json.encode(math.mininteger), "-9223372036854775808")
            same(json.encode(9007199254740993), "9007199254740993")
        """)

    def test_floats_stay_floats_and_are_short(self):
        self.json(r"""
            same(json.encode(5.0), "5.0")
            same(json.encode(-0.0), "-0.0")
            same(json.encode(0.1), "0.1")
            same(json.encode(1e300), "1e+300")
            same(json.encode(1/3), "0.3333333333333333")
            same(json.encode(0.1 + 0.2), "0.30000000000000004")
            for i = 1, 2000 do
              local number = (math.random() - 0.5) * 10.0 ^ math.random(-300, 300)
              same(json.decode(json.encode(number)), number)
            end
            raises("value: JSON has no NaN", json.encode, 0/0)
            raises("value%.a%[2%]: JSON has no infinity", json.encode, { a = { 1, 1/0 } })
        """)

    def test_a_locale_with_a_decimal_comma(self):
        self.json(r"""
            for _, name in ipairs { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "C" } do
              if os.setlocale(name, "numeric") then
                same(json.encode(0.5), "0.5")
                same(json.decode("0.5"), 0.5)
              end
            end
        """)

    def test_strings(self):
        self.json(r"""
            same(json.encode("a\"b\\c/d"), [["a\"b\\c/d"]])
            same(json.encode("\b\f\n\r\t\0\x1f\x7f"), '"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f"')
            same(json.encode("Grüße €, 漢字 😀"), '"Grüße €, 漢字 😀"')
            same(json.encode("\u{7ff}\u{800}\u{ffff}\u{10ffff}"), '"\u{7ff}\u{800}\u{ffff}\u{10ffff}"')
            local long = string.rep("x", 100000)
            same(json.encode(long), '"' .. long .. '"')
        """)

    def test_what_is_not_utf_8(self):
        self.json(r"""
            for _, bad in ipairs { "\x80", "\xff", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                                   "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3(" } do
              raises("value: the string is not UTF%-8 at byte 3", json.encode, "ab" .. bad)
              assert(string.find(json.encode("ab" .. bad, { replace = true }), '^"ab\u{fffd}'))
            end
            same(json.encode("a\xffb\xfe", { replace = true }), '"a\u{fffd}b\u{fffd}"')
            raises("value%.k%[1%]: the string is not UTF%-8 at byte 1", json.encode, { k = { "\xff" } })
            raises("value: the string is not UTF%-8 at byte 1", json.encode, { ["\xff"] = 1 })
        """)

    def test_arrays_and_objects(self):
        self.json(r"""
            same(json.encode({ 1, "a", { 2.5 } }), '[1,"a",[2.5]]')
            same(json.encode({}), "{}")
            same(json.encode(json.array()), "[]")
            same(json.encode(json.array {}), "[]")
            same(json.encode(json.object()), "{}")
            same(json.encode(json.object { 7 }), '{"1":7}')
            same(json.encode({ a = json.array { }, }), '{"a":[]}')
            same(json.encode({ json.null, json.null }), "[null,null]")
            same(json.encode({ b = 1, a = { d = 2, c = 3 }, aa = 4 }, { sorted = true }),
                 '{"a":{"c":3,"d":2},"aa":4,"b":1}')
            local t = {}
            assert(json.array(t) == t and json.object(t) == t and json.array(t) == t)
            raises("metatable of its own", json.array, setmetatable({}, {}))
            raises("table expected", json.array, 5)
        """)

    def test_what_is_neither(self):
        self.json(r"""
            raises("value: a table with both list items and other keys", json.encode, { 1, 2, a = 3 })
            raises("hole", json.encode, json.array { [1] = 1, [3] = 3 })
            raises("hole", json.encode, json.array { [0] = 1 })
            raises("value: a table with holes or number keys", json.encode, { [2] = 1 })
            raises("value: a table with holes or number keys", json.encode, { [1.5] = 1 })
            raises("other keys", json.encode, json.array { a = 1 })
            raises("value: a key that is neither", json.encode, { [true] = 1 })
            raises("value%.f: a function has no place in JSON", json.encode, { f = print })
            raises("value%[1%]: a thread has no place", json.encode, { coroutine.create(print) })
            raises("value%[2%]: a userdata has no place", json.encode, { 1, spoa.unset })
            raises("sorted when all are strings", json.encode, json.object { [1] = 1 }, { sorted = true })
        """)

    def test_cycles_depth_and_size(self):
        self.json(r"""
            local cycle = { a = { b = {} } }
            cycle.a.b.c = cycle
            raises("value%.a%.b%.c: a table that contains itself", json.encode, cycle)
            local twice = { 1 }
            same(json.encode({ twice, twice }), "[[1],[1]]")
            local deep = {}
            for i = 1, 127 do deep = { deep } end
            same(json.encode(deep), string.rep("[", 127) .. "{}" .. string.rep("]", 127))
            raises("nested deeper than max_depth", json.encode, { deep })
            for i = 1, 871 do deep = { deep } end
            same(#json.encode({ deep }, { max_depth = 1000 }), 2000)
            same(json.encode("12345678", { max_size = 10 }), '"12345678"')
            raises("more than 10 bytes of JSON", json.encode, "123456789", { max_size = 10 })
            raises("more than 16777216 bytes", json.encode, string.rep("x", 16777216))
        """)

    def test_options(self):
        self.json(r"""
            raises("unknown option 'sort'", json.encode, 1, { sort = true })
            raises("bad option 'sorted'", json.encode, 1, { sorted = 1 })
            raises("bad option 'max_depth' %(an integer from 1 to 1000", json.encode, 1, { max_depth = 1001 })
            raises("bad option 'max_size'", json.encode, 1, { max_size = 0 })
            raises("bad option 'max_size'", json.encode, 1, { max_size = "x" })
            raises("table expected", json.encode, 1, true)
            same(json.encode(1, nil), "1")
        """)

    def test_python_reads_it(self):
        out = self.json(r"""
            return { ["txn.x"] = json.encode { list = { 1, 2.5, -3, "é\0\u{1F600}\"\\\n", json.null, true, json.array() },
                                               empty = {}, big = math.mininteger } }
        """)
        self.assertEqual(json.loads(out.split("str ", 1)[1]),
                         {"list": [1, 2.5, -3, "é\0\U0001f600\"\\\n", None, True, []], "empty": {}, "big": -2**63})


class Decode(JsonCase):
    def test_scalars(self):
        self.json(r"""
            same(json.decode("true"), true)
            same(json.decode(" false "), false)
            same(json.decode('"a"'), "a")
            assert(json.decode("null") == json.null and json.null == spoa.null)
            assert(select("#", json.decode("null", { null_as_nil = true })) == 1)
            same(json.decode("null", { null_as_nil = true }), nil)
        """)

    def test_numbers(self):
        self.json(r"""
            same(json.decode("5"), 5)
            same(json.decode("5.0"), 5.0)
            same(json.decode("5e0"), 5.0)
            same(json.decode("9223372036854775807"), math.maxinteger)
            same(json.decode("-9223372036854775808"), math.mininteger)
            same(json.decode("9007199254740993"), 9007199254740993)
            same(json.decode("0.1"), 0.1)
            for _, text in ipairs { "9223372036854775808", "18446744073709551615", "-9223372036854775809", "1e999" } do
              local value, message = json.decode(text)
              assert(value == nil and string.find(message, "^1:%d+: too big") or string.find(message, "overflow"), message)
            end
            for _, text in ipairs { "01", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "-", "1e", "nil" } do
              assert(json.decode(text) == nil, text)
            end
        """)

    def test_strings(self):
        self.json(r"""
            same(json.decode([["\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"]]), "é😀\"\\/\b\f\n\r\t")
            same(json.decode([["a\u0000b"]]), "a\0b")
            for _, text in ipairs { '"\n"', '"\0"', [["\ud83d"]], [["\x"]], '"', [["\u00g0"]], "'a'" } do
              local value, message = json.decode(text)
              assert(value == nil and string.find(message, "^1:%d+: ") or string.find(message, "^%d+:%d+: "), text)
            end
        """)

    def test_tables(self):
        self.json(r"""
            local doc = json.decode '{"a":[1,{"b":null},[]],"":{},"1":"one"}'
            same(#doc.a, 3)
            same(doc.a[1], 1)
            assert(doc.a[2].b == json.null)
            same(doc["1"], "one")
            same(doc[1], nil)
            same(next(doc[""]), nil)
            same(json.encode(doc.a), '[1,{"b":null},[]]')
            table.remove(doc.a) table.remove(doc.a) table.remove(doc.a)
            same(json.encode(doc.a), "[]")
            local holes = json.decode("[1,null,3]", { null_as_nil = true })
            assert(holes[1] == 1 and holes[2] == nil and holes[3] == 3)
            same(next(json.decode('{"a":null}', { null_as_nil = true })), nil)
        """)

    def test_errors_have_a_position(self):
        self.json(r"""
            local value, message = json.decode("")
            assert(value == nil and string.find(message, "^1:%d+: "), message)
            value, message = json.decode('{\n  "a": 1,\n  "b": tru\n}')
            assert(value == nil and string.find(message, "^3:%d+: "), message)
            value, message = json.decode('["\xff"]')
            assert(value == nil and string.find(message, "^1:%d+: .*0xff"), message)
            value, message = json.decode('{} x')
            assert(value == nil and string.find(message, "^1:%d+: "), message)
            value, message = json.decode('[1,]')
            assert(value == nil and string.find(message, "^1:4: "), message)
            for _, bad in ipairs { "{", "[", "[1", '{"a"', '{"a":', '{"a":1', "{1:2}", "{a:1}", "[1 2]", "]", "// x\n1" } do
              local nothing, why = json.decode(bad)
              assert(nothing == nil and string.find(why, "^%d+:%d+: "), bad)
            end
        """)

    def test_duplicate_keys(self):
        self.json(r"""
            local value, message = json.decode('{"a":1,\n"a":2}')
            assert(value == nil and string.find(message, "^2:%d+: duplicate object key"), message)
            same(json.decode('{"a":1,"a":2}', { duplicates = true }).a, 2)
            value, message = json.decode([[{"a\u0000b":1}]])
            assert(value == nil and string.find(message, "^1:%d+: NUL"), message)
        """)

    def test_depth_and_size(self):
        self.json(r"""
            local function nested(n) return string.rep("[", n) .. string.rep("]", n) end
            assert(json.decode(nested(128)))
            fails("1:129: nested deeper than 128 levels", nested(129))
            fails("2:7: nested deeper than 2 levels", '["é[[[\\"[",\n {"ü":[1]}]', { max_depth = 2 })
            assert(json.decode('["[[[\\"[["]', { max_depth = 1 }))
            assert(json.decode(nested(1000), { max_depth = 1000 }))
            assert(json.decode(string.rep("[", 1000000)) == nil)
            assert(json.decode("[1]", { max_size = 3 }))
            fails("1:1: 4 bytes of JSON, of which 3 are allowed (max_size)", "[10]", { max_size = 3 })
            local value, message = json.decode(string.rep(" ", 4 * 1024 * 1024 + 1))
            assert(string.find(message, "max_size"), message)
        """)

    def test_options_and_arguments(self):
        self.json(r"""
            raises("string expected", json.decode)
            raises("string expected", json.decode, {})
            raises("unknown option 'nulls'", json.decode, "1", { nulls = true })
            raises("bad option 'max_depth'", json.decode, "1", { max_depth = 0 })
            raises("bad option 'duplicates'", json.decode, "1", { duplicates = "last" })
        """)

    def test_out_of_memory_in_the_middle(self):
        """Lua raises while jansson's tree is there: it is freed (LeakSanitizer), and all goes on."""
        script = self.folder / "oom.lua"
        script.write_text("""local json = require "spoa.json"
            local text = "[" .. string.rep('"' .. string.rep("x", 100) .. '",', 20000) .. "1]"
            local kept = {}
            for i = 1, 100 do
              local good, value, message = pcall(json.decode, text)
              if not good then assert(value == "not enough memory", value) kept = nil break end
              kept[i] = value
              for j = 1, 20000 do value[j] = value[j] .. i .. j end
            end
            assert(kept == nil)
            collectgarbage()
            assert(json.decode("[1]")[1] == 1)
            function run() return { ["txn.x"] = 1 } end
        """)
        config = self.folder / "oom.conf"
        config.write_text(f'script "{script}"\n{CONFIG}{modules_path()}handler-memory 16m\n')
        done = run("call", "-c", config, "run", timeout=90)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
