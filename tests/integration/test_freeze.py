"""Large replies to requests that HAProxy gives up: no connection of 3.1 or later is frozen (haproxy.md, 4).

Two ACKs that fill HAProxy's buffer together must not lie unread together.
"""
import re
import socket

from lib.agent import Agent, temp_folder
from lib.haproxy import HAProxy, VersionsCase

LUA = """
local big = ("x"):rep(15000)

function large(args)
    spoa.sleep(math.random() * 0.04)
    return { ["txn.reply"] = big }
end
"""
CLIENTS, ROUNDS = 20, 30
FULL = 0x40     # SPOP_CF_DEM_DFULL: nothing is read any more


class Freeze(VersionsCase):
    versions = ("3.2", "3.4")

    def given_up(self, version, listen, **options):
        with Agent(LUA, listen=listen) as agent, \
                HAProxy(version, agent, {"large": ""}, show={"size": "txn.t.reply,length"}, **options) as haproxy:
            for n in range(ROUNDS):
                clients = [socket.create_connection(("127.0.0.1", haproxy.port), 20) for _ in range(CLIENTS)]
                for client in clients:
                    client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                for client in clients[n % 3::3]:
                    client.close()
                for client in clients:
                    if client.fileno() >= 0:
                        self.assertTrue(client.recv(1 << 16))
                        client.close()
            flags = re.findall(r"mux=SPOP.*?\.flg=0x([0-9a-f]+)", haproxy.show("show fd"))
            self.assertTrue(flags)
            self.assertEqual([each for each in flags if int(each, 16) & FULL], [])

    def each_over_tcp(self, version):
        self.given_up(version, "127.0.0.1:0", timeout="200ms")

    def each_over_a_unix_socket(self, version):
        self.given_up(version, f"unix:{temp_folder('freeze')}/sock", timeout="20ms")

    def each_with_nothing_offered(self, version):
        self.given_up(version, f"unix:{temp_folder('freeze')}/sock", timeout="20ms", spoe="no option pipelining")
