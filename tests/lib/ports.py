"""Ports for tests that run side by side: given by the kernel, and never given back in between."""
import socket


def listening_socket(host="127.0.0.1", backlog=1024):
    """A socket that listens on a port of the kernel's choice; HAProxy takes it over as `fd@N`."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    sock.listen(backlog)
    return sock


def bound_socket(host="127.0.0.1"):
    """A socket that holds a port without listening: what connects there is refused."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    return sock
