# Deploys on real Incus that meet trouble, and differences that are mended.
# SPDX-License-Identifier: ISC
import contextlib
import json
import os
import signal
import sqlite3
import threading
import time

from crash import ledger
from lab import Agent, wait_for


def drift(service):
    r = service.get("/api/doctor/drift")
    assert r.status == 200, r.body
    assert r.json["unanswered"] == []
    return r.json["drift"]


def repair(service, **only):
    r = service.call("POST", "/api/doctor/repair", only)
    assert r.status == 200, r.body
    return r.json


def of(found, name):
    return [d for d in found if d["name"] == name]


def begin(service, name, framework="pi"):
    return service.call("POST", "/api/agents/deploy", {
        "name": name, "framework": framework, "model": "demo"},
        {"Idempotency-Key": name})


@contextlib.contextmanager
def held(service, worker):
    pid = service.pids()[worker]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_delete_during_a_deploy(service):
    """W13: at whatever moment, nothing is left that nobody owns."""
    for i, pause in enumerate((0, 0.05, 0.2, 0.4, 0.6)):
        name = f"short-lived-{i}"
        r = begin(service, name)
        assert r.status == 202, r.body
        ident = r.json["agent_id"]
        time.sleep(pause)
        r = service.call("DELETE", f"/api/agents/{name}?purge=1")
        assert r.status == 200, r.body
        wait_for("nothing", lambda name=name, ident=ident:
                 service.get(f"/api/agents/{name}").status == 404 and
                 not os.path.exists(f"{service.state}/agents/{ident}") and
                 not ledger(service.state, ident) and
                 f"agentd-{ident[:12]}" not in {
                     i["name"] for i in
                     service.incus.instances(service.project)}, 60)


def test_a_rolled_back_name_is_free_at_once(service):
    """W61: the key is gone, and the same name deploys again."""
    with held(service, "gateway"):
        r = begin(service, "again")
        ident = r.json["agent_id"]
        assert service.call("DELETE", "/api/agents/again").status == 200
    s = service.get("/api/agents/again/deploy-status").json
    assert s["status"] == "failed" and s["error"], s
    assert not ledger(service.state, ident)
    agent = service.deploy("pi", name="again")
    try:
        assert agent.slug == "again"
        assert agent.record["id"] != ident
        assert agent.answer(agent.say("hello"))["state"] == "complete"
    finally:
        agent.remove()


def test_the_same_key_is_the_same_deploy(service):
    """Also when keeper was killed between the two requests."""
    first = begin(service, "idem").json
    os.kill(service.pids()["keeper"], signal.SIGKILL)

    def ask():
        with contextlib.suppress(OSError):
            r = begin(service, "idem")
            return r if r.status == 202 else None
        return None
    second = wait_for("answer", ask, 20).json
    assert second["job_id"] == first["job_id"]
    agent = Agent(service, "idem")
    try:
        wait_for("deploy", lambda: service.get(
            "/api/agents/idem/deploy-status").json["status"] == "success", 60)
        assert begin(service, "idem").json["job_id"] == first["job_id"]
        assert service.get("/api/agents/idem-2").status == 404
    finally:
        agent.remove()


def test_drift_of_the_workers(service, pi):
    """What is missing is given again, what is too much goes."""
    assert not of(drift(service), pi.slug)
    ident = pi.record["id"]
    # A key of nobody, a directory of nobody.
    ghost = "ab" * 16
    db = sqlite3.connect(f"{service.state}/proxy/ledger.db", timeout=10)
    with contextlib.closing(db):
        db.execute("INSERT INTO agent (id, slug, owner_id, model, max_calls)"
                   " VALUES (?, 'nobody', 'x', 'demo', 1)", (ghost,))
        db.commit()
    os.mkdir(f"{service.state}/agents/{ghost}", 0o711)
    os.unlink(f"{service.state}/agents/{ident}/agentd.sock")
    found = drift(service)
    kinds = {d["kind"] for d in found if d["id"] == ghost}
    assert kinds == {"key", "directory"}, found
    done = repair(service, kind="key")
    assert done["repaired"] >= 1 and done["failed"] == 0, done
    assert not ledger(service.state, ghost)
    assert os.path.isdir(f"{service.state}/agents/{ghost}")
    assert repair(service)["failed"] == 0
    assert not os.path.exists(f"{service.state}/agents/{ghost}")
    assert not [d for d in drift(service) if d["id"] == ghost]


def test_drift_of_instances(service, pi):
    """An orphan with our mark goes; a copy, and what is another's, stays."""
    incus, project = service.incus, service.project
    box = pi.record["container"]
    node = next(i["config"]["user.agentd.node"]
                for i in incus.instances(project) if i["name"] == box)
    root = {"root": {"type": "disk", "path": "/", "pool": "default"}}

    def make(name, **tags):
        incus.do("POST", f"/1.0/instances?project={project}", {
            "name": name, "source": {"type": "none"}, "profiles": [],
            "devices": root,
            "config": {f"user.agentd.{k}": v for k, v in tags.items()}})

    def names():
        return {i["name"] for i in incus.instances(project)}

    try:
        make("lost", node=node, agent_id="cd" * 16)
        make("copy", node=node, agent_id=pi.record["id"])
        make("foreign", node="another-node", agent_id="ef" * 16)
        found = drift(service)
        assert [d["kind"] for d in of(found, "lost")] == ["orphan"]
        assert [d["kind"] for d in of(found, "copy")] == ["copy"]
        assert not of(found, "foreign")
        out = json.loads(service.ctl("--json", "doctor"))
        assert {"lost", "copy"} <= {d["name"] for d in out["drift"]}
        service.ctl("doctor", "--repair", check=False)
        assert "lost" not in names()
        assert {"copy", "foreign", box} <= names()
        assert pi.answer(pi.say("still there?"))["state"] == "complete"
    finally:
        for name in ("lost", "copy", "foreign"):
            incus.call("DELETE", f"/1.0/instances/{name}?project={project}")


def test_an_agent_without_an_instance(service):
    """It has failed and says what to do; a new instance comes only for who
    names it, with the same identity and chat and without the home."""
    agent = service.deploy("pi", name="robbed")
    record = agent.record
    agent.answer(agent.say("remember"), 60)
    said = agent.history()
    path = f"/1.0/instances/{record['container']}"
    try:
        r = service.call("POST", "/api/agents/robbed/rebuild", {})
        assert r.status == 409 and "is there" in r.json["error"], r.body
        assert service.call("POST", "/api/agents/robbed/stop", {}).status == \
            200
        service.incus.call("DELETE", f"{path}?project={service.project}")
        found = of(drift(service), "robbed")
        assert [d["kind"] for d in found] == ["instance"], found
        p = service.ctl("doctor", check=False)
        assert "agentctl agent rebuild robbed" in p.stdout, p.stdout
        repair(service)
        assert agent.record["status"] == "failed"
        assert "agent rebuild robbed" in agent.record["reason"]
        assert not [i for i in service.incus.instances(service.project)
                    if i["name"] == record["container"]]
        text = service.ctl("agent", "rebuild", "robbed")
        assert "rebuilt" in text and "lost" in text, text
        now = agent.record
        assert now["status"] == "running"
        for field in ("id", "channel_id", "model", "container", "network"):
            assert now[field] == record[field], field
        assert agent.history() == said
        m = agent.answer(agent.say("hello again"), 60)
        assert m["state"] == "complete", m
        assert of(drift(service), "robbed") == []
    finally:
        agent.remove()


def test_a_timeout_says_so(service):
    """W66: what takes too long is named, and container goes on working."""
    name = "late"
    with held(service, "gateway"):
        threading.Thread(target=begin, args=(service, name),
                         daemon=True).start()

        def begun():
            r = service.get(f"/api/agents/{name}/deploy-status")
            return r.json if r.status == 200 and "instance" in [
                s["step"] for s in r.json["steps"]] else None

        # Earlier it may still be refused, and leaves no job then.
        s = wait_for("an accepted deploy", begun, 20)
        assert s["deadline"] > s["started_at"]
        assert service.call("DELETE", f"/api/agents/{name}").status == 200
    s = service.get(f"/api/agents/{name}/deploy-status").json
    assert s["error"] == "deleted while it was being deployed", s
