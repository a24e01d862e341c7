"""The README is true: its files, commands and their output, paths and versions."""
import re
import shutil
import subprocess
import unittest

from lib.agent import ROOT, binary, environment, temp_folder
from lib.haproxy import VERSIONS

README = (ROOT / "README.md").read_text()
# ```lua, ```console or ```, and the text.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
PROGRAM = "build/spoa-lua"


class Readme(unittest.TestCase):
    def test_the_first_handler_and_all_commands(self):
        folder = temp_folder("readme")
        self.addCleanup(shutil.rmtree, folder)
        ran = 0
        for language, text in BLOCK.findall(README):
            name = re.match(r"(?:--|#) (\S+)\n", text)
            if language == "console":
                for command, said in re.findall(r"^\$ (.*)\n((?:[^$\n].*\n)*)", text, re.M):
                    self.runs(folder, command, said)
                    ran += 1
            elif name:
                (folder / name[1]).parent.mkdir(exist_ok=True)
                (folder / name[1]).write_text(text)
        self.assertEqual(ran, README.count("\n$ "))
        self.assertGreater(ran, 3)

    def runs(self, folder, command, said):
        program, *arguments = command.split()
        self.assertEqual(program, PROGRAM)
        done = subprocess.run([binary(), *arguments], cwd=folder, env=environment(), capture_output=True, text=True,
                              timeout=30)
        # The order of actions is that of a Lua table.
        self.assertEqual(sorted((done.stdout + done.stderr).splitlines()), sorted(said.splitlines()), command)
        self.assertEqual(done.returncode, int(said.startswith("error: ")), command)

    def test_every_path_is_there(self):
        layout = re.search(r"^## The code\n\n```\n(.*?)^```$", README, re.M | re.S)[1]
        paths = re.findall(r"^(\S+)  ", layout, re.M)
        paths += re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r"man -l (\S+?)`", README)
        self.assertGreater(len(paths), 15)
        self.assertEqual([path for path in paths if not (ROOT / path).exists()], [])

    def test_every_folder_of_the_source_is_in_the_layout(self):
        layout = re.search(r"^## The code\n\n```\n(.*?)^```$", README, re.M | re.S)[1]
        folders = [f"src/{path.name}/" for path in (ROOT / "src").iterdir() if path.is_dir() and any(path.glob("*.c"))]
        self.assertEqual([folder for folder in folders if folder not in layout], [])

    def test_make_has_the_targets(self):
        makefile = (ROOT / "Makefile").read_text()
        targets = re.findall(r"^    make ([a-z]+)", README, re.M)
        self.assertEqual(targets, ["demo", "check", "install", "deb"])
        for target in targets:
            self.assertRegex(makefile, rf"(?m)^{target}:")

    def test_versions_of_haproxy(self):
        said = re.search(r"tested with HAProxy ([\d., and\n]+)\.\n", README)[1]
        self.assertEqual(re.findall(r"\d+\.\d+", said), list(VERSIONS))
