# Archive, restore, purge on real Incus: what is kept, what can be undone.
# SPDX-License-Identifier: ISC
import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from lab import Agent, MockUpstream, wait_for

T = 120


def archived(service):
    r = service.get("/api/agents/archived")
    assert r.status == 200, r.body
    return {a["id"]: a for a in r.json}


def put_away(agent):
    r = agent.archive()
    assert r.status == 200, r.body
    assert r.json["status"] == "archived", r.json
    return r.json


def restore(service, ident):
    return service.call("POST", f"/api/agents/archived/{ident}/restore",
                        timeout=T)


def purge(service, ident):
    return service.call("DELETE", f"/api/agents/archived/{ident}", timeout=T)


def instance(service, ident):
    """The instance that carries that id, or None."""
    got = [i for i in service.incus.instances(service.project)
           if i["config"].get("user.agentd.agent_id") == ident]
    assert len(got) <= 1
    return got[0] if got else None


def snapshots(service, name):
    r = service.incus.call("GET", f"/1.0/instances/{name}/snapshots?project="
                           f"{service.project}&recursion=1")
    return [s["name"] for s in r.get("metadata") or []]


def keys(service, ident):
    db = sqlite3.connect(f"file:{service.state}/proxy/ledger.db?mode=ro",
                         uri=True)
    with contextlib.closing(db):
        return db.execute("SELECT count(*) FROM agent WHERE id = ?",
                          (ident,)).fetchone()[0]


def write(service, agent_or_name, text, path="/root/note"):
    name = agent_or_name if isinstance(agent_or_name, str) else \
        agent_or_name.record["container"]
    p = subprocess.run(["incus", "file", "push", "--project",
                        service.project, "-", f"{name}{path}"], input=text,
                       text=True, capture_output=True)
    assert p.returncode == 0, p.stderr


def read(service, agent, path="/root/note"):
    p = subprocess.run(["incus", "file", "pull", "--project",
                        service.project,
                        f"{agent.record['container']}{path}", "-"],
                       text=True, capture_output=True)
    return p.stdout if p.returncode == 0 else None


def answers(agent, text="hello"):
    m = agent.answer(agent.say(text), T)
    assert m["state"] == "complete", m
    return m


def is_whole(service, ident, slug):
    """Live and answering, with nothing of an archive left."""
    agent = Agent(service, slug)
    assert agent.record["id"] == ident
    inst = instance(service, ident)
    assert inst["status"] == "Running"
    assert "user.agentd.archived" not in inst["config"]
    assert [s for s in snapshots(service, inst["name"])
            if s.startswith("agentd-archive-")] == []
    assert keys(service, ident) == 1
    assert os.path.exists(agent.socket)
    top = f"{service.state}/keeper/archive"
    assert not os.path.exists(top) or \
        [d for d in os.listdir(top) if d.startswith(slug + "-2")] == []
    answers(agent)


def is_archived(service, ident):
    a = archived(service)[ident]
    inst = instance(service, ident)
    assert inst["status"] == "Stopped"
    assert inst["config"]["user.agentd.archived"] == a["archived_at"]
    assert inst["config"]["user.agentd.slug"] == a["archived_slug"]
    assert a["snapshot_name"] in snapshots(service, inst["name"])
    assert os.path.exists(a["export_path"])
    assert keys(service, ident) == 0
    assert not os.path.exists(f"{service.state}/agents/{ident}/agentd.sock")
    return a


def remove_all(service, ident):
    if ident in archived(service):
        assert purge(service, ident).status == 200
    for a in service.get("/api/agents").json:
        if a["id"] == ident:
            service.call("DELETE", f"/api/agents/{a['name']}?purge=1")


@pytest.fixture
def agent(service):
    a = service.deploy("pi")
    ident = a.record["id"]
    yield a
    remove_all(service, ident)


def test_archive_keeps_everything(service, agent):
    record = agent.record
    first = agent.say("remember me")
    agent.answer(first, T)
    before = agent.history()
    got = put_away(agent)
    assert set(got) >= {"status", "name", "id", "archived_at",
                        "snapshot_name", "export_path"}
    assert got["id"] == record["id"] and got["name"] == record["name"]
    stamp = got["archived_at"]
    assert len(stamp) == 15 and stamp[8] == "T"
    assert got["snapshot_name"] == f"agentd-archive-{stamp}"
    row = is_archived(service, record["id"])
    assert row["original"]["model"] == record["model"]
    assert row["original"]["created_at"] == record["created_at"]
    assert row["export_path"] == \
        f"{service.state}/keeper/archive/{record['name']}-{stamp}/" \
        "chat-export.jsonl"
    assert stat.S_IMODE(os.stat(row["export_path"]).st_mode) == 0o600
    with open(row["export_path"], encoding="utf-8") as f:
        assert [json.loads(line) for line in f] == before
    # It is not among the live ones, its channel says so, chat is readable.
    assert service.get(f"/api/agents/{record['name']}").status == 404
    channel = [c for c in service.get("/api/chat/channels").json["channels"]
               if c["id"] == record["channel_id"]][0]
    assert channel["settings"] == {
        "archived": True, "archived_at": stamp,
        "archived_agent_id": record["id"],
        "archived_agent_slug": record["name"]}
    r = service.call("POST", "/api/chat/messages",
                     {"channel_id": record["channel_id"], "content": "x"})
    assert r.status == 409 and "archived" in r.json["error"], r.body


def test_archive_lets_it_finish(service):
    """Its open turn is ended first, as by a stop; who speaks meanwhile
    hears why not, and nothing is lost."""
    mock = MockUpstream(None, "--latency-ms", "2000", "--text", "done now")
    model = service.add_provider("slow", mock)
    agent = service.deploy("pi", model)
    ident, channel = agent.record["id"], agent.record["channel_id"]
    try:
        turn = agent.say("take your time")
        wait_for("delivery", lambda: any(
            m["id"] == turn and m["state"] != "queued"
            for m in agent.history()))
        got = []
        t = threading.Thread(target=lambda: got.append(agent.archive()))
        t.start()
        time.sleep(0.5)
        r = service.call("POST", "/api/chat/messages",
                         {"channel_id": channel, "content": "hey"})
        assert r.status == 409 and "being archived" in r.json["error"], r.body
        t.join(T)
        assert got[0].status == 200, got[0].body
        report = got[0].json["prepare_report"]["agents"][agent.slug]
        assert report["status"] == "ready", report
        said = service.get(f"/api/chat/channels/{channel}/messages").json
        assert [m["content"] for m in said["messages"]] == \
            ["take your time", "done now"]
        assert restore(service, ident).status == 200
        # It does not finish in time, and is put away all the same.
        turn = agent.say("again")
        wait_for("delivery", lambda: any(
            m["id"] == turn and m["state"] != "queued"
            for m in agent.history()))
        text = service.ctl("agent", "archive", agent.slug, "--timeout", "1")
        assert "archived" in text and "did not finish" in text, text
    finally:
        remove_all(service, ident)
        service.call("DELETE", "/api/providers/slow")
        mock.stop()


def test_restored_agent_answers(service, agent):
    """W03, W05: a restored agent calls its model and is running."""
    record = agent.record
    agent.answer(agent.say("before"), T)
    write(service, agent, "kept")
    ident = put_away(agent)["id"]
    r = restore(service, ident)
    assert r.status == 200, r.body
    assert r.json["status"] == "restored" and r.json["id"] == ident
    assert r.json["new_llm_key"] is True
    now = agent.record
    assert now["status"] == "running"
    for field in ("id", "model", "framework", "channel_id", "display_name",
                  "memory_limit", "created_at", "container"):
        assert now[field] == record[field], field
    answers(agent, "after")
    assert read(service, agent) == "kept"
    assert len(agent.history()) == 4
    assert archived(service).get(ident) is None
    is_whole(service, ident, record["name"])
    # And once more: nothing adds up.
    put_away(agent)
    assert restore(service, ident).status == 200
    is_whole(service, ident, record["name"])


def test_restore_has_exactly_its_rights(service, agent):
    """W03: the key of a restored agent opens its model and no other."""
    from test_agents import agent_call, hello
    ident = put_away(agent)["id"]
    assert restore(service, ident).status == 200
    key = hello(service, agent)
    status, text = agent_call(service, agent, "GET", "/v1/models", key=key)
    assert status == 200
    assert {m["id"] for m in json.loads(text)["data"]} <= {"demo", "default"}


def test_the_old_key_is_dead(service, agent):
    """W04: what was in the container when it was archived opens nothing."""
    from test_agents import agent_call, hello
    key = hello(service, agent)
    assert agent_call(service, agent, "GET", "/v1/models", key=key)[0] == 200
    ident = put_away(agent)["id"]
    assert restore(service, ident).status == 200
    assert agent_call(service, agent, "GET", "/v1/models", key=key)[0] == 401


def test_model_that_is_gone(service, mock_tcp):
    """The only model is gone: that is said, and the archive stays whole."""
    model = service.add_provider("leaving", mock_tcp)
    agent = service.deploy("pi", model)
    ident = agent.record["id"]
    try:
        put_away(agent)
        assert service.call("DELETE", "/api/providers/leaving").status == 200
        r = restore(service, ident)
        assert r.status == 409, r.body
        assert model in r.json["error"], r.body
        is_archived(service, ident)
        service.add_provider("leaving", mock_tcp)
        assert restore(service, ident).status == 200
        answers(agent)
    finally:
        remove_all(service, ident)
        service.call("DELETE", "/api/providers/leaving")


def test_name_reuse(service):
    """W02, W07: a new agent of that name is not the archived one."""
    old = service.deploy("pi", name="phoenix")
    first = old.record["id"]
    write(service, old, "old")
    put_away(old)
    new = service.deploy("pi", name="phoenix")
    second = new.record["id"]
    try:
        assert first != second and new.slug == "phoenix"
        answers(new)
        put_away(new)
        third = service.deploy("pi", name="phoenix")
        # Two in the archive and one alive, all called phoenix.
        assert {first, second} <= set(archived(service))
        assert purge(service, first).status == 200
        assert instance(service, first) is None
        assert instance(service, second) is not None
        answers(third)
        r = restore(service, second)
        assert r.status == 200, r.body
        assert r.json["name"] == "phoenix-2"
        back = Agent(service, "phoenix-2")
        assert instance(service, second)["config"]["user.agentd.slug"] == \
            "phoenix-2"
        answers(back)
        answers(third)
        back.remove()
        answers(third)
        third.remove()
    finally:
        for i in (first, second):
            remove_all(service, i)


def test_purge_leaves_trace_and_audit(service):
    agent = service.deploy("pi")
    record = agent.record
    agent.answer(agent.say("x"), T)
    got = put_away(agent)
    r = purge(service, record["id"])
    assert r.status == 200 and r.json["status"] == "purged", r.body
    assert instance(service, record["id"]) is None
    assert record["id"] not in archived(service)
    assert not os.path.exists(os.path.dirname(got["export_path"]))
    assert service.get(f"/api/chat/channels/{record['channel_id']}/messages"
                       ).status == 404
    r = service.get(f"/api/agents/{record['name']}/trace?limit=1000")
    events = {e["payload"].get("event") for e in r.json["events"]
              if e["kind"] == "lifecycle"}
    assert {"archived", "purged"} <= events, events
    assert purge(service, record["id"]).status == 404


def test_a_purge_cannot_reach_a_live_agent(service, agent):
    ident = agent.record["id"]
    assert purge(service, ident).status == 404
    answers(agent)


def test_tombstone(service):
    """W01: the instance is really gone: what was said is kept, or nothing."""
    said = service.deploy("pi")
    silent = service.deploy("pi")
    said.answer(said.say("x"), T)
    idents = [said.record["id"], silent.record["id"]]
    for a in (said, silent):
        name = a.record["container"]
        path = f"/1.0/instances/{name}"
        service.incus.call("PUT", f"{path}/state?project={service.project}",
                           {"action": "stop", "force": True, "timeout": 10})
        service.incus.call("DELETE", f"{path}?project={service.project}")
    try:
        r = said.archive()
        assert r.status == 200 and r.json["status"] == "archived", r.body
        assert r.json["snapshot_name"] is None
        assert r.json["export_path"] is None
        assert r.json["note"]
        r = restore(service, idents[0])
        assert r.status == 409 and "snapshot" in r.json["error"], r.body
        r = silent.archive()
        assert r.status == 200 and r.json["status"] == "deleted", r.body
        assert idents[1] not in archived(service)
        assert keys(service, idents[0]) == keys(service, idents[1]) == 0
        # A namesake of the tombstone outlives its purge.
        twin = service.deploy("pi", name=said.slug)
        assert purge(service, idents[0]).status == 200
        answers(twin)
        twin.remove()
    finally:
        for i in idents:
            remove_all(service, i)


def test_unknown_is_not_absent(service, agent):
    """W01: Incus cannot be reached: 503, and nothing is touched."""
    ident = agent.record["id"]
    link = f"{service.dir}/incus.socket"
    with open(service.config, encoding="utf-8") as f:
        text = f.read()
    service.stop()
    os.symlink(service.incus.socket, link)
    with open(service.config, "w", encoding="utf-8") as f:
        f.write(text.replace(f"socket: {service.incus.socket}",
                             f"socket: {link}"))
    service.start()
    try:
        answers(agent)
        os.unlink(link)
        # Its connections to Incus outlive the name: a new worker has none.
        old = service.pids()["container"]
        os.kill(old, signal.SIGKILL)
        wait_for("new container", lambda: service.pids()["container"] not in
                 (0, old), 20)
        r = agent.archive()
        assert r.status == 503, r.body
        assert agent.slug in r.json["error"], r.body
        assert ident not in archived(service)
        assert instance(service, ident)["status"] == "Running"
        assert keys(service, ident) == 1
    finally:
        if not os.path.islink(link):
            os.symlink(service.incus.socket, link)
        service.stop()
        with open(service.config, "w", encoding="utf-8") as f:
            f.write(text)
        service.start()
    is_whole(service, ident, agent.slug)


def settle(service, ident, slug):
    """Archived as a whole or live as a whole; which of them."""
    def over():
        with contextlib.suppress(OSError, KeyError, AssertionError):
            live = service.get(f"/api/agents/{slug}").json.get("id") == ident
            dead = ident in archived(service)
            if live == dead:
                return None
            if dead:
                is_archived(service, ident)
                return "archived"
            r = service.call("POST", f"/api/agents/{slug}/start")
            if r.status != 200:
                return None     # its lock is held: not over yet
            wait_for("link", lambda: Agent(service, slug).record["presence"]
                     ["connected"], 30)
            is_whole(service, ident, slug)
            return "live"
    return wait_for("end of the archive", over, T, 0.2)


def test_paused_agent(service, agent):
    """A failed archive leaves it paused, and so does a restore."""
    record = agent.record
    assert service.call("POST", f"/api/agents/{agent.slug}/pause",
                        {}).status == 200
    top = f"{service.state}/keeper/archive"
    os.makedirs(top, exist_ok=True)
    subprocess.run(["chattr", "+i", top], check=True)
    try:
        assert agent.archive().status == 507
    finally:
        subprocess.run(["chattr", "-i", top], check=True)
    assert agent.record["status"] == "paused"
    assert instance(service, record["id"])["status"] == "Frozen"
    ident = put_away(agent)["id"]
    r = restore(service, ident)
    assert r.status == 200 and r.json["state"] == "paused", r.body
    assert agent.record["status"] == "paused"
    assert agent.record["paused_by"] == "user"
    assert instance(service, ident)["status"] == "Frozen"
    assert service.call("POST", f"/api/agents/{agent.slug}/resume",
                        {}).status == 200
    answers(agent)
    # The caller may want it otherwise.
    assert service.call("POST", f"/api/agents/{agent.slug}/pause",
                        {}).status == 200
    put_away(agent)
    assert "running" in service.ctl("archive", "restore", ident, "--state",
                                    "running")
    assert agent.record["status"] == "running"
    answers(agent)


def test_stopped_agent(service, agent):
    """It was stopped, so it is stopped, and a start lets it answer."""
    ident = agent.record["id"]
    assert service.call("POST", f"/api/agents/{agent.slug}/stop",
                        {}).status == 200
    put_away(agent)
    assert restore(service, ident).json["state"] == "stopped"
    assert agent.record["status"] == "stopped"
    assert instance(service, ident)["status"] == "Stopped"
    assert service.call("POST", f"/api/agents/{agent.slug}/start",
                        {}).status == 200
    answers(agent)


def test_snapshot_fails_for_real(service, agent):
    """W67: the snapshot cannot be made: the agent is live and runs as
    before, and the answer says why."""
    record = agent.record
    name = record["container"]
    path = f"/1.0/instances/{name}/snapshots?project={service.project}"
    service.incus.do("POST", path, {"name": "one", "stateful": False})
    top = (f"/var/lib/incus/storage-pools/default/containers-snapshots/"
           f"{service.project}_{name}")
    # The pool cannot take another one.
    subprocess.run(["chattr", "+i", top], check=True)
    try:
        r = agent.archive()
    finally:
        subprocess.run(["chattr", "-i", top], check=True)
    assert r.status >= 400, r.body
    assert record["name"] in r.json["error"], r.body
    assert record["id"] not in archived(service)
    is_whole(service, record["id"], record["name"])
    assert agent.record["status"] == "running"
    events = {e["payload"].get("event") for e in agent.trace(kind="lifecycle")}
    assert "archive_failed" in events


def test_export_cannot_be_written(service, agent):
    """W67: as before, in another step."""
    record = agent.record
    top = f"{service.state}/keeper/archive"
    os.makedirs(top, exist_ok=True)
    subprocess.run(["chattr", "+i", top], check=True)
    try:
        r = agent.archive()
        assert r.status == 507, r.body
    finally:
        subprocess.run(["chattr", "-i", top], check=True)
    is_whole(service, record["id"], record["name"])


@pytest.mark.long
@pytest.mark.parametrize("worker", ["keeper", "container"])
def test_killed_in_each_step(service, worker):
    """W67: SIGKILL at any time leaves a whole agent, live or archived."""
    seen = set()
    for delay in (0.1, 0.5, 0.8, 1.0):
        agent = service.deploy("pi")
        record = agent.record
        pid = service.pids()[worker]
        t = threading.Thread(target=lambda a=agent: quiet(a.archive))
        t.start()
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        t.join(T)
        wait_for("agentd", service.healthy, 20)
        seen.add(settle(service, record["id"], record["name"]))
        remove_all(service, record["id"])
    assert seen <= {"live", "archived"}
    assert not [i for i in service.incus.instances(service.project)]


def quiet(fn):
    with contextlib.suppress(Exception):
        return fn()


@pytest.mark.long
@pytest.mark.parametrize("worker", ["keeper", "container"])
def test_restore_killed_in_each_step(service, worker):
    """W67: the same for a restore: archived again, or alive."""
    agent = service.deploy("pi")
    record = agent.record
    ident = record["id"]
    try:
        for delay in (0.2, 0.5, 1.0):
            if ident not in archived(service):
                put_away(agent)
            pid = service.pids()[worker]
            t = threading.Thread(target=lambda: quiet(
                lambda: restore(service, ident)))
            t.start()
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
            t.join(T)
            wait_for("agentd", service.healthy, 20)
            settle(service, ident, record["name"])
    finally:
        remove_all(service, ident)


def test_archives_outlive_restarts_and_config(service, agent):
    """W23: a reload, another configuration, a restart lose no archive."""
    record = agent.record
    put_away(agent)
    with open(service.config, encoding="utf-8") as f:
        text = f.read()
    try:
        with open(service.config, "w", encoding="utf-8") as f:
            f.write(text.replace("level: debug", "level: info"))
        os.kill(service.proc.pid, signal.SIGHUP)
        time.sleep(0.5)
        assert record["id"] in archived(service)
        service.stop()
        service.start()
        is_archived(service, record["id"])
        # The look at all instances at start has not removed it either.
        time.sleep(2)
        is_archived(service, record["id"])
    finally:
        with open(service.config, "w", encoding="utf-8") as f:
            f.write(text)
        os.kill(service.proc.pid, signal.SIGHUP)
    assert restore(service, record["id"]).status == 200
    answers(agent)


def test_one_thing_at_a_time(service, agent):
    ident = agent.record["id"]
    got = []

    def go():
        got.append(agent.archive().status)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got.count(200) == 1 and set(got) <= {200, 404, 409}, got
    got.clear()
    threads = [threading.Thread(target=lambda: got.append(
        restore(service, ident).status)) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: got.append(
        purge(service, ident).status)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got.count(200) == 1 and set(got) <= {200, 404, 409}, got


def test_hostile_ids(service):
    for ident in ("x", "0" * 31, "0" * 33, "..%2f..", "A" * 32, "'" * 32):
        assert restore(service, ident).status in (400, 404)
        assert purge(service, ident).status in (400, 404)
    assert purge(service, "0" * 32).status == 404
    assert service.call("DELETE", "/api/agents/nobody").status == 404
    assert service.call("DELETE", "/api/agents/nobody?purge=2").status == 422


def test_ctl(service):
    agent = service.deploy("pi", name="drawer")
    ident = agent.record["id"]
    try:
        assert "archived" in service.ctl("agent", "rm", "drawer")
        assert "drawer" in service.ctl("archive", "list")
        assert ident in service.ctl("archive", "show", "drawer")
        assert json.loads(service.ctl("--json", "archive", "show", ident)
                          )["id"] == ident
        assert "restored" in service.ctl("archive", "restore", "drawer")
        answers(agent)
        assert "archived" in service.ctl("agent", "archive", "drawer")
        assert "purged" in service.ctl("archive", "purge", "drawer")
        p = service.ctl("archive", "restore", "drawer", check=False)
        assert p.returncode == 1 and "no archived agent" in p.stderr
        agent = service.deploy("pi", name="drawer")
        assert "deleted" in service.ctl("agent", "rm", "--purge", "drawer")
        assert ident not in archived(service)
    finally:
        remove_all(service, ident)
