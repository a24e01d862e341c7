"""Waiting for what nobody announces."""
import time


def wait_until(condition, failure, timeout=20):
    """Asks again and again; fails with that text after so many seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(failure)
        time.sleep(0.005)
