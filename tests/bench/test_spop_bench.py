"""spop-bench counts what an agent does wrong: agents that misbehave in one way each."""
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
import unittest

from lib import spop
from lib.agent import SANITIZER_ENV, binary

SCORE = bytes([1, 3, 1]) + spop.string("score") + spop.value("int64", 42)


def ack(notify, actions=SCORE, flags=spop.FIN, stream_id=None, frame_id=None):
    return spop.Frame(spop.ACK, actions, notify.stream_id if stream_id is None else stream_id,
                      notify.frame_id if frame_id is None else frame_id, flags).encode()


def agent_hello(max_frame_size=16380, capabilities="pipelining", kind="uint32"):
    return spop.Frame(spop.AGENT_HELLO, spop.pairs([("version", "2.0"), ("max-frame-size", (kind, max_frame_size)),
                                                    ("capabilities", capabilities)])).encode()


class FakeAgent:
    """Answers each frame after the HELLO with what `behave(frame, number)` returns: bytes, or None
    to close."""

    def __init__(self, behave, hello=None, family=socket.AF_INET, address=("127.0.0.1", 0)):
        self.behave, self.hello = behave, hello or agent_hello()
        self.frames = []
        self.listener = socket.socket(family)
        self.listener.bind(address)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        host, port = self.listener.getsockname()
        return f"{host}:{port}"

    def _accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock):
        with sock:
            data, number, greeted = b"", 0, False
            while received := sock.recv(65536):
                frames, data = spop.split(data + received)
                for frame in frames:
                    if not greeted:
                        greeted, reply = True, self.hello
                    elif frame.kind == spop.HAPROXY_DISCONNECT:
                        return
                    else:
                        self.frames.append(frame)
                        reply = self.behave(frame, number)
                        number += 1
                    if reply is None:
                        return
                    sock.sendall(reply)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def run(address, *args):
    program = str(pathlib.Path(binary()).with_name("spop-bench"))
    done = subprocess.run([program, address, "--json", *map(str, args)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **SANITIZER_ENV})
    return done, json.loads(done.stdout) if done.stdout else None


class Faults(unittest.TestCase):
    def counted(self, behave, *args, hello=None, expect=(), status=3):
        with FakeAgent(behave, hello) as agent:
            done, figures = run(agent.address, "-n", 20, "-t", 1, "-x", "sess.score=42", "--strict", *args)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual({k: v for k, v in figures["faults"].items() if v}, dict(expect), done.stderr)
        return figures

    def test_nothing_is_wrong_with_a_good_agent(self):
        figures = self.counted(lambda frame, n: ack(frame), "-c", 4, "-p", 4, status=0)
        self.assertEqual((figures["sent"], figures["answered"], figures["acks"]), (20, 20, 20))
        self.assertEqual(figures["latency_us"]["count"], 20)

    def test_another_value_is_wrong(self):
        other = SCORE[:-1] + bytes([43])
        self.counted(lambda frame, n: ack(frame, other if n == 7 else SCORE), expect={"wrong": 1})

    def test_another_scope_or_no_action_is_wrong(self):
        other = SCORE[:2] + bytes([2]) + SCORE[3:]
        self.counted(lambda frame, n: ack(frame, {3: other, 4: b""}.get(n, SCORE)), expect={"wrong": 2})

    def test_actions_that_haproxy_would_not_read_are_malformed(self):
        name = b"\x01\x03\x01" + spop.string("a-b") + b"\x00"
        bad = {1: SCORE + b"\x01", 2: b"\x01\x02" + SCORE[2:], 3: SCORE + name, 4: SCORE[:-1]}
        self.counted(lambda frame, n: ack(frame, bad.get(n, SCORE)), expect={"malformed": 4})

    def test_a_fragment_of_an_ack_is_malformed(self):
        self.counted(lambda frame, n: ack(frame, flags=0 if n == 5 else spop.FIN), expect={"malformed": 1})

    def test_aborted(self):
        self.counted(lambda frame, n: ack(frame, flags=spop.FIN | 2 if n == 5 else spop.FIN), expect={"aborted": 1})

    def test_duplicate(self):
        self.counted(lambda frame, n: ack(frame) * (2 if n == 5 else 1), expect={"duplicate": 1})

    def test_unknown_ids(self):
        def behave(frame, n):
            stray = {3: ack(frame, stream_id=7), 4: ack(frame, stream_id=1 << 62),
                     5: ack(frame, frame_id=frame.frame_id + 1)}
            return stray.get(n, b"") + ack(frame)
        self.counted(behave, expect={"unknown": 3})

    def test_missing(self):
        self.counted(lambda frame, n: b"" if n in (2, 9) else ack(frame), expect={"missing": 2})

    def test_late(self):
        held = []

        def behave(frame, n):
            if n == 4:
                held.append(frame)
                return b""
            return (ack(held.pop()) if held else b"") + ack(frame)
        figures = self.counted(behave, expect={"late": 1})
        self.assertEqual((figures["answered"], figures["acks"]), (20, 19))
        # What came late counts among the latencies all the same.
        self.assertGreaterEqual(figures["latency_us"]["max"], 1_000_000)

    def test_a_lost_connection_loses_what_is_outstanding(self):
        self.counted(lambda frame, n: None, "-c", 2, "-p", 3, expect={"lost": 2, "missing": 6})

    def test_agent_disconnect(self):
        keys = spop.pairs([("status-code", ("uint32", 4)), ("message", "no")])
        bye = spop.Frame(spop.AGENT_DISCONNECT, keys).encode()
        self.counted(lambda frame, n: bye, expect={"lost": 1, "disconnects": 1, "missing": 1})


class Agreement(unittest.TestCase):
    def test_one_outstanding_without_pipelining(self):
        with FakeAgent(lambda frame, n: ack(frame), agent_hello(capabilities="")) as agent:
            done, figures = run(agent.address, "-p", 8, "-n", 30)
        self.assertEqual((done.returncode, figures["outstanding"], figures["pipelining"], figures["answered"]),
                         (0, 1, False, 30))
        # Each ACK came by itself, so each NOTIFY went by itself.
        self.assertEqual(figures["reads"], 30)

    def test_any_integer_type_of_max_frame_size(self):
        with FakeAgent(lambda frame, n: ack(frame), agent_hello(max_frame_size=1000, kind="int64")) as agent:
            done, figures = run(agent.address, "-n", 5)
        self.assertEqual((done.returncode, figures["max_frame_size"]), (0, 1000))

    def test_a_long_notify_goes_in_fragments(self):
        with FakeAgent(lambda frame, n: ack(frame) if frame.flags & spop.FIN else b"",
                       agent_hello(1000, "pipelining,fragmentation")) as agent:
            done, figures = run(agent.address, "-n", 3, "-m", "m", "-a", "body=bin:5000", "-a", "n=uint64:7")
        self.assertEqual((done.returncode, figures["answered"]), (0, 3), done.stderr)
        payloads, ids = {}, []
        for frame in agent.frames:
            self.assertLessEqual(len(frame.encode()) - 4, 1000)
            self.assertEqual(frame.kind, spop.UNSET if frame.ids in payloads else spop.NOTIFY)
            payloads[frame.ids] = payloads.get(frame.ids, b"") + frame.payload
        for payload in payloads.values():
            reader = spop.Reader(payload)
            self.assertEqual((reader.string(), reader.byte()), (b"m", 2))
            (name, (kind, body)), last = reader.pairs()
            self.assertEqual((name, kind, len(body), last), ("body", "bin", 5000, ("n", ("uint64", 7))))
        self.assertEqual(len(payloads), 3)

    def test_a_long_notify_is_refused_without_fragmentation(self):
        with FakeAgent(lambda frame, n: ack(frame), agent_hello(1000)) as agent:
            done, _ = run(agent.address, "-n", 3, "-a", "body=bin:5k")
        self.assertEqual(done.returncode, 69)
        self.assertIn("has no fragmentation", done.stderr)

    def test_messages_in_a_notify(self):
        with FakeAgent(lambda frame, n: ack(frame)) as agent:
            done, _ = run(agent.address, "-n", 1, "-M", 3, "-m", "one", "-a", "bool:true")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(agent.frames[0].payload, spop.message("one", True) * 3)

    def test_abstract_sockets(self):
        name = f"spop-bench-{os.getpid()}"
        with FakeAgent(lambda frame, n: ack(frame), family=socket.AF_UNIX,
                       address=("\0" + name).ljust(108, "\0").encode()):
            done, figures = run(f"abns:{name}", "-n", 5)
        self.assertEqual((done.returncode, figures["answered"]), (0, 5), done.stderr)


class Latency(unittest.TestCase):
    """An agent that pauses half a second once, among a hundred NOTIFYs, one outstanding."""

    def paused(self, *args):
        def behave(frame, n):
            if n == 10:
                time.sleep(0.5)
            return ack(frame)
        with FakeAgent(behave) as agent:
            done, figures = run(agent.address, "-n", 100, "-t", 5, *args)
        self.assertEqual((done.returncode, figures["answered"]), (0, 100), done.stderr)
        return figures["latency_us"]

    def test_a_closed_loop_sees_a_pause_once(self):
        latency = self.paused()
        self.assertGreaterEqual(latency["max"], 500_000)
        self.assertLess(latency["p90"], 250_000)
        self.assertFalse(latency["from_schedule"])

    def test_an_open_loop_charges_it_to_all_it_delayed(self):
        latency = self.paused("-r", 100)
        self.assertGreaterEqual(latency["p90"], 250_000)
        self.assertTrue(latency["from_schedule"])


class Usage(unittest.TestCase):
    def test_usage_errors(self):
        for args in ([], ["127.0.0.1:1", "127.0.0.1:2"], ["nonsense"], ["127.0.0.1:1", "-c", "0"],
                     ["127.0.0.1:1", "-a", "x=int32:3000000000"], ["127.0.0.1:1", "-x", "score=1"],
                     ["127.0.0.1:1", "--capabilities", "piping"], ["127.0.0.1:1", "-Z"]):
            with self.subTest(args=args):
                done = subprocess.run([str(pathlib.Path(binary()).with_name("spop-bench")), *args],
                                      capture_output=True, text=True, timeout=20)
                self.assertEqual((done.returncode, done.stdout), (64, ""))
                self.assertIn("spop-bench: ", done.stderr)

    def test_nobody_there(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            done, _ = run(f"127.0.0.1:{sock.getsockname()[1]}", "-n", 1)
        self.assertEqual(done.returncode, 69)
        self.assertIn("Connection refused", done.stderr)
