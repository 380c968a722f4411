# The warm pool and agents that sleep, on real Incus.
# SPDX-License-Identifier: ISC
import os
import signal
import subprocess
import time

import pytest

from lab import Agent, own_agentd, wait_for

PROJECT = f"agentd-test-pl{os.getpid()}"

POOL = "warm_pool: {pi: 1}\n"


@pytest.fixture(scope="module")
def warm(build, incus, images):
    with own_agentd(build, incus, PROJECT, images, POOL) as d:
        yield d


def members(d, state=None):
    return [i for i in d.get("/api/pool").json["instances"]
            if state is None or i["state"] == state]


def ready(d, timeout=90):
    return wait_for("instance made ahead", lambda: members(d, "ready"),
                    timeout)[0]


def set_pool(d, text):
    with open(d.config, encoding="utf-8") as f:
        lines = [x for x in f if not x.startswith("warm_pool:")]
    with open(d.config, "w", encoding="utf-8") as f:
        f.write("".join(lines) + text)
    d.proc.send_signal(signal.SIGHUP)


def names(incus):
    return {i["name"]: i["status"] for i in incus.instances(PROJECT)}


def agree(d, incus):
    """Incus has the instances of agents and pool, and no other."""
    def same():
        known = {a["container"] for a in d.get("/api/agents").json}
        known |= {m["container"] for m in members(d)}
        return set(names(incus)) == known and \
            set(os.listdir(f"{d.state}/agents")) == \
            {a["id"] for a in d.get("/api/agents").json} | \
            {m["id"] for m in members(d)}
    wait_for("agreement of Incus, directories and rows", same, 60)


def kill(d, worker):
    os.kill(d.pids()[worker], signal.SIGKILL)


def test_adopt_and_refill(warm, incus):
    """W72: a deploy takes what was made ahead; nothing is created for it."""
    m = ready(warm)
    inst = {i["name"]: i for i in incus.instances(PROJECT)}[m["container"]]
    assert inst["status"] == "Frozen"
    assert inst["config"]["user.agentd.agent_id"] == m["id"]
    a = warm.deploy("pi", name="From Pool")
    s = warm.get(f"/api/agents/{a.slug}/deploy-status").json
    assert s["source"] == "pool"
    r = a.record
    assert (r["id"], r["container"]) == (m["id"], m["container"])
    inst = {i["name"]: i for i in incus.instances(PROJECT)}[m["container"]]
    assert inst["status"] == "Running"
    assert inst["config"]["user.agentd.slug"] == a.slug
    assert a.answer(a.say("are you there?"))["state"] == "complete"
    assert ready(warm)["id"] != m["id"]
    agree(warm, incus)
    assert a.remove().status == 200
    agree(warm, incus)


def test_holds_no_key(warm):
    """A warm instance is nobody: no key is minted, nothing else answers."""
    m = ready(warm)
    db = f"{warm.state}/proxy/ledger.db"
    out = subprocess.run(["python3", "-c", """
import sqlite3, sys
c = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(c.execute("SELECT count(*) FROM vkey WHERE agent_id = ?",
                (sys.argv[2],)).fetchone()[0],
      c.execute("SELECT count(*) FROM agent WHERE id = ?",
                (sys.argv[2],)).fetchone()[0])
""", db, m["id"]], capture_output=True, text=True, check=False)
    # Its writer holds it exclusively in some builds: then ask the API.
    if out.returncode == 0:
        assert out.stdout.split() == ["0", "0"]
    assert m["id"] not in [a["id"] for a in warm.get("/api/agents").json]
    assert warm.get("/api/agents/warm-" + m["id"][:12]).status == 404


def test_limits_live_or_cold(warm, incus):
    """More than the pool's limits is set live; less goes the cold way."""
    m = ready(warm)
    r = warm.call("POST", "/api/agents/deploy",
                  {"name": "big", "framework": "pi", "model": "demo",
                   "memory_limit": "1GiB", "cpu_limit": 2})
    assert r.status == 202, r.body
    wait_for("big", lambda: warm.get("/api/agents/big").json["status"] ==
             "running", 60)
    inst = {i["name"]: i for i in incus.instances(PROJECT)}[m["container"]]
    assert inst["config"]["limits.memory"] == str(1 << 30)
    assert inst["config"]["limits.cpu"] == "2"
    m = ready(warm)
    r = warm.call("POST", "/api/agents/deploy",
                  {"name": "small", "framework": "pi", "model": "demo",
                   "memory_limit": "300MiB"})
    assert r.status == 202, r.body
    wait_for("small", lambda: warm.get("/api/agents/small").json["status"] ==
             "running", 60)
    s = warm.get("/api/agents/small/deploy-status").json
    assert s["source"] == "image"
    assert m["id"] in [x["id"] for x in members(warm)]
    for name in ("big", "small"):
        assert Agent(warm, name).remove().status == 200
    agree(warm, incus)


def test_falls_back_to_cold(warm, incus):
    """One that was stopped by hand cannot be taken: a new one is made."""
    m = ready(warm)
    incus.do("PUT", f"/1.0/instances/{m['container']}/state?"
               f"project={PROJECT}",
               {"action": "stop", "force": True, "timeout": 10})
    a = warm.deploy("pi", name="fallback")
    s = warm.get(f"/api/agents/{a.slug}/deploy-status").json
    assert s["status"] == "success" and s["source"] == "image"
    assert a.answer(a.say("hello"))["state"] == "complete"
    a.remove()
    agree(warm, incus)


@pytest.mark.long
def test_image_change_throws_away(warm, incus, images):
    """A warm instance of an older image is not taken, and goes."""
    m = ready(warm)
    # The same image with one more file under the same alias.
    out = f"{warm.dir}/other.tar"
    subprocess.run(f"zstd -dcq {images.path('pi')} > {out} && "
                   f"mkdir -p {warm.dir}/rootfs/etc && "
                   f"date > {warm.dir}/rootfs/etc/other && "
                   f"tar -C {warm.dir} --owner=0 --group=0 -rf {out} "
                   "rootfs/etc/other", shell=True, check=True)
    warm.import_image("taos-pi-base", out)
    os.unlink(out)
    wait_for("end of the old one", lambda: m["id"] not in
             [x["id"] for x in members(warm)], 60)
    n = ready(warm)
    assert n["image"] != m["image"]
    agree(warm, incus)


def test_config_shrinks_and_grows(warm, incus):
    ready(warm)
    set_pool(warm, "warm_pool: {pi: 0}\n")
    wait_for("empty pool", lambda: not members(warm), 60)
    agree(warm, incus)
    set_pool(warm, "warm_pool: {pi: 2, nosuch: 1}\n")
    wait_for("two", lambda: len(members(warm, "ready")) == 2, 120)
    assert "nosuch" in warm.get("/api/pool").json["held_back"]
    out = warm.ctl("pool")
    assert out.count("ready") == 2 and "nosuch" in out
    set_pool(warm, POOL)
    wait_for("one", lambda: len(members(warm)) == 1, 60)
    agree(warm, incus)


@pytest.mark.long
@pytest.mark.parametrize("worker,state", [
    ("keeper", "making"), ("container", "making"), ("keeper", "warming"),
    ("gateway", "warming")])
def test_killed_while_made(warm, incus, worker, state):
    """W13: whatever dies while one is made, nothing of it is left."""
    ready(warm)
    set_pool(warm, "warm_pool: {pi: 2}\n")
    wait_for(state, lambda: members(warm, state), 60, 0.005)
    kill(warm, worker)
    wait_for("agentd", warm.healthy, 20)
    wait_for("two", lambda: len(members(warm, "ready")) == 2, 120)
    agree(warm, incus)
    set_pool(warm, POOL)
    wait_for("one", lambda: len(members(warm)) == 1, 60)
    agree(warm, incus)


@pytest.mark.long
@pytest.mark.parametrize("worker,delay", [
    ("keeper", 0.0), ("keeper", 0.02), ("container", 0.0),
    ("container", 0.02), ("gateway", 0.01), ("proxy", 0.0)])
def test_killed_while_adopted(warm, incus, worker, delay):
    """W13: the agent runs in the end, or nothing of it is left."""
    ready(warm)
    name = f"kill-{worker}-{int(delay * 1000)}"
    pid = warm.pids()[worker]
    r = warm.call("POST", "/api/agents/deploy",
                  {"name": name, "framework": "pi", "model": "demo"})
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    wait_for("agentd", warm.healthy, 20)
    if r.status == 202:
        def over():
            s = warm.get(f"/api/agents/{name}/deploy-status").json
            return s if s["status"] != "deploying" else None
        wait_for("end of the deploy", over, 90)
    r = warm.get(f"/api/agents/{name}")
    if r.status == 200:
        assert r.json["status"] in ("running", "starting")
        assert Agent(warm, name).remove().status == 200
    ready(warm)
    agree(warm, incus)


def test_survives_restart(warm, incus):
    """A ready one is taken after agentd was away."""
    m = ready(warm)
    warm.stop()
    warm.start()
    assert m["id"] in [x["id"] for x in members(warm)]
    a = warm.deploy("pi", name="after-restart")
    assert a.record["id"] == m["id"]
    assert a.answer(a.say("hello"))["state"] == "complete"
    a.remove()
    agree(warm, incus)


# ---- sleep ----

def asleep(a):
    return a.record["status"] == "asleep"


def set_mode(d, mode):
    with open(d.config, encoding="utf-8") as f:
        lines = [x for x in f if not x.startswith("idle_mode:")]
    with open(d.config, "w", encoding="utf-8") as f:
        f.write("".join(lines) + f"idle_mode: {mode}\n")
    d.proc.send_signal(signal.SIGHUP)
    time.sleep(0.5)


@pytest.mark.parametrize("mode,status", [("stop", "Stopped"),
                                         ("freeze", "Frozen")])
def test_sleeps_and_wakes(warm, incus, mode, status):
    """An agent without work sleeps; its answer proves that it woke."""
    set_mode(warm, mode)
    a = warm.deploy("pi", name=f"sleeper-{mode}")
    assert warm.ctl("agent", "idle", a.slug, "10s").startswith(a.slug)
    assert a.record["idle"] == 10
    assert a.answer(a.say("one"))["state"] == "complete"
    wait_for("sleep", lambda: asleep(a), 30)
    wait_for(status, lambda: names(incus)[a.record["container"]] == status,
             30)
    # It stays so, also over a restart.
    kill(warm, "keeper")
    wait_for("agentd", warm.healthy, 20)
    time.sleep(2)
    assert asleep(a)
    assert names(incus)[a.record["container"]] == status
    assert a.answer(a.say("two"))["state"] == "complete"
    assert not asleep(a)
    a.remove()
    agree(warm, incus)


@pytest.mark.long
def test_message_while_it_falls_asleep(warm, incus):
    """What comes while it is put to sleep is answered all the same."""
    set_mode(warm, "stop")
    a = warm.deploy("pi", name="drowsy")
    warm.ctl("agent", "idle", a.slug, "10s")
    for _ in range(2):
        wait_for("sleep", lambda: asleep(a), 40, 0.01)
        assert a.answer(a.say("wake up"))["state"] == "complete"
    a.remove()
    agree(warm, incus)


def test_wake_that_fails_is_said(warm, incus):
    set_mode(warm, "stop")
    a = warm.deploy("pi", name="broken")
    warm.ctl("agent", "idle", a.slug, "10s")
    wait_for("sleep", lambda: asleep(a), 40)
    inst = a.record["container"]
    wait_for("Stopped", lambda: names(incus)[inst] == "Stopped", 30)
    path = f"/1.0/instances/{inst}?project={PROJECT}"
    incus.do("PATCH", path,
             {"config": {"raw.lxc": "lxc.init.cmd=/nonexistent"}})
    turn = a.say("are you there?")

    def failed():
        return [m for m in a.history() if m["id"] == turn and
                m["state"] == "failed"]
    m = wait_for("failure in the chat", failed, 60)[0]
    assert "could not be woken" in m["metadata"]["error"]
    # What had begun of it is taken down before anybody hears of the failure.
    assert names(incus)[inst] == "Stopped"
    incus.do("PATCH", path, {"config": {"raw.lxc": ""}})
    assert a.answer(a.say("and now?"))["state"] == "complete"
    a.remove()
    agree(warm, incus)


def test_idle_is_checked(warm):
    a = warm.deploy("pi", name="strict")
    for bad in ("5", "31d", "soon", "-1"):
        p = warm.ctl("agent", "idle", a.slug, bad, check=False)
        assert p.returncode != 0, bad
    assert warm.ctl("agent", "idle", a.slug, "never").strip().endswith(
        "never sleeps")
    p = warm.ctl("agent", "idle", "nobody", "10m", check=False)
    assert p.returncode == 1 and "nobody" in p.stderr
    a.remove()
