# The recycle bin in an agent's container, and what of an agent is secret.
# SPDX-License-Identifier: ISC
import json
import os
import subprocess
import time

import pytest

from lab import own_agentd, wait_for

PROJECT = f"agentd-test-{os.getpid()}r"
ODD = ["plain", "with blank", "-rf", "--", "new\nline", "quote'\"s",
       "$(reboot)", "back\\slash", "ü€", "*", "tab\there"]


@pytest.fixture(scope="module")
def home(build, incus, images):
    with own_agentd(build, incus, PROJECT, images) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def agent(home):
    a = home.deploy("pi")
    yield a
    a.remove()


def run(home, agent, *argv, **kw):
    p = subprocess.run([f"{home.inst}/bin/agentctl", "-s", home.socket,
                        "agent", "exec", agent.slug, "--", *argv],
                       capture_output=True, timeout=120, **kw)
    return p


def sh(home, agent, script, *args, status=0):
    p = run(home, agent, "sh", "-c", script, "sh", *args)
    # Under load Incus may refuse a WebSocket (500, seen): nothing has run.
    if p.returncode == 255 and b"the command did not start" in p.stderr:
        p = run(home, agent, "sh", "-c", script, "sh", *args)
    assert p.returncode == status, p
    return p.stdout


def items(home, agent):
    r = home.get(f"/api/agents/{agent.slug}/recycle")
    assert r.status == 200, r.body
    assert r.json["agent_name"] == agent.slug and r.json["status"] == "ok"
    return {i["original_path"]: i for i in r.json["items"]}


def test_odd_names_come_back(home, agent):
    for i, name in enumerate(ODD):
        where = f"/root/odd{i}"
        path = f"{where}/{name}"
        sh(home, agent, 'mkdir -p "$1" && printf %s "$2" >"$1/$2"', where,
           name)
        sh(home, agent, 'cd "$1" && rm -- "$2" && ! [ -e "$2" ]', where,
           name)
        it = items(home, agent)[path]
        assert it["size_bytes"] == len(name.encode())
        assert abs(it["deleted_at"] - time.time()) < 60
        body = {"id": it["id"]} if i % 2 else {"original_path": path}
        r = home.call("POST", f"/api/agents/{agent.slug}/recycle/restore",
                      body)
        assert r.status == 200, r.body
        assert r.json["status"] == "restored"
        assert r.json["original_path"] == path
        assert sh(home, agent, 'cat "$1/$2"', where, name) == name.encode()
        assert path not in items(home, agent)


def test_all_agents(home, agent):
    """One list of all bins, newest first; who cannot say is named, and one
    that never answers does not prevent the others."""
    other, third = home.deploy("pi"), home.deploy("pi")
    try:
        for a, name in ((agent, "first"), (other, "second")):
            sh(home, a, "touch /root/$1 && rm /root/$1", name)
            time.sleep(1.1)
        assert home.call("POST", f"/api/agents/{third.slug}/stop",
                         {}).status == 200
        r = home.get("/api/recycle")
        assert r.status == 200, r.body
        mine = [(i["agent_name"], i["original_path"])
                for i in r.json["items"] if i["original_path"] in
                ("/root/first", "/root/second")]
        assert mine == [(other.slug, "/root/second"),
                        (agent.slug, "/root/first")]
        times = [i["deleted_at"] for i in r.json["items"]]
        assert times == sorted(times, reverse=True)
        assert [w["agent_name"] for w in r.json["without"]] == [third.slug]
        assert "stopped" in r.json["without"][0]["reason"]
        p = home.ctl("recycle", "list", check=False)
        assert p.returncode == 0, p.stderr
        assert other.slug in p.stdout and "/root/first" in p.stdout
        assert third.slug in p.stderr
        # Hostile: its program never ends, or says what makes no sense.
        for text, why in (("sleep 60", "in time"), ("echo x", "no sense"),
                          ("yes", "too much"), ("exit 9", "fails")):
            sh(home, other, 'printf "#!/bin/sh\n%s\n" "$1" >/tmp/r; '
               "chmod 755 /tmp/r; mv /tmp/r /usr/lib/agentd/recycle", text)
            r = home.get("/api/recycle")
            assert r.status == 200, r.body
            found = {w["agent_name"]: w["reason"] for w in r.json["without"]}
            assert why in found[other.slug], found
            assert "/root/first" in [i["original_path"]
                                     for i in r.json["items"]]
    finally:
        other.remove()
        third.remove()


def test_rm_is_rm(home, agent):
    """What people and scripts rely on: status, -r, -f, -i, symlinks."""
    sh(home, agent, """
        set -e
        cd /root; mkdir -p t; cd t
        [ "$(command -v rm)" = /usr/local/bin/rm ]
        rm -f nothing
        ! rm nothing 2>/dev/null
        mkdir d; : >d/f
        ! rm d 2>/dev/null; [ -e d/f ]
        ! rm -d d 2>/dev/null; [ -e d/f ]
        echo n | rm -ri d; [ -e d/f ]
        echo y | rm -ri d; ! [ -e d ]
        mkdir keep; : >keep/x; ln -s keep link; rm link; [ -e keep/x ]
        ln -s nowhere dangling; rm dangling; ! [ -L dangling ]
        mkdir e; rm -d e; ! [ -e e ]
        : >a; : >b; rm a b; ! [ -e a ]; ! [ -e b ]
        ! rm -rf . 2>/dev/null; [ -e keep/x ]
        ! rm --no-such-option a 2>/dev/null
        : >v; rm -v v | grep -q "removed 'v'"
        mkfifo p; rm p
        : >/tmp/other; rm /tmp/other; ! [ -e /tmp/other ]
    """)


def test_huge_tree_and_purge(home, agent):
    sh(home, agent, "mkdir -p /root/tree; cd /root/tree; for i in $(seq 200);"
       " do mkdir d$i; : >d$i/a; : >d$i/b; done; rm -rf /root/tree;"
       " ! [ -e /root/tree ]")
    it = items(home, agent)["/root/tree"]
    out = home.ctl("recycle", "list", agent.slug)
    assert it["id"] in out and "/root/tree" in out
    path = f"/api/agents/{agent.slug}/recycle"
    r = home.call("DELETE", f"{path}/{it['id']}")
    assert (r.status, r.json["status"]) == (200, "purged"), r.body
    assert "/root/tree" not in items(home, agent)
    assert home.call("DELETE", f"{path}/{it['id']}").status == 404
    assert home.call("DELETE", f"{path}/xyz").status == 404
    sh(home, agent, "! ls /var/recycle-bin/files | grep -q " + it["id"])


def test_refusals(home, agent):
    path = f"/api/agents/{agent.slug}/recycle/restore"
    assert home.call("POST", path, {}).status == 400
    assert home.call("POST", path, {"id": "a" * 32,
                                    "original_path": "/x"}).status == 400
    assert home.call("POST", path, {"original_path": "rel"}).status == 400
    assert home.call("POST", path, {"original_path": "/no"}).status == 404
    assert home.call("POST", path, {"id": "x"}).status == 422
    sh(home, agent, "echo 1 >/root/way; rm /root/way; echo 2 >/root/way")
    r = home.call("POST", path, {"original_path": "/root/way"})
    assert r.status == 409 and "/root/way" in r.json["error"], r.body
    assert sh(home, agent, "cat /root/way") == b"2\n"


def test_swept_by_the_time_of_deletion(home, agent):
    """Not by the age of the file, and not what is younger than 30 days."""
    sh(home, agent, "cd /root; for f in old new; do touch -d 2001-01-01 $f;"
       " rm $f; done")
    old = items(home, agent)["/root/old"]["id"]
    sh(home, agent, "sed -i s/DeletionDate=..../DeletionDate=2020/ "
       f"/var/recycle-bin/info/{old}.trashinfo; /usr/lib/agentd/recycle "
       "sweep")
    have = items(home, agent)
    assert "/root/old" not in have and "/root/new" in have
    sh(home, agent, f"! [ -e /var/recycle-bin/files/{old} ]")
    assert b"agentd-recycle.timer" in sh(
        home, agent, "systemctl list-timers --all --no-pager")


def test_set_uid_it_does_nothing(home, agent):
    """C45: the wrapper cannot become a way to another user's rights."""
    sh(home, agent, "cp /usr/lib/agentd/recycle /root/rm; chmod 4755 "
       "/root/rm; chmod 711 /root; echo x >/etc/victim")
    p = subprocess.run([f"{home.inst}/bin/agentctl", "-s", home.socket,
                        "agent", "exec", agent.slug, "-u", "1000", "-C", "/",
                        "--", "/root/rm", "-f", "/etc/victim"],
                       capture_output=True, timeout=60, check=False)
    assert p.returncode == 2 and b"set-uid" in p.stderr, p
    assert sh(home, agent, "cat /etc/victim; chmod 700 /root") == b"x\n"


def test_a_hostile_bin(home, agent):
    """The agent is root there: its list is checked, never believed."""
    sh(home, agent, "cp -a /usr/lib/agentd/recycle /root/good")
    try:
        for script in ("printf 'x\\0y\\0'", "head -c 20000000 /dev/zero",
                       "printf '../../etc\\0001\\0001\\0/x\\0'",
                       "kill -9 $$", "echo '<script>' >&2; exit 1",
                       "printf '%032d\\00099999999999999999\\0-\\0/x\\0' 1"):
            sh(home, agent, "/usr/bin/rm -f /usr/lib/agentd/recycle; printf "
               "'#!/bin/sh\\n%s\\n' \"$1\" >/usr/lib/agentd/recycle; "
               "chmod 755 /usr/lib/agentd/recycle", script)
            r = home.get(f"/api/agents/{agent.slug}/recycle")
            assert r.status in (500, 502), (script, r.status, r.body[:200])
            assert isinstance(r.json["error"], str)
    finally:
        sh(home, agent, "/usr/bin/rm -f /usr/lib/agentd/recycle; mv "
           "/root/good /usr/lib/agentd/recycle")
    assert items(home, agent) is not None


def test_not_running(home):
    a = home.deploy("pi")
    try:
        assert home.call("POST", f"/api/agents/{a.slug}/stop").status == 200
        r = home.get(f"/api/agents/{a.slug}/recycle")
        assert r.status == 409 and "start it first" in r.json["error"]
    finally:
        a.remove()


# ---- what is secret, and where it is not ----

def test_nothing_secret_in_the_instance(home, agent, incus):
    """W34: nothing of the host can be written from within, the trace is not
    mounted; W49: no secret in the instance's configuration or environment."""
    nothing_secret(home, agent, incus)


def nothing_secret(home, agent, incus):
    path = (f"/1.0/instances/{agent.record['container']}"
            f"?project={home.project}")
    meta = incus.call("GET", path)["metadata"]
    config = {**meta["config"], **meta["expanded_config"]}
    assert not [k for k in config if k.startswith("environment.")]
    text = json.dumps(meta)
    for word in ("sk-", "token", "secret", "api_key", "password"):
        assert word not in text.lower().replace(
            "user.agentd.request", ""), word
    for name, dev in meta["expanded_devices"].items():
        if dev["type"] == "disk" and name != "root":
            assert dev["readonly"] == "true", dev
            assert dev["path"] == "/opt/agentd/sock", dev
        assert dev["type"] in ("disk", "none"), dev
    # The one directory of the host cannot be changed by its root.
    sh(home, agent, "! touch /opt/agentd/sock/x && ! mv "
       "/opt/agentd/sock/agentd.sock /opt/agentd/sock/y && "
       "! mount -o remount,rw /opt/agentd/sock", status=0)
    mounts = sh(home, agent, "cat /proc/mounts").decode()
    assert "trace" not in mounts and home.dir not in mounts
    env = sh(home, agent, "tr '\\0' '\\n' </proc/1/environ").decode()
    assert "KEY" not in env.upper() and "TOKEN" not in env.upper(), env


def cmdlines(seen, end):
    while time.monotonic() < end():
        for pid in os.listdir("/proc"):
            if pid.isdigit():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        seen.add(f.read())
                except OSError:
                    pass


def test_no_secret_in_argv_of_the_host(home, mock_tcp):
    """W49: a deploy and a turn put no key on any command line."""
    import threading
    seen = set()
    stop = [time.monotonic() + 120]
    t = threading.Thread(target=cmdlines, args=(seen, lambda: stop[0]))
    t.start()
    try:
        model = home.add_provider("w49", mock_tcp)
        a = home.deploy("pi", model=model)
        assert a.answer(a.say("hello"))["state"] == "complete"
        pid = home.pids()
    finally:
        stop[0] = 0
        t.join()
    a.remove()
    assert pid and any(b"agentd" in c for c in seen)
    with open(f"{home.state}/.auth_local_token", "rb") as f:
        token = f.read().strip()
    for c in seen:
        assert token not in c
        # The mock itself is started with its key; it is no part of us.
        if b"mock-upstream" not in c:
            assert mock_tcp.key.encode() not in c, c


def test_openclaw_token_is_of_one_start(service, incus):
    """W49: what OpenClaw's gateway and the link share is in memory, made at
    each start, and differs from agent to agent."""
    agents = [service.deploy("openclaw") for _ in range(2)]
    try:
        tokens = [run(service, a, "cat", "/run/openclaw/token").stdout
                  for a in agents]
        assert len(set(tokens)) == 2 and len(tokens[0].strip()) == 48
        assert sh(service, agents[0],
                  "stat -f -c %T /run/openclaw; stat -c %a /run/openclaw "
                  "/run/openclaw/token /run/openclaw/env").split() == [
                      b"tmpfs", b"700", b"600", b"600"]
        p = run(service, agents[0], "grep", "-rlF",
                tokens[0].strip().decode(), "/etc", "/root", "/var", "/opt",
                "/usr")
        assert p.stdout == b"", p.stdout
        assert agents[0].answer(agents[0].say("hello"))["state"] == \
            "complete"
        nothing_secret(service, agents[0], incus)
    finally:
        for a in agents:
            a.remove()
