# The trace worker as it runs: killed, on a full disk, under many readers.
# SPDX-License-Identifier: ISC
import hashlib
import hmac
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time

import pytest

from driver import Worker

AGENT = "ab" * 16
OTHER = "cd" * 16
KEY = b"\x11" * 32
BOOT = b"\x22" * 16


def make_pass(role=2, principal=b"root", ttl=30.0, audience=8, key=KEY,
              boot=BOOT):
    """A pass as keeper makes it (common/pass.c)."""
    raw = bytearray(160)
    raw[0], raw[1], raw[2] = 1, role, audience
    raw[4:8] = len(principal).to_bytes(4, "little")
    raw[8:16] = (1).to_bytes(8, "little")
    expires = int((time.clock_gettime(time.CLOCK_BOOTTIME) + ttl) * 1000)
    raw[16:24] = expires.to_bytes(8, "little")
    raw[24:40] = boot
    raw[40:40 + len(principal)] = principal
    raw[128:160] = hmac.new(key, bytes(raw[:128]), hashlib.sha512).digest()[
        :32]
    return bytes(raw).hex()


class Trace:
    """A trace worker on a state directory of its own."""

    def __init__(self, build, state):
        self.build, self.state = build, state
        user = pwd.getpwnam("_agentd-trace")
        os.environ["AGENTD_BUILD"] = f"{build}/gcc"
        os.chown(state, user.pw_uid, user.pw_gid)
        os.chmod(state, 0o700)
        self.w = Worker("trace", {
            "generation": 1, "log_level": 1, "node_id": "0" * 32,
            "state_dir": state, "trace_retention": 30},
            ["keeper", "gateway", "front"], uid=user.pw_uid,
            gid=user.pw_gid)
        self.w.send("keeper", "PASS_KEY", {"key": KEY.hex(),
                                           "boot": BOOT.hex()})
        for agent, slug, owner in ((AGENT, "bob", "root"),
                                   (OTHER, "eve", "uid:1000")):
            assert self.w.call("keeper", "TRACE_AGENT", {
                "agent_id": agent, "slug": slug,
                "owner": owner})["status"] == 200

    def event(self, **more):
        return {"agent_id": AGENT, "kind": "message_in", "trace_id": "t",
                "channel_id": "c", "duration_ms": -1, "tokens_in": -1,
                "tokens_out": -1, "cost_pico": -1, "source": "gateway",
                "payload": "{}", **more}

    def put(self, peer="gateway", **more):
        return self.w.call(peer, "TRACE_EVENT", self.event(**more))

    def query(self, **more):
        """Status of the end, and the rows as JSON."""
        fields = {"agent": "bob", "pass": make_pass(), **more}
        rows = self.w.answer(self.w.ask("front", "TRACE_QUERY", fields))
        return rows[-1]["f"]["status"], self.join(rows[:-1])

    @staticmethod
    def join(frames):
        rows, head = [], b""
        for m in frames:
            if m["type"] == "RESULT_PART":
                head += bytes.fromhex(m["f"]["data"])
            else:
                rows.append(json.loads(head + m["f"]["json"].encode()))
                head = b""
        return rows

    def close(self):
        self.w.close()


@pytest.fixture
def state():
    path = tempfile.mkdtemp(prefix="trace-", dir="/var/tmp")
    os.chmod(path, 0o711)
    os.mkdir(f"{path}/state")
    yield f"{path}/state"
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def trace(build, state):
    t = Trace(build, state)
    yield t
    t.close()


def test_envelope(trace):
    assert trace.put(id="x1", kind="llm_call", model="m", tokens_in=3,
                     tokens_out=0, cost_pico=2500000, duration_ms=12,
                     backend_name="demo", error="e",
                     payload='{"status":"success"}')["status"] == 202
    status, rows = trace.query()
    assert status == 200
    created = rows[0].pop("created_at")
    assert abs(created - time.time()) < 5
    assert rows == [{
        "v": 1, "id": "x1", "trace_id": "t", "parent_id": None,
        "agent_name": "bob", "kind": "llm_call", "channel_id": "c",
        "thread_id": None, "backend_name": "demo", "model": "m",
        "duration_ms": 12, "tokens_in": 3, "tokens_out": 0,
        "cost_usd": 0.0000025, "error": "e", "source": "gateway",
        "payload": {"status": "success"}}]


def test_who_may(trace):
    trace.put()
    trace.put(agent_id=OTHER)
    bad = ["", "00", make_pass(key=b"\x33" * 32), make_pass(audience=6),
           make_pass(boot=b"\x44" * 16), make_pass(ttl=-1),
           make_pass(role=0)]
    for p in bad:
        for kind in ("TRACE_QUERY", "TRACE_POST"):
            r = trace.w.call("front", kind, {
                "agent": "bob", "pass": p, "kind": "error"})
            assert r["status"] == 401
    user = make_pass(role=1, principal=b"uid:1000")
    assert trace.query(**{"pass": user})[0] == 404
    assert trace.query(**{"pass": user, "agent": AGENT})[0] == 404
    status, rows = trace.query(**{"pass": user, "agent": "eve"})
    assert status == 200 and len(rows) == 1
    assert trace.query(agent="eve")[0] == 200
    r = trace.w.call("front", "TRACE_POST", {
        **trace.event(), "agent": "eve", "pass": user})
    assert r["status"] == 403
    assert trace.query(agent="../../etc")[0] == 404


def test_post(trace):
    r = trace.w.call("front", "TRACE_POST", {
        **trace.event(kind="lifecycle"), "agent": "bob", "id": "p1",
        "pass": make_pass()})
    assert r["status"] == 200
    assert json.loads(r["json"]) == {"id": "p1", "agent_name": "bob",
                                     "schema_version": 1}
    assert trace.query()[1][0]["source"] == "admin"
    r = trace.w.call("front", "TRACE_POST", {
        **trace.event(kind="gossip"), "agent": "bob", "pass": make_pass()})
    assert r["status"] == 400 and "kind" in r["json"]


def test_long_payloads(trace):
    text = os.urandom(400000).hex()
    whole = json.dumps({"big": text}).encode()
    cut = 40000
    rid = trace.w.ask("gateway", "TRACE_EVENT",
                      trace.event(payload=whole[:cut].decode()), more=True)
    parts = [whole[i:i + 61440] for i in range(cut, len(whole), 61440)]
    for i, part in enumerate(parts):
        trace.w.send("gateway", "TRACE_MORE", {"data": part.hex()}, id=rid,
                     more=i < len(parts) - 1)
    assert trace.w.answer(rid)[-1]["f"]["status"] == 202
    assert trace.query()[1][0]["payload"]["big"] == text
    # One byte over a mebibyte is refused, and nothing else is hurt.
    rid = trace.w.ask("gateway", "TRACE_EVENT",
                      trace.event(payload="x" * 49152), more=True)
    left = 1024 * 1024 - 49152 + 1
    while left > 0:
        n = min(left, 61440)
        left -= n
        trace.w.send("gateway", "TRACE_MORE", {"data": (b"x" * n).hex()},
                     id=rid, more=left > 0)
    assert trace.w.answer(rid)[-1]["f"]["status"] == 413
    assert trace.put(id="after")["status"] == 202


def test_half_an_event_dies_with_its_sender(trace):
    trace.w.ask("gateway", "TRACE_EVENT", trace.event(), more=True)
    trace.w.control("gateway", "close")
    trace.w.control("gateway", "open")
    assert trace.put(id="next")["status"] == 202
    assert [r["id"] for r in trace.query()[1]] == ["next"]


def test_killed_while_writing(build, state):
    """What was acknowledged is there; what is sent again is there once."""
    acked, events = set(), {}
    for round_ in range(3):
        t = Trace(build, state)
        ids, seen = {}, 0
        for i in range(300):
            name = f"r{round_}-{i}"
            events[name] = t.event(
                id=name, created_at=time.time(), kind="llm_call",
                payload=json.dumps({"i": i, "x": "y" * 300}))
            ids[t.w.ask("gateway", "TRACE_EVENT", events[name])] = name
        while True:
            m = t.w.lines.get(timeout=30)
            if "exit" in m or "eof" in m:
                break
            if m.get("type") == "DONE" and m["f"]["status"] == 202 and \
                    m["id"] in ids:
                acked.add(ids[m["id"]])
                seen += 1
                if seen == 40 * (round_ + 1):
                    os.kill(t.w.pid(), 9)
        t.w.proc.wait()
    assert len(acked) > 50
    t = Trace(build, state)
    assert acked <= {r["id"] for r in t.query(limit=1000)[1]}
    for fields in events.values():
        assert t.w.call("gateway", "TRACE_EVENT", fields)["status"] == 202
    stored = [r["id"] for r in t.query(limit=1000)[1]]
    assert sorted(stored) == sorted(events)
    t.close()


def test_full_disk(build):
    """No room: first the fallback, then a 507; nothing acked is lost."""
    top = tempfile.mkdtemp(prefix="full-", dir="/var/tmp")
    os.chmod(top, 0o711)
    state = f"{top}/state"
    os.mkdir(state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none",
                    state], check=True)
    try:
        t = Trace(build, state)
        acked, refused = [], 0
        for i in range(2000):
            r = t.put(id=f"e{i}", payload=json.dumps({"x": "y" * 4000}))
            if r["status"] == 202:
                acked.append(f"e{i}")
            else:
                assert r["status"] == 507, r
                refused += 1
                if refused == 5:
                    break
        assert refused == 5 and len(acked) > 20
        assert t.query(limit=1)[0] == 200
        subprocess.run(["mount", "-o", "remount,size=8m", state], check=True)
        # Room again: no restart is needed.
        assert t.put(id="room")["status"] == 202
        acked.append("room")
        t.close()
        t = Trace(build, state)
        assert t.put(id="again")["status"] == 202
        stored = {r["id"] for r in t.query(limit=1000)[1]}
        assert set(acked) | {"again"} <= stored
        t.close()
    finally:
        t.w.proc.kill()
        t.w.proc.wait()
        subprocess.run(["umount", "-l", state], check=True)
        os.rmdir(state)
        os.rmdir(top)


def test_tail(trace):
    for i in range(3):
        trace.put(id=f"old{i}")
    rid = trace.w.ask("front", "TRACE_QUERY", {
        "agent": "bob", "pass": make_pass(), "limit": 2, "follow": 1})

    def row():
        m = trace.w.take(lambda m: m.get("id") == rid)
        assert m["more"] and m["f"]["event"] == "trace"
        return json.loads(m["f"]["json"])["id"]
    # First an empty row: the stream is open.
    assert trace.w.take(lambda m: m.get("id") == rid)["f"]["json"] == ""
    assert [row(), row()] == ["old1", "old2"]
    for i in range(5):
        trace.put(id=f"new{i}", agent_id=AGENT if i != 2 else OTHER)
    assert [row() for _ in range(4)] == ["new0", "new1", "new3", "new4"]
    trace.w.send("front", "CANCEL", {}, id=rid)
    trace.put(id="unseen")
    trace.query()
    assert not any(m.get("id") == rid for m in trace.w.held)


def test_front_restarts(trace):
    trace.put(id="one")
    for _ in range(40):
        trace.w.ask("front", "TRACE_QUERY", {
            "agent": "bob", "pass": make_pass(), "follow": 1})
        trace.w.control("front", "close")
        trace.w.control("front", "open")
    assert trace.query()[0] == 200


def test_a_long_query_stops_nobody(trace):
    """Commits go on while a query of a thousand big rows is answered."""
    ids = [trace.w.ask("gateway", "TRACE_EVENT", trace.event(
        id=f"b{i}", payload=json.dumps({"x": "y" * 20000})))
        for i in range(1000)]
    for rid in ids:
        assert trace.w.answer(rid)[-1]["f"]["status"] == 202
    query = trace.w.ask("front", "TRACE_QUERY", {
        "agent": "bob", "pass": make_pass(), "limit": 1000})
    put = trace.w.ask("keeper", "TRACE_EVENT", trace.event(id="meanwhile"))
    order = []
    while "query" not in order:
        m = trace.w.lines.get(timeout=60)
        if m.get("id") == put and m["type"] == "DONE":
            order.append("put")
        elif m.get("id") == query and not m["more"]:
            order.append("query")
    assert order == ["put", "query"]


def test_nothing_outside(trace, state):
    """Agents' ids are the only names that reach the file system."""
    for agent in ("..", "../../../tmp/aaaaaaaaaaaaaaaaaaa", "/etc", "A" * 32,
                  "ab" * 15 + "a/", ""):
        assert trace.put(agent_id=agent)["status"] == 400
    assert sorted(os.listdir(state)) == ["agents.db", "agents.db-wal"]
    trace.put(created_at=1e18)
    trace.put(created_at=1)
    trace.put(created_at="nan")
    assert len([f for f in os.listdir(f"{state}/{AGENT}")
                if f.endswith(".db")]) <= 3
    for where, dirs, files in os.walk(state):
        for d in dirs:
            assert os.stat(f"{where}/{d}").st_mode & 0o777 == 0o700
        for f in files:
            assert os.stat(f"{where}/{f}").st_mode & 0o777 == 0o600
