"""Every script of lua/examples through `spoa-lua call`, with exactly what it prints; one that needs a
server behind it has a test of its own, tests/modules/test_NAME.py.

The order of actions is that of a Lua table, so lines are compared sorted.
"""
import re
import subprocess
import tempfile
import unittest

from lib.agent import ROOT, run, temp_folder

EXAMPLES = ROOT / "lua/examples"
MODULES = {"blocklist"}  # required by another example, no handlers of their own

# (example, message, arguments): what is printed.
CALLS = [
    ("demo", "check-client", "ip=ipv4:127.0.0.1 greeting=null coupon=null", ["set-var sess.score int64 100"]),
    ("demo", "check-client", "ip=ipv4:127.0.0.2 greeting=str:Hello coupon=str:SPRING",
     ["set-var sess.score int64 50", "set-var txn.greeting str Hello to you, 127.0.0.2"]),
    ("demo", "check-client", "ip=ipv4:127.0.0.66 greeting=null coupon=str:FORGED",
     ["set-var sess.score int64 0", "unset-var txn.coupon"]),
    ("reputation", "get-ip-reputation", "client_ip=ipv4:192.0.2.66",
     ["set-var sess.reason str scans for open ports", "set-var sess.score int64 0"]),
    ("reputation", "get-ip-reputation", "client_ip=ipv6:2001:db8::bad",
     ["set-var sess.reason str guesses passwords", "set-var sess.score int64 0"]),
    ("reputation", "get-ip-reputation", "client_ip=ipv4:192.0.2.1",
     ["set-var sess.score int64 100", "unset-var sess.reason"]),
    ("language", "choose-language", "wanted=str:da,en-gb;q=0.8,de-AT;q=0.9", ["set-var txn.language str de"]),
    ("language", "choose-language", "wanted=str:FR", ["set-var txn.language str fr"]),
    ("language", "choose-language", "wanted=str:de;q=0,xx", ["set-var txn.language str en"]),
    ("language", "choose-language", "wanted=str:de;q=1.2.3,,;=", ["set-var txn.language str en"]),
    ("language", "choose-language", "wanted=null", ["set-var txn.language str en"]),
    ("failures", "note-status", "client_ip=ipv4:192.0.2.1 status=int64:404", []),
    ("failures", "judge-client", "client_ip=ipv4:192.0.2.1", ["set-var txn.suspicious bool false"]),
    ("tarpit", "slow-down", "rate=int64:50", ["set-var txn.delayed bool false"]),
    ("tarpit", "slow-down", "rate=int64:60", ["set-var txn.delayed bool true"]),
    # Ten seconds, were it not for the deadline of one.
    ("tarpit", "slow-down", "rate=int64:1050", ["set-var txn.delayed bool true"]),
    ("tarpit", "slow-down", "rate=null", ["set-var txn.delayed bool false"]),
    ("anonymize", "anonymize", "ip=ipv4:192.0.2.77",
     ["set-var sess.bits uint32 24", "set-var sess.network ipv4 192.0.2.0"]),
    ("anonymize", "anonymize", "ip=ipv6:2001:db8:1:2:3:4:5:6",
     ["set-var sess.bits uint32 48", "set-var sess.network ipv6 2001:db8:1::"]),
    ("anonymize", "anonymize", "ip=ipv6:2001:db8::7",
     ["set-var sess.bits uint32 48", "set-var sess.network ipv6 2001:db8::"]),
    ("anonymize", "anonymize", "ip=ipv6:::1", ["set-var sess.bits uint32 48", "set-var sess.network ipv6 ::"]),
    ("anonymize", "anonymize", "ip=null", ["unset-var sess.network"]),
]

# In an example's comment: the message, then its args.
SAID = re.compile(r"^-- +spoe-message (\S+)\n-- +args (.+)$", re.M)


class Examples(unittest.TestCase):
    def test_calls(self):
        for example, message, arguments, printed in CALLS:
            with self.subTest(example=example, arguments=arguments):
                done = run("call", "-s", EXAMPLES / f"{example}.lua", message, *arguments.split(" "))
                self.assertEqual((sorted(done.stdout.splitlines()), done.stderr, done.returncode), (printed, "", 0))

    def test_all_are_called_with_the_arguments_they_ask_for(self):
        said = {}
        for path in EXAMPLES.glob("*.lua"):
            own = ROOT / f"tests/modules/test_{path.stem.replace('-', '_')}.py"
            if path.stem not in MODULES and not own.exists():
                for message, args in SAID.findall(path.read_text()):
                    said[path.stem, message] = re.findall(r"(\w+)=", args)
        called = {}
        for example, message, arguments, _ in CALLS:
            called[example, message] = re.findall(r"(?:^| )(\w+)=", arguments)
        self.assertEqual(called, said)

    def test_all_can_be_loaded_together(self):
        folder = temp_folder("examples")
        self.addCleanup(folder.rmdir)
        config = folder / "spoa-lua.conf"
        config.write_text(f'script "{EXAMPLES}/*.lua"\n')
        self.addCleanup(config.unlink)
        networks, issuer = folder / "networks.txt", folder / "issuer.pem"
        networks.write_text("192.0.2.0/24 scanner\n")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=issuer",
                        "-keyout", "/dev/null", "-out", issuer], capture_output=True, check=True, timeout=60)
        self.addCleanup(networks.unlink)
        self.addCleanup(issuer.unlink)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
            done = run("-t", "-c", config, env={"NETWORKS": str(networks), "ISSUER": str(issuer),
                                                "SPOA_LUA_SHM": memory})
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("configuration ok\n", "", 0))
