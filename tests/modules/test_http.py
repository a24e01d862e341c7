"""spoa.http against nginx: what it sends, what it gives back, TLS, options and their ranges."""
import unittest

from lib.agent import Agent
from lib.case import case
from lib.spop import Client
from lib.web import Nginx, Rude, free_port

RUN = """
http = require "spoa.http"
local function show(response, message, code)
    if not response then return { txn = { message = message, code = code } } end
    return { txn = { status = response.status, body = response.body } }
end
local env = setmetatable({ http = http, show = show }, { __index = _G })
function run(args) return assert(load(args.code, "=code", "t", env))() end
""".replace("http = require", "local http = require", 1)

# What a hostile environment would have requests go through.
PROXIES = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")}


class HTTPCase(unittest.TestCase):
    config = "handler-timeout 10s"

    @classmethod
    def setUpClass(cls):
        cls.nginx = cls.enterClassContext(Nginx())
        cls.agent = cls.enterClassContext(Agent(RUN, config=cls.config, env=PROXIES))

    def setUp(self):
        self.client = self.enterContext(Client(self.agent.address, timeout=20))
        self.client.handshake()

    def run_lua(self, code):
        """The variables that a handler with this body sets, without their types and scope."""
        values = self.client.notify("run", ("code", code)).vars()
        return {name.removeprefix("txn."): value[1] for name, value in values.items()}

    def get(self, path, options="", url=None):
        return self.run_lua(f'return show(http.get("{url or self.nginx.url}{path}", {{ {options} }}))')

    def fails(self, code, path="/hello", options="", url=None):
        """The message of a failure of this code."""
        result = self.get(path, options, url)
        self.assertEqual(result.get("code"), code, result)
        return result["message"]

    def raises(self, text, code):
        self.assertEqual(self.run_lua(code), {"spoa_error": "error"})
        told = self.run_lua(f"local ok, why = pcall(function() {code} end) return {{ txn = {{ why = why }} }}")
        self.assertIn(text, told["why"])


class Requests(HTTPCase):
    def test_get(self):
        self.assertEqual(self.get("/hello"), {"status": 200, "body": "hello"})
        self.assertEqual(self.get("/missing")["status"], 404)

    def test_without_options(self):
        self.assertEqual(self.run_lua(f'return show(http.get("{self.nginx.url}/hello"))')["status"], 200)

    def test_headers(self):
        self.assertEqual(self.run_lua(f"""
            local r = http.get("{self.nginx.url}/hello")
            local cookies = {{}}
            for _, pair in ipairs(r.header_list) do
                if pair[1] == "set-cookie" then cookies[#cookies + 1] = pair[2] end
            end
            return {{ txn = {{ type = r.headers["content-type"], joined = r.headers["set-cookie"],
                              listed = table.concat(cookies, "|"), none = r.headers["x-none"] }} }}"""),
                         {"type": "text/plain", "joined": "a=1, b=2", "listed": "a=1|b=2"})

    def test_request(self):
        version = self.run_lua(f'return show(http.request{{ url = "{self.nginx.url}/about" }})')["body"].split()[2]
        self.assertRegex(version, r"^spoa-lua/\d")
        self.assertEqual(self.run_lua(f"""return show(http.request{{ method = "DELETE", url = "{self.nginx.url}/about",
            headers = {{ Host = "there.example", ["User-Agent"] = "me", ["x-one"] = 1 }} }})""")["body"],
                         "DELETE there.example me 1|")
        self.assertEqual(self.run_lua(f'return show(http.request{{ method = "HEAD", url = "{self.nginx.url}/hello" }})'),
                         {"status": 200, "body": ""})

    def test_nothing_is_decoded_unasked(self):
        data = b"all the same " * 1000
        self.nginx.write("zip", data)
        length = self.run_lua(f"""local r = http.get("{self.nginx.url}/zip",
            {{ headers = {{ ["accept-encoding"] = "gzip" }} }})
            return {{ txn = {{ n = #r.body, magic = r.body:sub(1, 2) == "\\x1f\\x8b" }} }}""")
        self.assertTrue(length["magic"])
        self.assertLess(length["n"], 1000)
        self.assertEqual(self.get("/zip", "decode = true")["body"], data.decode())
        self.assertIn("12999 bytes (see max_body)", self.fails("too_big", "/zip", "decode = true, max_body = 12999"))

    def test_body_limit(self):
        self.nginx.write("big", b"x" * (1 << 20))
        self.nginx.write("bigger", b"x" * ((1 << 20) + 1))
        size = 'local r = http.get("%s", { %s }) return { txn = { n = #r.body } }'
        self.assertEqual(self.run_lua(size % (f"{self.nginx.url}/big", "")), {"n": 1 << 20})
        self.assertIn("larger than 1048576 bytes", self.fails("too_big", "/bigger"))
        self.assertEqual(self.run_lua(size % (f"{self.nginx.url}/bigger", "max_body = 1048577")), {"n": (1 << 20) + 1})
        self.assertIn("larger than 4 bytes", self.fails("too_big", "/hello", "max_body = 4"))

    def test_redirects(self):
        self.assertEqual(self.get("/moved")["status"], 302)
        self.assertEqual(self.get("/moved", "follow = true")["body"], "hello")
        self.assertEqual(self.get("/moved", "follow = 1")["body"], "hello")
        self.assertIn("redirects", self.fails("redirects", "/round", "follow = 3"))
        for path in ("/away", "/file"):
            self.fails("protocol", path, "follow = true")

    def test_connections_are_kept(self):
        first = self.get("/connection")["body"]
        self.assertEqual(self.get("/connection")["body"], first)

    def test_unix_socket(self):
        self.assertEqual(self.get("/hello", f'unix = "{self.nginx.unix}"', "http://any.example")["body"], "hello")
        self.fails("connect", "/hello", 'unix = "/nonexistent"')

    def test_resolve(self):
        url = f"http://there.example:{self.nginx.port}"
        self.assertTrue(self.get("/about", f'resolve = {{ ["there.example:{self.nginx.port}"] = "127.0.0.1" }}', url)
                        ["body"].startswith("GET there.example "))

    def test_server_down(self):
        port = free_port()
        self.assertIn(f"127.0.0.1:{port}", self.fails("connect", "/", url=f"http://user:secret@127.0.0.1:{port}"))
        self.assertNotIn("secret", self.fails("connect", "/", url=f"http://user:secret@127.0.0.1:{port}"))

    def test_names(self):
        self.assertIn("nope.invalid", self.fails("resolve", "/", url="http://nope.invalid"))

    def test_protocols_and_urls(self):
        for url in ("ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "httpx://127.0.0.1/"):
            with case(url=url):
                self.assertIn("http://", self.fails("protocol", "", url=url))
        for url in ("127.0.0.1", "http://", "http://127.0.0.1:99999/", "http://127.0.0.1/a b", "http://[::1/",
                    'http://127.0.0.1/" .. ("x"):rep(65536) .. "', "http://127.0.0.1/\\r\\nX: y"):
            with case(url=url):
                self.fails("url", "", url=url)

    def test_forged_headers(self):
        url = self.nginx.url
        for value in ('"a\\r\\nX: y"', '"a\\nb"', '"a\\0b"', '{ "fine", "a\\rb" }'):
            self.raises("would forge", f'return show(http.get("{url}", {{ headers = {{ x = {value} }} }}))')
        for name in ("a b", "a:", "", "a\\r\\nb", "a\\0", "é"):
            self.raises("cannot be the name", f'return show(http.get("{url}", {{ headers = {{ ["{name}"] = "x" }} }}))')
        for name in ("Content-Length", "transfer-encoding"):
            self.raises("comes from the body", f'return show(http.get("{url}", {{ headers = {{ ["{name}"] = "1" }} }}))')
        for method in ("GET / HTTP/1.1\\r\\n", "a b", "CONNECT", "x" * 33):
            self.raises("cannot be sent", f'return show(http.request{{ url = "{url}", method = "{method}" }})')

    def test_wrong_use(self):
        for text, code in (
                ("there is no option 'tiemout'", 'http.get("http://x/", { tiemout = 1 })'),
                ("option of http.request only", 'http.get("http://x/", { url = "y" })'),
                ("an option's name is a number", 'http.get("http://x/", { 1 })'),
                ("url must be a string", "http.get()"),
                ("url must be a string", "http.get(1)"),
                ("url must not", 'http.get("http://x/\\0")'),
                ("no url", "http.request{}"),
                ("table", "http.request()"),
                ("table", 'http.get("http://x/", 1)'),
                ("body must be a string", 'http.post("http://x/")'),
                ("body must be a string", 'http.post("http://x/", {})'),
                ("HEAD request has no body", 'http.request{ url = "http://x/", method = "HEAD", body = "" }'),
                ("headers must be a table", 'http.get("http://x/", { headers = "x: y" })'),
                ("a key is a number", 'http.get("http://x/", { headers = { "x: y" } })'),
                ("header 'x' must be", 'http.get("http://x/", { headers = { x = true } })'),
                ("header 'x' must be", 'http.get("http://x/", { headers = { x = { {} } } })'),
                ("more than 256 headers", "local t = {} for i = 1, 257 do t[i] = i end "
                                          'http.get("http://x/", { headers = { x = t } })'),
                ("resolve must be a table", 'http.get("http://x/", { resolve = "x" })'),
                ("no name:port", 'http.get("http://x/", { resolve = { x = "127.0.0.1" } })'),
                ("no option 'conections'", "http.configure{ conections = 1 }"),
                ("from 1 to 10000", "http.configure{ connections = 0 }"),
                ("no option", "http.configure{ true }"),
                ("from 1 to 10000", 'http.configure{ connections_per_host = "x" }')):
            with case(code=code):
                self.raises(text, code)
        for name, values in {"timeout": "0 -1 3601 0/0 math.huge '1' {}", "connect_timeout": "0 -1 3601 '1'",
                             "max_body": "-1 1.5 1<<31 '1'", "follow": "-1 21 0.5 'x'", "verify": "1 'no'",
                             "decode": "1", "ca": "1 '' true", "cert": "1", "key": "1", "unix": "1 ''"}.items():
            for value in values.split():
                with case(option=name, value=value):
                    self.raises(f"http: {name} must", f'http.get("http://x/", {{ {name} = {value} }})')

    def test_where_nothing_can_wait(self):
        self.raises("cannot wait here", f'("x"):gsub(".", function() http.get("{self.nginx.url}/hello") end)')
        self.assertEqual(self.get("/hello")["status"], 200)

    def test_in_a_coroutine_and_pcall(self):
        self.assertEqual(self.run_lua(f"""
            local total = 0
            for r in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(http.get("{self.nginx.url}/hello")) end end)
            do total = total + #r.body end
            local ok, r = pcall(http.get, "{self.nginx.url}/hello")
            return {{ txn = {{ total = total, ok = ok, status = r.status }} }}"""),
                         {"total": 15, "ok": True, "status": 200})


class Posts(HTTPCase):
    def echo(self, connection, head):
        """Sends back the request it got."""
        length = int(next((line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0))
        body = head.split(b"\r\n\r\n", 1)[1]
        while len(body) < length:
            body += connection.recv(65536)
        head = head.split(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(head) + head

    def test_what_is_sent(self):
        with Rude(self.echo) as server:
            host = f"Host: 127.0.0.1:{server.port}"

            def sent(code):
                lines = self.run_lua(f"return show({code})")["body"].split("\r\n")
                return sorted(line for line in lines[1:-2] if not line.startswith("User-Agent")), lines[0], lines[-1]

            self.assertEqual(sent(f'http.get("{server.url}x?y=%20")'),
                             (["Accept: */*", host], "GET /x?y=%20 HTTP/1.1", ""))
            self.assertEqual(sent(f'http.post("{server.url}", "a=1")'),
                             (["Accept: */*", "Content-Length: 3", host], "POST / HTTP/1.1", "a=1"))
            self.assertEqual(sent(f'http.post("{server.url}", "", {{ headers = {{ ["Content-Type"] = "text/x" }} }})'),
                             (["Accept: */*", "Content-Length: 0", "Content-Type: text/x", host], "POST / HTTP/1.1", ""))
            self.assertEqual(sent(f'http.request{{ url = "{server.url}", method = "PUT" }}'),
                             (["Accept: */*", "Content-Length: 0", host], "PUT / HTTP/1.1", ""))
            self.assertEqual(sent(f'http.request{{ url = "{server.url}", method = "PATCH", body = "{{}}" }}'),
                             (["Accept: */*", "Content-Length: 2", host], "PATCH / HTTP/1.1", "{}"))
            self.assertEqual(sent(f'http.request{{ url = "{server.url}", body = "q" }}'),
                             (["Accept: */*", "Content-Length: 1", host], "GET / HTTP/1.1", "q"))
            self.assertEqual(sent(f'http.get("{server.url}", {{ headers = {{ ["x-a"] = {{ 1, "b", "" }} }} }})'),
                             (["Accept: */*", host, "x-a:", "x-a: 1", "x-a: b"], "GET / HTTP/1.1", ""))

    def test_large_body(self):
        with Rude(self.echo) as server:
            self.assertEqual(self.run_lua(f"""
                local body = ("\\0\\r\\n\\xff"):rep(500000)
                local r = http.post("{server.url}", body, {{ max_body = 3000000 }})
                return {{ txn = {{ same = r.body:sub(-#body) == body }} }}"""), {"same": True})


class TLS(HTTPCase):
    def test_verified_by_the_tests_authority(self):
        self.assertEqual(self.get("/hello", f'ca = "{self.nginx.file("ca.pem")}"', self.nginx.tls_url)["body"], "hello")

    def test_not_verified(self):
        self.assertIn("ca=", self.fails("tls", url=self.nginx.tls_url))
        self.fails("tls", options=f'ca = "{self.nginx.file("other.pem")}"', url=self.nginx.tls_url)
        self.fails("tls", options='ca = "/nonexistent.pem"', url=self.nginx.tls_url)
        self.assertEqual(self.get("/hello", "verify = false", self.nginx.tls_url)["body"], "hello")
        # The connection that nobody verified is not used for who asks for it.
        self.fails("tls", url=self.nginx.tls_url)

    def test_another_name(self):
        url = f"https://there.example:{self.nginx.tls_port}"
        options = f'ca = "{self.nginx.file("ca.pem")}", resolve = {{ ["there.example:{self.nginx.tls_port}"] = "127.0.0.1" }}'
        self.fails("tls", options=options, url=url)

    def test_client_certificate(self):
        ca = f'ca = "{self.nginx.file("ca.pem")}"'
        self.assertEqual(self.get("/client", ca, self.nginx.tls_url)["body"], "NONE ")
        self.assertEqual(self.get("/client", f'{ca}, cert = "{self.nginx.file("client.pem")}", '
                                             f'key = "{self.nginx.file("client.key")}"', self.nginx.tls_url)["body"],
                         "SUCCESS CN=client")
        self.fails("tls", options=f'{ca}, cert = "/nonexistent.pem"', url=self.nginx.tls_url)

    def test_plain_server(self):
        self.fails("tls", url=f"https://127.0.0.1:{self.nginx.port}")


if __name__ == "__main__":
    unittest.main()
