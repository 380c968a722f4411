# Agents that move: export, import on another server, and every way in which
# a file can be wrong.
# SPDX-License-Identifier: ISC
import hashlib
import json
import os
import subprocess

import pytest

from lab import PROJECT, Agent, Agentd, wait_for

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
    r = daemon.call("DELETE", f"/api/agents/{agent.slug}?purge=1")
    if r.status == 422:
        r = agent.remove()
    assert r.status == 200, r.body


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
    daemon = Agentd(build, incus, PROJECT)
    daemon.start()
    try:
        daemon.import_image("taos-pi-base", images.path("pi"))
        yield daemon
    finally:
        daemon.stop()
        daemon.remove()
        incus.purge_project(PROJECT)


@pytest.fixture(scope="module")
def away(build, incus):
    """Another server: its own state, key and project, and no image."""
    daemon = Agentd(build, incus, AWAY)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        daemon.remove()
        incus.purge_project(AWAY)


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
                   moved["key"])
    assert "is running" in out, out
    agent = Agent(away, "traveller")
    record = agent.record
    for key in ("id", "display_name", "framework", "memory_limit",
                "cpu_limit", "channel_id"):
        assert record[key] == moved["record"][key], key
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
