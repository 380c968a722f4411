# Limits of agents, their disks and the pools below them, on real Incus.
# SPDX-License-Identifier: ISC
import contextlib
import json
import os
import shutil
import subprocess
import tempfile

import pytest

from lab import Agent, Agentd, PROJECT, own_agentd, wait_for

MIB = 1024 * 1024
GIB = 1024 * MIB
SCAN = "limits:\n  disk_scan: 1\n"


@pytest.fixture(scope="module")
def daemon(build, incus, images):
    """An agentd that looks at the disks every second."""
    with own_agentd(build, incus, f"{PROJECT}-limits", images, SCAN) as d:
        yield d


@pytest.fixture(scope="module")
def pi(daemon):
    agent = daemon.deploy("pi", name="Limited")
    yield agent
    agent.remove()


def inside(daemon, agent, *argv, timeout=120):
    return subprocess.run(["incus", "exec", "--project", daemon.project,
                           agent.record["container"], "--", *argv],
                          capture_output=True, text=True, timeout=timeout)


def instance(daemon, agent):
    r = daemon.incus.call("GET", f"/1.0/instances/"
                          f"{agent.record['container']}"
                          f"?project={daemon.project}")
    return r["metadata"]


def put(daemon, agent, **limits):
    return daemon.call("PUT", f"/api/agents/{agent.slug}/limits", limits)


def lifecycle(agent, event):
    return [e for e in agent.trace(kind="lifecycle")
            if e["payload"].get("event") == event]


def test_changed_while_it_runs(daemon, pi):
    before = instance(daemon, pi)
    r = put(daemon, pi, memory_limit="768MiB", cpu_limit=2,
            process_limit=300)
    assert r.status == 200, r.body
    assert r.json["memory_limit"] == 768 * MIB
    now = instance(daemon, pi)
    assert now["config"]["limits.memory"] == str(768 * MIB)
    assert now["config"]["limits.cpu"] == "2"
    assert now["config"]["limits.processes"] == "300"
    # The same process 1: it was not restarted.
    assert now["last_used_at"] == before["last_used_at"]
    state = daemon.incus.call(
        "GET", f"/1.0/instances/{pi.record['container']}/state"
        f"?project={daemon.project}")["metadata"]
    assert state["memory"]["total"] == 768 * MIB
    rec = pi.record
    assert (rec["memory_limit"], rec["cpu_limit"], rec["process_limit"]) == \
        (768 * MIB, 2, 300)
    assert lifecycle(pi, "limits_changed")
    assert pi.answer(pi.say("still there?"))["state"] == "complete"


@pytest.mark.parametrize("field,value", [
    ("memory_limit", "2 GiB"), ("memory_limit", "lots"),
    ("memory_limit", "1MiB"), ("memory_limit", -1), ("memory_limit", 0),
    ("memory_limit", "99999TiB"), ("memory_limit", "0x1000"),
    ("memory_limit", "9" * 30),
    ("cpu_limit", 0), ("cpu_limit", 65), ("cpu_limit", -1),
    ("cpu_limit", "2"), ("cpu_limit", 1.5),
    ("process_limit", 0), ("process_limit", 5),
    ("process_limit", 10 ** 9),
    ("disk_limit", "1kB"), ("disk_limit", "100PiB"), ("disk_limit", "-5GiB"),
])
def test_nonsense_is_refused(daemon, pi, field, value):
    before = instance(daemon, pi)["config"]
    r = put(daemon, pi, **{field: value})
    assert r.status == 422, (r.status, r.body)
    assert field in r.json["error"], r.body
    r = daemon.call("POST", "/api/agents/deploy",
                    {"name": "x", "framework": "pi", field: value})
    assert r.status == 422 and field in r.json["error"], r.body
    assert instance(daemon, pi)["config"] == before


def test_memory_below_what_is_used(daemon, pi):
    daemon.call("POST", "/api/disk-quota/scan", {})
    r = put(daemon, pi, memory_limit="64MiB")
    assert r.status == 409, r.body
    assert "uses" in r.json["error"]
    assert pi.record["memory_limit"] > 64 * MIB


def test_by_agentctl(daemon, pi):
    out = daemon.ctl("agent", "limits", pi.slug, "--memory", "1GiB",
                     "--cpus", "1")
    assert "1 GiB" in out
    assert pi.record["memory_limit"] == GIB
    assert "processes" in daemon.ctl("agent", "limits", pi.slug)
    doc = json.loads(daemon.ctl("--json", "agent", "disk", pi.slug))
    assert doc["state"] == "ok" and doc["used"] > 0
    p = daemon.ctl("agent", "limits", pi.slug, "--cpus", "99", check=False)
    assert p.returncode == 1 and "cpu_limit" in p.stderr


@pytest.fixture()
def counted(incus):
    """Kernels lose count of a btrfs pool now and then (doctor says so)."""
    for p in incus.call("GET", "/1.0/storage-pools?recursion=1")["metadata"]:
        if p["driver"] == "btrfs":
            subprocess.run(["btrfs", "quota", "rescan", "-w",
                            f"/var/lib/incus/storage-pools/{p['name']}"],
                           check=False, capture_output=True)


def test_w16_a_disk_that_is_full(daemon, counted):
    """W16: usage comes from Incus and is the agent's own; at the quota the
    write fails, the agent is paused, and a larger quota lets it go on."""
    r = daemon.call("POST", "/api/agents/deploy",
                    {"name": "Full", "framework": "pi", "model": "demo",
                     "disk_limit": "256MiB"})
    assert r.status == 202, r.body
    a = Agent(daemon, r.json["name"])
    wait_for("deploy", lambda: a.record["status"] == "running", 60)
    try:
        used = daemon.get(f"/api/agents/{a.slug}/disk").json
        # Not the host's file system, and not the image all agents share.
        assert 0 < used["used"] < 64 * MIB, used
        assert used["quota"] == 256 * MIB and used["state"] == "ok"
        inside(daemon, a, "sh", "-c",
               "head -c 236000000 /dev/urandom >/root/w; sync")
        wait_for("warning", lambda: lifecycle(a, "disk_warn"), 60)
        p = inside(daemon, a, "sh", "-c",
                   "head -c 400000000 /dev/urandom >/root/f; s=$?; sync; "
                   "exit $s")
        assert p.returncode != 0 and "quota" in p.stderr.lower(), p
        wait_for("state hard", lambda:
                 a.record["disk"]["state"] == "hard", 60)
        wait_for("pause", lambda: instance(daemon, a)["status"] == "Frozen",
                 30)
        rec = a.record
        assert rec["status"] == "paused" and rec["disk"]["used"] > 0
        assert len(lifecycle(a, "disk_hard")) == 1
        turn = a.say("are you there?")
        r = daemon.call("POST", f"/api/agents/{a.slug}/quota",
                        {"size_gib": 2})
        assert r.status == 200 and r.json["new_quota_gib"] == 2, r.body
        assert a.answer(turn)["state"] == "complete"
        assert a.record["status"] == "running"
        assert a.record["disk_limit"] == 2 * GIB
        assert a.record["disk"]["state"] == "ok"
    finally:
        a.remove()


def test_w17_quota_is_checked_and_kept(daemon, pi, counted):
    """W17: a quota is stored, and never below what is used."""
    inside(daemon, pi, "sh", "-c",
           "head -c 150000000 /dev/urandom >/root/f; sync")
    r = put(daemon, pi, disk_limit="100MiB")
    assert r.status == 409 and "uses" in r.json["error"], r.body
    assert daemon.call("POST", f"/api/agents/{pi.slug}/quota",
                       {"size_gib": 0}).status == 422
    assert daemon.call("POST", f"/api/agents/{pi.slug}/quota",
                       {"size_gib": 3}).status == 200
    daemon.stop()
    daemon.start()
    assert pi.record["disk_limit"] == 3 * GIB
    scan = daemon.call("POST", "/api/disk-quota/scan", {}).json
    mine = [x for x in scan["results"] if x["name"] == pi.slug]
    assert mine and mine[0]["quota_gib"] == 3 and \
        0 < mine[0]["percent"] < 1, scan
    inside(daemon, pi, "rm", "-f", "/root/f")


def test_incus_follows_the_row(daemon, pi):
    """A change that was cut: what the row says is what Incus gets."""
    name = pi.record["container"]
    daemon.incus.do("PATCH",
                    f"/1.0/instances/{name}?project={daemon.project}",
                    {"config": {"limits.memory": str(300 * MIB)}})
    daemon.stop()
    daemon.start()
    want = str(pi.record["memory_limit"])
    wait_for("the row's limit", lambda: instance(
        daemon, pi)["config"]["limits.memory"] == want, 30)


def test_w33_ranges_of_user_ids(daemon, pi):
    """W33: root in a container is nobody on the host, and no two agents share
    an id."""
    other = daemon.deploy("pi", name="Other")
    try:
        maps = []
        for a in (pi, other):
            config = instance(daemon, a)["config"]
            assert config["security.idmap.isolated"] == "true"
            assert config["security.privileged"] == "false"
            for m in json.loads(config["volatile.idmap.current"]):
                if m["Isuid"]:
                    maps.append((m["Hostid"], m["Hostid"] + m["Maprange"]))
            p = inside(daemon, a, "cat", "/proc/self/uid_map")
            assert p.stdout.split()[0] == "0" and \
                int(p.stdout.split()[1]) >= 1000
        (a0, a1), (b0, b1) = sorted(maps)
        assert a0 >= 1000 and a1 <= b0 < b1, maps
    finally:
        other.remove()


def test_a_dir_pool_says_what_it_costs(build, incus, images):
    """On a pool without clones and quotas agentd says so, and a quota is
    refused instead of being a promise."""
    pool = f"agentd-dir-{os.getpid()}"
    where = tempfile.mkdtemp(prefix="agentd-pool-", dir="/var/tmp")
    r = incus.call("POST", "/1.0/storage-pools",
                   {"name": pool, "driver": "dir",
                    "config": {"source": where}})
    assert r.get("status_code", 200) in (200, 201), r
    project = f"{PROJECT}-dir"
    d = Agentd(build, incus, project=project)
    with open(d.config, encoding="utf-8") as f:
        text = f.read()
    with open(d.config, "w", encoding="utf-8") as f:
        f.write(text.replace(f"  project: {project}\n",
                             f"  project: {project}\n  pool: {pool}\n"))
    try:
        d.start()
        d.import_image("taos-pi-base", images.path("pi"))
        storage = wait_for("the pool", lambda: d.get(
            "/api/status").json["storage"].get("storage_note"), 20)
        assert "dir" in storage and "copies" in storage
        assert "enforces no disk quota" in d.log("keeper")
        assert "quota" in d.ctl("doctor", check=False).stdout
        r = d.call("POST", "/api/agents/deploy",
                   {"name": "Plain", "framework": "pi", "model": "demo"})
        assert "copies" in r.json["storage_note"], r.body
        a = Agent(d, r.json["name"])
        wait_for("deploy", lambda: a.record["status"] == "running", 120)
        r = d.call("POST", f"/api/agents/{a.slug}/quota", {"size_gib": 4})
        assert r.status == 409, r.body
        r = put(d, a, memory_limit="900MiB")
        assert r.status == 200, r.body
        disk = a.record["disk"]
        assert disk["used"] is None and disk["state"] == "ok"
        a.remove()
    finally:
        with contextlib.suppress(Exception):
            d.stop()
        d.remove()
        incus.purge_project(project)
        incus.call("DELETE", f"/1.0/storage-pools/{pool}")
        shutil.rmtree(where, ignore_errors=True)
