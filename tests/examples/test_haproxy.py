"""conf/haproxy as it is shipped, with the examples that it names, in front of a web server."""
import http.client
import http.server
import os
import shutil
import signal
import threading

from lib.agent import ROOT, Agent, Process, temp_folder
from lib.haproxy import VersionsCase, command, has_mux
from lib.ports import listening_socket

SCRIPTS = [ROOT / f"lua/examples/{name}.lua" for name in ("reputation", "failures", "language")]
BLOCKED = "127.0.0.66"


class Site(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that HAProxy has added, and with 404 to what is missing."""

    def do_GET(self):
        seen = ", ".join(f"{name} {self.headers[name]}" for name in ("x-language", "x-undecided") if self.headers[name])
        body = (seen or "nothing").encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Shipped(VersionsCase):
    def setUp(self):
        self.folder = temp_folder("shipped")
        self.site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        threading.Thread(target=self.site.serve_forever, daemon=True).start()
        self.addCleanup(self.site.server_close)
        self.addCleanup(self.site.shutdown)

    def scripts(self):
        """The examples, with a list in which there is an address of this machine."""
        for path in SCRIPTS:
            shutil.copy(path, self.folder)
        (self.folder / "blocklist.lua").write_text(f'return {{ ["{BLOCKED}"] = "test" }}\n')
        return "\n".join(f"script {self.folder}/{path.name}" for path in SCRIPTS)

    def start_haproxy(self, version, address):
        listener = listening_socket()
        self.addCleanup(listener.close)
        self.port = listener.getsockname()[1]
        # HAProxy's own words may not have the spaces of the project's path.
        shutil.copy(ROOT / "conf/haproxy/spoe.cfg", self.folder)
        text = (ROOT / f"conf/haproxy/haproxy-{'3.2' if has_mux(version) else '2.6'}.cfg").read_text()
        for shipped, here in (("bind :8080", f"bind fd@{listener.fileno()}"),
                              ("/etc/haproxy/spoe.cfg", f"{self.folder}/spoe.cfg"),
                              ("server site 127.0.0.1:8000", f"server site 127.0.0.1:{self.site.server_port}"),
                              ("\n    server agent 127.0.0.1:12345", f"\n    server agent {address}")):
            self.assertIn(shipped, text)
            text = text.replace(shipped, here)
        (self.folder / "haproxy.cfg").write_text(text)
        env = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        haproxy = Process([*command(version), "-db", "-f", str(self.folder / "haproxy.cfg")], env=env, name="haproxy",
                          pass_fds=[listener.fileno()])
        self.addCleanup(haproxy.wait)
        self.addCleanup(haproxy.signal, signal.SIGTERM)
        return haproxy

    def get(self, path="/", source="127.0.0.1", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=(source, 0))
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def each_decides(self, version):
        with Agent([], config=self.scripts()) as agent:
            haproxy = self.start_haproxy(version, agent.address)
            self.assertEqual(self.get(), (200, "nothing"), haproxy.log())
            self.assertEqual(self.get(source=BLOCKED)[0], 403)
            # The group is asked where the rule says so.
            self.assertEqual(self.get("/shop/cart", **{"accept-language": "xx, de;q=0.5"}), (200, "x-language de"))
            self.assertEqual(self.get("/", **{"accept-language": "de"}), (200, "nothing"))
            # More than ten failures of one client, none of another.
            for _ in range(11):
                self.assertEqual(self.get("/missing", source="127.0.0.5")[0], 404)
            self.assertEqual(self.get(source="127.0.0.5")[0], 429)
            self.assertEqual(self.get(source="127.0.0.6"), (200, "nothing"))
            agent.stop()
            # As if there were no agent, and it can be told.
            self.assertEqual(self.get(source=BLOCKED), (200, "x-undecided 1"))
        shutil.rmtree(self.folder)
