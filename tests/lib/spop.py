"""SPOP 2.0 from HAProxy's side, in Python: an independent reading of doc/SPOE.txt, section 3.

It shares no code and no table with src/, so that a mistake there cannot hide here.  The encoders take
whatever they are given: a test that wants a malformed frame builds it from the same pieces.

    with Client(agent.address) as client:
        client.handshake()
        ack = client.notify("echo", ("value", ("int64", -1)))
        assert ack.vars() == {"txn.value": ("int64", -1)}
"""
import ipaddress
import select
import socket
import struct
import time

from lib import agent as agents
from lib.unread import unread

UNSET, HAPROXY_HELLO, HAPROXY_DISCONNECT, NOTIFY = 0, 1, 2, 3
AGENT_HELLO, AGENT_DISCONNECT, ACK = 101, 102, 103
FRAME_NAMES = {0: "UNSET", 1: "HAPROXY-HELLO", 2: "HAPROXY-DISCONNECT", 3: "NOTIFY",
               101: "AGENT-HELLO", 102: "AGENT-DISCONNECT", 103: "ACK"}

FIN, ABORT = 1, 2

TYPES = ("null", "bool", "int32", "uint32", "int64", "uint64", "ipv4", "ipv6", "str", "bin")
SCOPES = ("proc", "sess", "txn", "req", "res")
INTEGERS = {"int32": (32, True), "uint32": (32, False), "int64": (64, True), "uint64": (64, False)}

MAX_FRAME_SIZE = 16380          # what HAProxy announces with its default tune.bufsize
OUR_MAX_FRAME_SIZE = 1 << 20    # what the agent announces at most, by default

STATUS = {0: "normal", 1: "I/O error", 2: "a timeout occurred", 3: "frame is too big",
          4: "invalid frame received", 5: "version value not found", 6: "max-frame-size value not found",
          7: "capabilities value not found", 8: "unsupported version",
          9: "max-frame-size too big or too small", 10: "payload fragmentation is not supported",
          11: "invalid interlaced frames", 12: "frame-id not found", 13: "resource allocation error",
          99: "an unknown error occurred"}


class ProtocolError(AssertionError):
    """The agent sent what SPOP does not allow."""


class Closed(AssertionError):
    """The agent closed the connection where a frame was due."""


# --- Data types (SPOE.txt 3.1) -------------------------------------------------------------------

def varint(n):
    """A 64-bit number as HAProxy's peers write it; a negative one as its two's complement."""
    n &= (1 << 64) - 1
    if n < 240:
        return bytes([n])
    out = bytearray([n & 15 | 240])
    n = (n - 240) >> 4
    while n >= 128:
        out.append(n & 127 | 128)
        n = (n - 128) >> 7
    out.append(n)
    return bytes(out)


def string(text):
    """A length-prefixed string: a name, or the data of a STRING or BINARY value."""
    data = text.encode() if isinstance(text, str) else bytes(text)
    return varint(len(data)) + data


def value(kind, data=None):
    """One typed value; kind is a name of TYPES."""
    number = TYPES.index(kind)
    if kind == "null":
        return bytes([number])
    if kind == "bool":
        return bytes([number | (16 if data else 0)])
    if kind in INTEGERS:
        return bytes([number]) + varint(data)
    if kind in ("ipv4", "ipv6"):
        return bytes([number]) + ipaddress.ip_address(data).packed
    return bytes([number]) + string(data)


def typed(data):
    """(kind, data) of a plain Python value, or the pair itself."""
    if isinstance(data, tuple):
        return data
    if data is None:
        return ("null", None)
    if isinstance(data, bool):
        return ("bool", data)
    if isinstance(data, int):
        return ("int64", data)
    return ("bin", data) if isinstance(data, bytes) else ("str", data)


class Reader:
    """A cursor over received bytes; every short read is a ProtocolError."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def __bool__(self):
        return self.at < len(self.data)

    def bytes(self, n):
        if n > len(self.data) - self.at:
            raise ProtocolError(f"{n} bytes wanted at {self.at} of {len(self.data)}: {self.data.hex(' ')}")
        self.at += n
        return self.data[self.at - n:self.at]

    def byte(self):
        return self.bytes(1)[0]

    def varint(self):
        n = self.byte()
        if n < 240:
            return n
        shift = 4
        while True:
            byte = self.byte()
            n += byte << shift
            shift += 7
            if n >> 64:
                raise ProtocolError(f"a varint above 64 bits before {self.at}: {self.data.hex(' ')}")
            if byte < 128:
                return n

    def string(self):
        return self.bytes(self.varint())

    def value(self):
        first = self.byte()
        number, flags = first & 15, first >> 4
        if number >= len(TYPES) or flags & (~1 if number == 1 else ~0):
            raise ProtocolError(f"type byte {first:02x} before {self.at}: {self.data.hex(' ')}")
        kind = TYPES[number]
        if kind == "null":
            return (kind, None)
        if kind == "bool":
            return (kind, bool(flags))
        if kind in INTEGERS:
            bits, signed = INTEGERS[kind]
            n = self.varint()
            if signed and n >> 63:
                n -= 1 << 64
            low = -(1 << (bits - 1)) if signed else 0
            if not low <= n < low + (1 << bits):
                raise ProtocolError(f"{kind} {n} is out of its range")
            return (kind, n)
        if kind in ("ipv4", "ipv6"):
            return (kind, str(ipaddress.ip_address(self.bytes(4 if kind == "ipv4" else 16))))
        data = self.string()
        return (kind, data if kind == "bin" else data.decode("utf-8", "surrogateescape"))

    def pairs(self):
        """A KV-LIST to its end, as a list, in order."""
        found = []
        while self:
            name = self.string().decode()
            found.append((name, self.value()))
        return found


# --- Frames (SPOE.txt 3.2) -----------------------------------------------------------------------

class Frame:
    """One frame, with what its payload means."""

    def __init__(self, kind, payload=b"", stream_id=0, frame_id=0, flags=FIN):
        self.kind, self.payload, self.flags = kind, bytes(payload), flags
        self.stream_id, self.frame_id = stream_id, frame_id

    @classmethod
    def decode(cls, data):
        """A frame without its length prefix."""
        reader = Reader(data)
        kind = reader.byte()
        flags = struct.unpack("!I", reader.bytes(4))[0]
        stream_id, frame_id = reader.varint(), reader.varint()
        return cls(kind, data[reader.at:], stream_id, frame_id, flags)

    def encode(self):
        return prefixed(bytes([self.kind]) + struct.pack("!I", self.flags) + varint(self.stream_id)
                        + varint(self.frame_id) + self.payload)

    @property
    def name(self):
        return FRAME_NAMES.get(self.kind, f"frame type {self.kind}")

    @property
    def ids(self):
        return (self.stream_id, self.frame_id)

    def keys(self):
        """The KV-LIST of a HELLO or DISCONNECT."""
        return dict(Reader(self.payload).pairs())

    @property
    def status(self):
        """The code of a DISCONNECT, whose message has to be the code's own."""
        pairs = Reader(self.payload).pairs()
        code = pairs[0][1][1]
        if pairs != [("status-code", ("uint32", code)), ("message", ("str", STATUS.get(code)))]:
            raise ProtocolError(f"a DISCONNECT with {pairs}")
        return code

    def actions(self):
        """An ACK's LIST-OF-ACTIONS: ("set-var", "txn.name", (kind, data)) or ("unset-var", "txn.name")."""
        reader, found = Reader(self.payload), []
        while reader:
            action, arguments, scope = reader.byte(), reader.byte(), reader.byte()
            if (action, arguments) not in ((1, 3), (2, 2)) or scope >= len(SCOPES):
                raise ProtocolError(f"action {action} with {arguments} arguments, scope {scope}")
            name = f"{SCOPES[scope]}.{reader.string().decode('ascii')}"
            found.append(("set-var", name, reader.value()) if action == 1 else ("unset-var", name))
        return found

    def vars(self):
        """What an ACK sets: {"txn.name": (kind, data)}, with None for a variable it unsets."""
        found = {}
        for action in self.actions():
            if action[1] in found:
                raise ProtocolError(f"{action[1]} twice in one ACK")
            found[action[1]] = action[2] if action[0] == "set-var" else None
        return found

    def __repr__(self):
        text = f"{self.name} flags {self.flags} stream {self.stream_id} frame {self.frame_id}"
        try:
            if self.kind == ACK:
                text += f" {self.actions()}"
            elif self.kind in (AGENT_HELLO, AGENT_DISCONNECT, HAPROXY_HELLO, HAPROXY_DISCONNECT):
                text += f" {Reader(self.payload).pairs()}"
            else:
                text += f" {self.payload[:64].hex(' ')}"
        except AssertionError as error:
            text += f" ({error})"
        return f"<{text}>"


def prefixed(data):
    """The bytes of a frame behind their length."""
    return struct.pack("!I", len(data)) + data


def pairs(items):
    """A KV-LIST of a dict or of (name, value) pairs, in their order."""
    items = items.items() if isinstance(items, dict) else items
    return b"".join(string(name) + value(*typed(data)) for name, data in items)


def message(name, *arguments):
    """One message of a NOTIFY; an argument is a (name, value) pair or a value without a name."""
    listed = [a if isinstance(a, tuple) and len(a) == 2 and a[0] not in TYPES else ("", a) for a in arguments]
    return string(name) + bytes([len(listed)]) + pairs(listed)


def hello(versions="2.0", max_frame_size=MAX_FRAME_SIZE, capabilities="pipelining,async", **more):
    """HAPROXY-HELLO as HAProxy writes it; None leaves a key out, `more` adds keys."""
    items = []
    if versions is not None:
        items.append(("supported-versions", versions))
    if max_frame_size is not None:
        items.append(("max-frame-size", ("uint32", max_frame_size)))
    if capabilities is not None:
        items.append(("capabilities", capabilities))
    items += [(name.replace("_", "-"), data) for name, data in more.items()]
    return Frame(HAPROXY_HELLO, pairs(items)).encode()


def notify(stream_id, frame_id, *messages, flags=FIN):
    """A NOTIFY of messages made by message()."""
    return Frame(NOTIFY, b"".join(messages), stream_id, frame_id, flags).encode()


def fragments(stream_id, frame_id, payload, *cuts):
    """The frames of a NOTIFY whose payload is cut at the given offsets."""
    edges = [0, *cuts, len(payload)]
    last = len(edges) - 2
    return [Frame(UNSET if n else NOTIFY, payload[edges[n]:edges[n + 1]], stream_id, frame_id,
                  FIN if n == last else 0).encode() for n in range(last + 1)]


def disconnect(status=0, text="normal"):
    """HAPROXY-DISCONNECT."""
    return Frame(HAPROXY_DISCONNECT, pairs([("status-code", ("uint32", status)), ("message", text)])).encode()


def split(data):
    """(frames, rest) of received bytes."""
    found = []
    while len(data) >= 4:
        length = struct.unpack("!I", data[:4])[0]
        if len(data) < 4 + length:
            break
        found.append(Frame.decode(data[4:4 + length]))
        data = data[4 + length:]
    return found, data


# --- A connection --------------------------------------------------------------------------------

class Client:
    """One connection to an agent.  Whatever waits for the agent is bounded by `timeout` seconds."""

    def __init__(self, address, timeout=10):
        self.timeout = timeout
        self.sock = agents.connect(address, timeout)
        self.buffer = b""
        self.ended = False
        self.stream_id = 0
        self.agent_hello = None

    # Sending.

    def send(self, *pieces):
        """Everything, within the timeout."""
        self.sock.settimeout(self.timeout)
        self.sock.sendall(b"".join(pieces))

    def send_until_refused(self, data, bound):
        """Writes copies of `data` until the agent has stopped reading for good; returns how many went
        out.  More than `bound` of them is a failure: the agent should have stopped long before."""
        sent = 0
        self.sock.settimeout(1)
        try:
            while sent < bound:
                self.sock.sendall(data)
                sent += 1
        except (TimeoutError, ConnectionError):
            return sent
        raise AssertionError(f"the agent still reads after {bound} times {len(data)} bytes")

    def await_read(self):
        """Waits until the agent has read every byte sent so far (IPv4 only), so that what is sent next
        does not share a read with it.  A connection that the agent closed counts as read."""
        deadline = time.monotonic() + self.timeout
        while left := unread(self.sock):
            if time.monotonic() > deadline:
                raise AssertionError(f"the agent does not read: {left} bytes wait for it")
            time.sleep(0.0002)

    def half_close(self):
        """No more bytes from us; the agent may still answer."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST, as HAProxy's multiplexer does with an idle connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.sock.close()

    # Receiving.

    def poll(self, seconds):
        """Whether something is there to be read, or comes within so many seconds."""
        return bool(self.buffer or select.select([self.sock], [], [], seconds)[0])

    def receive(self, n):
        """Exactly n bytes, or as many as came before the agent closed."""
        deadline = time.monotonic() + self.timeout
        while len(self.buffer) < n and not self.ended:
            self._fill(deadline)
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def _fill(self, deadline):
        """One more read; past the deadline a failure that says what was received."""
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self.sock.settimeout(left)
            data = self.sock.recv(1 << 20)
            self.buffer += data
            self.ended = self.ended or (not data and "closed")
        except ConnectionResetError:
            self.ended = "reset"
        except TimeoutError:
            raise AssertionError(f"no answer within {self.timeout} s; received: {self.describe()}") from None

    def describe(self):
        """What was received and not yet taken, for a failure's text."""
        found, rest = split(self.buffer)
        return f"{found} and {len(rest)} bytes {rest[:64].hex(' ')}"

    def frame(self):
        """The next frame."""
        head = self.receive(4)
        length = struct.unpack("!I", head)[0] if len(head) == 4 else 0
        data = self.receive(length)
        if len(head) < 4 or len(data) < length:
            raise Closed(f"the connection was {self.ended} in place of a frame"
                         + (f", after {(head + data).hex(' ')}" if head else ""))
        return Frame.decode(data)

    def frames(self, count):
        return [self.frame() for _ in range(count)]

    def closed(self):
        """Waits for the agent's close; anything received before it is a failure."""
        deadline = time.monotonic() + self.timeout
        while not self.ended and not self.buffer:
            self._fill(deadline)
        if self.buffer:
            raise AssertionError(f"a close was due, received: {self.describe()}")
        return self.ended

    def drain(self):
        """Every frame up to the agent's close."""
        deadline = time.monotonic() + self.timeout
        while not self.ended:
            self._fill(deadline)
        found, rest = split(self.buffer)
        self.buffer = b""
        if rest:
            raise ProtocolError(f"half a frame before the close: {rest.hex(' ')}")
        return found

    # Conversations.

    def handshake(self, *args, **kwargs):
        """HELLO both ways, arguments as hello()'s; returns the AGENT-HELLO."""
        self.send(hello(*args, **kwargs))
        answer = self.frame()
        if answer.kind != AGENT_HELLO or answer.flags != FIN or answer.ids != (0, 0):
            raise AssertionError(f"AGENT-HELLO was due, received {answer!r}")
        self.agent_hello = answer
        return answer

    def send_notify(self, name, *arguments):
        """Sends a NOTIFY of one message under fresh ids; returns the ids."""
        self.stream_id += 1
        self.send(notify(self.stream_id, 1, message(name, *arguments)))
        return (self.stream_id, 1)

    def ack(self, ids):
        """The next frame, which has to be the ACK of these ids."""
        answer = self.frame()
        if answer.kind != ACK or answer.ids != ids:
            raise AssertionError(f"ACK {ids} was due, received {answer!r}")
        return answer

    def notify(self, name, *arguments):
        """One message there and its ACK back."""
        return self.ack(self.send_notify(name, *arguments))

    def goodbye(self):
        """DISCONNECT both ways, and the agent's close."""
        self.send(disconnect())
        answer = self.frame()
        if answer.kind != AGENT_DISCONNECT or answer.status != 0:
            raise AssertionError(f"AGENT-DISCONNECT 0 was due, received {answer!r}")
        self.closed()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
