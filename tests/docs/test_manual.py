"""The manual pages are well-formed, and say of keys, functions and exit statuses what is so."""
import re
import shutil
import socket
import subprocess
import unittest

from lib.agent import ROOT, run, temp_folder

DOC = ROOT / "doc"
PAGES = sorted(DOC.glob("*.[1-9]"))
HANDLERS = (DOC / "spoa-lua-handlers.7").read_text()
DAEMON = (DOC / "spoa-lua.8").read_text()

# The keys and their defaults, as the configuration's rows have them.
ROWS = dict(re.findall(r'\{\s*(?:\.heading = "[^"]*",\s*)?\.key = "([^"]+)",(.*?)\n    \},',
                       (ROOT / "src/daemon/config_keys.c").read_text(), re.S))

LIST_API = """
function list()
    local names = {}
    for name in pairs(spoa) do names[#names + 1] = name end
    return { ["txn.names"] = table.concat(names, " ") }
end
"""


class Manual(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder("manual")
        self.addCleanup(shutil.rmtree, self.folder)

    def script(self, text, name="script.lua"):
        path = self.folder / name
        path.write_text(text)
        return path

    def test_mandoc_has_nothing_to_say(self):
        self.assertEqual(len(PAGES), 5)
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *PAGES], capture_output=True, text=True, timeout=30)
        self.assertEqual((done.stdout + done.stderr, done.returncode), ("", 0))

    def test_references_between_the_pages(self):
        there = {path.name for path in PAGES}
        for page in PAGES:
            said = {f"{name}.{section}" for name, section in re.findall(r"^\.Xr (spoa-lua\S*) (\d)",
                                                                        page.read_text(), re.M)}
            self.assertLessEqual(said, there)
            # Each leads to all the others.
            see_also = page.read_text().partition(".Sh SEE ALSO")[2]
            said = {f"{name}.{section}" for name, section in re.findall(r"\.Xr (spoa-lua\S*) (\d)", see_also)}
            if page.name != "spoa-lua.conf.5":
                self.assertEqual(said, there - {page.name})

    def test_the_page_of_modules_is_what_make_docs_writes(self):
        parts = [DOC / "handlers/HEAD", *sorted((DOC / "handlers").glob("*.mdoc")), DOC / "handlers/TAIL"]
        self.assertEqual((DOC / "spoa-lua-modules.7").read_text(), "".join(p.read_text() for p in parts))

    def test_every_key(self):
        self.assertGreater(len(ROWS), 15)
        page = (DOC / "spoa-lua.conf.5").read_text()
        self.assertEqual(re.findall(r"^\.It Ic ([a-z-]+)", page, re.M), list(ROWS))

    def test_defaults_of_the_limits(self):
        said = re.findall(r"^\.It Ic (handler-\S+) , No (\S+)$", HANDLERS, re.M)
        self.assertEqual({key for key, _ in said}, {key for key in ROWS if key.startswith("handler-")})
        said += re.findall(r"^\.Ic (background-\S+)\n\((\w+)\)", HANDLERS, re.M)
        self.assertEqual(len(said), 7)
        for key, default in said:
            self.assertIn(f'.initial = "{default}"', ROWS[key])

    def test_keys_that_other_pages_name(self):
        # The words of HAProxy's that look like ours are not there.
        for page in ("spoa-lua.8", "spoa-lua-handlers.7"):
            named = re.findall(r"\bIc ([a-z]+(?:-[a-z]+)+)", (DOC / page).read_text())
            self.assertGreater(len(named), 0)
            self.assertEqual([key for key in named if key not in ROWS], [], page)

    def test_every_name_of_the_api(self):
        done = run("call", "-s", self.script(LIST_API), "list")
        there = set(done.stdout.removeprefix("set-var txn.names str ").split())
        self.assertLessEqual({"sleep", "unset", "ipv4"}, there)
        entries = "\n".join(re.findall(r"^\.It (.*spoa\..*)$", HANDLERS, re.M))
        self.assertEqual(set(re.findall(r"spoa\.(\w+)", entries)), there)
        # A name in quotes is a module's.
        self.assertLessEqual(set(re.findall(r'(?<!")\bspoa\.(\w+)', HANDLERS)), there)

    def test_every_reason(self):
        rows = re.search(r"#define TASK_RESULTS\(X\)(.*?)\n\n", (ROOT / "src/script/task.h").read_text(), re.S)[1]
        reasons = re.findall(r'X\(\w+, "(\w+)"\)', rows)
        section = HANDLERS.partition(".Sh WHEN IT GOES WRONG")[2].partition(".Ss")[0]
        self.assertEqual(["ok", *re.findall(r"^\.It Cm (\w+)$", section, re.M)], reasons)

    def test_the_synopsis_of_a_handler(self):
        text = re.search(r"^\.Sh SYNOPSIS\n\.Bd -literal\n(.*?)^\.Ed$", HANDLERS, re.M | re.S)[1]
        self.script('return { ["192.0.2.66"] = true }', "blocklist.lua")
        done = run("call", "-s", self.script(text), "get-ip-reputation", "client_ip=ipv4:192.0.2.66", "host=null")
        self.assertEqual((sorted(done.stdout.splitlines()), done.stderr),
                         (["set-var sess.score int64 0", "unset-var txn.host"], ""))

    def test_the_example_of_a_handler(self):
        text, said = re.findall(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed$",
                                HANDLERS.partition(".Sh EXAMPLES")[2], re.M | re.S)
        command, output = re.fullmatch(r"\$ spoa-lua (call -s tarpit\.lua [^\n]*)\n(.*)", said, re.S).groups()
        self.script(text, "tarpit.lua")
        done = run(*command.split(), cwd=self.folder)
        self.assertEqual((done.stdout, done.stderr), (output, ""))

    def test_every_metric(self):
        section = DAEMON.partition(".Ss Metrics and health")[2].partition(".Ss")[0]
        said = set(re.findall(r"\bspoa_lua_\w+", section))
        there = set()
        for name in ("base/metrics.h", "daemon/prometheus.c"):
            there |= set(re.findall(r'"(spoa_lua_\w+?)(?:_bucket)?"', (ROOT / "src" / name).read_text()))
        self.assertEqual(said, there)

    def test_every_command(self):
        section = DAEMON.partition(".Ss Control")[2].partition(".Ss")[0]
        rows = re.findall(r'^    \{"([a-z ]+)", "', (ROOT / "src/daemon/control_commands.c").read_text(), re.M)
        words = re.sub(r"[^a-z]+", " ", " ".join(re.findall(r"^\.It Cm (.*)$", section, re.M)))
        self.assertGreater(len(rows), 10)
        for row in rows:
            self.assertIn(row, words)

    def test_every_exit_status(self):
        section = DAEMON.partition(".Sh EXIT STATUS")[2].partition(".Sh")[0]
        said = set(map(int, re.findall(r"^\.It (\d+)$", section, re.M)))
        good = self.script("function good() end\nfunction bad() error('x') end")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            in_use = self.script(f"script {good}\nlisten 127.0.0.1:{taken.getsockname()[1]}\n", "in-use.conf")
            runs = {
                0: ("call", "-s", good, "good"),
                1: ("call", "-s", good, "bad"),
                64: ("--no-such-option",),
                65: ("call", "-s", self.script("function(", "broken.lua"), "good"),
                69: ("ctl", "-s", f"unix:{self.folder}/nobody.sock", "ping"),
                71: ("-c", in_use),
                78: ("-t", "-c", self.script("no-such-key 1\n", "wrong.conf")),
            }
            for status, arguments in runs.items():
                self.assertEqual(run(*arguments).returncode, status, arguments)
        # 77 takes a user without rights, which the tests may not be.
        self.assertEqual(said, {*runs, 77})


class Architecture(unittest.TestCase):
    def test_every_name_is_in_the_source(self):
        text = (DOC / "architecture.md").read_text()
        source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.[ch]"))
        named = set(re.findall(r"`(?:[^`]*? )?([a-z]+(?:_[a-z]+)+)\b", text)) - {"lua_resetthread", "lua_newthread"}
        named |= set(re.findall(r"^ \w*\s+([a-z]+_[a-z_]+)  ", text, re.M))
        self.assertGreater(len(named), 30)
        self.assertEqual(sorted(name for name in named if not re.search(rf"\b{name}\b", source)), [])
