"""How much of what was sent on a TCP connection over loopback its other end has not read yet.

Asks the kernel (sock_diag(7)) for the one socket; /proc/net/tcp would be a walk over every connection of
the last minute.
"""
import errno
import fcntl
import os
import socket
import struct

SOCK_DIAG = 4                   # linux/netlink.h: NETLINK_SOCK_DIAG
SOCK_DIAG_BY_FAMILY = 20        # linux/sock_diag.h
NLM_F_REQUEST, NLMSG_ERROR = 1, 2
SIOCOUTQNSD = 0x894B            # linux/sockios.h: bytes that have not left the sending end yet
ANY = 0xffffffff


def unread(sock):
    """Bytes that are on their way or wait in the other end's receive queue; 0 once it is closed."""
    try:
        here, there = sock.getsockname(), sock.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return 0
        raise
    waiting = receive_queue(there, here)
    if waiting is None:
        if receive_queue(here, there) is None and not gone(sock):
            raise OSError(errno.EOPNOTSUPP, "the kernel's inet_diag does not answer")
        return 0
    return waiting + struct.unpack("i", fcntl.ioctl(sock, SIOCOUTQNSD, bytes(4)))[0]


def gone(sock):
    """Whether the other end has closed the connection."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def receive_queue(local, remote):
    """Bytes in the receive queue of the IPv4 socket between two addresses, None if there is none."""
    def packed(address):
        return socket.inet_aton(address).ljust(16, b"\0")

    ident = struct.pack("!HH", local[1], remote[1]) + packed(local[0]) + packed(remote[0]) \
        + struct.pack("=III", 0, ANY, ANY)
    request = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ANY) + ident
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + request)
        answer = kernel.recv(8192)
    kind = struct.unpack_from("=H", answer, 4)[0]
    if kind == NLMSG_ERROR:
        code = -struct.unpack_from("=i", answer, 16)[0]
        if code == errno.ENOENT:
            return None
        raise OSError(code, f"sock_diag: {os.strerror(code)}")
    return struct.unpack_from("=I", answer, 16 + 4 + 48 + 4)[0]     # inet_diag_msg.idiag_rqueue
