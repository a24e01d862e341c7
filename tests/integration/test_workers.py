"""Several workers: connections spread, a dead or stuck one replaced, nothing but its own lost."""
import json
import os
import signal
import time
import unittest

from lib import agent as agents, http
from lib.agent import Agent, run
from lib.haproxy import HAProxy, VersionsCase
from lib.spop import Client, Closed

# string.find backtracks in C for hours, where no hook stops it.
LUA = """
function pid(args)
    return { ["txn.pid"] = io.open("/proc/self/stat"):read("n") }
end
function stuck(args)
    return { ["txn.x"] = (("a"):rep(400)):find((".-"):rep(12) .. "b") }
end
function wait(args)
    spoa.sleep(0.4)
    return { ["txn.done"] = true }
end
"""
# Loads when the test lets it: while `hold` is there, each process waits for a file of its own.
HELD = """
local pid = io.open("/proc/self/stat"):read("n")
local function there(name)
    local file = io.open(name)
    return file and file:close()
end
if there("hold") then
    io.open("loading." .. pid, "w"):close()
    while not there("go." .. pid) do end
end
function scope(args)
    return { x = pid }
end
"""
# Each process says that it loads, and does so until `hold` is gone; others run meanwhile.
HOLDS = """
spoa.at_start(function()
    local file = io.open("hold")
    if file then
        print("loading " .. io.open("/proc/self/stat"):read("n"))
    end
    while file do
        file:close()
        spoa.sleep(0.02)
        file = io.open("hold")
    end
end)
"""
WORKERS = "workers 4\nworker-timeout 3s\nhandler-timeout 30s\nhandler-cpu 30s"


def worker_of(client):
    return client.notify("pid").vars()["txn.pid"][1]


class Workers(unittest.TestCase):
    def test_connections_are_spread_evenly(self):
        with Agent(LUA, WORKERS) as agent:
            clients = [Client(agent.address) for _ in range(22)]
            for client in clients:
                client.handshake()
            for _ in range(2):
                pids = [worker_of(client) for client in clients]
                counts = sorted(pids.count(pid) for pid in set(pids))
                self.assertEqual(len(counts), 4)
                self.assertLessEqual(counts[-1] - counts[0], 1)
                # What closes makes room where it was: the next ones fill it.
                gone = max(set(pids), key=pids.count)
                for i, pid in enumerate(pids):
                    if pid == gone:
                        clients[i].goodbye()
                        clients[i].close()
                        clients[i] = Client(agent.address)
                        clients[i].handshake()
            for client in clients:
                client.close()

    def test_a_killed_one_is_replaced(self):
        with Agent(LUA, WORKERS) as agent, Client(agent.address) as one, Client(agent.address) as other:
            one.handshake()
            other.handshake()
            victim = worker_of(one)
            self.assertNotEqual(victim, worker_of(other))
            ids = other.send_notify("wait")
            os.kill(victim, signal.SIGKILL)
            agent.wait_log(rf"err worker \d \(pid {victim}\) was killed by signal 9 .* its 1 connections are lost")
            with self.assertRaises(Closed):
                one.frame()
            self.assertEqual(other.ack(ids).vars(), {"txn.done": ("bool", True)})
            with Client(agent.address) as third:
                third.handshake()
                self.assertNotEqual(worker_of(third), victim)

    def test_a_stuck_one_is_killed_and_named(self):
        with Agent(LUA, WORKERS) as agent, Client(agent.address) as one, Client(agent.address) as other:
            one.handshake()
            other.handshake()
            one.send_notify("stuck")
            agent.wait_log(r"err worker \d .* was killed in handler stuck: its loop had not turned")
            self.assertEqual(other.notify("wait").vars(), {"txn.done": ("bool", True)})

    def test_one_that_is_told_to_end_is_replaced_after_its_work(self):
        with Agent(LUA, "workers 2") as agent, Client(agent.address) as one, Client(agent.address) as other:
            one.handshake()
            other.handshake()
            leaving = worker_of(one)
            ids = one.send_notify("wait")
            one.await_read()
            os.kill(leaving, signal.SIGTERM)
            self.assertEqual(one.ack(ids).vars(), {"txn.done": ("bool", True)})
            self.assertEqual(one.frame().name, "AGENT-DISCONNECT")
            one.close()
            agent.wait_log("worker [12] is started again")
            self.assertNotEqual(worker_of(other), leaving)

    def test_the_counts_outlive_a_worker(self):
        with Agent(LUA, "workers 1") as agent:
            with Client(agent.address) as client:
                client.handshake()
                os.kill(worker_of(client), signal.SIGKILL)
            agent.wait_log(r"was killed by signal 9")
            with Client(agent.address) as client:
                client.handshake()
                worker_of(client)
            agent.stop()
            agent.wait_log(r"stopped: 2 connections .* 2 NOTIFYs, 2 ACKs")

    def test_without_a_supervisor_there_are_no_workers(self):
        with Agent(LUA, start=False) as agent:
            agent.start("--single")
            with Client(agent.address) as client:
                client.handshake()
                self.assertEqual(worker_of(client), agent.pid)
                self.assertTrue(agent.reload())
                self.assertEqual(worker_of(client), agent.pid)
            self.assertEqual(agent.pids(), [agent.pid])

    def test_workers_end_when_the_supervisor_is_killed(self):
        with Agent(LUA, WORKERS) as agent, Client(agent.address) as client:
            client.handshake()
            ids = client.send_notify("wait")
            client.await_read()
            os.kill(agent.pid, signal.SIGKILL)
            self.assertEqual(client.ack(ids).vars(), {"txn.done": ("bool", True)})
            self.assertEqual(client.frame().name, "AGENT-DISCONNECT")
            agent.process.wait_ended()  # the last worker has closed the log
            agent.check_sanitizers()
            agent.process = None


class ReloadKeys(unittest.TestCase):
    def test_listeners_open_and_close(self):
        with Agent(LUA, listen="127.0.0.1:0") as agent:
            one, two = (f"unix:{agent.folder}/{name}.sock" for name in ("one", "two"))
            text = agent.config_file.read_text()
            agent.config_file.write_text(f"{text}\nlisten {one}\n")
            self.assertTrue(agent.reload())
            with Client(one) as old:
                old.handshake()
                agent.config_file.write_text(f"{text}\nlisten {two}\n")
                mark = agent.mark()
                self.assertTrue(agent.reload())
                agent.wait_log(rf"no longer listening on {one}", after=mark)
                with Client(two) as new:
                    new.handshake()
                    worker_of(new)
                worker_of(old)
            self.assertFalse((agent.folder / "one.sock").exists())
            with Client(agent.address) as client:
                client.handshake()

    def test_one_that_cannot_be_bound_fails_the_reload(self):
        with Agent(LUA) as other, Agent(LUA) as agent:
            text = agent.config_file.read_text()
            agent.config_file.write_text(text + f"\nlisten unix:{agent.folder}/new.sock\nlisten {other.address}\n")
            mark = agent.mark()
            self.assertFalse(agent.reload())
            agent.wait_log(rf"err listen {other.address}: Address already in use", after=mark)
            self.assertFalse((agent.folder / "new.sock").exists())

    def test_keys_that_need_a_restart_say_so(self):
        with Agent(LUA, "workers 1") as agent:
            text = agent.config_file.read_text()
            agent.config_file.write_text(text.replace("workers 1", "workers 2\nuser root"))
            for _ in range(2):
                mark = agent.mark()
                self.assertTrue(agent.reload())
                agent.wait_log(r"warning reload: changed, but needs a restart: workers, user$", after=mark)
            self.assertEqual(len(agent.pids()), 2)

    def test_scripts_that_crash_are_proved_elsewhere(self):
        with Agent(LUA) as agent, Client(agent.address) as client:
            client.handshake()
            pid = worker_of(client)
            agent.write("handlers.lua", "os.execute('kill -9 $PPID')")
            mark = agent.mark()
            self.assertFalse(agent.reload())
            agent.wait_log(r"err the process that loaded them was killed by signal 9", after=mark)
            self.assertEqual(worker_of(client), pid)


class WorkerStartsDuringReload(unittest.TestCase):
    def setUp(self):
        self.agent = Agent(HELD, "workers 2\nhandler-cpu 30s\ndefault-scope txn", start=False)
        self.control = f"unix:{self.agent.folder}/control.sock"
        with self.agent.config_file.open("a") as config:
            config.write(f"control {self.control}\n")
        self.enterContext(self.agent.start())
        self.stays, self.victim = self.agent.pids()[1:]

    def await_loading(self, *known):
        """The process, none of these, that loads and is held."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for path in self.agent.folder.glob("loading.*"):
                if (pid := int(path.suffix[1:])) not in known:
                    return pid
            time.sleep(0.01)
        raise AssertionError("nobody loads")

    def go(self, pid):
        (self.agent.folder / f"go.{pid}").touch()

    def start_one_and_reload(self):
        """A new worker and the one that stays are both loading, in the middle of a reload."""
        (self.agent.folder / "hold").touch()
        os.kill(self.victim, signal.SIGKILL)
        fresh = self.await_loading()
        text = self.agent.config_file.read_text()
        self.agent.config_file.write_text(text.replace("default-scope txn", "default-scope sess"))
        self.agent.signal(signal.SIGHUP)
        prover = self.await_loading(fresh)
        self.go(prover)
        self.assertEqual(self.await_loading(fresh, prover), self.stays)
        return fresh

    def states(self):
        with agents.connect(self.control) as sock:
            sock.sendall(b"show workers json\n")
            return {worker["pid"]: worker["state"] for worker in json.load(sock.makefile())}

    def scopes(self):
        """What each of the two workers answers with."""
        found = {}
        with Client(self.agent.address) as one, Client(self.agent.address) as other:
            for client in (one, other):
                client.handshake()
                (name, (_, pid)), = client.notify("scope").vars().items()
                found[pid] = name
        return found

    def test_it_serves_before_the_others_have_loaded(self):
        fresh = self.start_one_and_reload()
        mark = self.agent.mark()
        self.go(fresh)
        while self.states()[fresh] != "serving":
            time.sleep(0.01)
        self.go(self.stays)
        self.agent.wait_log("scripts reloaded", after=mark)
        self.assertEqual(self.scopes(), {self.stays: "sess.x", fresh: "sess.x"})

    def test_it_has_not_loaded_when_the_others_have(self):
        fresh = self.start_one_and_reload()
        mark = self.agent.mark()
        (self.agent.folder / "hold").unlink()
        self.go(self.stays)
        self.agent.wait_log("scripts reloaded", after=mark)
        self.agent.wait_log("worker 2 is started again", after=mark)
        found = {}
        deadline = time.monotonic() + 20
        while len(found) < 2 and time.monotonic() < deadline:
            found = self.scopes()
        self.assertEqual(sorted(found.values()), ["sess.x", "sess.x"])
        self.assertNotIn(fresh, found)

    def test_the_end_comes_in_the_middle(self):
        fresh = self.start_one_and_reload()
        mark = self.agent.mark()
        self.agent.signal(signal.SIGTERM)
        self.agent.wait_log("reload failed", after=mark)
        self.go(fresh)
        self.go(self.stays)
        self.assertEqual(self.agent.process.wait(), 0)
        self.assertNotIn("scripts reloaded", self.agent.log())


class UnderLoad(VersionsCase):
    def each_killed_worker_costs_its_own(self, version):
        show = {"pid": "txn.t.pid"}
        with Agent(LUA, "workers 2") as agent, HAProxy(version, agent, {"pid": "args src"}, show=show) as haproxy:
            with http.Load(haproxy.port, 8) as load:
                load.await_replies(200)
                os.kill(agent.pids()[1], signal.SIGKILL)
                agent.wait_log(r"was killed by signal 9")
                load.await_replies(200)
            failed = [reply for _, reply in load.replies if reply["pid"] is None]
            # What was in flight on it, one of each client, and what HAProxy sent before it saw the end.
            self.assertLessEqual(len(failed), 2 * 8, failed)

    def each_twenty_reloads_lose_nothing(self, version):
        show = {"pid": "txn.t.pid"}
        with Agent(LUA, "workers 2") as agent, HAProxy(version, agent, {"pid": "args src"}, show=show) as haproxy:
            with http.Load(haproxy.port, 16) as load:
                for _ in range(20):
                    load.await_replies(20)
                    self.assertTrue(agent.reload())
                load.await_replies(100)
            wrong = [reply for _, reply in load.replies if reply["pid"] is None or reply["err"]]
            self.assertEqual(wrong, [])

    def reload_held(self, agent):
        """A reload that has come so far that both workers load, and wait for `hold` to go away."""
        (agent.folder / "hold").touch()
        # The prover does not run what spoa.at_start asks for.
        agent.write("handlers.lua", HOLDS + LUA)
        mark = agent.mark()
        agent.signal(signal.SIGHUP)
        pids = set()
        while len(pids) < 2:
            mark = (said := agent.wait_log(r"handlers\.lua:\d+: loading (\d+)", after=mark)).end()
            pids.add(said.group(1))

    def each_worker_killed_in_a_reload_costs_its_own(self, version):
        show = {"pid": "txn.t.pid"}
        with Agent(LUA, "workers 2") as agent, HAProxy(version, agent, {"pid": "args src"}, show=show) as haproxy:
            with http.Load(haproxy.port, 8) as load:
                load.await_replies(100)
                self.reload_held(agent)
                load.await_replies(50)  # the old scripts go on while the new ones load
                mark = agent.mark()
                os.kill(agent.pids()[1], signal.SIGKILL)
                agent.wait_log("a worker died while it loaded the scripts", after=mark)
                agent.wait_log("err reload failed: the old configuration and scripts go on", after=mark)
                (agent.folder / "hold").unlink()
                load.await_replies(100)
            failed = [reply for _, reply in load.replies if reply["pid"] is None]
            # At most one request of each client was in flight on it.
            self.assertLessEqual(len(failed), 2 * 8, failed)

    def each_stop_in_a_reload_finishes_what_is_under_way(self, version):
        show = {"done": "txn.t.done"}
        with Agent(LUA, "workers 2") as agent, HAProxy(version, agent, {"wait": "args src"}, show=show) as haproxy:
            with http.Load(haproxy.port, 8) as load:
                load.await_replies(16)
                self.reload_held(agent)
                load.await_replies(16)
                agent.signal(signal.SIGTERM)
                self.assertEqual(agent.process.wait(), 0)
            agent.wait_log("err spoa-lua is stopping")
            agent.wait_log(r"stopped: .* (\d+) NOTIFYs, \1 ACKs; messages: \d+ ok, 0 error, 0 timeout")
            self.assertNotIn("scripts reloaded", agent.log())
            self.assertNotIn("drain-timeout", agent.log())


if __name__ == "__main__":
    unittest.main()
