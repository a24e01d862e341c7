"""Lua programs and configurations drawn from a seed: whatever may run inside of something else, does.

The grammar is Lua with holes.  A hole is the name of a rule, or a function whose body is drawn:

    <f>      called here                        <gc>    called by the collector
    <task>   a task's, beside this one          <tame>  called anywhere, a finalizer included
    <later>  the background's

Where nothing but worker-timeout would end it (a finalizer, a script that loads), nothing endless is
drawn.
"""
import re

PRELUDE = """
local serving = false
local T, K, Q, kept, main = {}, {}, {}, {}      -- tasks, coroutines, coroutines that end by themselves
local S = <descriptor>
for n = 1, 3 do K[n] = coroutine.create(print) Q[n] = K[n] end

local try = pcall
local function wait(n) if serving and T[n] then return T[n]:wait() end end
local function cancel(n) if T[n] then T[n]:cancel() end end
local function closing(f) return setmetatable({}, { __close = f }) end
local function finalized(f) setmetatable({}, { __gc = f }) end
local function again(f)
  local left = 2
  local function gc(o)
    left = left - 1
    if left > 0 then setmetatable(o, getmetatable(o)) end
    f()
  end
  setmetatable({}, { __gc = gc })
end
local function described(f) return setmetatable({}, { __tostring = f }) end
local function litter() for n = 1, 100 do local _ = ("x"):rep(n * 10) end end
local function find_main() local c, is = coroutine.running() if is then main = c end end
local function nested(n) local t = {} for _ = 1, n do t = { t } end return t end
local function deep(n, f) if n > 0 then return (deep(n - 1, f)) end return f() end
local function inside(n, f) if n > 0 then return coroutine.wrap(inside)(n - 1, f) end return f() end

function ok(args) return { ["txn.ok"] = args.v } end
"""

# Weight and text.  A block is some statements and sometimes an end; what a script may do while it
# loads ends by itself.
RULES = {
    "load": [
        (6, "spoa.sleep(<seconds>)"),
        (8, "T[<n>] = spoa.spawn(<task>)"),
        (3, "try(spoa.all, <task>, <task>)"),
        (1, "spoa.all(<task>, <task>)"),
        (6, "try(cancel, <n>)"),
        (1, "cancel(<n>)"),
        (5, "try(<f>)"),
        (6, "do\n  local x <close> = closing(<f>)\n  <block>\nend"),
        (1, "do\n  local x <close> = closing(<f>)\n  local y <close> = closing(<f>)\nend"),
        (4, "finalized(<gc>)"),
        (1, "again(<gc>)"),
        (4, "collectgarbage(<collect>)"),
        (3, "K[<n>] = coroutine.create(<f>)"),
        (2, "Q[<n>] = coroutine.create(<tame>)"),
        (2, "coroutine.resume(Q[<n>], <n>)"),
        (2, "try(coroutine.close, Q[<n>])"),
        (3, "try(coroutine.wrap(<f>))"),
        (1, "coroutine.wrap(<f>)()"),
        (1, "for _ in coroutine.wrap(<f>) do\n  <block>\nend"),
        (1, "try(inside, <depth>, <f>)"),
        (1, "try(deep, <depth>, <f>)"),
        (2, "find_main()"),
        (2, "if main then try(coroutine.close, main) end"),
        (1, "if main then coroutine.resume(main) end"),
        (1, "print(T[<n>], K[<n>], coroutine.status(K[<n>]), coroutine.isyieldable())"),
        (1, "print(debug.traceback(K[<n>]))"),
        (1, 'spoa.log("info", <error>)'),
        (2, "try(table.sort, { 3, 1, 2 }, <f>)"),
        (1, '("abc"):gsub(".", <f>)'),
        (1, "try(tostring, described(<f>))"),
        (1, "xpcall(<f>, <f>)"),
        (1, "load(<f>)"),
        (1, "local _ = setmetatable({}, { __index = <f> }).x"),
        (1, "local _ = setmetatable({}, { __concat = <f> }) .. 1"),
        (2, "spoa.after(<later>)"),
        (2, 'try(spoa.poll, S, <what>, <seconds>)'),
        (1, "try(spoa.closing, S)"),
        (1, "for _ = 1, 3 do\n  <block>\nend"),
        (2, "litter()"),
        (1, "kept[<n>] = nested(<depth>)"),
        (1, "kept[<n>] = <value>"),
        (1, "T[<n>], K[<n>] = nil, coroutine.create(print)"),
        (0.3, "os.exit()"),
    ],
    # What ends only because a limit ends it.
    "task": [
        (9, "<load>"),
        (1, "try(wait, <n>)"),
        (0.2, "wait(<n>)"),
        (0.7, "coroutine.resume(K[<n>], <n>)"),
        (0.7, "try(coroutine.close, K[<n>])"),
        (0.3, "K[<n>] = coroutine.running()"),
    ],
    # Where no more is to be nested.
    "leaf": [(3, "spoa.sleep(<seconds>)"), (3, "try(cancel, <n>)"), (2, "try(wait, <n>)"), (2, "find_main()"),
             (1, "try(coroutine.close, Q[<n>])"), (1, "if main then try(coroutine.close, main) end"),
             (1, "collectgarbage()"), (1, "litter()"), (1, 'error("leaf")')],
    "end": [(5, "error(<error>)"), (3, "do return <result> end"), (2, "do return coroutine.yield(<n>) end")],
    "endless": [
        (12, "<end>"),
        (1, "while true do end"),
        (0.5, "while true do try(error) end"),
        (0.5, "while true do try(<f>) end"),
        (0.5, "while true do spoa.sleep(0) end"),
        (0.5, "while true do spoa.all(<task>) end"),
        (0.5, 'do local t = {} while true do t[#t + 1] = ("x"):rep(#t) end end'),
        (0.5, 'do local s = "x" while true do s = s .. s end end'),
        (1, 'spoa.poll(S, "r")'),
        (1, "spoa.sleep(1000)"),
    ],
    "descriptor": [(3, "-1"), (1, 'require "socket".udp()')],
    "seconds": [(3, "0"), (2, "0.001"), (1, "0.005"), (1, "0.02")],
    "n": [(1, n) for n in "123"],
    "depth": [(4, "10"), (2, "100"), (1, "250")],
    "size": [(4, "10"), (2, "1000"), (2, "20000"), (1, "1 << 20"), (1, "1 << 28")],
    "what": [(2, '"r"'), (1, '"w"'), (1, '"rw"')],
    "collect": [(4, '"collect"'), (3, '"step"'), (1, '"generational"'), (1, '"incremental"'), (1, '"setpause", 1'),
                (1, '"setstepmul", 1000'), (1, '"stop"'), (1, '"restart"')],
    "error": [(2, '"drawn"'), (1, "nil"), (1, "{}"), (1, "T[<n>]"), (1, "K[<n>]"), (5, "described(<f>)"),
              (1, '("x"):rep(<size>)'), (3, 'described(function()\n  <block>\n  return "described"\nend)')],
    "result": [(1, "nil"), (1, "1"), (1, "T[<n>]"), (4, '{ ["txn.a"] = <value> }'), (1, "nested(<depth>)"),
               (2, '{ txn = { a = <value>, ["b.c"] = <value> }, d = <value> }'), (1, '{ ["no name!"] = 1 }'),
               (1, '{ [("n"):rep(<size>)] = 1 }'), (1, "setmetatable({ a = 1 }, { __pairs = <f>, __index = <f> })")],
    "value": [(1, v) for v in ("1", "false", '""', "0/0", "1e300", "2^53", "math.mininteger", "spoa.unset",
                               "spoa.null", 'spoa.ipv4("192.0.2.1")', 'spoa.ipv6("nonsense")', "spoa.uint64(-1)",
                               'spoa.bin("\\0\\255")', "spoa.int32(1)", "print", "{}", "coroutine.running()",
                               "T[<n>]", "described(<f>)", '("x"):rep(<size>)')],
    "top": [(2, "spoa.every(<period>, <later>)"), (2, "pcall(<f>)"), (1, "spoa.at_start(function() pcall(<f>) end)"),
            (1, "pcall(collectgarbage, <collect>)")],
    "period": [(1, "0.001"), (2, "0.01"), (1, "0.05")],
}
HOLE = re.compile(r"<(?!close>)(\w+)>")
STATEMENTS = 25     # in a function of the script's top level, about
DEPTH = 6
END = 0.3           # of the blocks
HANDLERS = 4


class Program:
    """Draws one script.  A place is a set of "finalizer", "load": where nothing endless may be."""

    def __init__(self, random):
        self.random = random
        self.left = self.depth = 0

    def fill(self, text, place):
        """The text with its holes filled, each indented as its line is."""
        def filled(hole):
            line = text[text.rfind("\n", 0, hole.start()) + 1:]
            return self.hole(hole[1], place).replace("\n", "\n" + " " * (len(line) - len(line.lstrip())))
        return HOLE.sub(filled, text)

    def rule(self, name, place):
        weights, texts = zip(*RULES[name])
        return self.fill(self.random.choices(texts, weights)[0], place)

    def hole(self, name, place):
        inner = {"f": place, "task": place - {"finalizer"}, "later": frozenset(),
                 "gc": place | {"finalizer"}, "tame": place | {"finalizer"}}
        if name in inner:
            return self.fill("function(...)\n  <block>\nend", inner[name])
        return self.block(place) if name == "block" else self.rule(name, place)

    def block(self, place):
        self.depth += 1
        lines = []
        for _ in range(self.random.randint(1, 4) if self.depth < DEPTH else 0):
            if self.left > 0:
                self.left -= 1
                lines.append(self.rule("load" if place else "task", place))
        if lines and self.random.random() < END and "load" not in place:
            lines.append(self.rule("end" if place else "endless", place))
        self.depth -= 1
        return "\n".join(lines) or self.rule("leaf", place)

    def top(self, text, place):
        self.left = STATEMENTS
        return self.fill(text, place)

    def text(self):
        load, task = frozenset(["load"]), frozenset()
        parts = [self.top(PRELUDE, load)]
        parts += [self.top("<top>", load) for _ in range(self.random.randint(0, 2))]
        parts.append("spoa.at_start(function() serving = true end)")
        parts += [self.top(f"function h{n}(args, ctx)\n  <block>\n  <block>\n  return <result>\nend", task)
                  for n in range(1, HANDLERS + 1)]
        return "\n\n".join(parts) + "\n"


def program(random):
    return Program(random).text()


def config(random):
    """Keys and values.  No connection is given up while the machine is busy, and `ok` is never late."""
    return {
        "pipelining": "on",
        "handler-timeout": f"{random.choice((10, 30, 100, 300))}ms",
        "handler-cpu": f"{random.choice((20, 30, 50))}ms",
        "handler-memory": random.choice(("2m", "4m", "16m", "128m")),
        "handler-concurrency": random.choice((4, 20, 1000, 1000)),
        "background-timeout": f"{random.choice((10, 50, 300))}ms",
        "background-concurrency": random.choice((2, 20, 1000)),
        "drain-timeout": "1s",
        "hello-timeout": "1m",
        "fragment-timeout": "1m",
        "write-timeout": "1m",
        "handler": "ok timeout 1m",
    }
