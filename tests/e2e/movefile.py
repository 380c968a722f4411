# Reads, changes and signs files of agents (agentd-export(5)), for tests.
# SPDX-License-Identifier: ISC
import hashlib
import io
import json
import struct
import subprocess
import tarfile
import tempfile

MAGIC = b"agentd-export\n"
NAMES = ["record", "policy", "chat", "trace", "rootfs", "manifest", "sign"]
SIGNED = b"agentd export 1\n"


class Key:
    """An Ed25519 key of our own, by openssl."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(suffix=".pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519",
                        "-out", self.file.name], check=True)
        der = subprocess.run(["openssl", "pkey", "-in", self.file.name,
                              "-pubout", "-outform", "DER"],
                             capture_output=True, check=True).stdout
        self.public = der[-32:]

    @property
    def hex(self):
        return self.public.hex()

    def sign(self, data):
        with tempfile.NamedTemporaryFile() as f:
            f.write(data)
            f.flush()
            return subprocess.run(
                ["openssl", "pkeyutl", "-sign", "-inkey", self.file.name,
                 "-rawin", "-in", f.name], capture_output=True,
                check=True).stdout


def parse(data):
    """The sections' data by name, and where each begins and ends."""
    assert data[:14] == MAGIC and data[14:16] == b"\0\1"
    at, out, marks = 16, {}, {}
    for name in NAMES:
        begin = at
        assert data[at:at + 8] == name.encode().ljust(8, b"\0")
        at += 8
        body = []
        while True:
            (n,) = struct.unpack_from(">I", data, at)
            at += 4
            if n == 0:
                break
            body.append(data[at:at + n])
            at += n
        out[name] = b"".join(body)
        size, digest = struct.unpack_from(">Q32s", data, at)
        at += 40
        assert size == len(out[name])
        assert digest == hashlib.sha256(out[name]).digest()
        marks[name] = (begin, at)
    assert at == len(data)
    return out, marks


def section(name, body, chunk=65536, size=None, digest=None):
    out = [name.encode().ljust(8, b"\0")]
    for i in range(0, len(body), chunk):
        piece = body[i:i + chunk]
        out += [struct.pack(">I", len(piece)), piece]
    out.append(struct.pack(">IQ", 0, len(body) if size is None else size))
    out.append(digest or hashlib.sha256(body).digest())
    return b"".join(out)


def rows_of(name, body):
    if name in ("chat", "trace"):
        return body.count(b"\n")
    if name != "rootfs":
        return 1
    with tarfile.open(fileobj=io.BytesIO(body)) as t:
        return len(t.getmembers())


def build(sections, key, manifest=None, rows=None):
    """A file with these sections, its manifest made right, signed by key."""
    m = json.loads(sections["manifest"])
    record = json.loads(sections["record"]) if sections["record"][:1] == \
        b"{" else {}
    for k in ("agent_id", "slug", "framework"):
        if k in record:
            m[k] = record[k]
    old = {s["name"]: s["rows"] for s in m["sections"]}
    m["sections"] = [{
        "name": n, "size": len(sections[n]),
        "rows": (rows or {}).get(n, old[n]),
        "sha256": hashlib.sha256(sections[n]).hexdigest()}
        for n in NAMES[:5]]
    m.update(manifest or {})
    text = json.dumps(m).encode()
    sign = key.public + key.sign(SIGNED + text)
    parts = [MAGIC + b"\0\1"]
    parts += [section(n, sections[n]) for n in NAMES[:5]]
    parts += [section("manifest", text), section("sign", sign)]
    return b"".join(parts)


def tar(*members):
    """A tree of (name, kind, more): as Incus writes one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w",
                      format=tarfile.PAX_FORMAT) as t:
        for name, kind, *more in members:
            i = tarfile.TarInfo(name)
            i.mode = 0o755 if kind == "dir" else 0o644
            i.type = {"dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE,
                      "sym": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE,
                      "chr": tarfile.CHRTYPE, "blk": tarfile.BLKTYPE,
                      "fifo": tarfile.FIFOTYPE,
                      "sparse": tarfile.GNUTYPE_SPARSE}[kind]
            data = b""
            if kind == "file":
                data = more[0] if more else b""
                i.size = len(data)
            elif kind in ("sym", "hard"):
                i.linkname = more[0]
            if len(more) > 1:
                i.pax_headers = more[1]
            t.addfile(i, io.BytesIO(data))
    return out.getvalue()
