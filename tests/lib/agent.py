"""One running spoa-lua for one test: started, awaited, stopped and checked.

    with Agent("function f(args) return { ['txn.x'] = 1 } end") as agent:
        ... agent.port, agent.wait_log(r"pattern"), agent.log(), agent.signal(signal.SIGHUP)

Leaving the `with` block stops the daemon with SIGTERM and fails the test unless it exited with 0
within a bound and no sanitizer said anything.  On a failure the whole log is printed.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SANITIZER = re.compile(r"ERROR: AddressSanitizer|runtime error:|LeakSanitizer|UndefinedBehaviorSanitizer"
                       r"|AddressSanitizer:DEADLYSIGNAL")
# A leak found at exit changes the exit status; halt_on_error makes undefined behaviour do so too.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}


def binary():
    """The daemon under test: $SPOA_LUA, or the sanitized build."""
    path = pathlib.Path(os.environ.get("SPOA_LUA", ROOT / "build/asan/spoa-lua")).resolve()
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: build it first (make check does)")
    return str(path)


def temp_folder(name):
    """A fresh folder in the system's own, not below the project's: its path is short enough for a unix socket,
    has no spaces, and another user gets there, wherever the project is cloned to."""
    return pathlib.Path(tempfile.mkdtemp(prefix=f"spoa-lua-{name}-"))


def environment(extra=None):
    """This process's environment for a daemon under test: sanitizers set, not taken for journald's."""
    env = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
    env.update(SANITIZER_ENV)
    env.update(extra or {})
    return env


class Process:
    """A child whose stderr is collected by a thread, with waiting for a line of it."""

    def __init__(self, argv, cwd=None, env=None, name=None, pass_fds=()):
        self.name = name or os.path.basename(argv[0])
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        self.popen = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=pass_fds)
        self.pid = self.popen.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.popen.stdout as out:
            while data := os.read(out.fileno(), 65536):
                with self._changed:
                    self._text += data.decode("utf-8", "backslashreplace")
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def log(self):
        with self._changed:
            return self._text

    def mark(self):
        """The present end of the log, for wait_log(after=...)."""
        with self._changed:
            return len(self._text)

    def wait_log(self, pattern, timeout=20, after=0):
        """The match of a regular expression in the log at or after a mark, waited for."""
        regex = re.compile(pattern, re.M)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                if match := regex.search(self._text, after):
                    return match
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"said nothing like it for {timeout} s"
                    raise AssertionError(f"waiting for /{pattern}/: {self.name} {why}; its log:\n{self._text}")
                self._changed.wait(left)

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=20):
        """The exit status, waited for, with all output read."""
        status = self.popen.wait(timeout)
        self._reader.join(timeout)
        return status

    def wait_ended(self, timeout=20):
        """Until nobody can write to the log any more: the process and all its children have ended."""
        self.popen.wait(timeout)
        self._reader.join(timeout)
        if self._reader.is_alive():
            raise AssertionError(f"a child of {self.name} has not ended within {timeout} s; its log:\n{self.log()}")

    def running(self):
        return self.popen.poll() is None

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self._reader.join(5)


class Agent:
    """spoa-lua with its own folder, configuration and listeners.

    scripts: Lua text, a pathlib.Path of a script, or a dict {file name: text}, or a list of them.
    config:  more lines of configuration.
    listen:  one listener or a list of them; an empty list writes none.
    """

    def __init__(self, scripts, config="", listen="127.0.0.1:0", env=None, stop_timeout=20, start=True):
        self.folder = temp_folder("agent")
        self.stop_timeout = stop_timeout
        self.config_file = self.folder / "spoa-lua.conf"
        self._env = environment(env)
        self.process = None
        self.address = None
        self.await_start = r"notice ready$"
        self.log_file = None  # where a log-target sends its lines
        listeners = [listen] if isinstance(listen, str) else list(listen)
        lines = [f"listen {address}" for address in listeners]
        lines += self._write_scripts(scripts)
        self.config_file.write_text("\n".join(lines) + "\n" + config + "\n")
        if start:
            self.start()

    def _write_scripts(self, scripts):
        lines = []
        for n, item in enumerate(scripts if isinstance(scripts, (list, tuple)) else [scripts]):
            if isinstance(item, pathlib.Path):
                lines.append(f'script "{item.resolve()}"')
                continue
            for name, text in (item if isinstance(item, dict) else {f"handlers{n or ''}.lua": item}).items():
                self.write(name, text)
                lines.append(f"script {name}")
        return lines

    def write(self, name, text):
        """Writes a file of the agent's folder in one step, as an editor does; returns its path."""
        path = self.folder / name
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
        fresh.rename(path)
        return path

    def start(self, *options):
        self.process = Process([binary(), "-c", str(self.config_file), *options], cwd=self.folder, env=self._env,
                               name="spoa-lua")
        try:
            self._await_start()
        except AssertionError:
            self.process.kill()
            raise
        said = self.log_file.read_text() if self.log_file else self.log()
        self.addresses = re.findall(r'listening on ([^\s"]+)(?:$|")', said, re.M)
        self.address = self.addresses[0] if self.addresses else None
        return self

    def _await_start(self):
        """Until it is ready, wherever it says so; await_start = None: that is for the test."""
        deadline = time.monotonic() + 30
        if self.log_file:
            while not self.log_file.exists() or "notice ready" not in self.log_file.read_text():
                if not self.process.running() or time.monotonic() > deadline:
                    raise AssertionError(f"spoa-lua is not ready: {self.log()}")
                time.sleep(0.01)
        elif self.await_start:
            self.wait_log(self.await_start, timeout=30)

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.process.log()

    def mark(self):
        return self.process.mark()

    def wait_log(self, pattern, timeout=20, after=0):
        return self.process.wait_log(pattern, timeout, after)

    def signal(self, number):
        self.process.signal(number)

    def reload(self, timeout=20):
        """SIGHUP, and what the daemon said of it: True if the new scripts run, False if the old stay."""
        mark = self.mark()
        self.signal(signal.SIGHUP)
        return "reloaded" in self.wait_log(r"scripts reloaded|reload failed", timeout, mark).group()

    def connect(self, index=0, timeout=10):
        """A new connection to one of the listeners, whatever its family."""
        return connect(self.addresses[index], timeout)

    def pids(self):
        """The daemon's processes: itself and its children."""
        found = [self.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        return found

    def rss(self):
        """Resident memory of all its processes, in bytes."""
        pages = sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu(self):
        """CPU seconds used by all its processes."""
        ticks = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def fds(self):
        """Open descriptors of all its processes."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())

    def stop(self):
        """SIGTERM; exit status 0 in time, and nothing from a sanitizer."""
        if self.process.running():
            self.process.signal(signal.SIGTERM)
        try:
            status = self.process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"spoa-lua did not stop within {self.stop_timeout} s of SIGTERM") from None
        self.check_sanitizers()
        if status != 0:
            raise AssertionError(f"spoa-lua ended with status {status}")

    def check_sanitizers(self):
        if found := SANITIZER.search(self.log()):
            raise AssertionError(f"a sanitizer's report: {found.group()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        failed = kind is not None
        try:
            if self.process is not None:
                self.stop()
        except BaseException:
            failed = True
            raise
        finally:
            if failed and self.process is not None:
                self.process.kill()
                print(f"--- spoa-lua's log ({self.folder}):\n{self.log()}---", file=sys.stderr, flush=True)
            elif not failed:
                shutil.rmtree(self.folder, ignore_errors=True)


def connect(address, timeout=10):
    """A socket connected to an address as `listening on` and the configuration write it."""
    if address.startswith("unix:"):
        sock, where = socket.socket(socket.AF_UNIX), address[5:]
    elif address.startswith("abns:"):
        # HAProxy pads the name with zero bytes to the whole of sun_path (haproxy.md, 22).
        sock, where = socket.socket(socket.AF_UNIX), ("\0" + address[5:]).ljust(108, "\0").encode()
    else:
        host, port = address.rsplit(":", 1)
        where = (host.strip("[]"), int(port))
        sock = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(timeout)
    try:
        sock.connect(where)
    except OSError:
        sock.close()
        raise
    return sock


def run(*args, timeout=30, env=None, cwd=None, stdin=None):
    """Runs the program to its end: subprocess.CompletedProcess with text stdout and stderr."""
    done = subprocess.run([binary(), *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          env=environment(env), cwd=cwd, input=stdin)
    if found := SANITIZER.search(done.stderr):
        raise AssertionError(f"a sanitizer's report: {found.group()}\n{done.stderr}")
    return done
