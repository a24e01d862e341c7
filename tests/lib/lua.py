"""Lua text run in a handler by `spoa-lua call`, with the modules that were built beside the program.

    class Json(LuaCase):
        def test_null(self):
            self.lua('local json = require "spoa.json" assert(json.null)')
"""
import pathlib
import shutil
import unittest

from lib.agent import binary, run, temp_folder

# Generous: these tests are about what a module does, under a sanitizer on a busy machine.
CONFIG = """handler-timeout 60s
handler-cpu 60s
"""


def modules_path():
    """The configuration line by which `require` finds the modules of the program under test."""
    return f'lua-prepend-path "{pathlib.Path(binary()).parent}/modules/?.so" cpath\n'


class LuaCase(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder("lua")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def call(self, body, *arguments):
        """The ended process; FOLDER in the Lua text is the test's own folder."""
        script = self.folder / "handler.lua"
        script.write_text(f"function run(args)\n{body.replace('FOLDER', str(self.folder))}\nend\n")
        config = self.folder / "spoa-lua.conf"
        config.write_text(f'script "{script}"\n{CONFIG}{modules_path()}')
        return run("call", "-c", config, "run", *arguments, timeout=90)

    def lua(self, body, *arguments):
        """What it printed, its actions; the test fails when the handler does."""
        done = self.call(body, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout
