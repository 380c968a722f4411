# Snapshots of live agents, their schedule, forks: on real Incus.
# SPDX-License-Identifier: ISC
import json
import os
import signal
import sqlite3
import threading
import time

import pytest

from lab import Agent, wait_for
from test_archive import answers, instance, quiet, read, write

T = 120


def make(agent, name=None):
    return agent.daemon.call("POST", f"/api/agents/{agent.slug}/snapshots",
                             {"name": name} if name else {}, timeout=T)


def back(agent, name):
    return agent.daemon.call(
        "POST", f"/api/agents/{agent.slug}/snapshots/{name}/restore", {},
        timeout=T)


def delete(agent, name):
    return agent.daemon.call(
        "DELETE", f"/api/agents/{agent.slug}/snapshots/{name}")


def names(agent):
    r = agent.daemon.get(f"/api/agents/{agent.slug}/snapshots")
    assert r.status == 200, r.body
    return [s["name"] for s in r.json]


def schedule(agent, text):
    return agent.daemon.call(
        "PUT", f"/api/agents/{agent.slug}/snapshots/schedule",
        {"schedule": text})


def fork(agent, name, **more):
    r = agent.daemon.call("POST", f"/api/agents/{agent.slug}/fork",
                          {"name": name, **more})
    if r.status != 202:
        return r
    slug = r.json["name"]

    def over():
        s = agent.daemon.get(f"/api/agents/{slug}/deploy-status").json
        return s if s["status"] != "deploying" else None

    s = wait_for("end of the fork", over, T)
    return Agent(agent.daemon, slug) if s["status"] == "success" else s


def connected(agent):
    return wait_for("link", lambda: agent.record["presence"]["connected"],
                    60)


def test_make_list_delete(service, pi):
    assert names(pi) == []
    r = make(pi, "first.1")
    assert r.status == 201 and r.json["name"] == "first.1", r.body
    r = make(pi)
    assert r.status == 201 and r.json["name"].startswith("snap-2"), r.body
    unnamed = r.json["name"]
    rows = service.get(f"/api/agents/{pi.slug}/snapshots").json
    assert sorted(s["name"] for s in rows) == sorted(["first.1", unnamed])
    for s in rows:
        assert abs(s["created_at"] - time.time()) < 300
        assert s["stateful"] is False and s["kind"] == "user"
    assert make(pi, "first.1").status == 409
    assert delete(pi, "first.1").status == 200
    assert delete(pi, "first.1").status == 404
    assert names(pi) == [unnamed]
    answers(pi)
    events = {e["payload"].get("event") for e in pi.trace(kind="lifecycle")}
    assert {"snapshot_made", "snapshot_deleted"} <= events


def test_restore_of_a_running_agent(service, pi):
    """Its files go back; chat, rights and limits do not."""
    write(service, pi, "one")
    assert make(pi, "s").status == 201
    pi.answer(pi.say("between"), T)
    write(service, pi, "two")
    before = pi.record
    r = back(pi, "s")
    assert r.status == 200 and r.json["status"] == "restored", r.body
    assert read(service, pi) == "one"
    connected(pi)
    now = pi.record
    assert now["status"] == "running"
    for field in ("id", "model", "memory_limit", "channel_id", "name"):
        assert now[field] == before[field]
    assert len(pi.history()) == 2
    answers(pi, "after")
    r = back(pi, "nosuch")
    assert r.status == 404 and "nosuch" in r.json["error"], r.body
    answers(pi, "it was not stopped for nothing")


def test_restore_of_a_stopped_agent_leaves_it_stopped(service, pi):
    assert make(pi, "s").status == 201
    service.call("POST", f"/api/agents/{pi.slug}/stop")
    assert back(pi, "s").status == 200
    assert instance(service, pi.record["id"])["status"] == "Stopped"
    assert pi.record["status"] == "stopped"


@pytest.mark.parametrize("worker", ["keeper", "container"])
def test_restore_that_is_killed_goes_on(service, worker):
    """W67: after a SIGKILL at any time it runs, with the old files or the
    new ones, never with a mixture."""
    agent = service.deploy("pi")
    try:
        write(service, agent, "old", "/root/a")
        write(service, agent, "old", "/root/b")
        assert make(agent, "s").status == 201
        for delay in (0.5, 0.9):
            write(service, agent, "new", "/root/a")
            write(service, agent, "new", "/root/b")
            pid = service.pids()[worker]
            t = threading.Thread(
                target=lambda: quiet(lambda: back(agent, "s")))
            t.start()
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
            t.join(T)
            wait_for("agentd", service.healthy, 20)
            wait_for("lock", lambda: service.call(
                "POST", f"/api/agents/{agent.slug}/start").status == 200, T)
            connected(agent)
            answers(agent)
            assert (read(service, agent, "/root/a"),
                    read(service, agent, "/root/b")) in (
                        ("old", "old"), ("new", "new"))
            inst = instance(service, agent.record["id"])
            assert inst["config"]["user.agentd.slug"] == agent.slug
    finally:
        agent.remove()


def test_hostile_names(service, pi):
    for name in ("", "..", "a/b", "-x", "a b", "x" * 64, "agentd-archive-x",
                 "auto-1", "a\nb", "\u00e9", "a;b", "a?b"):
        r = service.call("POST", f"/api/agents/{pi.slug}/snapshots",
                         {"name": name})
        assert r.status in (400, 422), (name, r.body)
        assert r.json["error"]
    for name in ("..%2f..", "a%20b", "a%3fb", "a%00b"):
        assert delete(pi, name).status in (400, 404, 422)
        assert back(pi, name).status in (400, 404, 422)
    assert names(pi) == []
    for text in ("", "weekly keep 3", "daily", "daily keep 0", "daily keep -1",
                 "daily keep 101", "daily keep 7 ", "daily keep 1e2",
                 "hourly keep", "DAILY KEEP 7", "daily keep 7; rm"):
        r = schedule(pi, text)
        assert r.status == 422, (text, r.body)
    assert service.call("POST", "/api/agents/nobody/snapshots",
                        {}).status == 404
    assert schedule(Agent(service, "nobody"), "off").status == 404


def set_made_at(service, ident, when):
    db = sqlite3.connect(f"{service.state}/keeper/state.db")
    db.execute("UPDATE snapshot_made SET at = ? WHERE agent_id = ?",
               (when, ident))
    db.commit()
    db.close()


@pytest.mark.long
def test_schedule(service, pi):
    """Made, pruned, and after a downtime one is made and not one a day."""
    ident = pi.record["id"]
    assert make(pi, "mine").status == 201
    r = schedule(pi, "daily keep 2")
    assert r.status == 200 and r.json["snapshots"] == "daily keep 2", r.body

    def auto():
        return [n for n in names(pi) if n.startswith("auto-")]

    wait_for("first", lambda: len(auto()) == 1, 30)
    seen = set(auto())
    for _ in range(3):
        service.stop()
        set_made_at(service, ident, time.time() - 5 * 86400)
        time.sleep(1.1)         # names hold seconds
        service.start()
        wait_for("next", lambda: set(auto()) - seen, 60)
        time.sleep(1)
        assert len(set(auto()) - seen) == 1
        seen |= set(auto())
    wait_for("pruning", lambda: len(auto()) == 2, 30)
    assert sorted(seen)[-2:] == sorted(auto())
    assert "mine" in names(pi)
    assert schedule(pi, "off").json["snapshots"] == "off"
    service.stop()
    set_made_at(service, ident, 0)
    service.start()
    time.sleep(7)
    assert len(auto()) == 2
    connected(pi)
    answers(pi)


def test_fork(service, pi):
    """Same files, another identity; the source is not touched."""
    write(service, pi, "mine")
    assert make(pi, "then").status == 201
    write(service, pi, "later")
    pi.answer(pi.say("said to the first"), T)
    r = service.call("PUT", f"/api/agents/{pi.slug}/snapshots/schedule",
                     {"schedule": "daily keep 3"})
    assert r.status == 200, r.body
    # The first one is due at once.
    wait_for("a snapshot by schedule", lambda: len(service.get(
        f"/api/agents/{pi.slug}/snapshots").json) > 1, 60)
    before = instance(service, pi.record["id"])
    made = []
    try:
        for snapshot, text in ((None, "later"), ("then", "mine")):
            f = fork(pi, "Twin", **({"snapshot": snapshot}
                                    if snapshot else {}))
            assert isinstance(f, Agent), f
            made.append(f)
            assert read(service, f) == text
            a, b = pi.record, f.record
            for field in ("framework", "model", "memory_limit", "cpu_limit",
                          "idle", "snapshots", "network", "color"):
                assert a[field] == b[field], field
            assert b["snapshots"] == "daily keep 3"
            for field in ("id", "name", "channel_id", "container"):
                assert a[field] != b[field], field
            assert f.history() == []
            m = answers(f, "hello twin")
            assert m["author_id"] != pi.slug
            inst = instance(service, b["id"])
            assert inst["config"]["user.agentd.slug"] == f.slug
            assert set(inst["devices"]) == {"root", "agentd-sock"}
            assert inst["config"]["volatile.idmap.current"] != \
                before["config"]["volatile.idmap.current"]
        assert [f.slug for f in made] == ["twin", "twin-2"]
        after = instance(service, pi.record["id"])
        assert {k: v for k, v in after["config"].items()} == before["config"]
        assert after["devices"] == before["devices"]
        assert len(pi.history()) == 2
        # The source goes: its forks stay.
        assert read(service, pi) == "later"
        answers(pi)
        pi.remove()
        for f in made:
            answers(f, "still here?")
    finally:
        for f in made:
            f.remove()


def test_fork_brings_no_right_of_another_day(service, pi):
    """A snapshot of a time with a device: the fork has none of it."""
    name = pi.record["container"]
    path = f"/1.0/instances/{name}?project={service.project}"
    service.incus.do("PATCH", path, {"devices": {"extra": {
        "type": "disk", "source": "/var/tmp", "path": "/mnt",
        "readonly": "true"}}, "config": {"user.secret": "x"}})
    assert make(pi, "wide").status == 201
    f = fork(pi, "narrow", snapshot="wide")
    try:
        inst = instance(service, f.record["id"])
        assert "extra" not in inst["devices"]
        assert "user.secret" not in inst["config"]
        answers(f)
    finally:
        f.remove()


def test_fork_refusals(service, pi):
    before = {i["name"] for i in service.incus.instances(service.project)}
    for more, want in (({"name": "x", "snapshot": "no-such"}, (202,)),
                       ({"name": "!!"}, (400,)), ({"name": ""}, (422,)),
                       ({"name": "x", "snapshot": "../x"}, (422,)),
                       ({"name": "x\u0007"}, (422,)),
                       ({"snapshot": "x"}, (422,))):
        r = service.call("POST", f"/api/agents/{pi.slug}/fork", more)
        assert r.status in want, (more, r.body)
        if r.status == 202:
            slug = r.json["name"]
            s = wait_for("end", lambda slug=slug: [
                s for s in [service.get(f"/api/agents/{slug}/deploy-status"
                                        ).json]
                if s["status"] != "deploying"], T)[0]
            assert s["status"] == "failed" and s["error"], s
    assert service.call("POST", "/api/agents/nobody/fork",
                        {"name": "x"}).status == 404
    wait_for("nothing", lambda: before == {
        i["name"] for i in service.incus.instances(service.project)}, 30)
    answers(pi)


def test_ctl(service, pi):
    assert "kept: created" in service.ctl("snapshot", "make", pi.slug, "kept")
    assert "kept" in service.ctl("snapshot", "list", pi.slug)
    assert json.loads(service.ctl("--json", "snapshot", "list", pi.slug)
                      )[0]["name"] == "kept"
    assert "restored" in service.ctl("snapshot", "restore", pi.slug, "kept")
    assert "hourly keep 3" in service.ctl(
        "snapshot", "schedule", pi.slug, "hourly", "keep", "3")
    assert "off" in service.ctl("snapshot", "schedule", pi.slug, "off")
    connected(pi)
    out = service.ctl("agent", "fork", pi.slug, "--name", "By Hand",
                      "--snapshot", "kept")
    assert "by-hand is running" in out
    twin = Agent(service, "by-hand")
    answers(twin)
    twin.remove()
    assert "deleted" in service.ctl("snapshot", "rm", pi.slug, "kept")
    p = service.ctl("snapshot", "rm", pi.slug, "kept", check=False)
    assert p.returncode == 1 and "no snapshot" in p.stderr
