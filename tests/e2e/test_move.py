# Agents that move: export, import on another server, and every way in which
# a file can be wrong.
# SPDX-License-Identifier: ISC
import hashlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

import movefile
from lab import Agent, own_agentd, wait_for

# Of its own: both are purged.
PROJECT = f"agentd-test-mv{os.getpid()}"
AWAY = f"{PROJECT}-away"
# What the agent itself changes while it runs is in none of these.
TREES = "/root /srv /usr/local /opt /etc"
LISTING = (f"cd / && find {TREES} -xdev "
           "! -path '/opt/agentd/sock*' ! -path '/etc/hostname' "
           "! -path '/etc/hosts' ! -path '/etc/resolv.conf' "
           "! -path '*/.pi/agent/sessions*' -printf "
           "'%p\\t%y\\t%m\\t%U:%G\\t%n\\t%l\\n' | sort; "
           f"find {TREES} -xdev -type f ! -path '/opt/agentd/sock*' "
           "! -path '/etc/hostname' ! -path '/etc/hosts' "
           "! -path '/etc/resolv.conf' ! -path '*/.pi/agent/sessions*' "
           "-exec sha256sum {} + | sort")
MAKE = r"""
cd /srv && mkdir -p deep/er && echo one > a && ln a hard && ln -s /etc/passwd abs
ln -s ../../x rel && mkfifo pipe && printf x > 'we
ird' && chmod 4755 a && echo two > deep/er/b
chown 1234:4321 deep/er/b && chmod 1777 deep
n=$(printf 'n%.0s' $(seq 1 120)) && mkdir -p long/$n && echo three > long/$n/$n
head -c 3000000 /dev/urandom > big && touch -d '1999-01-02 03:04:05' a
"""


def run_in(project, instance, script):
    return subprocess.run(
        ["incus", "exec", "--project", project, instance, "--", "sh", "-c",
         script], capture_output=True, check=True).stdout


def files_of(daemon, agent):
    return run_in(daemon.project, agent.record["container"], LISTING)


def chat_of(agent):
    """What must be the same, as one digest and as rows."""
    rows = [{k: m[k] for k in ("id", "author_id", "author_type", "content",
                               "state", "created_at", "metadata")}
            for m in agent.history()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest(), rows


def trace_of(agent, until):
    rows = []
    for e in sorted(agent.trace(), key=lambda e: (e["created_at"], e["id"])):
        if e["created_at"] > until:
            continue
        e = {k: v for k, v in e.items() if k not in ("source", "agent_name")}
        rows.append(e)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest(), rows


def purge(daemon, agent):
    def delete():
        r = daemon.call("DELETE", f"/api/agents/{agent.slug}?purge=1")
        return r if r.status != 409 else None   # a snapshot by schedule

    r = wait_for("end of what is under way", delete, 60)
    if r.status == 504:
        for w in ("container", "keeper", "proxy", "supervisor", "mover"):
            print(w, daemon.log(w)[-6000:])
    # On a busy machine it goes on behind the answer.
    assert r.status in (200, 504), r.body
    wait_for("end of it", lambda: daemon.get(
        f"/api/agents/{agent.slug}").status == 404, 120, 0.2)


def temps(incus, project):
    """Images without an alias, and our snapshots."""
    left = [i["fingerprint"] for i in incus.call(
        "GET", f"/1.0/images?recursion=1&project={project}")["metadata"]
        if not i["aliases"]]
    for i in incus.call("GET", f"/1.0/instances?recursion=2&project="
                               f"{project}")["metadata"]:
        left += [s["name"] for s in i.get("snapshots") or []
                 if s["name"].startswith("agentd-tmp-")]
    return left


@pytest.fixture(scope="module")
def home(build, incus, images):
    with own_agentd(build, incus, PROJECT, images) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def away(build, incus):
    """Another server: its own state, key and project, and no image."""
    with own_agentd(build, incus, AWAY) as daemon:
        yield daemon


SETTINGS = ("color", "emoji", "memory_limit", "cpu_limit", "disk_limit",
            "process_limit", "idle", "snapshots", "model",
            "fallback_models", "domains")


def settings(daemon, agent):
    """All that an agent can be told to be, away from what it is at first."""
    for method, path, doc in (
            ("PATCH", "", {"emoji": "X", "color": "#123456",
                           "fallback_models": ["demo"]}),
            ("PUT", "/limits", {"process_limit": 333, "cpu_limit": 2,
                                "memory_limit": "700MiB"}),
            ("PUT", "/idle", {"seconds": 86400}),
            ("PUT", "/network", {"policy": "allow",
                                 "domains": ["example.com",
                                             "*.example.org:8443"]}),
            ("POST", "/domains", {"domain": "inside.example",
                                  "allow_private": True}),
            ("PUT", "/snapshots/schedule", {"schedule": "daily keep 5"})):
        r = daemon.call(method, f"/api/agents/{agent.slug}{path}", doc)
        assert r.status == 200, (path, r.body)
    # The first one is due at once.
    wait_for("a snapshot", lambda: daemon.get(
        f"/api/agents/{agent.slug}/snapshots").json, 60)


@pytest.fixture(scope="module")
def moved(home, tmp_path_factory):
    """An agent with a life, its file, and what it was like; then purged."""
    agent = home.deploy("pi", name="Traveller")
    record = agent.record
    run_in(PROJECT, record["container"], MAKE)
    for text in ("first words", "second words"):
        turn = agent.say(text)
        agent.answer(turn)
        wait_for("trace", lambda t=turn: {"message_in", "message_out"} <=
                 {e["kind"] for e in agent.trace(t)}, 15)
    settings(home, agent)
    record = agent.record
    path = f"{tmp_path_factory.mktemp('move')}/a.agentd"
    before = max(e["created_at"] for e in agent.trace())
    info = {"record": record, "chat": chat_of(agent),
            "trace": trace_of(agent, before), "until": before,
            "files": files_of(home, agent), "path": path,
            "key": home.get("/api/server-key").json["server_key"]}
    out = json.loads(home.ctl("agent", "export", agent.slug, "-o", path,
                              "--json"))
    info["out"] = out
    assert agent.record["status"] == "running"
    purge(home, agent)
    return info


def test_export_is_whole(home, incus, moved):
    """W08: a backup lies where it should, of the size and digest it says."""
    with open(moved["path"], "rb") as f:
        data = f.read()
    assert len(data) == moved["out"]["size"]
    assert hashlib.sha256(data).hexdigest() == moved["out"]["sha256"]
    assert os.listdir(os.path.dirname(moved["path"])) == ["a.agentd"]
    assert temps(incus, PROJECT) == []


def test_import_on_another_server(away, incus, moved):
    """Export -> purge -> import: chat, trace and files are the same."""
    out = away.ctl("agent", "import", moved["path"], "--trust-key",
                   moved["key"], "--network", "allow")
    assert "is running" in out, out
    agent = Agent(away, "traveller")
    record = agent.record
    for key in ("id", "display_name", "framework", "memory_limit",
                "cpu_limit", "channel_id"):
        assert record[key] == moved["record"][key], key
    # All its settings; what was private there is somebody else's here.
    was = dict(moved["record"])
    was["domains"] = [d for d in was["domains"] if "inside" not in d]
    assert len(was["domains"]) == 2
    for key in SETTINGS:
        assert record[key] == was[key], key
    assert record["snapshots"] == "daily keep 5"
    assert record["status"] == "running"
    assert chat_of(agent) == moved["chat"]
    assert trace_of(agent, moved["until"]) == moved["trace"]
    assert files_of(away, agent) == moved["files"]
    assert {e["source"][:7] for e in agent.trace()
            if e["created_at"] <= moved["until"]} == {"import:"}
    answer = agent.answer(agent.say("are you still there?"))
    assert answer["state"] == "complete"
    assert temps(incus, AWAY) == []
    purge(away, agent)


# ---- files that are not what they should be ----

@pytest.fixture(scope="module")
def parts(moved):
    with open(moved["path"], "rb") as f:
        data = f.read()
    sections, marks = movefile.parse(data)
    # A small tree: these files are refused before it is unpacked.
    sections["rootfs"] = movefile.tar(("rootfs", "dir"),
                                      ("rootfs/a", "file", b"x"))
    m = json.loads(sections["manifest"])
    m["sections"][4]["rows"] = 2
    sections["manifest"] = json.dumps(m).encode()
    return {"data": data, "sections": sections, "marks": marks}


@pytest.fixture(scope="module")
def key():
    return movefile.Key()


def nothing_made(daemon, incus, before):
    assert [a["name"] for a in daemon.get("/api/agents").json] == before[0]
    assert [i["name"] for i in incus.instances(daemon.project)] == before[1]
    wait_for("temporary things gone",
             lambda: temps(incus, daemon.project) == [], 20)
    assert os.listdir(f"{daemon.state}/mover") == []


def send(daemon, data, **query):
    text = "&".join(f"{k}={v}" for k, v in query.items())
    return daemon.call("POST", f"/api/agents/import?{text}", data,
                       {"Content-Type": "application/octet-stream"},
                       timeout=300)


@pytest.fixture
def refused(away, incus, key):
    """Sends a file; it must be refused for that reason, and leave nothing."""
    before = ([a["name"] for a in away.get("/api/agents").json],
              [i["name"] for i in incus.instances(AWAY)])

    def check(data, why, status=422, **query):
        query = query or {"trust_key": key.hex}
        r = send(away, data, **query)
        assert r.status == status, (r.status, r.body)
        assert re.search(why, r.json["error"]), (why, r.json["error"])
        return r.json["error"]

    yield check
    nothing_made(away, incus, before)


def test_truncated(refused, parts):
    """Cut at and around every boundary, and in the middle of sections."""
    small = dict(parts["sections"])
    data = parts["data"]
    cuts = {0 + 1, 8, 16}
    for begin, end in parts["marks"].values():
        cuts |= {begin + 1, begin + 8, begin + 10, (begin + end) // 2,
                 end - 40, end - 1}
        if end != len(data):
            cuts.add(end)
    assert small
    for cut in sorted(c for c in cuts if c < 2_000_000):
        refused(data[:cut], f"^at byte {cut}: the file ends in")
    refused(data[:len(data) // 2], f"^at byte {len(data) // 2}: ")
    refused(data[:-1], f"^at byte {len(data) - 1}: ")


def test_framing(refused, parts, key):
    s = parts["sections"]
    good = movefile.build(s, key)
    head, rest = good[:16], good[16:]
    refused(b"PK\3\4" + good[4:], "not the file of an agent")
    refused(head[:14] + b"\0\2" + rest, "version 2, only 1 is known")
    refused(good + b"x", "bytes behind the end")
    one = {n: movefile.section(n, s[n]) for n in ("record", "policy")}
    tail = good[16 + len(one["record"]) + len(one["policy"]):]
    refused(head + one["policy"] + one["record"] + tail,
            "expected the section record")
    refused(head + one["record"] + one["record"] + one["policy"] + tail,
            "expected the section policy")
    refused(head + movefile.section("record", s["record"],
                                    digest=b"\0" * 32) +
            one["policy"] + tail, "section record: its SHA-256")
    refused(head + movefile.section("record", s["record"], size=1 << 60) +
            one["policy"] + tail, "section record: its size is")
    refused(head + b"record\0\0" + b"\xff\xff\xff\xff" + rest,
            "a chunk of 4294967295 bytes")
    refused(head + movefile.section("record", b" " * 70000) +
            one["policy"] + tail, "section record: more than 65536 bytes")


def test_signature(refused, away, parts, key):
    s = parts["sections"]
    good = movefile.build(s, key)
    refused(good, "not trusted here", 403, trust_key="0" * 64)
    refused(good, "not trusted here", 403, name="x")
    refused(good, "trust_key", 422, trust_key="zz")
    wrong = bytearray(good)
    sections, marks = movefile.parse(good)
    sections["sign"] = sections["sign"][:32] + bytes(64)
    refused(good[:marks["sign"][0]] +
            movefile.section("sign", sections["sign"]),
            "the signature of the file is wrong")
    # The digests are right, what they are of is not what was signed.
    changed = dict(s, policy=s["policy"].replace(b"demo", b"best"))
    assert changed["policy"] != s["policy"]
    new = movefile.parse(movefile.build(changed, key))[0]
    refused(b"".join([good[:16]] + [
        movefile.section(n, new[n] if n == "policy" else sections[n])
        for n in movefile.NAMES[:6]] + [
        movefile.section("sign", movefile.parse(good)[0]["sign"])]),
        "manifest: section policy has another S|another size")
    assert wrong
    r = away.call("GET", "/api/server-key")
    assert len(r.json["server_key"]) == 64


@pytest.mark.parametrize("change,why,status", [
    ({"agent_id": "../../etc"}, "agent_id", 422),
    ({"slug": "../x"}, "slug", 422),
    ({"slug": "a\nb"}, "slug", 422),
    ({"display_name": "a\x1b[31mb"}, "display_name", 422),
    ({"display_name": "x" * 200}, "display_name", 422),
    ({"framework": "no-such"}, "not in the catalog", 409),
    ({"framework": "a b"}, "framework", 422),
    ({"memory": -1}, "memory", 422),
    ({"memory": "2GiB"}, "memory", 422),
    ({"cpus": 1e9}, "cpus", 422),
    ({"processes": 1 << 40}, "processes", 422),
    ({"created_at": -5}, "created_at", 422),
    ({"privileged": True}, "member privileged", 422),
    ({"config": {"raw.lxc": "lxc.mount.entry=/ x none bind"}},
     "member config", 422),
    ({"devices": {}}, "member devices", 422),
    ({"profiles": ["default"]}, "member profiles", 422),
])
def test_record(refused, parts, key, change, why, status):
    record = dict(json.loads(parts["sections"]["record"]), **change)
    data = movefile.build(dict(parts["sections"],
                               record=json.dumps(record).encode()), key)
    refused(data, why, status)


def test_documents(refused, parts, key):
    s = parts["sections"]
    for name, body, why in (
            ("record", b"[]", "record: no JSON object"),
            ("record", b'{"slug":"a","slug":"b"}', "record: no JSON object"),
            ("policy", b"{", "policy: no JSON object"),
            ("policy", b'{"model":"a\\nb"}', "policy: model"),
            ("policy", b'{"fallbacks":[1]}', "policy: fallbacks"),
            ("chat", b"{}\n", "chat: id is missing"),
            ("chat", b"nonsense\n", r"chat: no JSON object.*line 1"),
            ("chat", b"{}", "line 1 is too long or cut off"),
            ("trace", b'{"v":2}\n', "trace: v is no"),
            ("trace", b'{"v":1,"id":"a","kind":"spy","created_at":1700000000,'
             b'"payload":{}}\n', "kind is none")):
        refused(movefile.build(dict(s, **{name: body}), key,
                               rows={name: 1}), why)
    refused(movefile.build(s, key, rows={"chat": 1 << 40}),
            "lines, the manifest says 1099511627776")
    refused(movefile.build(s, key, rows={"rootfs": 7}),
            "has 2 files, the manifest says 7")
    refused(movefile.build(s, key, {"arch": "vax"}), "of kind vax", 409)
    refused(movefile.build(s, key, {"version": 9}), "manifest: version")


TOP = ("rootfs", "dir")


@pytest.mark.parametrize("members,why", [
    ([TOP, ("rootfs/../../etc/passwd", "file")], r"with \. or \.\."),
    ([TOP, ("/etc/passwd", "file")], "absolute path"),
    ([TOP, ("rootfs//x", "file")], "empty part"),
    ([TOP, ("etc/passwd", "file")], "outside of rootfs|out of order"),
    ([TOP, ("metadata.yaml", "file", b"templates: {}")], "outside|order"),
    ([TOP, ("templates", "dir")], "outside of rootfs"),
    ([("rootfs", "sym", "/")], "must begin with the directory"),
    ([TOP, ("rootfs/l", "sym", "/etc"), ("rootfs/l/passwd", "file")],
     "below what is no directory"),
    ([TOP, ("rootfs/d", "dir"), ("rootfs/d", "sym", "/etc")], "comes twice"),
    ([TOP, ("rootfs/a", "file"), ("rootfs/a", "file")], "comes twice"),
    ([TOP, ("rootfs/b", "file"), ("rootfs/a", "file")], "out of order"),
    ([TOP, ("rootfs/d/x", "file")], "directory is missing"),
    ([TOP, ("rootfs/h", "hard", "/etc/shadow")], "hard link to what is no"),
    ([TOP, ("rootfs/l", "sym", "/"),
      ("rootfs/m", "hard", "rootfs/l/etc/shadow")], "hard link to what is no"),
    ([TOP, ("rootfs/null", "chr")], "a device"),
    ([TOP, ("rootfs/sda", "blk")], "a device"),
    ([TOP, ("rootfs/s", "sparse")], "kind of file that is not known"),
    ([TOP, ("rootfs/x", "file", b"", {"SCHILY.xattr.trusted.overlay.opaque":
                                      "y"})], "attribute that is not"),
    ([TOP, ("rootfs/x", "file", b"", {"GNU.sparse.major": "1"})],
     "extended header that is not known"),
    ([TOP, ("rootfs/x", "file", b"", {"size": "99999999999999999999"})],
     "size that is none|cut off"),
    ([], "no files|cut off"),
])
def test_trees(refused, parts, key, members, why):
    """W35: no name in a file becomes a path anywhere else."""
    body = movefile.tar(*members)
    data = movefile.build(dict(parts["sections"], rootfs=body), key,
                          rows={"rootfs": len(members)})
    refused(data, "section rootfs: .*(" + why + ")")


def test_not_a_tree(refused, parts, key):
    for body, why in ((b"x" * 2048, "wrong checksum"), (b"", "cut off"),
                      (movefile.tar(TOP)[:512], "cut off")):
        refused(movefile.build(dict(parts["sections"], rootfs=body), key),
                "section rootfs: .*" + why)


def test_bounds(refused, away, parts):
    r = away.call("POST", "/api/agents/import", None,
                  {"Content-Type": "application/octet-stream",
                   "Content-Length": "0"})
    assert r.status == 411, r.body
    with open(away.config, encoding="utf-8") as f:
        conf = f.read()
    assert parts and "import_size" not in conf


def test_never_more_rights(away, incus, parts, moved, key):
    """Limits are clipped, models narrowed, no network, the importer owns."""
    s = movefile.parse(parts["data"])[0]
    record = dict(json.loads(s["record"]), owner="uid:4242",
                  memory=1 << 54, cpus=60000, processes=4000000)
    policy = {"model": "no-such-model", "network": "egress",
              "fallbacks": ["other/none", "demo"]}
    data = movefile.build(dict(s, record=json.dumps(record).encode(),
                               policy=json.dumps(policy).encode()), key)
    r = send(away, data, trust_key=key.hex, name="Narrow")
    assert r.status == 202, r.body
    slug = r.json["name"]
    assert slug == "narrow"
    agent = Agent(away, slug)
    wait_for("deploy", lambda: away.get(
        f"/api/agents/{slug}/deploy-status").json["status"] != "deploying",
        120)
    record = agent.record
    assert record["status"] == "running", record
    assert record["owner"] != "uid:4242"
    assert record["model"] == "demo"
    assert record["memory_limit"] == 1024 << 30
    assert record["cpu_limit"] == 64
    config = incus.call("GET", f"/1.0/instances/{record['container']}"
                               f"?project={AWAY}")["metadata"]
    assert config["profiles"] == []
    assert config["config"]["security.privileged"] == "false"
    assert {d["type"] for d in config["devices"].values()} == {"disk"}
    assert set(config["devices"]) == {"root", "agentd-sock"}
    # A second one lives beside it: another id, another name, all its chat.
    out = away.ctl("agent", "import", moved["path"], "--trust-key",
                   moved["key"], "--name", "Narrow")
    assert "narrow-2 is running" in out, out
    copy = Agent(away, "narrow-2")
    assert copy.record["id"] != record["id"]
    assert copy.record["network"] == "none"
    assert copy.record["domains"] == []
    assert [m["content"] for m in copy.history()] == \
        [m["content"] for m in agent.history()]
    assert copy.answer(copy.say("hello"))["state"] == "complete"
    purge(away, copy)
    purge(away, agent)


def test_no_model_is_here(refused, parts, key):
    policy = {"model": "gone", "fallbacks": ["gone-too"], "network": "none"}
    data = movefile.build(dict(parts["sections"], policy=json.dumps(
        policy).encode()), key)
    refused(data, "none of the models of the agent is here", 409)


def test_no_secret_in_a_file(home, moved, parts):
    """W04: neither a key of ours nor a token of the server moves along."""
    with open(f"{home.state}/.auth_local_token", encoding="ascii") as f:
        token = f.read().strip()
    data = movefile.parse(parts["data"])[0]
    for name, body in data.items():
        # The runtime's own texts speak of keys; one of ours has more to it.
        assert not re.search(rb"sk-agentd-[0-9A-Za-z_-]{16}", body), name
        assert token.encode() not in body, name
        with open(f"{home.state}/secret.key", "rb") as f:
            assert f.read() not in body, name
    assert set(json.loads(data["policy"])) == {"model", "fallbacks",
                                               "network", "domains"}


# ---- what breaks in the middle ----

@pytest.mark.long
def test_export_that_is_killed(home, incus, tmp_path):
    """SIGKILL of each worker in an export: no file, nothing left in Incus."""
    agent = home.deploy("pi", name="Fragile")
    try:
        for worker in ("container", "mover", "keeper", "front"):
            p = subprocess.Popen(
                [f"{home.inst}/bin/agentctl", "-s", home.socket, "agent",
                 "export", agent.slug, "-o", f"{tmp_path}/{worker}"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            wait_for("snapshot", lambda: temps(incus, PROJECT), 20, 0.01)
            os.kill(home.pids()[worker], signal.SIGKILL)
            _, err = p.communicate(timeout=120)
            assert p.returncode == 1, (worker, err)
            assert os.listdir(tmp_path) == [], (worker, err)
            wait_for(f"{worker} again",
                     lambda: home.get("/api/status").status == 200)
            wait_for(f"temporary things gone after {worker}",
                     lambda: temps(incus, PROJECT) == [], 150, 0.5)
        out = home.ctl("agent", "export", agent.slug, "-o",
                       f"{tmp_path}/last")
        assert "exported fragile" in out
    finally:
        purge(home, agent)


@pytest.mark.long
def test_import_that_is_killed(away, incus, moved):
    """SIGKILL of mover or keeper in an import: it is there, or nothing is."""
    for worker, delay in (("mover", 0.2), ("mover", 1.2), ("keeper", 0.8),
                          ("keeper", 2.0), ("keeper", 3.0)):
        p = subprocess.Popen(
            [f"{away.inst}/bin/agentctl", "-s", away.socket, "agent",
             "import", moved["path"], "--trust-key", moved["key"]],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        os.kill(away.pids()[worker], signal.SIGKILL)
        p.communicate(timeout=180)
        wait_for("keeper", lambda: away.get("/api/status").status == 200)

        def settled():
            agents = away.get("/api/agents").json
            return all(a["status"] == "running" for a in agents) and \
                len(agents) == len(incus.instances(AWAY)) and \
                temps(incus, AWAY) == []
        wait_for(f"all or nothing after {worker} {delay}", settled, 90, 0.2)
        for a in away.get("/api/agents").json:
            agent = Agent(away, a["name"])
            assert [m["id"] for m in agent.history()] == \
                [m["id"] for m in moved["chat"][1]]
            purge(away, agent)


@pytest.mark.long
@pytest.mark.parametrize("delay", [0, 0.3, 1])
def test_import_outlives_container(away, moved, delay):
    """Its instance is in the making when container is killed: it comes."""
    def creations():
        return len(re.findall(r"create agentd-[0-9a-f]{12}\"",
                              away.log("container")))
    before = creations()
    p = subprocess.Popen(
        [f"{away.inst}/bin/agentctl", "-s", away.socket, "agent", "import",
         moved["path"], "--trust-key", moved["key"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for("creation", lambda: creations() > before, 60, 0.01)
    time.sleep(delay)
    os.kill(away.pids()["container"], signal.SIGKILL)
    _, err = p.communicate(timeout=180)
    assert p.returncode == 0, err
    agent = Agent(away, away.get("/api/agents").json[0]["name"])
    try:
        assert [m["id"] for m in agent.history()] == \
            [m["id"] for m in moved["chat"][1]]
    finally:
        purge(away, agent)
