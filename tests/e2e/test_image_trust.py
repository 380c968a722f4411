# Whose images are taken: signatures, sums, downloads, what is deleted.
# SPDX-License-Identifier: ISC
import contextlib
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading

import pytest

from lab import TOP, Agentd, wait_for


def tiny_image(path, text):
    """An image that Incus takes and that holds one file."""
    meta = ("architecture: x86_64\ncreation_date: 1700000000\n"
            f"properties:\n  description: {text}\n"
            "  agentd.trust: signed\n  agentd.key: " + "00" * 32 + "\n")
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (("metadata.yaml", meta.encode()),
                           ("rootfs/etc/motd", os.urandom(300_000))):
            m = tarfile.TarInfo(name)
            m.size = len(data)
            tar.addfile(m, io.BytesIO(data))
    return path


class Signer:
    def __init__(self, where):
        self.dir = str(where)
        subprocess.run(["minisign", "-G", "-W", "-p", f"{self.dir}/key.pub",
                        "-s", f"{self.dir}/key.sec"], check=True,
                       stdout=subprocess.DEVNULL)
        with open(f"{self.dir}/key.pub", encoding="ascii") as f:
            self.public = f.read().splitlines()[1]

    def sign(self, path, comment, *flags):
        subprocess.run(["minisign", "-S", "-s", f"{self.dir}/key.sec", "-m",
                        path, "-t", comment, *flags], check=True,
                       stdout=subprocess.DEVNULL)
        return f"{path}.minisig"


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def daemon(build, incus, signer):
    d = Agentd(build, incus,
               extra=f"images:\n  trusted_keys: [\"{signer.public}\"]\n")
    d.start()
    yield d
    d.stop()
    d.remove()


def fingerprints(daemon):
    r = daemon.incus.call("GET", f"/1.0/images?project={daemon.project}")
    return {p.rsplit("/", 1)[1].split("?")[0] for p in r["metadata"]}


def sum_of(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def listed(daemon, alias):
    for m in daemon.get("/api/images").json:
        if m["alias"] == alias:
            return m
    return None


def drop(daemon, alias):
    daemon.ctl("image", "rm", alias, check=False)


def test_unsigned_is_refused_unless_told(daemon, tmp_path):
    path = tiny_image(tmp_path / "a.tar.gz", "no signature")
    p = daemon.ctl("image", "import", "none", str(path), check=False)
    assert p.returncode == 1 and "not signed" in p.stderr
    with open(path, "rb") as f:
        r = daemon.call("PUT", "/api/images/none", f.read())
    assert r.status == 403 and b"no signature" in r.body
    assert sum_of(path) not in fingerprints(daemon)
    daemon.ctl("image", "import", "--unsigned", "none", str(path))
    # What an image says of itself is not believed.
    assert listed(daemon, "none")["trust"] == "unsigned"
    assert listed(daemon, "none")["key_id"] is None
    drop(daemon, "none")


def test_signed_for_its_alias(daemon, signer, tmp_path):
    path = str(tiny_image(tmp_path / "a.tar.gz", "signed"))
    signer.sign(path, "alias:good version:1")
    daemon.ctl("image", "import", "good", path)
    m = listed(daemon, "good")
    assert m["trust"] == "signed" and len(m["key_id"]) == 16
    assert m["fingerprint"] == sum_of(path)
    assert "as it came in" in daemon.ctl("image", "verify", "good")
    # The same signature is of no use for another alias.
    for alias in ("goo", "good2", "evil"):
        p = daemon.ctl("image", "import", alias, path, check=False)
        assert p.returncode == 1 and f"alias:{alias}" in p.stderr
        assert listed(daemon, alias) is None
    drop(daemon, "good")


def test_wrong_signatures(daemon, signer, stranger, tmp_path):
    before = fingerprints(daemon)
    path = str(tiny_image(tmp_path / "a.tar.gz", "bad"))
    stranger.sign(path, "alias:bad")
    p = daemon.ctl("image", "import", "bad", path, check=False)
    assert p.returncode == 1 and "trusted_keys" in p.stderr

    sig = signer.sign(path, "alias:bad")
    with open(sig, encoding="ascii") as f:
        lines = f.read().splitlines()
    # Another comment than the signed one.
    with open(sig, "w", encoding="ascii") as f:
        f.write("\n".join([lines[0], lines[1],
                           "trusted comment: alias:bad more", lines[3], ""]))
    p = daemon.ctl("image", "import", "bad", path, check=False)
    assert p.returncode == 1 and "not of the key" in p.stderr
    # The older kind, not of a hash.
    signer.sign(path, "alias:bad", "-l")
    p = daemon.ctl("image", "import", "bad", path, check=False)
    assert p.returncode == 1 and "minisign" in p.stderr
    # Cut, empty, of another file.
    for text in ("", "x\n", "\n".join(lines[:3]), "a\n" * 3 + "b" * 5000):
        with open(sig, "w", encoding="ascii") as f:
            f.write(text)
        p = daemon.ctl("image", "import", "bad", path, check=False)
        assert p.returncode == 1, text
    signer.sign(path, "alias:bad")
    with open(path, "ab") as f:
        f.write(b"\0")
    p = daemon.ctl("image", "import", "bad", path, check=False)
    assert p.returncode == 1 and "not what was signed" in p.stderr
    assert listed(daemon, "bad") is None
    assert fingerprints(daemon) == before


def test_a_key_that_is_trusted_no_more(build, incus, signer, tmp_path):
    d = Agentd(build, incus,
               extra=f"images:\n  trusted_keys: [\"{signer.public}\"]\n")
    try:
        d.start()
        path = str(tiny_image(tmp_path / "a.tar.gz", "was trusted"))
        signer.sign(path, "alias:was")
        d.ctl("image", "import", "was", path)
        d.stop()
        with open(d.config, encoding="utf-8") as f:
            text = f.read().replace(f"[\"{signer.public}\"]", "[]")
        with open(d.config, "w", encoding="utf-8") as f:
            f.write(text)
        d.start()
        assert listed(d, "was")["trust"] == "untrusted key"
        drop(d, "was")
    finally:
        d.stop()
        d.remove()


def test_alias_is_matched_exactly(daemon, tmp_path):
    """C43: an alias that merely begins so is another image."""
    path = str(tiny_image(tmp_path / "a.tar.gz", "prefix"))
    daemon.ctl("image", "import", "--unsigned", "taos-pi-base-x", path)
    pis = [m for m in daemon.get("/api/images").json
           if m["alias"] == "taos-pi-base"]
    if not pis:
        r = daemon.call("POST", "/api/agents/deploy",
                        {"name": "exact", "framework": "pi",
                         "model": "demo"})
        assert r.status == 202

        def over():
            s = daemon.get("/api/agents/exact/deploy-status").json
            return s if s["status"] != "deploying" else None

        s = wait_for("end of the deploy", over, 60)
        assert s["status"] == "failed"
        assert "agentctl image build" in s["error"]
    drop(daemon, "taos-pi-base-x")


def test_prune_and_rm(daemon, tmp_path):
    path = str(tiny_image(tmp_path / "a.tar.gz", "first"))
    daemon.ctl("image", "import", "--unsigned", "p", path)
    first = listed(daemon, "p")["fingerprint"]
    # One without an alias: of somebody else's making.
    r = daemon.incus.call("DELETE",
                          f"/1.0/images/aliases/p?project={daemon.project}")
    assert r["status_code"] == 200
    assert first in fingerprints(daemon)
    # A young one may be an import under way.
    assert daemon.call("POST", "/api/images/prune").json == []
    assert first in fingerprints(daemon)
    gone = daemon.call("POST", "/api/images/prune?age=0").json
    assert first in [m["fingerprint"] for m in gone]
    assert first not in fingerprints(daemon)
    p = daemon.ctl("image", "rm", "p", check=False)
    assert p.returncode == 1 and "no image p" in p.stderr


class Web(http.server.BaseHTTPRequestHandler):
    """Serves self.server.files; breaks off as often as told."""

    def do_GET(self):
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = 0
        rng = self.headers.get("Range")
        if rng:
            self.server.ranges.append(rng)
            start = int(rng.split("=")[1].split("-")[0])
        self.send_response(206 if rng else 200)
        if rng:
            self.send_header("Content-Range",
                             f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.breaks > 0 and len(body) > 100_000:
            self.server.breaks -= 1
            self.wfile.write(body[:100_000])
            return
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.files, server.ranges, server.breaks = {}, [], 0
    server.url = f"http://127.0.0.1:{server.server_port}"
    t = threading.Thread(target=server.serve_forever)
    t.start()
    yield server
    server.shutdown()
    t.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    os.mkdir(tmp_path / "cache")
    return tmp_path / "cache" / "agentd"


def publish(web, signer, tmp_path, alias):
    path = str(tiny_image(tmp_path / f"{alias}.tar.gz", alias))
    sig = signer.sign(path, f"alias:{alias}")
    for p, name in ((path, f"/{alias}"), (sig, f"/{alias}.minisig")):
        with open(p, "rb") as f:
            web.files[name] = f.read()
    return sum_of(path)


def test_from_the_web_with_a_break(daemon, signer, web, cache, tmp_path):
    """W48, F31: pinned, signed, continued where it broke."""
    total = publish(web, signer, tmp_path, "net")
    web.breaks = 1
    daemon.ctl("image", "import", "net", f"{web.url}/net", "--sha256", total)
    assert web.ranges == ["bytes=100000-"]
    assert listed(daemon, "net")["trust"] == "signed"
    assert os.listdir(cache) == []
    drop(daemon, "net")


def test_from_the_web_refused(daemon, signer, web, cache, tmp_path):
    total = publish(web, signer, tmp_path, "net")
    url = f"{web.url}/net"
    for args, code, said in (
            ([url], 2, "--sha256"),
            ([url, "--sha256", "zz"], 2, "--sha256"),
            ([url, "--sha256", "0" * 64], 1, "SHA-256"),
            ([f"{web.url}/nosuch", "--sha256", total], 1, "404"),
            (["http://127.0.0.1:1/x", "--sha256", total], 1, "127.0.0.1")):
        p = daemon.ctl("image", "import", "net", *args, check=False)
        assert p.returncode == code and said in p.stderr, p.stderr
    # The right sum, but no signature is to be had.
    del web.files["/net.minisig"]
    p = daemon.ctl("image", "import", "net", url, "--sha256", total,
                   check=False)
    assert p.returncode == 1 and "signature" in p.stderr
    assert listed(daemon, "net") is None
    with contextlib.suppress(FileNotFoundError):
        assert not [n for n in os.listdir(cache) if n.endswith(".part")]


def test_preload(daemon, signer, web, cache, tmp_path):
    """What the list names is there afterwards; twice is once."""
    one = publish(web, signer, tmp_path, "one")
    two = publish(web, signer, tmp_path, "two")
    names = tmp_path / "list"
    names.write_text(f"# images\n\none {one} {web.url}/one\n"
                     f"two {two} {web.url}/two   # second\n")
    daemon.ctl("image", "preload", str(names))
    assert listed(daemon, "one") and listed(daemon, "two")
    web.files.clear()
    daemon.ctl("image", "preload", str(names))
    names.write_text("one\ntwo zz http://x\nnew " + "0" * 64 +
                     f" {web.url}/new\n")
    p = daemon.ctl("image", "preload", str(names), check=False)
    assert p.returncode == 1
    assert ":1: expected" in p.stderr and ":2: expected" in p.stderr
    assert "3 of the images" in p.stderr
    drop(daemon, "one")
    drop(daemon, "two")


def test_verify_sees_a_change(daemon, tmp_path):
    """The stored bytes are read again, not what is noted about them."""
    path = str(tiny_image(tmp_path / "a.tar.gz", "to be changed"))
    daemon.ctl("image", "import", "--unsigned", "v", path)
    stored = f"/var/lib/incus/images/{sum_of(path)}"
    with open(stored, "r+b") as f:
        f.seek(1000)
        byte = f.read(1)
        f.seek(1000)
        f.write(bytes([byte[0] ^ 1]))
    p = daemon.ctl("image", "verify", "v", check=False)
    assert p.returncode == 1 and "was changed" in p.stderr
    p = daemon.ctl("image", "verify", "nosuch", check=False)
    assert p.returncode == 1 and "no image nosuch" in p.stderr
    drop(daemon, "v")


def test_published_directory(daemon, signer, web, cache, tmp_path):
    """What catalog/ci/publish makes is what preload takes."""
    out = tmp_path / "out"
    out.mkdir()
    tiny_image(tmp_path / "pub.tar.gz", "published")
    subprocess.run(
        f"mkdir x && tar -C x -xzf pub.tar.gz && mkdir -p "
        f"x/rootfs/usr/share/agentd && echo '{{\"packages\":[]}}' "
        f">x/rootfs/usr/share/agentd/manifest.json && "
        f"tar -C x -I zstd -cf out/pub.tar.zst metadata.yaml rootfs",
        shell=True, check=True, cwd=tmp_path)
    subprocess.run([f"{TOP}/catalog/ci/publish", str(out),
                    f"{signer.dir}/key.sec", web.url], check=True)
    for name in os.listdir(out):
        web.files[f"/{name}"] = (out / name).read_bytes()
    assert b"packages" in web.files["/pub.sbom"]
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], check=True, cwd=out)
    subprocess.run(["minisign", "-V", "-q", "-p", f"{signer.dir}/key.pub",
                    "-m", str(out / "SHA256SUMS")], check=True)
    daemon.ctl("image", "preload", str(out / "images.list"))
    assert listed(daemon, "pub")["trust"] == "signed"
    drop(daemon, "pub")
