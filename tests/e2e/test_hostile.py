# Hostile names, limits, images, manifests, exports and requests: each is
# refused with its reason, and nothing is made. The tables: hostile.py.
# SPDX-License-Identifier: ISC
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

import pytest

import hostile
import movefile
from lab import TOP, UnixHTTP, Reply, own_agentd, wait_for
from test_image_trust import Signer, tiny_image

# Of its own: it is purged.
PROJECT = f"agentd-test-ho{os.getpid()}"
JSON = {"Content-Type": "application/json"}
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    where = tmp_path_factory.mktemp("catalog")
    shutil.copytree(f"{TOP}/catalog/frameworks", where / "frameworks")
    for name, text, _ in hostile.MANIFESTS:
        (where / "frameworks" / f"{name}.yaml").write_text(
            text.replace("%s", name), encoding="latin1")
    return where


@pytest.fixture(scope="module")
def daemon(build, incus, images, signer, catalog):
    with own_agentd(build, incus, PROJECT, images,
                    f"catalog_dir: {catalog}\n"
                    f"images:\n  trusted_keys: [\"{signer.public}\"]\n") as d:
        yield d


@pytest.fixture(scope="module")
def victim(daemon):
    """A whole agent, with a snapshot."""
    agent = daemon.deploy("pi", name="Victim")
    r = daemon.call("POST", "/api/agents/victim/snapshots", {"name": "s"})
    assert r.status == 201, r.body
    return agent


class Judge:
    """Collects what was not refused as it should have been."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.wrong = []
        self.n = 0
        self.may = ()           # parts of the footprint that may differ

    def see(self, what, r, status, why):
        self.n += 1
        said = r.body.decode(errors="replace")
        try:
            error = json.loads(said)["error"]
        except (ValueError, KeyError, TypeError):
            error = ""
        if r.status not in (status if isinstance(status, tuple) else
                            (status,)) or \
                not re.search(why, error) or not error.isprintable():
            self.wrong.append((what, r.status, said[:300]))

    def call(self, what, status, why, method, path, body=None,
             headers=None):
        if isinstance(body, (bytes, str)):
            headers = headers or JSON
        try:
            r = self.daemon.call(method, path, body, headers)
        except (OSError, http.client.HTTPException) as e:
            self.wrong.append((what, "no answer", repr(e)))
            return None
        self.see(what, r, status, why)
        return r


@pytest.fixture
def judge(daemon, victim):
    """All of a test is refused, and afterwards everything is as it was."""
    before = daemon.footprint()
    time.sleep(0.3)
    again = daemon.footprint()
    while before != again:              # what the test before has left
        before = again
        time.sleep(0.3)
        again = daemon.footprint()
    pids = daemon.pids()
    j = Judge(daemon)
    yield j
    assert j.n > 0 and not j.wrong, "\n".join(map(str, j.wrong))
    found = []

    def same():
        found[:] = [d for d in hostile.differences(before, daemon.footprint())
                    if d[0] not in j.may]
        return not found
    try:
        wait_for("the state of before", same, 20, 0.2)
    except AssertionError as e:
        raise AssertionError("\n".join(map(str, found))) from e
    assert daemon.drift() == []
    assert daemon.pids() == pids, "a worker has ended"


# ---- (a) names ----

def test_names_of_agents(judge):
    q = urllib.parse.quote
    for name, status, why in hostile.NAMES:
        for what, method, path, body in (
                ("deploy", "POST", "/api/agents/deploy",
                 {"name": name, "framework": "pi", "model": "demo"}),
                ("rename", "PATCH", "/api/agents/victim",
                 {"display_name": name}),
                ("fork", "POST", "/api/agents/victim/fork",
                 {"name": name})):
            judge.call((what, name), status, "name.*" + why, method, path,
                       body)
        if status == 422:
            judge.call(("import", name), (400, 422), "name|query", "POST",
                       f"/api/agents/import?name={q(name)}", b"x", RAW)
    for name in hostile.NO_NAMES:
        judge.call(("deploy", name), 422, "name must be a string", "POST",
                   "/api/agents/deploy", {"name": name, "framework": "pi"})
        judge.call(("fork", name), 422, "name must be a string", "POST",
                   "/api/agents/victim/fork", {"name": name})
    for word in hostile.RESERVED:
        judge.call(("rename", word), 409, "reserved", "PATCH",
                   "/api/agents/victim", {"display_name": word})


def rename(daemon, victim, name):
    """A 503 (the disk is slow) has changed nothing and says: try again."""
    for _ in range(3):
        r = daemon.call("PATCH", f"/api/agents/{victim.slug}",
                        {"display_name": name})
        if r.status != 503:
            break
    assert r.status == 200, (name, r.body)
    victim.slug = r.json["name"]
    return r.json


def test_text_is_only_text(daemon, victim):
    """What means something to a shell, SQL or a path names no such thing."""
    before = daemon.footprint()["incus"]["instances"]
    try:
        for name, slug in hostile.HARMLESS:
            now = rename(daemon, victim, name)
            assert (now["name"], now["display_name"]) == (slug, name)
            assert victim.record["display_name"] == name
    finally:                    # the tests after this one know it as victim
        rename(daemon, victim, "Victim")
    assert victim.slug == "victim"
    wait_for("the old label", lambda: daemon.footprint()["incus"][
        "instances"] == before, 20)


def test_names_in_paths(judge):
    for slug in hostile.PATHS:
        for method, path, body in (
                ("GET", f"/api/agents/{slug}", None),
                ("DELETE", f"/api/agents/{slug}", None),
                ("POST", f"/api/agents/{slug}/stop", None),
                ("PUT", f"/api/agents/{slug}/limits", {"cpu_limit": 1}),
                ("POST", f"/api/agents/{slug}/fork", {"name": "x"}),
                ("GET", f"/api/agents/{slug}/export", None),
                ("POST", f"/api/agents/archived/{slug}/restore", None),
                ("DELETE", f"/api/agents/archived/{slug}", None),
                ("GET", f"/api/chat/channels/{slug}/messages", None),
                ("DELETE", f"/api/agents/victim/recycle/{slug}", None)):
            judge.call((method, path), (400, 404, 405), ".", method, path,
                       body)


def test_snapshots_channels_domains(judge):
    base = "/api/agents/victim"
    q = urllib.parse.quote
    for name in hostile.SNAPSHOTS:
        judge.call(("make", name), 422, "name", "POST",
                   f"{base}/snapshots", {"name": name})
        judge.call(("fork of", name), (409, 422) if name[1:2] == "g" else
                   422, "snapshot", "POST", f"{base}/fork",
                   {"name": "x", "snapshot": name}) \
            if name not in ("agentd-x", "auto-x") else None
        for method, tail in (("DELETE", ""), ("POST", "/restore")):
            judge.call((method, name), (400, 404, 405, 422), ".", method,
                       f"{base}/snapshots/{q(name, safe='')}{tail}")
    for text in ("", "daily", "daily keep 0", "daily keep -1", "daily keep 1e9",
                 "weekly keep 2", "daily keep 7; reboot", "off\0", 7, []):
        judge.call(("schedule", text), 422, "schedule", "PUT",
                   f"{base}/snapshots/schedule", {"schedule": text})
    for channel in hostile.CHANNELS:
        judge.call(("channel", channel), (404, 422), "channel", "POST",
                   "/api/chat/messages",
                   {"channel_id": channel, "content": "x"})
    for domain in hostile.DOMAINS:
        for method, tail, body in (
                ("POST", "/domains", {"domain": domain}),
                ("PUT", "/network", {"domains": ["a.com", domain]}),
                ("PUT", "/network", {"policy": "allow",
                                     "domains": [domain]})):
            judge.call((method, tail, domain), 422, "domain", method,
                       base + tail, body)
        judge.call(("deploy", domain), 422, "domain", "POST",
                   "/api/agents/deploy", {
                       "name": "x", "framework": "pi", "network": "allow",
                       "domains": [domain]})
    for policy in ("", "all", "EGRESS", "none\n", 7, [], "x" * 100):
        judge.call(("policy", policy), 422, "policy", "PUT",
                   f"{base}/network", {"policy": policy})


# ---- (b) limits and quotas ----

def test_limits(judge):
    for field, value in hostile.LIMITS:
        why = "JSON" if len(value) > 128 else field
        for method, path, head in (
                ("PUT", "/api/agents/victim/limits", ""),
                ("POST", "/api/agents/deploy",
                 "\"name\":\"x\",\"framework\":\"pi\",")):
            judge.call((path, field, value), 422, why, method, path,
                       f"{{{head}\"{field}\":{value}}}".encode())
    for value in hostile.QUOTAS:
        judge.call(("quota", value), 422, "size_gib", "POST",
                   "/api/agents/victim/quota",
                   f"{{\"size_gib\":{value}}}".encode())
    for path, field in (("/limits", "memory"), ("/limits", "raw.lxc"),
                        ("/limits", "limits.memory"), ("/network", "nic")):
        judge.call((path, field), 422, f"unknown field {field}", "PUT",
                   f"/api/agents/victim{path}", {field: 1})
    judge.call("twice", 400, "duplicate", "PUT", "/api/agents/victim/limits",
               b"{\"cpu_limit\":1,\"cpu_limit\":64}")
    for value in ("-1", "1.5", "2592001", "\"5\"", "null"):
        judge.call(("idle", value), 422, "seconds", "PUT",
                   "/api/agents/victim/idle",
                   f"{{\"seconds\":{value}}}".encode())
    for text in ("0", "301", "-1", "1e2", "", "30s"):
        judge.call(("timeout", text), 422, "timeout", "POST",
                   f"/api/agents/victim/stop?timeout={text}")


# ---- (c) images ----

def signed(signer, path, comment):
    with open(signer.sign(path, comment), encoding="ascii") as f:
        lines = f.read().splitlines()
    return {**RAW, "X-Minisign-Signature": lines[1],
            "X-Minisign-Comment": lines[2].split(": ", 1)[1],
            "X-Minisign-Global": lines[3]}


def test_images_that_are_none(judge):
    data = hostile.archive(hostile.ROOT)
    for alias in hostile.ALIASES:
        judge.call(("alias", alias), (400, 404, 405, 422), ".", "PUT",
                   f"/api/images/{alias}?trust=unsigned", data, RAW)
    for what, body in hostile.NOT_IMAGES:
        judge.call(what, (400, 422, 500, 502), "image", "PUT",
                   "/api/images/none?trust=unsigned", body, RAW)
    for query, status in (("", 403), ("?trust=signed", 422),
                          ("?trust=", 422), ("?trust=built&trust=built", 422),
                          ("?verify=0", 422)):
        judge.call(query, status, ".", "PUT", f"/api/images/none{query}",
                   data, RAW)
    judge.call("empty", 411, "Content-Length", "PUT",
               "/api/images/none?trust=unsigned", b"", RAW)


def test_images_of_others(judge, signer, tmp_path):
    one = str(tiny_image(tmp_path / "one.tar.gz", "one"))
    two = str(tiny_image(tmp_path / "two.tar.gz", "two"))
    data = {}
    for path in (one, two):
        with open(path, "rb") as f:
            data[path] = f.read()
    good = signed(signer, one, "alias:one")
    stranger = Signer(tmp_path)
    for what, status, why, alias, path, headers in (
            ("another key", 403, "trusted_keys", "one", one,
             signed(stranger, one, "alias:one")),
            ("another file", 403, "not what was signed", "one", two, good),
            ("another alias", 403, "alias:two", "two", one, good),
            ("no alias", 403, "alias:one", "one", one,
             signed(signer, one, "one")),
            ("longer alias", 403, "alias:one", "one", one,
             signed(signer, one, "alias:one2 xalias:one")),
            ("another comment", 403, "not of the key", "one", one,
             {**good, "X-Minisign-Comment": "alias:one x"}),
            ("no comment", 403, "not of the key", "one", one,
             {k: v for k, v in good.items() if "Comment" not in k}),
            ("no global", 403, "not of the key", "one", one,
             {k: v for k, v in good.items() if "Global" not in k}),
            ("cut", 422, "minisign", "one", one,
             {**good, "X-Minisign-Signature":
              good["X-Minisign-Signature"][:40]}),
            ("no base64", 422, "minisign", "one", one,
             {**good, "X-Minisign-Signature": "?" * 100}),
            ("too long", 422, "Signature", "one", one,
             {**good, "X-Minisign-Signature": "A" * 200})):
        judge.call(what, status, why, "PUT", f"/api/images/{alias}",
                   data[path], headers)


def test_images_with_hostile_trees(judge, daemon):
    """An admin took it unsigned: the deploy fails, and nothing gets out."""
    # That there was a deploy is told, and its trace stays.
    judge.may = ("/state/job", "/state/job_step",
                 "/state/last trace_outbox", "/traces")
    mark = f"/var/tmp/agentd-hostile-{os.getpid()}"
    alias = "/api/images/taos-opencode-base"
    for i, (what, body) in enumerate(hostile.hostile_trees(mark)):
        r = daemon.call("PUT", f"{alias}?trust=unsigned", body, RAW)
        if r.status != 201:
            judge.see(what, r, (400, 422, 500, 502), "image")
            continue
        r = daemon.call("POST", "/api/agents/deploy", {
            "name": f"Bad {i}", "framework": "opencode", "model": "demo"})
        assert r.status == 202, r.body
        s = wait_for("end of it", lambda i=i: [s for s in [daemon.get(
            f"/api/agents/bad-{i}/deploy-status").json]
            if s["status"] != "deploying"], 60)[0]
        judge.n += 1
        why = hostile.TREE_REASONS.get(what, "forkstart")
        if s["status"] != "failed" or why not in s["error"]:
            judge.wrong.append((what, s["status"], s["error"]))
        assert not os.path.exists(mark), what
        daemon.call("DELETE", alias)
    judge.n += 1


# ---- (d) manifests ----

def test_manifests(judge, daemon, build, catalog):
    p = subprocess.run([f"{build}/inst/sbin/agentd", "-n", "-f",
                        daemon.config], capture_output=True, text=True,
                       timeout=30, check=False)
    judge.n += 1
    if p.returncode == 0:
        judge.wrong.append("agentd -n says that all is well")
    log = daemon.log("supervisor")
    for name, _, why in hostile.MANIFESTS:
        judge.n += 1
        lines = [x for x in p.stderr.splitlines() if f"/{name}.yaml:" in x]
        if not any(f"{name}.yaml:{why}" in x or
                   (why[0] not in "0123456789" and why in x)
                   for x in lines):
            judge.wrong.append((name, why, lines))
        if not all(x.isprintable() for x in lines):
            judge.wrong.append((name, "controls", lines))
        if f"/{name}.yaml:" not in log:
            judge.wrong.append((name, "is not in the log"))
    have = {f["id"] for f in daemon.get("/api/frameworks").json}
    assert have == {n[:-5] for n in os.listdir(f"{TOP}/catalog/frameworks")}
    assert catalog


# ---- (e) files of agents ----

@pytest.fixture(scope="module")
def key():
    return movefile.Key()


def bring(judge, key, what, data, why, status=422):
    judge.call(what, status, why, "POST",
               f"/api/agents/import?trust_key={key.hex}", data, RAW)


def test_files_that_are_changed(judge, key):
    s = hostile.sections()
    good = movefile.build(s, key)
    marks = movefile.parse(good)[1]
    for cut in sorted({1, 13, 15, 16} | {
            c for a, b in marks.values()
            for c in (a, a + 7, a + 9, (a + b) // 2, b - 41, b - 1)} - {0}):
        bring(judge, key, ("cut", cut), good[:cut], f"^at byte {cut}: ")
    # A bit in the head, in each frame, in the data and digest of each part.
    flips = {0, 7, 13, 14, 15} | {
        at for a, b in marks.values()
        for at in (a, a + 5, a + 9, a + 11, a + 13, b - 39, b - 1)}
    for at in sorted(flips):
        for bit in (0, 7):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            bring(judge, key, ("flip", at, bit), bytes(bad),
                  "^at byte|signature of the file is wrong|not trusted|"
                  "not the file of an agent|manifest|section",
                  (422, 403))
    bring(judge, key, "more", good + good, "behind the end")


def test_files_that_lie(judge, key):
    s = hostile.sections()
    for members, why in hostile.TREES:
        bring(judge, key, members, movefile.build(dict(
            s, rootfs=movefile.tar(*members)), key,
            rows={"rootfs": len(members)}), "section rootfs: .*(" + why + ")")
    for change, why, status in hostile.RECORDS:
        record = dict(json.loads(s["record"]), **change)
        bring(judge, key, change, movefile.build(dict(
            s, record=json.dumps(record).encode()), key), why, status)
    for what, change, why, status in (
            ("arch", {"arch": "vax"}, "kind vax", 409),
            ("format", {"format": "zip"}, "not of an agent", 422),
            ("version", {"version": 2}, "version", 422),
            ("id", {"agent_id": "../x"}, "agent_id", 422),
            ("more", {"x": 1}, "member x", 422),
            ("no sections", {"sections": []}, "sections", 422),
            ("time", {"created_at": "now"}, "created_at", 422)):
        bring(judge, key, what, movefile.build(s, key, change), why, status)
    # One TiB that is only said.
    for name in movefile.NAMES[:5]:
        bad = b"".join(movefile.section(
            n, s[n], size=(1 << 40 if n == name else None))
            for n in movefile.NAMES[:5])
        bring(judge, key, ("claims", name), movefile.MAGIC + b"\0\1" + bad,
              f"section {name}: its size")
        bring(judge, key, ("rows", name), movefile.build(
            s, key, rows={name: 1 << 40}), "1099511627776") \
            if name in ("chat", "trace", "rootfs") else None


def announced(daemon, path, size):
    """The answer to a body of that size of which nothing is sent."""
    conn = UnixHTTP(daemon.socket, 20)
    conn.putrequest("POST", path)
    for k, v in {**RAW, "Content-Length": str(size)}.items():
        conn.putheader(k, v)
    conn.endheaders()
    return Reply(conn.getresponse())


def test_files_that_are_too_large(judge, daemon):
    for size in (1 << 40, (16 << 30) + 1, (1 << 63) - 1):
        judge.see(size, announced(daemon, "/api/agents/import", size),
                  (400, 413), "import_size|too large|Content-Length")
    for query, why in (("trust_key=zz", "trust_key"), ("network=all",
                       "network"), ("model=%00", "query"),
                       ("name=%ff", "query"), ("privileged=1", "privileged"),
                       ("trust_key=" + "G" * 64, "trust_key")):
        judge.call(query, (400, 422), why, "POST",
                   f"/api/agents/import?{query}",
                   b"x", RAW)
    judge.call("no length", 411, "Content-Length", "POST",
               "/api/agents/import", b"", RAW)


# ---- (f) HTTP and JSON ----

def test_bodies(judge):
    for body, status, why in hostile.BODIES:
        judge.call(body[:60], status, why, "POST", "/api/agents/deploy",
                   body)
    for route in hostile.LIFECYCLE:
        method, tail = route.split(" ")
        path = f"/api/agents/victim{tail}"
        for kind in hostile.TYPES:
            judge.call((route, kind), 415, "application/json", method, path,
                       b"{\"x\":1}", {"Content-Type": kind})
        for body, status, why in (
                (b"{\"x\":1,\"x\":2}", 400, "duplicate"),
                (b"{\"x\":\"\xff\"}", 400, "UTF-8"),
                (b"{\"x\":" * 40 + b"1" + b"}" * 40, 400, "deep"),
                (b"[]", 400, "JSON"), (b"{\"unheard_of\":1}", 422,
                                       "unheard_of"),
                (b"{\"x\":\"" + b"x" * 300000 + b"\"}", 413, "large")):
            judge.call((route, body[:20]), status, why, method, path, body)


def test_a_body_that_does_not_end(judge, daemon):
    """Half a deploy is none."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(daemon.socket)
        s.sendall(b"POST /api/agents/deploy HTTP/1.1\r\nHost: localhost\r\n"
                  b"Content-Type: application/json\r\nContent-Length: 90\r\n"
                  b"\r\n{\"name\":\"half\",\"framework\":\"pi\"}")
        s.shutdown(socket.SHUT_WR)
        s.settimeout(20)
        got = s.recv(65536)
    judge.n += 1
    if b"202" in got[:20]:
        judge.wrong.append(got)
