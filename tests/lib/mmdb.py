"""A MaxMind database, format 2.0, made of a dict of prefixes: enough for tests.

    write(path, {"192.0.2.0/24": {"country": {"iso_code": "DE"}}})
"""
import ipaddress
import struct

MARKER = b"\xab\xcd\xefMaxMind.com"
SEPARATOR = 16


def control(kind, size):
    extended = b"" if kind < 8 else bytes([kind - 7])
    first = (kind if kind < 8 else 0) << 5
    if size < 29:
        return bytes([first | size]) + extended
    if size < 285:
        return bytes([first | 29]) + extended + bytes([size - 29])
    return bytes([first | 30]) + extended + struct.pack(">H", size - 285)


def value(data):
    if isinstance(data, bool):
        return control(14, int(data))
    if isinstance(data, int) and data < 0:
        return control(8, 4) + struct.pack(">i", data)
    if isinstance(data, int):
        kind, size = (6, 4) if data < 1 << 32 else (9, 8)
        return control(kind, size) + data.to_bytes(size, "big")
    if isinstance(data, float):
        return control(3, 8) + struct.pack(">d", data)
    if isinstance(data, str):
        return control(2, len(data.encode())) + data.encode()
    if isinstance(data, list):
        return control(11, len(data)) + b"".join(map(value, data))
    return control(7, len(data)) + b"".join(value(k) + value(v) for k, v in data.items())


def uint16(number):
    return control(5, 2) + struct.pack(">H", number)


def encode(records):
    """An IPv6 tree, in which IPv4 addresses are ::a.b.c.d."""
    nodes, data = [[None, None]], b""
    for prefix, record in records.items():
        network = ipaddress.ip_network(prefix)
        bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[:network.prefixlen]
        bits = "0" * (128 - network.max_prefixlen) + bits
        at = 0
        for bit in map(int, bits[:-1]):
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][int(bits[-1])] = ("data", len(data))
        data += value(record)
    tree = b""
    for record in (record for node in nodes for record in node):
        number = len(nodes) if record is None else record if isinstance(record, int) else \
            len(nodes) + SEPARATOR + record[1]
        tree += number.to_bytes(3, "big")
    metadata = {"node_count": value(len(nodes)), "record_size": uint16(24), "ip_version": uint16(6),
                "database_type": value("test"), "languages": value(["en"]),
                "binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0),
                "build_epoch": control(9, 8) + struct.pack(">Q", 1700000000), "description": value({"en": "a test"})}
    head = control(7, len(metadata)) + b"".join(value(k) + v for k, v in metadata.items())
    return tree + bytes(SEPARATOR) + data + MARKER + head


def write(path, records):
    path.write_bytes(encode(records))
