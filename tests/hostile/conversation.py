"""One valid conversation, whole, for the tests that cut it short or flip its bytes."""
from lib import spop

VALUES = [("null", None), ("bool", True), ("int32", -5), ("uint32", 5), ("int64", 1 << 40), ("uint64", (1 << 64) - 1),
          ("ipv4", "192.0.2.1"), ("ipv6", "2001:db8::1"), ("str", "text" * 70), ("bin", b"\0\xff")]

ARGUMENTS = [(f"a{n}", value) for n, value in enumerate(VALUES)]

FRAMES = [
    spop.hello(engine_id="12345678-1234"),
    spop.notify(1, 1, spop.message("echo", ("v", 7))),
    spop.notify(300, 1, spop.message("echo", *ARGUMENTS), spop.message("nobody"), spop.message("echo", ("v", "x"), 5)),
    *spop.fragments(3, 1, spop.message("echo", ("v", "in pieces")), 4, 12),
    spop.notify(5, 1),
    spop.disconnect(),
]
BYTES = b"".join(FRAMES)

# How many answers are due once so many of the frames have arrived.
ANSWERS = [1, 2, 3, 3, 3, 4, 5, 6]


def due(length):
    """How many answers the first so many bytes deserve."""
    count, end = 0, 0
    for frame, total in zip(FRAMES, ANSWERS):
        end += len(frame)
        if length < end:
            break
        count = total
    return count
