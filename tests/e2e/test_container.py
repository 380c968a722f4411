# The container worker against the real Incus, and against a false one.
# SPDX-License-Identifier: ISC
import hashlib
import http.server
import json
import os
import pwd
import shutil
import socketserver
import subprocess
import tarfile
import tempfile
import threading
import time

import pytest

from driver import Worker

PROJECT = f"agentd-test-ct{os.getpid()}"
NODE = "0123456789abcdef0123456789abcdef"
AGENT = "ab" * 16

INIT = r"""
#include <signal.h>
#include <unistd.h>

int
main(void)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	while (sigwait(&all, &sig) == 0)
		if (POLITE && (sig == SIGPWR || sig == SIGTERM))
			return 0;
	return 1;
}
"""


def make_image(where, name, polite=True, fill=0, init="/sbin/init"):
    """A container image whose only program is its init."""
    root = f"{where}/{name}"
    os.makedirs(f"{root}/rootfs/sbin")
    for d in ("dev", "proc", "sys", "etc", "tmp", "run", "opt"):
        os.makedirs(f"{root}/rootfs/{d}")
    source = f"{root}/init.c"
    with open(source, "w", encoding="ascii") as f:
        f.write(INIT.replace("POLITE", str(int(polite))))
    subprocess.run(["cc", "-static", "-Os", "-o", f"{root}/rootfs{init}",
                    source], check=True)
    os.unlink(source)
    if fill:
        with open(f"{root}/rootfs/fill", "wb") as f:
            f.write(os.urandom(fill))
    with open(f"{root}/metadata.yaml", "w", encoding="ascii") as f:
        f.write("architecture: x86_64\ncreation_date: 1795361329\n"
                f"properties:\n  description: test {name}\n"
                "  version: '1.5'\n")
    path = f"{where}/{name}.tar"
    with tarfile.open(path, "w") as tar:
        for part in ("metadata.yaml", "rootfs"):
            tar.add(f"{root}/{part}", part)
    return path


def start_worker(build, socket_path, within=(), **conf):
    user = pwd.getpwnam("_agentd-container")
    os.environ["AGENTD_BUILD"] = f"{build}/gcc"
    return Worker("container", {
        "generation": 1, "log_level": 2, "node_id": NODE,
        "incus_socket": socket_path, "incus_project": PROJECT, **conf},
        ["keeper"], uid=user.pw_uid, gid=user.pw_gid,
        group=os.stat(socket_path).st_gid if os.path.exists(socket_path)
        else user.pw_gid, within=within)


@pytest.fixture(scope="module")
def top():
    path = tempfile.mkdtemp(prefix="ct-", dir="/var/tmp")
    os.chmod(path, 0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def tars(top):
    return {"polite": make_image(top, "polite"),
            "stubborn": make_image(top, "stubborn", polite=False),
            "broken": make_image(top, "broken", init="/sbin/unit"),
            "newer": make_image(top, "newer", fill=100000)}


@pytest.fixture(scope="module")
def project(incus):
    incus.purge_project(PROJECT)
    yield incus
    incus.purge_project(PROJECT)


@pytest.fixture
def worker(build, project):
    w = start_worker(build, project.socket)
    yield w
    w.close()


def put_image(w, alias, path, how="fd", size=None):
    return w.call("keeper", "CT_IMAGE_PUT",
                  {"alias": alias, "size": size or os.path.getsize(path)},
                  **{how: path})


@pytest.fixture
def stocked(worker, tars):
    for name in ("polite", "stubborn", "broken"):
        assert put_image(worker, name, tars[name])["status"] == 200
    return worker


def request(top, agent=AGENT, **more):
    sock = f"{top}/sock/{agent}"
    os.makedirs(sock, exist_ok=True)
    return {"agent_id": agent, "instance": "agentd-" + agent[:12],
            "slug": "one", "node_id": NODE, "image": "polite",
            "sock_dir": sock, "memory": 64 << 20, "cpus": 1,
            "disk": 256 << 20, "processes": 50, "request": "cd" * 16,
            **more}


def act(w, verb, timeout=0, agent=AGENT, instance=None):
    return w.call("keeper", "CT_ACTION",
                  {"agent_id": agent, "verb": verb, "timeout": timeout,
                   "instance": instance or "agentd-" + agent[:12]})


def instance(incus, agent=AGENT):
    return incus.call("GET", f"/1.0/instances/agentd-{agent[:12]}"
                      f"?project={PROJECT}")


def test_life_of_an_instance(stocked, project, top):
    w = stocked
    made = w.call("keeper", "CT_CREATE", request(top))
    assert made["status"] == 200, made
    assert made["uid_base"] >= 65536 and made["uid_count"] >= 65536
    meta = instance(project)["metadata"]
    assert meta["status"] == "Running"
    assert meta["profiles"] == []
    config = {k: v for k, v in meta["config"].items()
              if not k.startswith(("volatile.", "image."))}
    assert len(config.pop("user.agentd.request")) == 32
    assert int(config.pop("user.agentd.base")) >= 0
    assert config == {
        "boot.autostart": "false", "limits.cpu": "1",
        "limits.memory": str(64 << 20), "limits.processes": "50",
        "security.guestapi": "false", "security.idmap.isolated": "true",
        "security.nesting": "false", "security.privileged": "false",
        "user.agentd.agent_id": AGENT, "user.agentd.node": NODE,
        "user.agentd.slug": "one"}
    devices = meta["expanded_devices"]
    assert sorted(devices) == ["agentd-sock", "root"]
    assert devices["agentd-sock"] == {
        "type": "disk", "source": f"{top}/sock/{AGENT}",
        "path": "/opt/agentd/sock", "readonly": "true"}
    rows = w.answer(w.ask("keeper", "CT_LIST", {}))
    assert [r["f"]["status"] for r in rows[:-1]] == ["Running"]
    assert rows[0]["f"]["agent_id"] == AGENT
    assert rows[0]["f"]["uid_base"] == made["uid_base"]
    for verb, state in (("start", "Running"), ("stop", "Stopped"),
                        ("stop", "Stopped"), ("start", "Running"),
                        ("restart", "Running")):
        done = act(w, verb, timeout=5)
        assert done["status"] == 200, (verb, done)
        if state == "Running":
            assert done["uid_count"] >= 65536
        assert instance(project)["metadata"]["status"] == state
    assert act(w, "destroy")["status"] == 200
    assert instance(project)["error_code"] == 404
    assert act(w, "destroy")["status"] == 200
    assert act(w, "start")["status"] == 404


def test_a_stubborn_one_is_forced(stocked, top):
    w = stocked
    assert w.call("keeper", "CT_CREATE",
                  request(top, image="stubborn"))["status"] == 200
    begin = time.monotonic()
    assert act(w, "stop", timeout=2)["status"] == 200
    assert 2 <= time.monotonic() - begin < 20
    assert act(w, "start")["status"] == 200
    assert act(w, "destroy", timeout=1)["status"] == 200


def test_no_such_image(worker, top):
    r = worker.call("keeper", "CT_CREATE", request(top, image="nothing"))
    assert r["status"] == 404
    assert "nothing" in r["error"] and "agentctl image build" in r["error"]


@pytest.mark.parametrize("field,value", [
    ("agent_id", "../x"), ("instance", "a?project=default"),
    ("instance", "x/../y"), ("slug", "A"), ("node_id", "other"),
    ("image", "a/b"), ("sock_dir", "/"), ("sock_dir", "/etc/" + AGENT + "/"),
    ("sock_dir", "/var/../" + AGENT), ("memory", 0), ("memory", 1 << 60),
    ("cpus", 0), ("processes", 0), ("disk", 1 << 60)])
def test_bad_fields(worker, top, field, value):
    r = worker.call("keeper", "CT_CREATE", request(top, **{field: value}))
    assert r["status"] == 400
    assert field in r["error"]


def test_bad_actions(worker):
    assert act(worker, "exec")["status"] == 400
    assert act(worker, "stop", agent="x", instance="a")["status"] == 400
    assert act(worker, "stop", instance="../a")["status"] == 400
    assert act(worker, "stop", timeout=100000)["status"] == 400


def test_foreign_instances_are_left_alone(stocked, project, top):
    w = stocked
    name = "agentd-" + AGENT[:12]
    project.call("POST", f"/1.0/instances?project={PROJECT}", {
        "name": name, "source": {"type": "none"}, "profiles": [],
        "config": {"user.agentd.agent_id": AGENT,
                   "user.agentd.node": "another-node"},
        "devices": {"root": {"type": "disk", "path": "/",
                             "pool": "default"}}})
    r = w.call("keeper", "CT_CREATE", request(top))
    assert r["status"] == 409, r
    for verb in ("start", "stop", "restart", "destroy"):
        assert act(w, verb)["status"] == 409
    assert len(w.answer(w.ask("keeper", "CT_LIST", {}))) == 1
    assert instance(project)["metadata"]["status"] == "Stopped"
    project.call("DELETE", f"/1.0/instances/{name}?project={PROJECT}")


def test_a_leftover_of_ours_is_replaced(stocked, project, top):
    w = stocked
    assert w.call("keeper", "CT_CREATE", request(top))["status"] == 200
    before = instance(project)["metadata"]["created_at"]
    assert w.call("keeper", "CT_CREATE",
                  request(top, request="ef" * 16))["status"] == 200
    assert instance(project)["metadata"]["created_at"] != before
    assert act(w, "destroy")["status"] == 200


def test_asked_again_takes_what_runs(stocked, project, top):
    """After a crash keeper asks twice for the same job."""
    w = stocked
    first = w.call("keeper", "CT_CREATE", request(top, again=1))
    assert first["status"] == 200
    before = instance(project)["metadata"]["created_at"]
    again = w.call("keeper", "CT_CREATE", request(top, again=1))
    assert again == first
    assert instance(project)["metadata"]["created_at"] == before
    # What does not run may be half made: it is made anew.
    assert act(w, "stop")["status"] == 200
    assert w.call("keeper", "CT_CREATE",
                  request(top, again=1))["status"] == 200
    assert instance(project)["metadata"]["status"] == "Running"
    assert instance(project)["metadata"]["created_at"] != before
    assert act(w, "destroy")["status"] == 200


def test_a_failed_start_leaves_nothing(stocked, project, top):
    w = stocked
    r = w.call("keeper", "CT_CREATE", request(top, image="broken"))
    assert r["status"] >= 400 and "start" in r["error"].lower(), r
    assert instance(project)["error_code"] == 404
    # Not even made: the socket directory is not there.
    req = request(top)
    os.rmdir(req["sock_dir"])
    r = w.call("keeper", "CT_CREATE", req)
    assert r["status"] >= 400 and req["sock_dir"] in r["error"], r
    assert instance(project)["error_code"] == 404


def test_destroy_waits_for_create(stocked, project, top):
    """DELETE while the deploy is under way: one after the other."""
    w = stocked
    create = w.ask("keeper", "CT_CREATE", request(top))
    destroy = w.ask("keeper", "CT_ACTION",
                    {"agent_id": AGENT, "instance": "agentd-" + AGENT[:12],
                     "verb": "destroy", "timeout": 0})
    assert w.answer(create)[-1]["f"]["status"] == 200
    assert w.answer(destroy)[-1]["f"]["status"] == 200
    assert instance(project)["error_code"] == 404


def test_keeper_gone_means_no_instance(stocked, project, top):
    """Nobody is left who would know of it."""
    w = stocked
    w.ask("keeper", "CT_CREATE", request(top))
    time.sleep(0.02)
    w.control("keeper", "close")
    w.control("keeper", "open")
    assert act(w, "destroy")["status"] == 200
    assert instance(project)["error_code"] == 404
    # The answer to the old connection's request never came to the new one.
    assert not any(m.get("type") == "CT_DONE" for m in w.held)


@pytest.mark.parametrize("delay", [0.005, 0.1])
def test_keeper_back_takes_over(stocked, project, top, delay):
    """What is being made for a keeper that died is made for the next one."""
    w = stocked
    w.ask("keeper", "CT_CREATE", request(top))
    time.sleep(delay)
    w.control("keeper", "close")
    w.control("keeper", "open")
    assert w.call("keeper", "CT_CREATE",
                  request(top, again=1))["status"] == 200
    assert len(project.instances(PROJECT)) == 1
    assert instance(project)["metadata"]["status"] == "Running"
    assert act(w, "destroy")["status"] == 200


@pytest.mark.parametrize("delay", [0.005, 0.03, 0.08, 0.15, 0.3])
def test_killed_and_asked_again(build, stocked, project, top, delay):
    """Another worker takes, or makes anew, what the dead one had begun."""
    stocked.ask("keeper", "CT_CREATE", request(top))
    time.sleep(delay)
    os.kill(stocked.pid(), 9)
    w = start_worker(build, project.socket)
    try:
        assert w.call("keeper", "CT_CREATE",
                      request(top, again=1))["status"] == 200
        assert len(project.instances(PROJECT)) == 1
        assert instance(project)["metadata"]["status"] == "Running"
        assert act(w, "destroy")["status"] == 200
        assert project.instances(PROJECT) == []
    finally:
        w.close()


@pytest.mark.parametrize("delay", [0.005, 0.03, 0.08, 0.15])
def test_killed_while_creating(build, stocked, project, top, delay):
    """Another worker's destroy finds what the dead one had begun."""
    stocked.ask("keeper", "CT_CREATE", request(top))
    time.sleep(delay)
    os.kill(stocked.pid(), 9)
    w = start_worker(build, project.socket)
    try:
        assert act(w, "destroy")["status"] == 200
        time.sleep(1)
        assert instance(project)["error_code"] == 404
        assert project.instances(PROJECT) == []
    finally:
        w.close()


def test_many_at_once(stocked, project, top):
    w = stocked
    agents = [hashlib.md5(bytes([i])).hexdigest() for i in range(8)]
    ids = [w.ask("keeper", "CT_CREATE", request(top, agent=a))
           for a in agents]
    done = [w.answer(i, 120)[-1]["f"] for i in ids]
    assert [d["status"] for d in done] == [200] * 8
    # Every instance has user ids of its own.
    assert len({d["uid_base"] for d in done}) == 8
    ids = [w.ask("keeper", "CT_ACTION",
                 {"agent_id": a, "instance": "agentd-" + a[:12],
                  "verb": "destroy", "timeout": 0}) for a in agents]
    assert {w.answer(i, 120)[-1]["f"]["status"] for i in ids} == {200}
    assert project.instances(PROJECT) == []


def test_images(worker, project, tars):
    w = worker
    sums = {n: hashlib.sha256(open(p, "rb").read()).hexdigest()
            for n, p in tars.items()}
    assert put_image(w, "base", tars["polite"])["status"] == 200
    assert put_image(w, "base", tars["polite"], "pipe")["status"] == 200

    def rows():
        return {r["f"]["alias"]: r["f"] for r in
                w.answer(w.ask("keeper", "CT_IMAGES", {}))[:-1]}
    base = rows()["base"]
    assert base["fingerprint"] == sums["polite"]
    assert base["version"] == "1.5"
    assert base["description"] == "test polite"
    assert base["created_at"] == 1795361329
    # The alias moves; the image that nothing needs any more goes.
    project.call("DELETE", f"/1.0/images/aliases/polite?project={PROJECT}")
    assert put_image(w, "base", tars["newer"], "pipe")["status"] == 200
    assert rows()["base"]["fingerprint"] == sums["newer"]
    left = project.call("GET", f"/1.0/images?project={PROJECT}")["metadata"]
    assert not any(sums["polite"] in x for x in left)


def test_an_image_in_use_is_kept(worker, project, top, tars):
    w = worker
    polite = hashlib.sha256(open(tars["polite"], "rb").read()).hexdigest()
    assert put_image(w, "kept", tars["polite"])["status"] == 200
    assert w.call("keeper", "CT_CREATE",
                  request(top, image="kept"))["status"] == 200
    assert put_image(w, "kept", tars["newer"])["status"] == 200
    left = project.call("GET", f"/1.0/images?project={PROJECT}")["metadata"]
    assert any(polite in x for x in left)
    assert act(w, "destroy")["status"] == 200


def test_bad_images(worker, project, tars, top):
    w = worker
    size = os.path.getsize(tars["newer"])
    junk = f"{top}/junk"
    with open(junk, "wb") as f:
        f.write(b"this is no image" * 1000)
    r = put_image(w, "junk", junk)
    assert r["status"] >= 400 and "image" in r["error"], r
    for how in ("fd", "pipe"):
        r = put_image(w, "short", tars["newer"], how, size + 1)
        assert r["status"] == 400 and "ended" in r["error"], r
    assert put_image(w, "a/b", junk)["status"] == 400
    assert put_image(w, "x", junk, size=1 << 40)["status"] == 413
    aliases = project.call(
        "GET", f"/1.0/images/aliases?project={PROJECT}")["metadata"] or []
    assert not any(x.endswith(("/junk", "/short")) for x in aliases)


def test_no_faster_by_hand(stocked, project, top):
    """create + start through the worker, against Incus alone."""
    req = request(top)
    body = {"name": req["instance"], "start": True, "profiles": [],
            "source": {"type": "image", "alias": "polite"},
            "devices": {"root": {"type": "disk", "path": "/",
                                 "pool": "default"}}}
    path = f"/1.0/instances/{req['instance']}"

    def bare():
        begin = time.monotonic()
        r = project.call("POST", f"/1.0/instances?project={PROJECT}", body)
        assert r["metadata"]["status_code"] == 200, r
        took = time.monotonic() - begin
        project.call("PUT", f"{path}/state?project={PROJECT}",
                     {"action": "stop", "force": True, "timeout": 10})
        project.call("DELETE", f"{path}?project={PROJECT}")
        return took

    def ours():
        begin = time.monotonic()
        assert stocked.call("keeper", "CT_CREATE", req)["status"] == 200
        took = time.monotonic() - begin
        assert act(stocked, "destroy")["status"] == 200
        return took

    bare()
    pairs = [(bare(), ours()) for _ in range(5)]
    alone = sorted(p[0] for p in pairs)[2]
    worker = sorted(p[1] for p in pairs)[2]
    print(f"create + start: Incus alone {alone:.3f} s, worker {worker:.3f} s")
    assert worker < 1.5 * alone + 0.05


# ---- without Incus, and with a false one ----

def test_incus_away_and_back(build, project, top):
    path = f"{top}/away.socket"
    w = start_worker(build, path)
    try:
        r = w.call("keeper", "CT_LIST", {})
        assert r["status"] == 503
        assert path in r["error"] and "No such file" in r["error"]
        # A name for the real one: next time it is there.
        os.symlink(project.socket, path)
        wait = w.call("keeper", "CT_LIST", {})
        assert wait["status"] in (200, 503), wait
    finally:
        w.close()
        os.unlink(path)


class FalseIncus:
    """Answers as a test likes, and notes what it is asked."""

    def __init__(self, path, answer):
        self.asked = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

            def handle_any(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                outer.asked.append((self.command, self.path, body))
                out = answer(self.command, self.path, body)
                if out is None:
                    self.close_connection = True
                    return
                status, data = out
                if not isinstance(data, bytes):
                    data = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    pass

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

        class Server(socketserver.ThreadingMixIn,
                     socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 128

            def get_request(self):
                conn, _ = super().get_request()
                return conn, ("unix", 0)

        self.server = Server(path, Handler)
        os.chmod(path, 0o666)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


OK = {"/1.0": {"auth": "trusted", "api_extensions": [
          "id_map_current", "image_create_aliases", "instance_create_start",
          "projects"]},
      f"/1.0/projects/{PROJECT}": {"config": {
          "features.images": "true", "features.profiles": "true",
          "features.storage.volumes": "true"}},
      "/1.0/storage-pools?recursion=1": [
          {"name": "p1", "driver": "dir"}, {"name": "p2",
                                            "driver": "btrfs"}]}


def sync(meta):
    return 200, {"type": "sync", "metadata": meta}


@pytest.fixture
def false_incus(build, top):
    made = []

    def make(answer, **conf):
        path = f"{top}/false{len(made)}.socket"

        def full(method, url, body):
            out = answer(method, url, body)
            if out == "ok":
                return sync(OK[url]) if url in OK else sync({})
            return out
        server = FalseIncus(path, full)
        w = start_worker(build, path, **conf)
        made.append((server, w, path))
        return server, w
    yield make
    for server, w, path in made:
        server.close()
        w.close()
        os.unlink(path)


def lister(data):
    return lambda m, url, b: data if "/instances" in url else "ok"


@pytest.mark.parametrize("name,answer,status", [
    ("not JSON", (200, b"<html>"), 502),
    ("empty", (200, b""), 502),
    ("cut", (200, b'{"type":"sync","metadata":['), 502),
    ("duplicate keys", (200, b'{"type":"sync","type":"sync"}'), 502),
    ("deep", (200, b'{"metadata":' + b"[" * 5000 + b"]" * 5000 + b"}"), 502),
    ("endless", (200, b'{"x":"' + b"a" * (40 << 20) + b'"}'), 502),
    ("closed", None, 503),
    ("an error", (500, {"type": "error", "error": "boom \x1b[2J\n"}), 500),
    ("a redirect", (302, b"{}"), 502),
    ("no operation", (202, {"type": "async", "metadata": {}}), 502),
    ("a false operation", (202, {"type": "async", "metadata": {
        "id": "../../../1.0/instances/agentd-abababa"}}), 502),
    ("odd members", sync([1, None, {"name": 5}, {"name": "x\n", "config": {
        "user.agentd.node": NODE, "user.agentd.agent_id": AGENT}}]), 200),
    ("no list", sync("text"), 200),
])
def test_hostile_answers(false_incus, name, answer, status):
    server, w = false_incus(lister(answer))
    rows = w.answer(w.ask("keeper", "CT_LIST", {}))
    assert rows[-1]["f"]["status"] == status, rows
    assert len(rows) == 1
    assert "\x1b" not in rows[-1]["f"]["error"]
    # It is still there, and says the same again.
    rows = w.answer(w.ask("keeper", "CT_LIST", {}))
    assert rows[-1]["f"]["status"] == status
    assert not any("instances/agentd-abababa" in a[1] for a in server.asked)


@pytest.mark.parametrize("url,meta,text", [
    ("/1.0", {"auth": "untrusted"}, "group"),
    ("/1.0", {"auth": "trusted", "api_extensions": []}, "too old"),
    (f"/1.0/projects/{PROJECT}", {"config": {}}, "features.images"),
    ("/1.0/storage-pools?recursion=1", [], "no storage pool"),
    ("/1.0/storage-pools?recursion=1", [
        {"name": "a", "driver": "dir"}, {"name": "b", "driver": "dir"}],
     "name one"),
], ids=["untrusted", "old", "project", "no-pool", "two-pools"])
def test_unfit_incus(false_incus, url, meta, text):
    _, w = false_incus(lambda m, u, b: sync(meta) if u == url else "ok")
    r = w.call("keeper", "CT_LIST", {})
    assert r["status"] == 503 and text in r["error"], r


def test_a_named_pool_must_be_there(false_incus):
    _, w = false_incus(lambda m, u, b: "ok", incus_pool="p9")
    r = w.call("keeper", "CT_LIST", {})
    assert r["status"] == 503 and "p9" in r["error"]


def test_too_many_operations(false_incus):
    gate = threading.Event()

    def slow(method, url, body):
        if "/instances" in url:
            gate.wait(20)
        return "ok"
    _, w = false_incus(slow)
    ids = [w.ask("keeper", "CT_LIST", {}) for _ in range(70)]
    refused = [w.answer(i)[-1]["f"] for i in ids[64:]]
    assert {r["status"] for r in refused} == {503}
    assert "too many" in refused[0]["error"]
    gate.set()
    assert {w.answer(i)[-1]["f"]["status"] for i in ids[:64]} == {200}


def test_only_what_the_verbs_need(false_incus, top):
    """Every call is on the list; no value leaves its place in a path."""
    uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    allowed = [
        ("GET", "/1.0"), ("GET", "/1.0/projects/" + PROJECT),
        ("GET", "/1.0/storage-pools?recursion=1"),
        ("GET", f"/1.0/images/aliases/polite?project={PROJECT}"),
        ("GET", f"/1.0/images/{'a' * 64}?project={PROJECT}"),
        ("GET", f"/1.0/operations?recursion=1&project={PROJECT}"),
        ("POST", f"/1.0/instances?project={PROJECT}"),
        ("GET", f"/1.0/instances/agentd-{AGENT[:12]}?project={PROJECT}"),
    ]

    def answer(method, url, body):
        if "/aliases/" in url:
            return sync({"target": "a" * 64})
        if method == "POST":
            return 202, {"type": "async", "metadata": {"id": uuid}}
        if "/wait" in url:
            return sync({"status_code": 400, "err": "no luck"})
        if "/operations?" in url:
            return sync({})
        if "/instances/" in url:
            return 404, {"type": "error", "error": "Not found"}
        return "ok"
    server, w = false_incus(answer)
    r = w.call("keeper", "CT_CREATE", request(top))
    assert r["status"] == 400 and r["error"] == "no luck"
    asked = [(m, u) for m, u, _ in server.asked
             if not u.startswith(f"/1.0/operations/{uuid}/wait?timeout=") and
             u != f"/1.0/events?type=lifecycle&project={PROJECT}"]
    assert set(asked) == set(allowed)
    body = json.loads(next(b for m, u, b in server.asked if m == "POST"))
    assert sorted(body) == ["config", "description", "devices", "name",
                            "profiles", "source", "start", "type"]
    assert body["source"] == {"type": "image", "fingerprint": "a" * 64}
    assert body["devices"]["root"] == {
        "type": "disk", "path": "/", "pool": "p2", "size": str(256 << 20)}


def test_a_pool_without_sizes(false_incus, top):
    def answer(method, url, body):
        if "storage-pools" in url:
            return sync([{"name": "only", "driver": "dir"}])
        if "/aliases/" in url:
            return sync({"target": "a" * 64})
        if method == "POST":
            return 400, {"type": "error", "error": "enough"}
        if "/instances/" in url:
            return 404, {"type": "error", "error": "Not found"}
        return "ok"
    server, w = false_incus(answer)
    assert w.call("keeper", "CT_CREATE", request(top))["status"] == 400
    body = json.loads(next(b for m, u, b in server.asked if m == "POST"))
    assert body["devices"]["root"] == {"type": "disk", "path": "/",
                                       "pool": "only"}


UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
OURS = {"status": "Stopped", "architecture": "x86_64", "config": {
    "user.agentd.node": NODE, "user.agentd.agent_id": AGENT}}


def test_an_operation_that_is_forgotten(false_incus):
    """Incus was restarted: that its operation is gone says nothing."""
    deleted = []

    def answer(method, url, body):
        if "/wait" in url:
            return (404, {"type": "error", "error": "Not Found"}) \
                if len(deleted) == 1 else sync({"status_code": 200})
        if method == "DELETE":
            deleted.append(url)
            return 202, {"type": "async", "metadata": {"id": UUID}}
        if "/operations?" in url:
            return sync({})
        if "/snapshots" in url:
            return sync([])
        return sync(OURS) if "/instances/" in url else "ok"
    _, w = false_incus(answer)
    r = act(w, "destroy")
    assert r["status"] == 200 and len(deleted) == 2, (r, deleted)


@pytest.mark.parametrize("verb", ["make", "restore"])
def test_a_list_that_is_none(false_incus, verb):
    """A snapshot was not made because Incus says nothing of any."""
    def answer(method, url, body):
        if "/snapshots" in url:
            return sync("text")
        return sync(OURS) if "/instances/" in url else "ok"
    server, w = false_incus(answer)
    r = w.call("keeper", "CT_SNAP", {
        "agent_id": AGENT, "instance": f"agentd-{AGENT[:12]}", "verb": verb,
        "name": "one"})
    assert r["status"] == 502, r
    assert not any(a[0] in ("PUT", "POST") for a in server.asked)


def test_an_instance_without_keys(false_incus, top):
    """What comes back from a restore, or a copy, says nothing of itself."""
    other = "cd" * 16
    done = []

    def answer(method, url, body):
        if "/wait" in url:
            return sync({"status_code": 200})
        if method in ("PUT", "POST", "DELETE"):
            done.append((method, url))
            return 202, {"type": "async", "metadata": {"id": UUID}}
        if "/operations?" in url:
            return sync({})
        if "/snapshots" in url:
            return sync([f"/1.0/instances/agentd-{AGENT[:12]}/snapshots/one"])
        if f"/instances/agentd-{other[:12]}" in url:
            return sync({})
        if "/instances/" in url:
            return sync({} if done else OURS)
        return "ok"
    _, w = false_incus(answer)
    ref = {"agent_id": AGENT, "instance": f"agentd-{AGENT[:12]}"}
    r = w.call("keeper", "CT_SNAP", {**ref, "verb": "restore", "name": "one"})
    assert r["status"] == 502 and len(done) == 1, (r, done)
    done.clear()
    r = w.call("keeper", "CT_COPY", {
        **request(top, other), "image": "", "source_id": AGENT,
        "source": f"agentd-{AGENT[:12]}", "snapshot": ""})
    # It is not known to be ours: it is left alone.
    assert r["status"] == 409, r
    assert [m for m, _ in done] == ["POST"]


NETS = ["10.64.0.1/10", "10.128.0.1/11", "10.160.0.1/12", "10.176.0.1/13",
        "10.184.0.1/14", "10.188.0.1/15", "10.190.0.1/16"]


@pytest.mark.parametrize("nets,first", [
    (NETS, range(191, 192)),
    ([*NETS, "10.191.0.1/16"], range(64, 192))], ids=["some", "all"])
def test_the_bridge_is_in_no_net_of_the_host(false_incus, nets, first):
    """Else a part of that net could not be reached from here any more."""
    bodies = []

    def answer(method, url, body):
        if method == "POST" and url == "/1.0/networks":
            bodies.append(json.loads(body))
            return 400, {"type": "error", "error": "no dnsmasq"}
        if method == "POST" or "/networks" in url or "/network-acls/" in url:
            return (404, {"type": "error", "error": "Not found"}) \
                if method == "GET" else sync({})
        return sync(OURS) if "/instances/" in url else "ok"
    script = "".join(f"ip addr add {n} dev lo; " for n in nets)
    _, w = false_incus(answer, within=(
        "unshare", "--net", "sh", "-c", script + 'exec "$@"', "sh"))
    r = w.call("keeper", "CT_NET", {
        "agent_id": AGENT, "instance": f"agentd-{AGENT[:12]}", "card": 1})
    assert r["status"] == 400, r
    ip = bodies[0]["config"]["ipv4.address"].split(".")
    assert ip[0] == "10" and int(ip[1]) in first and ip[3] == "1/24", ip
