"""spoa.crypto and spoa.jwt: the RFCs' vectors, and keys and signatures made with openssl and Python."""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from lib.agent import ROOT, SANITIZER, binary, environment

CONFIG = (f'lua-prepend-path "{pathlib.Path(binary()).parent}/modules/?.so" cpath\n'
          f'lua-prepend-path "{ROOT}/lua/?.lua"\n'
          "handler-timeout 30s\nhandler-cpu 20s\n")
HALF = {"ES256": 32, "ES384": 48, "ES512": 66}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def lua_string(data):
    data = data.encode() if isinstance(data, str) else data
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *args], input=data, capture_output=True, timeout=60)
    if done.returncode:
        raise AssertionError(f"openssl {' '.join(args)}: {done.stderr.decode()}")
    return done.stdout


def raw_signature(der, half):
    """r and s of an ECDSA signature in DER, side by side."""
    at = 3 if der[1] & 0x80 else 2
    numbers = b""
    for _ in range(2):
        size = der[at + 1]
        numbers += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(half, b"\0")
        at += 2 + size
    return numbers


class Keys:
    """Key pairs in a folder, made once."""
    KINDS = {"rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
             "other": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
             "small": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
             "pss": ("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"),
             "p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
             "p384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
             "p521": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
             "k1": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
             "ed": ("-algorithm", "ED25519"), "x25519": ("-algorithm", "X25519")}
    OF = {"RS": "rsa", "PS": "rsa", "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed"}

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="keys-"))

    def private(self, name):
        path = self.folder / f"{name}.key"
        if not path.exists():
            openssl("genpkey", *self.KINDS[name], "-out", str(path))
        return str(path)

    def public(self, name):
        return openssl("pkey", "-in", self.private(name), "-pubout").decode()

    def sign(self, alg, data, name=None):
        name = name or self.OF.get(alg) or self.OF[alg[:2]]
        file = self.folder / "data"
        file.write_bytes(data)
        if alg == "EdDSA":
            return openssl("pkeyutl", "-sign", "-inkey", self.private(name), "-rawin", "-in", str(file))
        options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if alg[:2] == "PS" else []
        signed = openssl("dgst", f"-sha{alg[2:]}", "-sign", self.private(name), *options, str(file))
        return raw_signature(signed, HALF[alg]) if alg in HALF else signed


class CryptoCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keys = Keys()
        cls.addClassCleanup(shutil.rmtree, cls.keys.folder)

    def run_lua(self, body, top=""):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="crypto-"))
        try:
            (folder / "s.lua").write_text('local crypto, json = require "spoa.crypto", require "spoa.json"\n'
                                          f'local jwt = require "spoa.jwt"\n{top}\nfunction f()\n{body}\nend\n')
            (folder / "c.conf").write_text(f"listen 127.0.0.1:0\nscript s.lua\n{CONFIG}")
            done = subprocess.run([binary(), "call", "-c", str(folder / "c.conf"), "f"], env=environment(),
                                  capture_output=True, text=True, timeout=60)
        finally:
            shutil.rmtree(folder)
        self.assertIsNone(SANITIZER.search(done.stderr), done.stderr)
        return done.returncode, done.stderr

    def good(self, body, top=""):
        status, err = self.run_lua(body, top)
        self.assertEqual(status, 0, err)

    def all_raise(self, cases, top=""):
        """Each Lua expression raises an error with this text in it."""
        lines = [f"raises({lua_string(message)}, function() {body} end)" for body, message in cases]
        self.good("\n".join(lines), top + """
            local function raises(message, fn)
                local ok, err = pcall(fn)
                assert(not ok, "no error: " .. message)
                assert(tostring(err):find(message, 1, true), tostring(err) .. " <> " .. message)
            end""")


class Crypto(CryptoCase):
    def test_digests(self):
        lines = []
        for name in ("md5", "sha1", "sha256", "sha384", "sha512"):
            for data in (b"", b"abc", b"a\0b", os.urandom(1000)):
                lines.append(f'assert(crypto.hex(crypto.{name}({lua_string(data)})) == '
                             f'"{hashlib.new(name, data).hexdigest()}")')
                for key in (b"", b"key", os.urandom(200)):
                    mac = hmac.new(key, data, name).hexdigest()
                    lines.append(f'assert(crypto.hex(crypto.hmac("{name}", {lua_string(key)}, '
                                 f'{lua_string(data)})) == "{mac}")')
        # RFC 4231, 4.3
        lines.append('assert(crypto.hex(crypto.hmac("sha256", "Jefe", "what do ya want for nothing?")) == '
                     '"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")')
        self.good("\n".join(lines))

    def test_text_random_equal(self):
        data = bytes(range(256)) * 3
        self.good(f"""
            local data = {lua_string(data)}
            assert(crypto.hex(data) == "{data.hex()}" and crypto.unhex("{data.hex().upper()}") == data)
            assert(crypto.base64_encode(data) == "{base64.b64encode(data).decode()}")
            for n = 0, 70 do
                local s = crypto.random(n)
                assert(#s == n and crypto.base64_decode(crypto.base64_encode(s)) == s)
                assert(crypto.base64url_decode(crypto.base64url_encode(s)) == s and crypto.unhex(crypto.hex(s)) == s)
            end
            assert(crypto.random(32) ~= crypto.random(32))
            for f, text in pairs {{ unhex = "0g", base64_decode = "Zg", base64url_decode = "Z+8_" }} do
                local no, why = crypto[f](text)
                assert(no == nil and why:find "^not ")
            end
            assert(crypto.equal("abc", "abc") and crypto.equal("", ""))
            assert(not crypto.equal("abc", "abd") and not crypto.equal("abc", "abcd") and not crypto.equal("", "a"))
        """)

    def test_signatures(self):
        data = os.urandom(500)
        lines = [f"local data = {lua_string(data)}"]
        for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"):
            signature = self.keys.sign(alg, data)
            name = self.keys.OF.get(alg) or self.keys.OF[alg[:2]]
            lines.append(f"""do
                local pem, sig = {lua_string(self.keys.public(name))}, {lua_string(signature)}
                local key = assert(crypto.key(pem))
                assert(crypto.key(pem) == key)
                assert(crypto.verify("{alg}", key, data, sig) == true and crypto.verify("{alg}", pem, data, sig) == true)
                assert(crypto.verify("{alg}", key, data .. "x", sig) == false)
                for at = 1, #sig, 7 do
                    local bad = sig:sub(1, at - 1) .. string.char(sig:byte(at) ~ 1) .. sig:sub(at + 1)
                    assert(crypto.verify("{alg}", key, data, bad) == false)
                end
                for _, bad in ipairs {{ "", "x", sig .. "x", sig:sub(2), string.rep("\\0", #sig), string.rep("\\xff", #sig) }} do
                    assert(crypto.verify("{alg}", key, data, bad) == false)
                end
            end""")
        signature = self.keys.sign("PS256", data, "pss")
        lines.append(f"""
            local pss = assert(crypto.key({lua_string(self.keys.public("pss"))}))
            assert(crypto.verify("PS256", pss, data, {lua_string(signature)}) == true and pss:type() == "RSA-PSS")
            local no, why = crypto.verify("RS256", pss, data, "x")
            assert(no == nil and why == "RS256 needs an RSA key")""")
        self.good("\n".join(lines))

    def test_keys(self):
        kinds = {"rsa": ("RSA", 2048), "p256": ("EC", 256), "p521": ("EC", 521), "ed": ("Ed25519", 256)}
        lines = []
        for name, (kind, bits) in kinds.items():
            lines.append(f'local key = assert(crypto.key({lua_string(self.keys.public(name))}))\n'
                         f'assert(key:type() == "{kind}" and (key:bits() == {bits} or "{kind}" == "Ed25519"))')
        cert = openssl("req", "-x509", "-key", self.keys.private("rsa"), "-subj", "/CN=test", "-days", "1")
        pkcs1 = openssl("rsa", "-in", self.keys.private("rsa"), "-RSAPublicKey_out")
        lines += [f'assert(crypto.key({lua_string(pem)}):type() == "RSA")' for pem in (cert, pkcs1)]
        public = self.keys.public("rsa")
        bad = [("", "that is no PEM"), ("x", "that is no PEM"), (public + "\0", "that is no PEM"),
               (pathlib.Path(self.keys.private("rsa")).read_text(), "private key"),
               (public.replace("M", "N"), "OpenSSL can read"), (public[:60], "OpenSSL can read"),
               ("-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF"
                "\n\n" + public.split("\n", 1)[1], "OpenSSL can read"),
               (self.keys.public("small"), "at least 2048 bits"), (self.keys.public("k1"), "P-256, P-384 or P-521"),
               (self.keys.public("x25519"), "RSA, EC or Ed25519")]
        lines += [f"local no, why = crypto.key({lua_string(pem)}) assert(no == nil and why:find({lua_string(why)}, 1, true), why)"
                  for pem, why in bad]
        # More keys than are kept; each still works.
        lines.append(f"""
            local pem = {lua_string(public)}
            for n = 1, 200 do assert(crypto.key(pem .. "# " .. n)) end
            assert(crypto.verify("RS256", pem, "", "") == false)
            local no, why = crypto.verify("ES256", pem, "", "") assert(no == nil and why == "ES256 needs an EC key on P-256")
            no, why = crypto.verify("RS256", "junk", "", "") assert(no == nil and why:find "no PEM")""")
        self.good("\n".join(f"do {line} end" for line in lines))

    def test_wrong_use(self):
        self.all_raise([
            ("crypto.sha256()", "string expected"), ("crypto.sha256({})", "string expected"),
            ('crypto.hmac("sha3", "", "")', "no digest 'sha3'"), ('crypto.hmac("sha256", "k")', "string expected"),
            ("crypto.random(-1)", "from 0 to"), ("crypto.random(1 << 40)", "from 0 to"), ("crypto.key(5 and {}, 1)() ", "call"),
            ("crypto.key(true)", "PEM string or JWK table"), ("crypto.key({ kty = 5 })", "kty must be a string"),
            ('crypto.verify("HS256", "", "", "")', "one of RS256"), ('crypto.verify("none", "", "", "")', "one of RS256"),
            ('crypto.verify("RS256", {}, "", "")', "spoa.crypto.key expected"), ('crypto.equal("a")', "string expected")])


# RFC 7515, appendix A.1: HS256 with a JWK of kty oct.
A1_KEY = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
A1 = ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
      "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
# RFC 7515, appendix A.3: ES256.
A3_KEY = {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
A3 = ("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290"
      "Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
# RFC 8037, appendix A.2 and A.4: EdDSA, whose payload is no JSON.
A4_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
A4 = ("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
SECRET = b"0123456789abcdef" * 4
NOW = 1_800_000_000


def lua_table(fields):
    return "{" + ",".join(f"[{lua_string(k)}]={lua_string(v)}" for k, v in fields.items()) + "}"


class Jwt(CryptoCase):
    def token(self, claims, alg="HS256", header=None, secret=SECRET, key=None):
        body = claims if isinstance(claims, (bytes, str)) else json.dumps(claims)
        body = body.encode() if isinstance(body, str) else body
        head = header if isinstance(header, bytes) else json.dumps({"alg": alg, "typ": "JWT", **(header or {})}).encode()
        text = f"{b64(head)}.{b64(body)}"
        if alg[:2] == "HS":
            signature = hmac.new(secret, text.encode(), f"sha{alg[2:]}").digest()
        else:
            signature = self.keys.sign(alg, text.encode(), key)
        return f"{text}.{b64(signature)}"

    def results(self, cases, key="secret", top=""):
        """Each (token, options, reason), reason None where claims are due, in one Lua run."""
        lines = []
        for token, options, reason in cases:
            token = "nil" if token is None else lua_string(token)
            lines.append(f'check({token}, {{ now = {NOW}, algorithms = {{ "HS256" }}, {options} }}, '
                         f'{lua_string(reason) if reason else "nil"}, {lua_string(options)})')
        self.good("\n".join(lines), f"""
            local secret = {lua_string(SECRET)}
            {top}
            local function check(token, options, reason, what)
                local claims, why = jwt.verify(token, {key}, options)
                if reason then assert(claims == nil and why == reason, what .. ": " .. tostring(why) .. " <> " .. reason)
                else assert(type(claims) == "table" and why.alg, what .. ": " .. tostring(why)) end
            end""")

    def test_the_rfcs(self):
        self.good(f"""
            local old = {{ algorithms = {{ "HS256", "ES256", "EdDSA" }}, now = 1300819379, issuer = "joe" }}
            local claims, header = jwt.verify("{A1}", crypto.base64url_decode("{A1_KEY}"), old)
            assert(claims.iss == "joe" and claims.exp == 1300819380 and claims["http://example.com/is_root"] == true)
            assert(header.alg == "HS256" and header.typ == "JWT")
            claims = assert(jwt.verify("{A3}", assert(crypto.key({lua_table(A3_KEY)})), old))
            assert(claims.iss == "joe")
            local no, why = jwt.verify("{A3}", crypto.key({lua_table(A3_KEY)}), {{ algorithms = {{ "ES256" }} }})
            assert(no == nil and why == "expired")
            -- the signature is good, and the payload no object
            no, why = jwt.verify("{A4}", assert(crypto.key({lua_table(A4_KEY)})), old)
            assert(no == nil and why == "bad claims", why)
        """)

    def test_every_algorithm(self):
        for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"):
            with self.subTest(alg):
                name = self.keys.OF.get(alg) or self.keys.OF[alg[:2]]
                token = self.token({"exp": NOW + 60}, alg)
                head, body, tail = token.split(".")
                forged = f"{head}.{b64(json.dumps({'exp': NOW + 61}).encode())}.{tail}"
                self.results([(token, f'algorithms = {{ "{alg}" }}', None),
                              (forged, f'algorithms = {{ "{alg}" }}', "bad signature"),
                              (f"{head}.{body}.", f'algorithms = {{ "{alg}" }}', "bad signature"),
                              (token, 'algorithms = { "HS256" }', "algorithm not allowed")],
                             key="key", top=f"local key = assert(crypto.key({lua_string(self.keys.public(name))}))")
        self.results([(self.token({"exp": NOW + 60}, alg), f'algorithms = {{ "{alg}" }}', None)
                      for alg in ("HS256", "HS384", "HS512")])

    def test_confusion_is_impossible(self):
        public = self.keys.public("rsa")
        both = 'algorithms = { "HS256", "RS256", "ES256" }'
        confused = self.token({"exp": NOW + 60}, "HS256", secret=public.encode())
        rs256 = self.token({"exp": NOW + 60}, "RS256")
        top = f"local key = assert(crypto.key({lua_string(public)}))"
        self.results([(confused, both, "wrong key"), (rs256, both, None),
                      (self.token({"exp": NOW + 60}, "ES256"), both, "wrong key"),
                      (self.token({"exp": NOW + 60}, "RS256", key="other"), both, "bad signature")], "key", top)
        self.results([(rs256, both, "wrong key"), (self.token({"exp": NOW + 60}), both, None)])
        none = [f'{b64(json.dumps({"alg": alg}).encode())}.{b64(json.dumps({"exp": NOW + 60}).encode())}.'
                for alg in ("none", "None", "NONE", "")]
        self.results([(token, both, "algorithm not allowed") for token in none])
        self.results([(token, both, "algorithm not allowed") for token in none], "key", top)
        self.all_raise([
            (f'jwt.verify({lua_string(confused)}, {lua_string(public)}, {{ {both} }})', "a PEM key is no secret"),
            (f'jwt.verify({lua_string(confused)}, "k", {{ {both} }})', "at least 32 bytes"),
            (f'jwt.verify({lua_string(confused)}, "", {{ {both}, short_secret = true }})', "at least 32 bytes"),
            (f"jwt.verify({lua_string(confused)}, {{}}, {{ {both} }})", "key must be a secret"),
            (f"jwt.verify({lua_string(confused)}, nil, {{ {both} }})", "key must be a secret"),
            ('jwt.verify("x", "k", { algorithms = { "none" } })', "algorithm 'none' is none of"),
            ('jwt.verify("x", "k", { algorithms = {} })', "which algorithms"),
            ('jwt.verify("x", "k", {})', "which algorithms"), ('jwt.verify("x", "k")', "options must be a table"),
            ('jwt.verify("x", "k", { algorithms = { "HS256" }, isuer = "x" })', "unknown option 'isuer'"),
            ('jwt.verify("x", "k", { algorithms = { "HS256" }, leeway = "x" })', "leeway must be a number"),
            ('jwt.verify(5, "k", { algorithms = { "HS256" } })', "token must be a string"),
            ("jwt.keys(5)", "a table with keys")])

    def test_claims(self):
        def token(**claims):
            return self.token({"exp": NOW + 60, **claims})
        self.results([
            (token(), "", None), (self.token({"exp": NOW - 9}), "", None), (self.token({"exp": NOW - 10}), "", "expired"),
            (self.token({"exp": NOW}), "leeway = 0", "expired"), (self.token({"exp": NOW + 1}), "leeway = 0", None),
            (self.token({"exp": NOW + 0.5}), "leeway = 0", None),
            (self.token({}), "", "no exp"), (self.token({}), "require = {}", None),
            (token(), 'require = { "exp", "sub" }', "no sub"), (token(sub="x"), 'require = { "exp", "sub" }', None),
            (token(nbf=NOW + 10), "", None), (token(nbf=NOW + 11), "", "not valid yet"),
            (token(iat=NOW + 10), "", None), (token(iat=NOW + 11), "", "issued in the future"),
            (self.token({"exp": str(NOW + 60)}), "", "bad exp"), (token(nbf="x"), "", "bad nbf"),
            (token(iat=[]), "", "bad iat"), (self.token({"exp": True}), "", "bad exp"),
            (self.token('{"exp": 1e300}'), "", "bad exp"),
            (token(iss="a"), 'issuer = "a"', None), (token(iss="a"), 'issuer = { "b", "a" }', None),
            (token(iss="a"), 'issuer = "b"', "wrong issuer"), (token(), 'issuer = "b"', "wrong issuer"),
            (token(iss=["b"]), 'issuer = "b"', "wrong issuer"),
            (token(aud="a"), 'audience = "a"', None), (token(aud=["x", "a"]), 'audience = "a"', None),
            (token(aud=["x", "a"]), 'audience = { "q", "a" }', None), (token(aud="a"), 'audience = "b"', "wrong audience"),
            (token(aud=[]), 'audience = "b"', "wrong audience"), (token(), 'audience = "b"', "wrong audience"),
            (token(aud={"b": 1}), 'audience = "b"', "wrong audience"), (token(aud=5), 'audience = "5"', "wrong audience"),
            (token(aud="a"), "", "wrong audience"), (token(aud="a"), "audience = false", None)])

    def test_what_is_no_good_token(self):
        claims = {"exp": NOW + 60}
        good = self.token(claims)
        head, body, tail = good.split(".")
        self.results([
            (None, "", "no token"), ("", "", "no token"), ("x", "", "no JWT"), ("a.b", "", "no JWT"),
            (f"{good}.", "", "no JWT"), (f"{good}.x.y", "", "no JWT"), (f" {good}", "", "no JWT"), (f"{good}\n", "", "no JWT"),
            (f"{head}=.{body}.{tail}", "", "no JWT"), (f"Bearer {good}", "", "no JWT"), (f".{body}.{tail}", "", "no JWT"),
            (f"{head}.{body}.{tail}A", "", "bad signature"), (f"{head}.{body}.{tail[:-4]}", "", "bad signature"),
            (f"{head}.{body}.", "", "bad signature"), (f"{head}A.{body}.{tail}", "", "bad header"),
            (self.token(claims, header=b"[]"), "", "bad header"), (self.token(claims, header=b"5"), "", "bad header"),
            (self.token(claims, header=b"{"), "", "bad header"), (self.token(claims, header=b"{}"), "", "bad header"),
            (self.token(claims, header=b'{"alg":["HS256"]}'), "", "bad header"),
            (self.token(claims, header={"crit": ["exp"]}), "", "critical header"),
            (self.token(claims, header={"crit": []}), "", "critical header"),
            (self.token(claims, header={"alg": "hs256"}), "", "algorithm not allowed"),
            (self.token(b"[]"), "", "bad claims"), (self.token(b"\xff{"), "", "bad claims"), (self.token(b"null"), "", "bad claims"),
            (self.token({**claims, "x": "y" * 16000}), "", "token too long"),
            (self.token({**claims, "x": "y" * 16000}), "max_size = 30000", None), (good, "max_size = 10", "token too long"),
            (good, 'type = "jwt"', None), (good, 'type = "at+jwt"', "wrong type"),
            (self.token(claims, header={"typ": "application/at+JWT"}), 'type = "at+jwt"', None),
            (self.token(claims, header={"typ": 5}), 'type = "jwt"', "wrong type"),
            (self.token(claims, secret=b"other" * 10), "", "bad signature"),
            (self.token(claims, secret=b"short"), "", "bad signature")])
        self.results([(self.token(claims, secret=b"short"), "short_secret = true", None)], '"short"')

    def test_keys_of_a_set(self):
        modulus = openssl("rsa", "-in", self.keys.private("rsa"), "-noout", "-modulus").decode().strip().split("=")[1]
        jwks = {"keys": [
            {"kid": "r", "use": "sig", "alg": "RS256", "kty": "RSA", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"},
            {"kid": "e", **A3_KEY}, {"kid": "enc", "use": "enc", **A3_KEY}, {"kid": "odd", "kty": "oct", "k": "x"},
            {"kid": "bad", "kty": "RSA", "n": "!", "e": "AQAB"}, {"kid": "off", **A3_KEY, "x": A3_KEY["y"]}, {"kty": 5}]}
        top = f"local keys = jwt.keys(json.decode({lua_string(json.dumps(jwks))}))"
        both = 'algorithms = { "RS256", "RS384", "HS256" }'
        claims = {"exp": NOW + 60}
        cases = [(self.token(claims, "RS256", {"kid": "r"}), both, None),
                 (self.token(claims, "RS384", {"kid": "r"}), both, "no key"),
                 (self.token(claims, "RS256", {"kid": "e"}), both, "wrong key"), (self.token(claims, "RS256"), both, "no key")]
        cases += [(self.token(claims, "RS256", {"kid": kid}), both, "no key")
                  for kid in ("enc", "odd", "bad", "off", "absent", 5)]
        self.results(cases, "keys", top)
        one = json.dumps({"keys": jwks["keys"][:1]})
        self.results([(self.token(claims, "RS256"), both, None)], "keys", f"local keys = jwt.keys(json.decode({lua_string(one)}))")
