"""The notation of *.wire transcripts: see README in this folder.

parse() turns a file into a Transcript; compile_items() turns bytes written as words, hex and strings
into a Pattern, which can be sent or compared.
"""
import re
import textwrap

from lib import spop

WORDS = {
    # Frame types (SPOE.txt 3.2.2).
    "UNSET": "00", "HAPROXY-HELLO": "01", "HAPROXY-DISCONNECT": "02", "NOTIFY": "03",
    "AGENT-HELLO": "65", "AGENT-DISCONNECT": "66", "ACK": "67",
    # Flags (3.2).
    "MORE": "00000000", "FIN": "00000001", "ABORT": "00000003",
    # Types, with the flag of a boolean (3.1).
    "NULL": "00", "FALSE": "01", "TRUE": "11", "INT32": "02", "UINT32": "03", "INT64": "04",
    "UINT64": "05", "IPV4": "06", "IPV6": "07", "STR": "08", "BIN": "09",
    # Actions with their number of arguments, and scopes (3.4).
    "SET-VAR": "0103", "UNSET-VAR": "0202",
    "proc": "00", "sess": "01", "txn": "02", "req": "03", "res": "04",
}

TOKEN = re.compile(r"""
    \s+ | \#.*
  | (?P<string>s?"(?:[^"\\\n]|\\.)*")
  | (?P<open>any\{|s\{|\{) | (?P<close>\}) | (?P<bar>\|)
  | (?P<repeat>\*\d+)
  | (?P<varint>v-?\d+\b)
  | (?P<hex>(?:[0-9a-f]{2})+\b)
  | (?P<word>[A-Za-z][A-Za-z0-9-]*)
""", re.X)
CLOSE = re.compile(r"<\s*close\s*(#.*)?$")
ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0"}


class NotationError(Exception):
    pass


class Pattern:
    """A run of bytes in which some groups may stand in any order: parts are bytes, or a list of the
    Patterns of one any{ } group."""

    def __init__(self, parts=()):
        self.parts = []
        for part in parts:
            self.add(part)

    def add(self, part):
        if isinstance(part, Pattern):
            for inner in part.parts:
                self.add(inner)
        elif isinstance(part, bytes) and self.parts and isinstance(self.parts[-1], bytes):
            self.parts[-1] += part
        else:
            self.parts.append(part)

    def __len__(self):
        return sum(len(p) if isinstance(p, bytes) else sum(map(len, p)) for p in self.parts)

    def bytes(self):
        """The bytes in the order written."""
        return b"".join(p if isinstance(p, bytes) else b"".join(q.bytes() for q in p) for p in self.parts)

    def matches(self, data):
        return len(data) == len(self) and _match(self.parts, data)


def _match(parts, data):
    """Whether data starts with parts; groups are of fixed length, so the rest's offset is known."""
    if not parts:
        return True
    first, rest = parts[0], parts[1:]
    if isinstance(first, bytes):
        return data.startswith(first) and _match(rest, data[len(first):])
    size = sum(map(len, first))
    return _match_any(first, data[:size]) and _match(rest, data[size:])


def _match_any(alternatives, data):
    if not alternatives:
        return not data
    return any(one.matches(data[:len(one)])
               and _match_any(alternatives[:n] + alternatives[n + 1:], data[len(one):])
               for n, one in enumerate(alternatives))


def compile_items(text):
    tokens = []
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise NotationError(f"what is {text[at:at + 20]!r}?")
        if found.lastgroup:
            tokens.append((found.lastgroup, found.group()))
        at = found.end()
    pattern, end = _sequence(tokens, 0)
    if end != len(tokens):
        raise NotationError(f"{tokens[end][1]!r} closes or separates nothing")
    return pattern


def _sequence(tokens, at):
    """Items up to a closing brace, a bar or the end: (Pattern, where it ended)."""
    items = []
    while at < len(tokens) and tokens[at][0] not in ("close", "bar"):
        kind, text = tokens[at]
        at += 1
        if kind == "open":
            item, at = _group(tokens, at, text)
        elif kind == "repeat":
            if not items:
                raise NotationError(f"{text} repeats nothing")
            items[-1] = Pattern([items[-1].bytes() * int(text[1:])])
            continue
        else:
            item = Pattern([_atom(kind, text)])
        items.append(item)
    return Pattern(items), at


def _group(tokens, at, opening):
    inner, at = _sequence(tokens, at)
    alternatives = [inner]
    while at < len(tokens) and tokens[at][0] == "bar" and opening == "any{":
        inner, at = _sequence(tokens, at + 1)
        alternatives.append(inner)
    if at == len(tokens) or tokens[at][0] != "close":
        raise NotationError(f"{opening} is not closed")
    if opening == "any{":
        return Pattern([alternatives]), at + 1
    length = len(inner).to_bytes(4, "big") if opening == "{" else spop.varint(len(inner))
    return Pattern([length, inner]), at + 1


def _atom(kind, text):
    if kind == "hex":
        return bytes.fromhex(text)
    if kind == "varint":
        return spop.varint(int(text[1:]))
    if kind == "string":
        data = _unquote(text[text.index('"') + 1:-1])
        return spop.string(data) if text[0] == "s" else data
    if text not in WORDS:
        raise NotationError(f"{text!r} is no word of the notation")
    return bytes.fromhex(WORDS[text])


def _unquote(text):
    def replace(found):
        escape = found.group(1)
        return bytes.fromhex(escape[1:]) if escape[0] == "x" else ESCAPES.get(escape, escape.encode("latin-1"))
    parts, at = [], 0
    for found in re.finditer(r"\\(x[0-9a-f]{2}|[^x])", text):
        parts += [text[at:found.start()].encode(), replace(found)]
        at = found.end()
    return b"".join(parts) + text[at:].encode()


class Step:
    """One step: kind ">" or "<" with a Pattern, "close", or "-" with the directive's words."""

    def __init__(self, line, kind, text):
        self.line, self.kind, self.text = line, kind, text
        self.pattern = None
        self.words = []

    def finish(self):
        if self.kind == "-":
            self.words = self.text.partition(" #")[0].split()
        elif self.kind != "close":
            self.pattern = compile_items(self.text)


class Transcript:
    """A parsed file: its title (the first comment), handlers, configuration lines and steps."""

    def __init__(self, path):
        self.path, self.title = path, ""
        self.script = path.parent / "handlers.lua"
        self.config, self.steps = [], []


def parse(path):
    found = Transcript(path)
    lua = None              # the lines of a script: block while it lasts
    block = None            # the step that the next line continues, if it can
    for number, line in enumerate(path.read_text().splitlines() + [""], 1):
        if lua is not None:
            if line.startswith("    ") or not line.strip():
                lua.append(line)
                found.script = textwrap.dedent("\n".join(lua)) + "\n"
                continue
            lua = None
        if not line.strip():
            block = None
        elif line.startswith("#"):
            found.title = found.title or line.lstrip("# ").strip()
        elif line.startswith("script:"):
            if line[7:].strip():
                found.script = path.parent / line[7:].strip()
            else:
                lua = []
        elif line.startswith("config:"):
            found.config.append(line[7:].strip())
        elif block and line[0] in f"{block.kind} \t" and not CLOSE.match(line):
            block.text += "\n" + line[1:]
        elif line[0] in "<>-":
            block = Step(number, "close" if CLOSE.match(line) else line[0], line[1:])
            found.steps.append(block)
            if block.kind not in "<>":
                block = None
        else:
            raise NotationError(f"{path.name}:{number}: what is {line!r}?")
    for step in found.steps:
        try:
            step.finish()
        except (NotationError, ValueError) as error:
            raise NotationError(f"{path.name}:{step.line}: {error}") from None
    return found
