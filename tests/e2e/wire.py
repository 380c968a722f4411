# Plays supervisor and peers of one or more real workers, frame by frame.
# SPDX-License-Identifier: ISC
#
# Unlike driver.py it joins workers to each other, so that sockets can travel
# between them as they do in a whole agentd.
import array
import os
import re
import select
import socket
import struct
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PROCS = ["supervisor", "front", "keeper", "gateway", "upstream", "dialer",
         "proxy", "container", "trace", "mover"]
HDR = struct.Struct("=IHHQ")
INTS = {"U32": "I", "U64": "Q", "I64": "q", "F64": "d"}
F_FD, F_MORE = 1, 2
NOBODY = 65534


def read_table():
    """Types in order and the fields of each, from msg.def."""
    with open(f"{TOP}/common/msg.def", encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    payloads = {}
    for m in re.finditer(r"^PAYLOAD\((\w+),(.*?)\)\s*$(?=\s*(?:PAYLOAD|MSG|#))",
                         text, re.S | re.M):
        payloads[m[1]] = re.findall(r"F_(\w+)\((\w+)", m[2])
    types = re.findall(r"^MSG\((\w+),[^)]*?,\s*(\w+),\s*[\w |]+\)", text, re.M)
    return [(name, payloads[p]) for name, p in types]


TABLE = read_table()
NUMBER = {name: i + 1 for i, (name, _) in enumerate(TABLE)}


def encode(name, fields):
    out = b""
    for kind, field in TABLE[NUMBER[name] - 1][1]:
        v = fields.get(field, "" if kind in ("STR", "BYTES") else 0)
        if kind in INTS:
            out += struct.pack("=" + INTS[kind], v)
        else:
            v = v.encode() if isinstance(v, str) else v
            out += struct.pack("=I", len(v)) + v
            out += b"\0" if kind == "STR" else b""
    return out


def decode(number, data):
    name, layout = TABLE[number - 1]
    out, at = {}, 0
    for kind, field in layout:
        if kind in INTS:
            (out[field],) = struct.unpack_from("=" + INTS[kind], data, at)
            at += struct.calcsize("=" + INTS[kind])
            continue
        (n,) = struct.unpack_from("=I", data, at)
        raw = data[at + 4:at + 4 + n]
        out[field] = raw.decode() if kind == "STR" else raw
        at += 4 + n + (1 if kind == "STR" else 0)
    assert at == len(data), name
    return name, out


class Edge:
    """Our end of a channel."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""
        self.fds = []
        self.last = 1 << 40

    def send(self, name, fields=None, rid=0, more=False, fd=None):
        body = encode(name, fields or {})
        flags = (F_FD if fd is not None else 0) | (F_MORE if more else 0)
        frame = HDR.pack(len(body), NUMBER[name], flags, rid) + body
        extra = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                        array.array("i", [fd]))]
        sent = self.sock.sendmsg([frame], extra)
        if sent < len(frame):
            self.sock.sendall(frame[sent:])

    def ask(self, name, fields=None):
        self.last += 1
        self.send(name, fields, self.last)
        return self.last

    def recv(self, timeout=10):
        """(type, fields, id, more), None at the end."""
        end = time.monotonic() + timeout
        while True:
            if len(self.data) >= HDR.size:
                n, number, flags, rid = HDR.unpack_from(self.data)
                if len(self.data) >= HDR.size + n:
                    body = self.data[HDR.size:HDR.size + n]
                    self.data = self.data[HDR.size + n:]
                    name, fields = decode(number, body)
                    if flags & F_FD:
                        fields["fd"] = self.fds.pop(0)
                    return name, fields, rid, bool(flags & F_MORE)
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError("no message")
            data, extra, _, _ = self.sock.recvmsg(1 << 18, 1024)
            for _, _, raw in extra:
                fds = array.array("i")
                fds.frombytes(raw[:len(raw) // 4 * 4])
                self.fds += fds
            if not data:
                return None
            self.data += data

    def call(self, name, fields=None):
        rid = self.ask(name, fields)
        while True:
            got = self.recv()
            if got[2] == rid:
                return got[1]


class Worker:
    def __init__(self, libexec, name, conf=None, fds=None, log=None,
                 resolv_conf=None):
        """resolv_conf: a file that the worker sees as /etc/resolv.conf."""
        self.name = name
        argv, who = [f"{libexec}/agentd-{name}"], {
            "user": NOBODY, "group": NOBODY, "extra_groups": []}
        if resolv_conf:
            argv = ["unshare", "-m", "sh", "-c", "mount --bind $0 "
                    "/etc/resolv.conf && exec setpriv --clear-groups "
                    f"--reuid {NOBODY} --regid {NOBODY} $1", resolv_conf,
                    argv[0]]
            who = {}
        ours, theirs = socket.socketpair()

        def child():
            os.dup2(theirs.fileno(), 3)

        self.proc = subprocess.Popen(
            argv, preexec_fn=child, pass_fds=(3,), stderr=log, **who)
        theirs.close()
        self.super = Edge(ours)
        self.super.send("CONF", {"generation": 1, "node_id": "0" * 32,
                                 "log_level": 3, **(conf or {})})
        for role, path in (fds or {}).items():
            fd = os.open(path, os.O_RDONLY)
            self.super.send("CONF_FD", {"name": role}, fd=fd)
            os.close(fd)
        self.super.send("CONF_END", {"generation": 1})
        got = self.super.recv()
        assert got is not None and got[0] == "READY", got

    def give(self, peer, sock):
        self.super.send("PEER", {"proc": PROCS.index(peer)}, fd=sock.fileno())
        sock.close()

    def edge(self, peer):
        """An edge whose other end we play."""
        ours, theirs = socket.socketpair()
        self.give(peer, theirs)
        return Edge(ours)

    def join(self, other):
        """An edge between two real workers."""
        a, b = socket.socketpair()
        self.give(other.name, a)
        other.give(self.name, b)

    def rss_kib(self):
        with open(f"/proc/{self.proc.pid}/smaps_rollup",
                  encoding="ascii") as f:
            return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])

    def stop(self):
        self.proc.kill()
        return self.proc.wait()
