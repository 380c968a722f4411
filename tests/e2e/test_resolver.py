# The dialer with a name server that lies.
# SPDX-License-Identifier: ISC
import socket
import struct
import threading

import pytest

import llm
import wire


class NameServer:
    """Answers A and AAAA with what is set; a name's answers may change."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, peer = self.sock.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            question = query[12:at + 5]
            kind = struct.unpack(">H", query[at + 1:at + 3])[0]
            name = ".".join(labels).lower()
            self.asked.append(name)
            known = self.answers.get(name)
            rows = []
            for text in known or []:
                v6 = ":" in text
                if kind == (28 if v6 else 1):
                    rows.append(socket.inet_pton(
                        socket.AF_INET6 if v6 else socket.AF_INET, text))
            head = query[:2] + struct.pack(
                ">HHHHH", 0x8180 if known is not None else 0x8183, 1,
                len(rows), 0, 0)
            body = b"".join(b"\xc0\x0c" + struct.pack(
                ">HHIH", kind, 1, 300, len(r)) + r for r in rows)
            self.sock.sendto(head + question + body, peer)


@pytest.fixture(scope="module")
def names():
    return NameServer()


@pytest.fixture(scope="module")
def upstream(request, names, tmp_path_factory):
    conf = tmp_path_factory.mktemp("dns") / "resolv.conf"
    conf.write_text(f"nameserver 127.0.0.1:{names.port}\n"
                    "search inside.test\n")
    worker = wire.Worker(llm.libexec(request), "dialer",
                         resolv_conf=str(conf))
    edge = worker.edge("upstream")
    yield edge
    assert worker.proc.poll() is None
    worker.stop()


def listen(address="127.0.0.1"):
    sock = socket.create_server((address, 0))
    sock.settimeout(0.2)
    return sock, sock.getsockname()[1]


def dial(edge, host, port, private):
    got = edge.call("DIAL", {"host": host, "port": port,
                             "allow_private": private})
    if "fd" in got:
        socket.socket(fileno=got["fd"]).close()
    return got["status"], got["error"]


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.7.7", "100.64.1.1",
    "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1",
    "::ffff:127.0.0.1", "fd00::1", "fe80::1", "64:ff9b::7f00:1",
    "2002:7f00:1::"])
def test_names_of_inner_addresses(upstream, names, address):
    sock, port = listen()
    names.answers["evil.test"] = [address]
    status, error = dial(upstream, "evil.test", port, 0)
    assert status == 403 and "not allowed" in error
    with pytest.raises(TimeoutError):
        sock.accept()


def test_rebinding(upstream, names):
    """The address counts each time, not what the name once was."""
    sock, port = listen()
    names.answers["turn.test"] = ["127.0.0.1"]
    assert dial(upstream, "turn.test", port, 1)[0] == 200
    names.answers["turn.test"] = ["169.254.169.254"]
    assert dial(upstream, "turn.test", port, 1)[0] == 403
    assert dial(upstream, "turn.test", port, 0)[0] == 403
    names.answers["turn.test"] = ["127.0.0.1"]
    assert dial(upstream, "turn.test", port, 0)[0] == 403
    sock.close()


def test_forbidden_ones_are_left_out(upstream, names):
    sock, port = listen()
    names.answers["mixed.test"] = ["169.254.169.254", "0.0.0.0", "fe80::1",
                                   "127.0.0.1"]
    assert dial(upstream, "mixed.test", port, 1)[0] == 200
    sock.close()


def test_the_next_address_is_tried(upstream, names):
    sock, port = listen("127.0.0.3")
    names.answers["some.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert dial(upstream, "some.test", port, 1)[0] == 200
    sock.close()


def test_no_search_list(upstream, names):
    names.answers["short.inside.test"] = ["127.0.0.1"]
    status, error = dial(upstream, "short", 80, 1)
    assert status == 502 and "no such name" in error
    assert "short.inside.test" not in names.asked


def test_hosts_file(upstream):
    sock, port = listen()
    assert dial(upstream, "localhost", port, 1)[0] == 200
    assert dial(upstream, "localhost", port, 0)[0] == 403
    sock.close()


def test_many_at_once(upstream, names):
    sock, port = listen()
    sock.listen(200)
    ids = set()
    for i in range(100):
        names.answers[f"n{i}.test"] = ["127.0.0.1"]
        ids.add(upstream.ask("DIAL", {"host": f"n{i}.test", "port": port,
                                      "allow_private": 1}))
    while ids:
        name, f, rid, _ = upstream.recv()
        assert (name, f["status"]) == ("DIALED", 200), f
        socket.socket(fileno=f["fd"]).close()
        ids.remove(rid)
    sock.close()


@pytest.mark.parametrize("port", [0, 65536])
def test_ports(request, port):
    worker = wire.Worker(llm.libexec(request), "dialer")
    edge = worker.edge("upstream")
    edge.ask("DIAL", {"host": "localhost", "port": port})
    name, f, _, _ = worker.super.recv()
    assert (name, f["proc"]) == ("PEER_BAD", wire.PROCS.index("upstream"))
    worker.stop()
