# Agents are kept apart, and a deploy that fails leaves nothing behind.
# SPDX-License-Identifier: ISC
import contextlib
import json
import os
import socket
import subprocess
import tempfile

import pytest

from lab import UnixHTTP, request, wait_for


def in_container(service, agent, *argv, stdin=None):
    """Runs a program in the agent's container (a test's means only)."""
    p = subprocess.run(["incus", "exec", "--project", service.project,
                        agent.record["container"], "--", *argv],
                       input=stdin, capture_output=True, text=True,
                       timeout=60)
    return p



# Node is in every image.
SCRIPT = """
const http = require('http');
const [path, method, body, key] = JSON.parse(process.argv[1]);
const headers = {'Content-Type': 'application/json', Host: 'agentd'};
if (key) headers.Authorization = 'Bearer ' + key;
if (body) headers['Content-Length'] = Buffer.byteLength(body);
const r = http.request({socketPath: '/opt/agentd/sock/agentd.sock', path,
    method, headers}, (res) => {
  let text = '';
  res.on('data', (d) => text += d);
  res.on('end', () => console.log(JSON.stringify([res.statusCode, text])));
});
r.on('error', (e) => console.log(JSON.stringify([0, String(e)])));
r.end(body || undefined);
"""


def agent_call(service, agent, method, path, body=None, key=None):
    """A request over the agent's socket, from inside its container."""
    p = in_container(service, agent, "/opt/node/bin/node", "-e", SCRIPT,
                     json.dumps([path, method,
                                 json.dumps(body) if body else "", key]))
    assert p.returncode == 0, p.stderr
    status, text = json.loads(p.stdout)
    return status, text


def hello(service, agent):
    status, text = agent_call(service, agent, "POST", "/api/agent/hello",
                              {"link": "0.1.0", "runtime": "pi",
                               "kind": "rpc"})
    assert status == 200, text
    return json.loads(text)["key"]


def test_stolen_key(service):
    """A's key on B's socket: 403, and both traces say so."""
    a, b = service.deploy("pi"), service.deploy("pi")
    try:
        key = hello(service, a)
        assert agent_call(service, a, "GET", "/v1/models",
                          key=key)[0] == 200
        status, text = agent_call(service, b, "GET", "/v1/models", key=key)
        assert status == 403, text
        assert key not in text
        for agent in (a, b):
            events = wait_for("event of the theft", lambda agent=agent: [
                e for e in agent.trace(kind="error")
                if e["payload"].get("stage") == "auth"], 10)
            assert key not in json.dumps(events)
        # A's own link still works: it says hello again.
        assert a.answer(a.say("still alive?"))["state"] == "complete"
    finally:
        a.remove()
        b.remove()


def test_no_key_and_wrong_key(service, pi):
    for key in (None, "sk-agentd-" + "0" * 64, "x"):
        for path in ("/v1/models", "/api/openclaw/bootstrap?agent=" + pi.slug):
            assert agent_call(service, pi, "GET", path, key=key)[0] == 401


def test_other_agents_names_are_no_use(service, pi):
    key = hello(service, pi)
    for method, path, body in (
            ("GET", "/api/openclaw/sessions/somebody/events", None),
            ("GET", "/api/openclaw/bootstrap?agent=somebody", None),
            ("POST", "/api/openclaw/sessions/somebody/reply",
             {"kind": "final", "id": "x", "trace_id": "x", "seq": 1,
              "attempt": 1, "content": "x"})):
        status, text = agent_call(service, pi, method, path, body, key)
        assert status in (403, 404), (path, status, text)
    # And nothing of the people's API is there at all.
    for path in ("/api/agents", "/api/status", "/api/providers",
                 f"/api/agents/{pi.slug}/trace"):
        assert agent_call(service, pi, "GET", path, key=key)[0] == 404


def test_no_call_without_a_turn(service, pi):
    key = hello(service, pi)
    status, text = agent_call(service, pi, "POST", "/v1/chat/completions",
                              {"model": "default", "messages": []}, key)
    assert 400 <= status < 500, (status, text)
    assert "turn" in text


def test_the_runtime_never_sees_the_key(service, pi):
    key = hello(service, pi)
    p = in_container(service, pi, "grep", "-rls", key[:40], "/root", "/etc",
                     "/opt", "/proc/1/environ")
    assert p.stdout == ""


def test_trace_of_an_agent_is_its_own(service, pi):
    key = hello(service, pi)
    status, text = agent_call(service, pi, "POST", "/api/trace",
                              {"agent_name": "somebody-else",
                               "kind": "reasoning",
                               "payload": {"text": "hm"}}, key)
    assert status in (200, 201, 202, 403), text
    if status != 403:
        ident = json.loads(text)["id"]
        wait_for("event", lambda: [e for e in pi.trace(kind="reasoning")
                                   if e["id"] == ident])
    assert agent_call(service, pi, "POST", "/api/trace",
                      {"agent_name": pi.slug, "kind": "nonsense",
                       "payload": {}}, key)[0] in (400, 422)


def test_other_local_users_cannot_connect(service, pi):
    path = pi.socket
    assert os.path.exists(path)
    code = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\n"
            "s.connect(sys.argv[1])\n")
    args = ["python3", "-c", code, path]
    assert subprocess.run(args, capture_output=True).returncode == 0
    p = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534",
                        "--clear-groups", *args], capture_output=True,
                       text=True)
    assert p.returncode != 0 and "PermissionError" in p.stderr
    # root is no agent: its uid is not in the container's range.
    r = request(UnixHTTP(path, 10), "POST", "/api/agent/hello",
                {"link": "0", "runtime": "pi", "kind": "rpc"})
    assert r.status == 403


def test_other_local_users_are_not_admins(service):
    code = ("import http.client,socket,sys\n"
            "c=http.client.HTTPConnection('localhost')\n"
            "c.sock=socket.socket(socket.AF_UNIX)\n"
            "c.sock.connect(sys.argv[1])\n"
            "c.request('GET','/api/agents')\n"
            "print(c.getresponse().status)\n")
    p = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534",
                        "--clear-groups", "python3", "-c", code,
                        service.socket], capture_output=True, text=True)
    assert p.stdout.strip() == "403", p


# ---- deploys that fail ----

def leftovers(service, before):
    """What a failed deploy left: instances, socket directories, records."""
    instances, dirs, agents, keys = snapshot(service)
    return (instances - before[0], dirs - before[1], agents - before[2],
            keys - before[3])


def snapshot(service):
    import sqlite3
    keys = set()
    db = sqlite3.connect(f"file:{service.state}/proxy/ledger.db?mode=ro",
                         uri=True)
    with contextlib.closing(db):
        for (table,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"):
            columns = [c[1] for c in db.execute(f"PRAGMA table_info({table})")]
            if "agent_id" in columns:
                keys |= {(table, r[0]) for r in
                         db.execute(f"SELECT agent_id FROM {table}")}
    return ({i["name"] for i in service.incus.instances(service.project)},
            set(os.listdir(f"{service.state}/agents")),
            {a["id"] for a in service.get("/api/agents").json},
            keys)


def failed_deploy(service, expect, **fields):
    before = snapshot(service)
    r = service.call("POST", "/api/agents/deploy",
                     {"name": "doomed", "framework": "pi", "model": "demo",
                      **fields})
    if r.status == 202:
        s = wait_for("end", lambda: [
            s for s in [service.get("/api/agents/doomed/deploy-status").json]
            if s["status"] != "deploying"], 120)[0]
        assert s["status"] == "failed", s
        error = s["error"]
    else:
        assert r.status >= 400, r.body
        error = r.json["error"]
    assert expect in error.lower(), error

    # A record that says "failed" may stay for the admin to read, or not.
    def clean():
        instances, dirs, _, keys = leftovers(service, before)
        return not (instances or dirs or keys)
    wait_for("clean state", clean, 30)
    service.call("DELETE", "/api/agents/doomed")
    wait_for("no record", lambda: not any(leftovers(service, before)), 30)


def test_unknown_model(service):
    failed_deploy(service, "no-such-model", model="no-such-model")


def test_unknown_framework(service):
    failed_deploy(service, "framework", framework="no-such-framework")


def test_socket_directory_cannot_be_made(service):
    path = f"{service.state}/agents"
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        failed_deploy(service, "", name="doomed")
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


@pytest.fixture(scope="module")
def dull_images(service):
    """Images whose containers do not start, or start and never connect."""
    out = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        src = f"{d}/init.c"
        with open(src, "w", encoding="utf-8") as f:
            f.write("#include <unistd.h>\nint main(void)"
                    "{for(;;)pause();}\n")
        for name, has_init in (("dead", False), ("mute", True)):
            root = f"{d}/{name}"
            for sub in ("rootfs/sbin", "rootfs/proc", "rootfs/sys",
                        "rootfs/dev", "rootfs/run", "rootfs/tmp",
                        "rootfs/opt/agentd/sock"):
                os.makedirs(f"{root}/{sub}")
            if has_init:
                subprocess.run(["gcc", "-static", "-O1", "-o",
                                f"{root}/rootfs/sbin/init", src], check=True)
            with open(f"{root}/metadata.yaml", "w", encoding="utf-8") as f:
                f.write("architecture: x86_64\ncreation_date: 1700000000\n"
                        f"properties:\n  description: test {name}\n")
            path = f"{d}/{name}.tar.zst"
            subprocess.run(["tar", "-C", root, "--zstd", "-cf", path,
                            "metadata.yaml", "rootfs"], check=True)
            service.import_image(f"taos-{name}-base", path)
            out[name] = path
        yield out


@pytest.fixture(scope="module")
def dull(build, incus, images, dull_images, service):
    """An agentd whose catalog names those images."""
    catalog = f"{service.dir}/catalog"
    os.makedirs(catalog, exist_ok=True)
    shared = f"{service.inst}/share/agentd/catalog/frameworks"
    with open(f"{shared}/pi.yaml", encoding="utf-8") as f:
        good = f.read()
    written = []
    for name in ("dead", "mute", "gone"):
        text = []
        for line in good.split("\n"):
            if line.startswith("id:"):
                line = f"id: {name}"
            elif line.startswith("image:"):
                line = f"image: taos-{name}-base"
            elif line.startswith("ready_timeout:"):
                line = "ready_timeout: 5"
            text.append(line)
        path = f"{shared}/{name}.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(text))
        written.append(path)
    import signal
    os.kill(service.proc.pid, signal.SIGHUP)
    wait_for("frameworks", lambda: {"dead", "mute", "gone"} <= {
        f["id"] for f in service.get("/api/frameworks").json})
    yield service
    for path in written:
        os.unlink(path)
    os.kill(service.proc.pid, signal.SIGHUP)


def test_image_is_missing(dull):
    failed_deploy(dull, "image", framework="gone")


def test_container_does_not_start(dull):
    failed_deploy(dull, "", framework="dead")


def test_link_never_connects(dull):
    failed_deploy(dull, "", framework="mute")


def test_delete_cancels_a_deploy(dull):
    before = snapshot(dull)
    r = dull.call("POST", "/api/agents/deploy",
                  {"name": "doomed", "framework": "mute", "model": "demo"})
    assert r.status == 202, r.body
    assert dull.call("DELETE", "/api/agents/doomed").status == 200
    wait_for("clean state", lambda: not any(leftovers(dull, before)), 30)


def test_same_name_twice(service, pi):
    """A taken name gets a number; the answer says which."""
    other = service.deploy("pi", name=pi.slug)
    try:
        assert other.slug == f"{pi.slug}-2"
        assert other.record["display_name"] == pi.slug
        assert other.answer(other.say("hello"))["state"] == "complete"
    finally:
        other.remove()


@pytest.mark.parametrize("name, slug", [
    ("archived", "archived-2"), ("Bulk", "bulk-2"), ("deploy", "deploy-2"),
    ("x" * 51 + " tail", "x" * 51), ("y" * 64, "y" * 52)])
def test_names_that_cannot_be_slugs(service, name, slug):
    """W22: reserved words and long names deploy, with a slug that works."""
    agent = service.deploy("pi", name=name)
    try:
        assert agent.slug == slug
        assert agent.record["display_name"] == name
    finally:
        agent.remove()


def test_a_foreign_instance_is_never_touched(service):
    """Somebody else's instance in our project: not listed, not removed."""
    name = "somebody-elses"
    alias = "taos-pi-base"
    r = service.incus.call("GET", f"/1.0/images/aliases/{alias}?project="
                           f"{service.project}")
    body = {"name": name, "source": {"type": "image", "fingerprint":
                                     r["metadata"]["target"]},
            "profiles": [], "devices": {"root": {
                "type": "disk", "path": "/", "pool": "default"}}}
    service.incus.call("POST", f"/1.0/instances?project={service.project}",
                       body)
    try:
        import signal
        os.kill(service.pids()["keeper"], signal.SIGKILL)
        wait_for("keeper", service.healthy)
        os.kill(service.pids()["container"], signal.SIGKILL)
        wait_for("keeper", service.healthy)
        agent = service.deploy("pi")
        agent.remove()
        assert name in {i["name"] for i in
                        service.incus.instances(service.project)}
    finally:
        service.incus.call("DELETE", f"/1.0/instances/{name}?project="
                           f"{service.project}")


def test_socket_path_is_short_enough(service, pi):
    assert len(pi.socket) < 108
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.connect(pi.socket)
