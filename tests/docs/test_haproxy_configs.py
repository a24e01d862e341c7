"""What is shipped and shown for HAProxy is accepted by it, without a word."""
import re
import shutil
import subprocess

from lib.agent import ROOT, temp_folder
from lib.haproxy import VersionsCase, command, has_mux

# What goes around the pieces that the documents show.
AROUND = """
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
backend site
    server site 127.0.0.1:8000
"""


def readme_blocks():
    """The README's {file name: text} of the blocks that begin with `# NAME`."""
    blocks = re.findall(r"^```\n# (\S+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    return dict(blocks)


def manual_blocks(page):
    """The literal blocks of a manual page."""
    text = (ROOT / "doc" / page).read_text()
    return [block.replace("\\e", "\\") for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", text, re.M | re.S)]


class Accepted(VersionsCase):
    def setUp(self):
        self.folder = temp_folder("conf")
        self.addCleanup(shutil.rmtree, self.folder)

    def accepts(self, version, text, spoe):
        (self.folder / "spoe.cfg").write_text(spoe)
        self.assertIn("/etc/haproxy/spoe.cfg", text)
        config = self.folder / "haproxy.cfg"
        config.write_text(text.replace("/etc/haproxy/spoe.cfg", f"{self.folder}/spoe.cfg"))
        done = subprocess.run([*command(version), "-c", "-f", config], capture_output=True, text=True, timeout=60)
        said = (done.stdout + done.stderr).replace("Configuration file is valid", "").strip()
        self.assertEqual((said, done.returncode), ("", 0), text)

    def refuses(self, version, text, spoe):
        with self.assertRaises(AssertionError):
            self.accepts(version, text, spoe)

    def each_shipped(self, version):
        spoe = (ROOT / "conf/haproxy/spoe.cfg").read_text()
        text = (ROOT / f"conf/haproxy/haproxy-{'3.2' if has_mux(version) else '2.6'}.cfg").read_text()
        self.accepts(version, text, spoe)
        # What stands there for whoever wants it otherwise.
        offered, count = re.subn(r"^( +)#(http-request|server agent)", r"\1\2", text, flags=re.M)
        self.assertEqual(count, 3)
        agents = iter("abc")
        offered = re.sub(r"server agent", lambda match: f"server agent-{next(agents)}", offered)
        self.accepts(version, offered, spoe)
        self.refuses(version, text.replace("backend spoa-lua", "backend other"), spoe)

    def each_of_the_readme(self, version):
        blocks = readme_blocks()
        text = blocks["haproxy.cfg"]
        self.assertIn("    mode tcp  ", text)
        if has_mux(version):
            text = text.replace("    mode tcp  ", "    mode spop ")
        self.accepts(version, AROUND + text, blocks["spoe.cfg"])

    def each_of_the_manual(self, version):
        haproxy, spoe = manual_blocks("spoa-lua-haproxy.7")[:2]
        if has_mux(version):
            haproxy = haproxy.replace("    mode tcp\n", "    mode spop\n")
        self.accepts(version, AROUND + haproxy, spoe)

    def each_demo(self, version):
        env = {"DEMO_PORT": "8080", "DEMO_AGENT": "127.0.0.1:12345", "DEMO_FOLDER": str(ROOT / "conf/demo")}
        done = subprocess.run([*command(version), "-c", "-f", ROOT / "conf/demo/haproxy.cfg"], env=env, timeout=60,
                              capture_output=True, text=True)
        said = (done.stdout + done.stderr).replace("Configuration file is valid", "").strip()
        self.assertEqual((said, done.returncode), ("", 0))
