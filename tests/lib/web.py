"""Web servers for the agent to ask: a real nginx, with TLS by a CA made here, and rude ones.

    with Nginx() as nginx:                     nginx.url, nginx.tls_url, nginx.unix, nginx.ca
    with Rude(answer) as server:               answer(connection, head) is called for every request
"""
import shutil
import socket
import struct
import subprocess
import threading
import time

from lib.agent import Process, temp_folder
from lib.ports import listening_socket


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, timeout=30)


def make_authority(folder, name="ca"):
    """ca.pem and ca.key in folder."""
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN=spoa-lua test {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def make_certificate(folder, name, alternatives, ca="ca"):
    """name.pem and name.key, signed by ca."""
    (folder / f"{name}.ext").write_text(f"subjectAltName={alternatives}\n")
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-days", "1",
            "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def await_connect(address, process, seconds=10):
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(address, 1).close()
            return
        except OSError:
            if not process.running() or time.monotonic() > deadline:
                raise AssertionError(f"{process.name} does not start:\n{process.log()}") from None
            time.sleep(0.02)


def free_port():
    with listening_socket() as sock:
        return sock.getsockname()[1]


CONFIG = """
daemon off; master_process off; worker_processes 1; error_log stderr warn; pid {folder}/nginx.pid;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port}; listen unix:{folder}/web.sock;
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {folder}/localhost.pem; ssl_certificate_key {folder}/localhost.key;
        ssl_client_certificate {folder}/ca.pem; ssl_verify_client optional;
        default_type text/plain;
        location = /hello {{ add_header Set-Cookie a=1; add_header Set-Cookie b=2; add_header X-Empty "";
                            return 200 "hello"; }}
        location = /connection {{ return 200 "$connection"; }}
        location = /client {{ return 200 "$ssl_client_verify $ssl_client_s_dn"; }}
        location = /about {{ return 200 "$request_method $host $http_user_agent $http_x_one|$http_accept_encoding"; }}
        location = /moved {{ return 302 /hello; }}
        location = /round {{ return 302 /round; }}
        location = /away {{ return 302 ftp://127.0.0.1/; }}
        location = /file {{ return 302 file:///etc/passwd; }}
        location / {{ root {folder}/www; gzip on; gzip_types *; gzip_min_length 1; }}
    }}
}}
"""


class Nginx:
    """Debian's nginx, one process, on free ports."""

    def __init__(self):
        self.folder = temp_folder("nginx")
        make_authority(self.folder)
        make_authority(self.folder, "other")
        make_certificate(self.folder, "localhost", "DNS:localhost,IP:127.0.0.1")
        make_certificate(self.folder, "client", "DNS:client")
        (self.folder / "www").mkdir()
        self.port, self.tls_port = free_port(), free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{self.port}", f"https://localhost:{self.tls_port}"
        self.unix = self.folder / "web.sock"
        (self.folder / "nginx.conf").write_text(CONFIG.format(folder=self.folder, port=self.port,
                                                              tls_port=self.tls_port))
        self.start()

    def start(self):
        self.process = Process(["/usr/sbin/nginx", "-e", "stderr", "-p", str(self.folder), "-c",
                                str(self.folder / "nginx.conf")], name="nginx")
        await_connect(("127.0.0.1", self.port), self.process)

    def write(self, name, data):
        (self.folder / "www" / name).write_bytes(data)

    def file(self, name):
        return str(self.folder / name)

    def close(self):
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Rude:
    """Accepts, reads a request's head, and leaves the rest to answer(connection, head): what that
    returns is sent, and the connection closed.  `heads` are those seen; connections counts them."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = listening_socket()
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.heads, self.open, self.stopped = [], set(), threading.Event()
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            if self.stopped.is_set():
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with self.changed:
            self.open.add(connection)
            self.changed.notify_all()
        try:
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = connection.recv(65536)
                    if not data:
                        return
                    head += data
                with self.changed:
                    self.heads.append(head)
                    self.changed.notify_all()
                data = self.answer(connection, head)
                if data:
                    connection.sendall(data)
        except OSError:
            pass
        finally:
            with self.changed:
                self.open.discard(connection)
                self.changed.notify_all()

    def await_heads(self, count, seconds=10):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.heads) >= count, seconds):
                raise AssertionError(f"{len(self.heads)} requests came, not {count}")

    def await_closed(self, seconds=10):
        """Every connection was closed by the agent or by answer."""
        with self.changed:
            if not self.changed.wait_for(lambda: not self.open, seconds):
                raise AssertionError(f"{len(self.open)} connections are still open")

    def close(self):
        self.stopped.set()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            pass
        self.listener.close()
        with self.changed:
            for connection in list(self.open):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def until_closed(connection):
    """Sends nothing and returns when the other side has closed."""
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
