"""A DNS server for tests, over UDP and TCP on one port of 127.0.0.1, that also lies, is slow, or is silent.

    with Server({("a.test", "A"): ["192.0.2.1"], ("q.test", "A"): Silent()}) as server:
        ... server.address, server.asked  # [("a.test", "A"), ...]

A value is a list of records, or an object with answer(query) -> bytes or None.  Names that are nowhere
get NXDOMAIN.  Written from RFC 1035; it shares nothing with src/.
"""
import collections
import ipaddress
import socket
import struct
import threading

NUMBERS = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
TYPES = {number: name for name, number in NUMBERS.items()}
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def rdata(kind, value):
    if isinstance(value, bytes):
        return value
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind == "MX":
        return struct.pack("!H", value[0]) + name_bytes(value[1])
    if kind == "TXT":
        strings = [value] if isinstance(value, str) else value
        return b"".join(bytes([len(text)]) + text.encode("latin-1") for text in strings)
    return name_bytes(value)


def record(owner, kind, value, ttl):
    data = rdata(kind, value)
    return owner + struct.pack("!HHIH", NUMBERS[kind], 1, ttl, len(data)) + data


class Query:
    def __init__(self, data, tcp):
        self.id, labels, at = data[:2], [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        self.name, self.tcp = ".".join(labels).lower(), tcp
        self.kind = TYPES.get(struct.unpack("!H", data[at + 1:at + 3])[0], "?")
        self.question = data[12:at + 5]

    def reply(self, rcode=NOERROR, answers=(), authority=(), flags=0):
        head = struct.pack("!HHHHH", 0x8180 | flags | rcode, 1, len(answers), len(authority), 0)
        return self.id + head + self.question + b"".join(answers) + b"".join(authority)


def soa(ttl, minimum):
    data = name_bytes("ns.test") + name_bytes("root.test") + struct.pack("!IIIII", 1, 2, 3, 4, minimum)
    return b"\xc0\x0c" + struct.pack("!HHIH", 6, 1, ttl, len(data)) + data


class Records:
    """Records of the kind that was asked for, or (kind, owner, value) ones."""

    def __init__(self, *values, ttl=60, truncated=False):
        self.values, self.ttl, self.truncated = values, ttl, truncated

    def answer(self, query):
        if self.truncated and not query.tcp:
            return query.reply(flags=0x0200)
        answers = []
        for value in self.values:
            if isinstance(value, tuple) and len(value) == 3:
                answers.append(record(name_bytes(value[1]), value[0], value[2], self.ttl))
            else:
                answers.append(record(b"\xc0\x0c", query.kind, value, self.ttl))
        return query.reply(answers=answers)


class Code:
    """No records, for some reason; with minimum= a SOA that says how long."""

    def __init__(self, rcode, minimum=None):
        self.rcode, self.minimum = rcode, minimum

    def answer(self, query):
        return query.reply(self.rcode, authority=[] if self.minimum is None else [soa(3600, self.minimum)])


class Silent:
    def answer(self, query):
        return None


class Held:
    """Answers once `release` is set."""

    def __init__(self, *values):
        self.release, self.records = threading.Event(), Records(*values)

    def answer(self, query):
        self.release.wait(30)
        return self.records.answer(query)


class Raw:
    """Bytes made by a function of the query."""

    def __init__(self, make):
        self.answer = make


class Server:
    def __init__(self, zone, host="127.0.0.1"):
        self.zone, self.asked = dict(zone), []
        self._changed = threading.Condition()
        while True:
            self.tcp = socket.create_server((host, 0))
            self.port = self.tcp.getsockname()[1]
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
            try:
                self.udp.bind((host, self.port))
                break
            except OSError:
                self.tcp.close()
                self.udp.close()
        self.address = f"{host}:{self.port}"

    def counts(self):
        with self._changed:
            return collections.Counter(self.asked)

    def await_asked(self, name, kind, count=1, timeout=10):
        with self._changed:
            if not self._changed.wait_for(lambda: self.asked.count((name, kind)) >= count, timeout):
                raise AssertionError(f"{kind} {name} was not asked {count} times: {self.asked[-20:]}")

    def _answer(self, data, tcp, send):
        query = Query(data, tcp)
        with self._changed:
            self.asked.append((query.name, query.kind))
            self._changed.notify_all()
        found = self.zone.get((query.name, query.kind))
        if found is None:
            known = any(name == query.name for name, _ in self.zone)
            found = Code(NOERROR if known else NXDOMAIN, 60)
        if isinstance(found, list):
            found = Records(*found)
        if isinstance(found, Held):
            threading.Thread(target=lambda: self._send(send, found.answer(query)), daemon=True).start()
        else:
            self._send(send, found.answer(query))

    @staticmethod
    def _send(send, reply):
        if reply is not None:
            try:
                send(reply)
            except OSError:
                pass

    def _serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            self._answer(data, False, lambda reply, peer=peer: self.udp.sendto(reply, peer))

    def _serve_tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(5)
                try:
                    head = sock.recv(2, socket.MSG_WAITALL)
                    while len(head) == 2:
                        data = sock.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                        self._answer(data, True,
                                     lambda reply: sock.sendall(struct.pack("!H", len(reply)) + reply))
                        head = sock.recv(2, socket.MSG_WAITALL)
                except OSError:
                    pass

    def __enter__(self):
        self._threads = [threading.Thread(target=self._serve_udp, daemon=True),
                         threading.Thread(target=self._serve_tcp, daemon=True)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for found in self.zone.values():
            if isinstance(found, Held):
                found.release.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wake:
            wake.sendto(b"", ("127.0.0.1", self.port))
        self.tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self.udp.close()
        self.tcp.close()
