# What is done to live agents: pause, resume, stop, rename, set, bulk.
# SPDX-License-Identifier: ISC
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lab import Agent, MockUpstream, PROJECT, own_agentd, wait_for

# As the agent's root on the host: from the directory of its socket.
AS_AGENT = """
import http.client, json, os, socket, sys
where, uid, method, path, key, body = sys.argv[1:]
os.chdir(where)
os.setgroups([]); os.setresgid(int(uid), int(uid), int(uid))
os.setresuid(int(uid), int(uid), int(uid))
c = http.client.HTTPConnection("agentd", timeout=30)
c.sock = socket.socket(socket.AF_UNIX)
c.sock.connect("agentd.sock")
h = {"Content-Type": "application/json"}
if key: h["Authorization"] = "Bearer " + key
c.request(method, path, body or None, h)
r = c.getresponse()
print(json.dumps([r.status, r.read().decode()]))
"""


@pytest.fixture(scope="module")
def daemon(build, incus, images):
    with own_agentd(build, incus, f"{PROJECT}-verbs", images) as d:
        yield d


@pytest.fixture
def pi(daemon):
    agent = daemon.deploy("pi")
    yield agent
    remove(agent)


@pytest.fixture(scope="module")
def slow(daemon):
    """A provider that thinks for two seconds before it answers."""
    mock = MockUpstream(None, "--latency-ms", "2000", "--text", "done now")
    model = daemon.add_provider("slow", mock)
    yield model
    daemon.call("DELETE", "/api/providers/slow")
    mock.stop()


def remove(agent):
    r = agent.remove()
    assert r.status in (200, 404), r.body


def post(daemon, slug, verb, body=None, query=""):
    return daemon.call("POST", f"/api/agents/{slug}/{verb}{query}",
                       body or {}, timeout=400)


def instance(agent, daemon):
    name = agent.record["container"]
    return next(i for i in daemon.incus.instances(daemon.project)
                if i["name"] == name)


def incus_state(agent, daemon):
    return instance(agent, daemon)["status"]


def is_status(agent, want, timeout=30):
    wait_for(f"status {want}", lambda: agent.record["status"] == want,
             timeout)


def as_agent(agent, daemon, method, path, key="", body=None):
    """A request over the agent's socket with a uid of its instance."""
    text = instance(agent, daemon)["config"]["volatile.idmap.current"]
    uid = json.loads(text)[0]["Hostid"]
    p = subprocess.run(
        [sys.executable, "-c", AS_AGENT, os.path.dirname(agent.socket),
         str(uid), method, path, key, json.dumps(body) if body else ""],
        capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    status, text = json.loads(p.stdout)
    return status, text


def key_of(agent, daemon):
    status, text = as_agent(agent, daemon, "POST", "/api/agent/hello", "",
                            {"link": "0", "runtime": "pi", "kind": "rpc"})
    assert status == 200, text
    return json.loads(text)["key"]


def lifecycle(agent):
    return [e["payload"] for e in agent.trace(kind="lifecycle")]


def turn_opened(agent, turn):
    """The link has the message: its turn is under way."""
    wait_for("delivery", lambda: any(
        m["id"] == turn and m["state"] != "queued" for m in agent.history()))


# ---- pause and resume ----

def test_pause_is_enforced(daemon, pi):
    """W18: paused is no label: frozen, no message delivered, no LLM call."""
    key = key_of(pi, daemon)
    assert as_agent(pi, daemon, "GET", "/v1/models", key)[0] == 200
    r = post(daemon, pi.slug, "pause")
    assert r.status == 200, r.body
    assert r.json["status"] == "paused" and r.json["name"] == pi.slug
    assert r.json["report"]["agents"][pi.slug]["status"] in (
        "ready", "not connected")
    assert incus_state(pi, daemon) == "Frozen"
    assert pi.record["status"] == "paused"
    assert pi.record["paused_by"] == "user"

    r = daemon.call("POST", "/api/chat/messages",
                    {"channel_id": pi.record["channel_id"],
                     "content": "are you there?"})
    assert r.status == 201, r.body
    assert r.json["state"] == "queued"
    assert "paused" in r.json["note"], r.json
    turn = r.json["id"]
    for path, body in (("/v1/models", None), ("/v1/chat/completions", {
            "model": "default", "messages": []})):
        status, text = as_agent(pi, daemon, "POST" if body else "GET", path,
                                key, body)
        assert status == 400 and "paused" in text, (status, text)
    # Freezing what is frozen is a success, starting it is not.
    assert post(daemon, pi.slug, "pause").status == 200
    r = post(daemon, pi.slug, "start")
    assert r.status == 409 and "paused" in r.json["error"]
    time.sleep(1)
    assert not pi.answers(turn)
    m = next(m for m in pi.history() if m["id"] == turn)
    assert m["state"] == "queued" and "paused" in m["note"]

    r = post(daemon, pi.slug, "resume")
    assert r.status == 200 and r.json["status"] == "resumed"
    assert r.json["paused"] is False
    assert pi.answer(turn)["state"] == "complete"
    assert pi.record["status"] == "running"
    assert post(daemon, pi.slug, "resume").json["status"] == "ok"
    events = [p["event"] for p in lifecycle(pi)]
    assert "pause" in events and "resume" in events


def test_pause_survives_restarts(daemon, pi):
    """Paused means frozen, whoever is killed, and whoever thaws it."""
    assert post(daemon, pi.slug, "pause").status == 200
    os.kill(daemon.pids()["keeper"], signal.SIGKILL)
    wait_for("keeper", daemon.healthy)
    assert pi.record["status"] == "paused"
    daemon.stop()
    daemon.start()
    assert pi.record["status"] == "paused"
    assert incus_state(pi, daemon) == "Frozen"
    name = pi.record["container"]
    daemon.incus.do("PUT", f"/1.0/instances/{name}/state?project="
                      f"{daemon.project}", {"action": "unfreeze"})
    wait_for("frozen again", lambda: incus_state(pi, daemon) == "Frozen")
    assert post(daemon, pi.slug, "resume").status == 200
    assert pi.answer(pi.say("hello?"))["state"] == "complete"


def test_pause_waits_for_the_turn(daemon, slow):
    a = daemon.deploy("pi", model=slow)
    try:
        turn = a.say("take your time")
        turn_opened(a, turn)
        r = post(daemon, a.slug, "pause")
        assert r.status == 200, r.body
        report = r.json["report"]["agents"][a.slug]
        assert report["status"] == "ready", report
        assert report["duration_s"] > 0.5, report
        assert a.answers(turn)[0]["content"] == "done now"
    finally:
        remove(a)


# ---- stop, start, restart ----

def test_stop_waits_and_has_a_deadline(daemon, slow):
    a = daemon.deploy("pi", model=slow)
    try:
        turn = a.say("one")
        turn_opened(a, turn)
        r = post(daemon, a.slug, "stop")
        assert r.status == 200, r.body
        assert r.json["stop_result"]["success"] is True
        report = r.json["prepare_report"]["agents"][a.slug]
        assert report["status"] == "ready", report
        assert a.answers(turn)[0]["content"] == "done now"
        assert a.record["status"] == "stopped"
        assert incus_state(a, daemon) == "Stopped"

        r = post(daemon, a.slug, "start")
        assert r.status == 200, r.body
        is_status(a, "running")
        turn = a.say("two")
        turn_opened(a, turn)
        began = time.monotonic()
        r = post(daemon, a.slug, "stop", query="?timeout=1")
        report = r.json["prepare_report"]["agents"][a.slug]
        assert report["status"] == "timed out", report
        assert 0.9 < report["duration_s"] < 2, report
        assert time.monotonic() - began < 40
        assert not a.answers(turn)
        # The turn that was cut is not lost.
        assert post(daemon, a.slug, "start").status == 200
        assert a.answer(turn)["content"] == "done now"
    finally:
        remove(a)


def test_force_does_not_ask(daemon, slow):
    a = daemon.deploy("pi", model=slow)
    try:
        turn = a.say("one")
        turn_opened(a, turn)
        r = post(daemon, a.slug, "stop", query="?force=1")
        assert r.status == 200, r.body
        report = r.json["prepare_report"]["agents"][a.slug]
        assert report["status"] == "not asked", report
        assert not a.answers(turn)
        r = post(daemon, a.slug, "restart")
        assert r.status == 200, r.body
        assert a.answer(turn)["content"] == "done now"
    finally:
        remove(a)


def test_no_turn_begins_after_prepare(daemon, slow):
    a = daemon.deploy("pi", model=slow)
    try:
        first, second = a.say("one"), a.say("two")
        turn_opened(a, first)
        r = post(daemon, a.slug, "pause")
        report = r.json["report"]["agents"][a.slug]
        assert report["status"] == "ready", report
        assert a.answers(first) and not a.answers(second)
        assert post(daemon, a.slug, "resume").status == 200
        assert a.answer(second)["content"] == "done now"
    finally:
        remove(a)


def test_status_is_what_is(daemon, pi):
    """W05: the status follows the instance and the link, not a flag."""
    name = pi.record["container"]
    path = f"/1.0/instances/{name}/state?project={daemon.project}"
    assert pi.record["status"] == "running"
    seen = set()
    daemon.incus.do("PUT", path, {"action": "stop", "force": True})

    def back():
        seen.add(pi.record["status"])
        return seen & {"stopped", "starting"} and \
            pi.record["status"] == "running"
    wait_for("the agent is started again", back, 30, 0.01)
    assert pi.answer(pi.say("back?"))["state"] == "complete"
    assert any(p["event"] == "reconciled" for p in lifecycle(pi)), \
        lifecycle(pi)
    # Started by us it runs, stopped by us it is stopped.
    assert post(daemon, pi.slug, "stop").status == 200
    assert pi.record["status"] == "stopped"
    r = daemon.call("POST", "/api/chat/messages",
                    {"channel_id": pi.record["channel_id"],
                     "content": "for later"})
    assert "stopped" in r.json["note"]
    daemon.incus.do("PUT", path, {"action": "start"})
    wait_for("stopped again", lambda: incus_state(pi, daemon) == "Stopped")
    assert post(daemon, pi.slug, "start").status == 200
    assert pi.answer(r.json["id"])["state"] == "complete"
    is_status(pi, "running")


def test_no_tight_loop(daemon, pi):
    """What always stops again is started less and less often."""
    name = pi.record["container"]
    path = f"/1.0/instances/{name}/state?project={daemon.project}"
    end = time.monotonic() + 8
    while time.monotonic() < end:
        if incus_state(pi, daemon) == "Running":
            daemon.incus.do("PUT", path, {"action": "stop", "force": True})
        time.sleep(0.05)
    n = sum(p["event"] == "reconciled" for p in lifecycle(pi))
    assert 1 <= n <= 5, n
    is_status(pi, "running", 60)


# ---- out of memory ----

def test_out_of_memory_is_said(daemon):
    """The runtime is killed for want of memory: chat, record, trace."""
    # The tool makes the runtime the kernel's first choice, then eats.
    mock = MockUpstream(None, "--text", "fine", "--tool-cmd",
                        "echo 1000 > /proc/$PPID/oom_score_adj; "
                        "tail /dev/zero")
    model = daemon.add_provider("hungry", mock)
    r = daemon.call("POST", "/api/agents/deploy", {
        "name": "small", "framework": "pi", "model": model,
        "memory_limit": "192MiB"})
    assert r.status == 202, r.body
    wait_for("deploy", lambda: daemon.get(
        "/api/agents/small/deploy-status").json["status"] == "success", 60)
    a = Agent(daemon, "small")
    try:
        turn = a.say("eat")
        answer = a.answer(turn)
        assert answer["state"] == "error", answer
        assert "out of memory" in answer["metadata"]["error"], answer
        assert "out of memory" in a.record["reason"], a.record
        assert "192 MiB" in a.record["reason"], a.record
        events = wait_for("event", lambda: [
            e for e in a.trace(turn, kind="lifecycle")
            if e["payload"]["event"] == "out_of_memory"])
        assert len(events) == 1, events
        assert "out of memory" in daemon.ctl("agent", "show", "small")
        # It is well again after a restart, and no longer says so.
        assert post(daemon, "small", "restart").status == 200
        is_status(a, "running")
        assert a.record["reason"] is None
    finally:
        remove(a)
        daemon.call("DELETE", "/api/providers/hungry")
        mock.stop()


# ---- changes ----

def patch(daemon, slug, **fields):
    return daemon.call("PATCH", f"/api/agents/{slug}", fields)


def test_rename(daemon, pi):
    first = pi.answer(pi.say("before"))
    ident, old = pi.record["id"], pi.slug
    r = patch(daemon, old, display_name="Another Name")
    assert r.status == 200 and r.json["name"] == "another-name", r.body
    assert daemon.get(f"/api/agents/{old}").status == 404
    pi.slug = "another-name"
    record = pi.record
    assert record["id"] == ident
    assert record["display_name"] == "Another Name"
    assert record["presence"]["connected"] is True
    second = pi.answer(pi.say("after"))
    assert second["state"] == "complete"
    # Chat and trace go on, in one piece.
    ids = [m["id"] for m in pi.history()]
    assert first["id"] in ids and second["id"] in ids
    assert {m["author_id"] for m in pi.history()
            if m["author_type"] == "agent"} == {"another-name"}
    assert len(pi.trace(kind="message_out")) == 2
    assert daemon.get("/api/agents/another-name/deploy-status").status == 200
    channels = daemon.get("/api/chat/channels").json["channels"]
    mine = next(c for c in channels if c["id"] == record["channel_id"])
    assert "another-name" in mine["members"] and old not in mine["members"]
    wait_for("label", lambda: instance(pi, daemon)["config"].get(
        "user.agentd.slug") == "another-name")
    # Over restarts of all that knew the old name.
    for worker in ("gateway", "keeper", "proxy", "trace"):
        os.kill(daemon.pids()[worker], signal.SIGKILL)
        wait_for(worker, daemon.healthy)
        assert pi.answer(pi.say(f"{worker}?"))["state"] == "complete"


def test_names_that_are_not_free(daemon, pi):
    other = daemon.deploy("pi")
    try:
        before = pi.record
        for name in (other.slug, "bulk", "archived", "Import", "_unknown_ "):
            r = patch(daemon, pi.slug, display_name=name, emoji="X")
            if name.startswith("_"):
                # Of this the slug "unknown" is made: it is free.
                assert r.status == 200, r.body
                pi.slug = r.json["name"]
                assert pi.slug == "unknown"
                continue
            assert r.status == 409 and r.json["error"], (name, r.body)
            assert pi.record["emoji"] == before["emoji"]
            assert pi.record["name"] == before["name"]
        assert patch(daemon, pi.slug, display_name="!!").status == 400
        assert patch(daemon, pi.slug, color="blue").status == 422
        assert patch(daemon, pi.slug, nonsense=1).status == 422
    finally:
        remove(other)


def test_model_changes_live(daemon, pi):
    """W09: the very next turn uses the new model, with no restart."""
    mock = MockUpstream(None, "--text", "from the second one")
    model = daemon.add_provider("second", mock)
    try:
        pi.answer(pi.say("one"))
        started = pi.record["started_at"]
        r = post(daemon, pi.slug, "model", {"model": model})
        assert r.status == 200, r.body
        assert r.json["model"] == model and r.json["status"] == "updated"
        turn = pi.say("two")
        assert pi.answer(turn)["content"] == "from the second one"
        calls = wait_for("calls", lambda: pi.trace(turn, kind="llm_call"))
        assert {c["model"] for c in calls} == {model}
        assert pi.record["started_at"] == started
        # The old one is not allowed any more.
        key = key_of(pi, daemon)
        status, text = as_agent(pi, daemon, "GET", "/v1/models", key)
        ids = {m["id"] for m in json.loads(text)["data"]}
        assert model in ids and "demo" not in ids, ids
        assert post(daemon, pi.slug, "model", {"model": ""}).status == 422
        assert post(daemon, "nobody", "model",
                    {"model": model}).status == 404
    finally:
        patch(daemon, pi.slug, model="demo")
        daemon.call("DELETE", "/api/providers/second")
        mock.stop()


def test_a_refused_change_changes_nothing(daemon, pi):
    """Key scope, record and gateway change together or not at all."""
    before = pi.record
    r = patch(daemon, pi.slug, model="no-such-model", emoji="X",
              display_name="Renamed")
    assert r.status == 409 and "no-such-model" in r.json["error"], r.body
    r = patch(daemon, pi.slug, fallback_models=["no-such-model"], emoji="X")
    assert r.status == 409 and "no-such-model" in r.json["error"], r.body
    after = pi.record
    for key in ("name", "display_name", "model", "emoji",
                "fallback_models"):
        assert after[key] == before[key], key
    assert pi.answer(pi.say("still?"))["state"] == "complete"


def test_proxy_is_killed_in_between(daemon, pi):
    """proxy may have taken the change, its answer was lost: all as before."""
    mock = MockUpstream(None, "--text", "x")
    model = daemon.add_provider("between", mock)
    try:
        pid = daemon.pids()["proxy"]
        os.kill(pid, signal.SIGSTOP)
        p = subprocess.Popen(
            [f"{daemon.inst}/bin/agentctl", "-s", daemon.socket, "agent",
             "set", pi.slug, "--model", model, "--emoji", "X"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        assert p.poll() is None
        os.kill(pid, signal.SIGKILL)
        _, err = p.communicate(timeout=30)
        assert p.returncode == 1 and "nothing was changed" in err, err
        wait_for("proxy", daemon.healthy)
        assert pi.record["model"] == "demo" and pi.record["emoji"] is None
        turn = pi.say("which one?")
        assert "demo provider" in pi.answer(turn)["content"]
        r = patch(daemon, pi.slug, model=model)
        assert r.status == 200, r.body
        assert pi.answer(pi.say("now?"))["content"] == "x"
    finally:
        patch(daemon, pi.slug, model="demo")
        daemon.call("DELETE", "/api/providers/between")
        mock.stop()


def test_fallbacks_are_in_the_keys_scope(daemon):
    """W06: a deploy's fallback_models reach the key, live ones as well."""
    mock = MockUpstream(None, "--text", "by the fallback")
    model = daemon.add_provider("spare", mock)
    r = daemon.call("POST", "/api/agents/deploy", {
        "name": "with fallback", "framework": "pi", "model": "demo",
        "fallback_models": [model]})
    assert r.status == 202, r.body
    slug = r.json["name"]
    wait_for("deploy", lambda: daemon.get(
        f"/api/agents/{slug}/deploy-status").json["status"] == "success", 60)
    a = Agent(daemon, slug)
    try:
        assert a.record["fallback_models"] == [model]
        key = key_of(a, daemon)

        def models():
            text = as_agent(a, daemon, "GET", "/v1/models", key)[1]
            return {m["id"] for m in json.loads(text)["data"]}
        assert {"demo", model} <= models()
        assert patch(daemon, slug, fallback_models=[]).status == 200
        assert model not in models()
        assert a.record["fallback_models"] == []
        r = daemon.call("POST", "/api/agents/deploy", {
            "name": "bad fallback", "framework": "pi", "model": "demo",
            "fallback_models": ["no-such-model"]})
        assert r.status == 404 and "no-such-model" in r.json["error"]
    finally:
        remove(a)
        daemon.call("DELETE", "/api/providers/spare")
        mock.stop()


# ---- several ----

def test_bulk(daemon):
    agents = [daemon.deploy("pi") for _ in range(3)]
    names = [a.slug for a in agents]
    try:
        r = daemon.call("POST", "/api/agents/bulk/pause",
                        {"names": names[:2] + ["nobody"]}, timeout=400)
        assert r.status == 200, r.body
        assert r.json["action"] == "pause"
        results = r.json["results"]
        assert [results[n]["success"] for n in names[:2]] == [True, True]
        assert results["nobody"]["success"] is False
        assert results["nobody"]["error"]
        assert names[2] not in results
        assert [a.record["status"] for a in agents] == [
            "paused", "paused", "running"]
        out = daemon.ctl("agent", "resume", *names[:2])
        assert all(f"{n}: resume done" in out for n in names[:2]), out
        out = daemon.ctl("agent", "stop", "--all")
        assert all(f"{n}: stop done" in out for n in names), out
        assert {a.record["status"] for a in agents} == {"stopped"}
        assert {incus_state(a, daemon) for a in agents} == {"Stopped"}
        r = daemon.call("POST", "/api/agents/bulk/start", {}, timeout=400)
        assert all(v["success"] for v in r.json["results"].values()), r.body
        for a in agents:
            is_status(a, "running")
        r = daemon.call("POST", "/api/agents/bulk/restart",
                        {"names": [names[0]]}, timeout=400)
        assert r.json["results"][names[0]]["success"], r.body
        assert daemon.call("POST", "/api/agents/bulk/dance",
                           {}).status == 404
        # No agent can be in the way of these paths.
        r = daemon.call("POST", "/api/agents/deploy",
                        {"name": "bulk", "framework": "pi", "model": "demo"})
        assert r.status == 202 and r.json["name"] == "bulk-2", r.body
        daemon.call("DELETE", "/api/agents/bulk-2")
    finally:
        for a in agents:
            remove(a)


def test_one_at_a_time(daemon, slow):
    """One verb at a time: the second one hears which is under way."""
    a = daemon.deploy("pi", model=slow)
    try:
        turn = a.say("one")
        turn_opened(a, turn)
        p = subprocess.Popen([f"{daemon.inst}/bin/agentctl", "-s",
                              daemon.socket, "agent", "stop", a.slug],
                             stdout=subprocess.PIPE, text=True)
        wait_for("stopping", lambda: a.record["status"] == "stopping")
        r = post(daemon, a.slug, "start")
        assert r.status == 409 and "stop is under way" in r.json["error"]
        out, _ = p.communicate(timeout=60)
        assert p.returncode == 0 and f"{a.slug}: stopped" in out, out
    finally:
        remove(a)


def test_reply_goes_where_the_message_came_from(daemon, pi):
    """W12: the channel travels with the turn, from message to trace."""
    channel = pi.record["channel_id"]
    turn = pi.say("where am I?")
    assert pi.answer(turn)["channel_id"] == channel
    events = wait_for("trace", lambda: [
        e for e in [pi.trace(turn)] if {"message_in", "llm_call",
                                        "message_out"} <=
        {x["kind"] for x in e}])[0]
    assert {e["channel_id"] for e in events} == {channel}, events


def test_ctl(daemon, pi):
    """What a person sees of all that."""
    assert f"{pi.slug}: paused" in daemon.ctl("agent", "pause", pi.slug)
    assert "paused" in daemon.ctl("agent", "list")
    p = subprocess.Popen([f"{daemon.inst}/bin/agentctl", "-s", daemon.socket,
                          "chat", pi.slug, "hello"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for("message", lambda: any(m["state"] == "queued"
                                    for m in pi.history()))
    assert f"{pi.slug}: resumed" in daemon.ctl("agent", "resume", pi.slug)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and out
    assert "is paused" in err, err
    out = daemon.ctl("agent", "set", pi.slug, "--emoji", "X", "--color",
                     "#123456")
    assert "updated" in out
    assert pi.record["emoji"] == "X" and pi.record["color"] == "#123456"
    assert "renamed-by-ctl: updated" in daemon.ctl(
        "agent", "rename", pi.slug, "Renamed by ctl")
    pi.slug = "renamed-by-ctl"
    assert "Renamed by ctl" in daemon.ctl("agent", "show", pi.slug)
    p = daemon.ctl("agent", "set", pi.slug, check=False)
    assert p.returncode == 2
