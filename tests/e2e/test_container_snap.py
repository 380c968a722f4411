# Snapshots, labels and copies: the container worker against the real Incus.
# SPDX-License-Identifier: ISC
import os
import subprocess
import time

import pytest

# Fixtures of the other tests of this worker.
from test_container import (  # noqa: F401
    AGENT, NODE, PROJECT, act, instance, project, put_image,
    request, stocked, tars, top, worker)

OTHER = "cd" * 16
NAME = "agentd-" + AGENT[:12]


def snap(w, verb, name="", agent=AGENT, inst=NAME):
    return w.answer(w.ask("keeper", "CT_SNAP",
                          {"agent_id": agent, "instance": inst, "verb": verb,
                           "name": name}))


def status(rows):
    return rows[-1]["f"]["status"], rows[-1]["f"]["error"]


def names(w):
    rows = snap(w, "list")
    assert status(rows)[0] == 200, rows
    return [r["f"]["name"] for r in rows[:-1]]


def probe(w, agent=AGENT, inst=NAME):
    return w.call("keeper", "CT_PROBE", {"agent_id": agent, "instance": inst})


def tag(w, slug, archived=""):
    return w.call("keeper", "CT_TAG", {"agent_id": AGENT, "instance": NAME,
                                       "slug": slug, "archived": archived})


def copy(w, top_dir, snapshot="", agent=OTHER, **more):  # noqa: F811
    body = request(top_dir, agent)
    del body["image"]
    return w.call("keeper", "CT_COPY",
                  {**body, "slug": "two", "source_id": AGENT, "source": NAME,
                   "snapshot": snapshot, **more})


@pytest.fixture
def one(stocked, top):  # noqa: F811
    """A running instance."""
    assert stocked.call("keeper", "CT_CREATE", request(top))["status"] == 200
    yield stocked
    for agent in (AGENT, OTHER):
        act(stocked, "destroy", agent=agent)


def put_file(incus, text, agent=AGENT, path="/tmp/note"):
    p = subprocess.run(["incus", "file", "push", "--project", PROJECT, "-",
                        f"agentd-{agent[:12]}{path}"], input=text, text=True,
                       capture_output=True)
    assert p.returncode == 0, p.stderr


def get_file(incus, agent=AGENT, path="/tmp/note"):
    p = subprocess.run(["incus", "file", "pull", "--project", PROJECT,
                        f"agentd-{agent[:12]}{path}", "-"], text=True,
                       capture_output=True)
    return p.stdout if p.returncode == 0 else None


def config(incus, agent=AGENT):
    return instance(incus, agent)["metadata"]


def test_probe_has_three_answers(build, one, project):  # noqa: F811
    """W01: there, not there, not known: and only a 404 is a no."""
    from test_container import start_worker
    assert probe(one)["status"] == 200
    assert probe(one, inst="agentd-nobody")["status"] == 404
    assert probe(one, agent=OTHER)["status"] == 409
    assert probe(one, agent="zz")["status"] == 400
    blind = start_worker(build, "/nonexistent/incus.socket")
    try:
        got = probe(blind)
        assert got["status"] == 503, got
    finally:
        blind.close()


def test_make_list_delete(one, project):  # noqa: F811
    assert names(one) == []
    assert status(snap(one, "make", "a.1"))[0] == 200
    assert status(snap(one, "make", "a.1"))[0] == 208
    assert status(snap(one, "make", "b"))[0] == 200
    assert sorted(names(one)) == ["a.1", "b"]
    rows = snap(one, "list")
    assert rows[0]["f"]["created_at"] > 1.6e9
    assert rows[0]["f"]["stateful"] == 0
    assert status(snap(one, "delete", "a.1"))[0] == 200
    assert status(snap(one, "delete", "a.1"))[0] == 208
    assert names(one) == ["b"]
    assert status(snap(one, "make", "x", agent=OTHER))[0] == 409
    assert status(snap(one, "make", "x", inst="agentd-none"))[0] == 404


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", ".x", "a b", "a?b",
                                  "a&project=default", "a\"b", "x" * 64,
                                  "a\nb", "a%2fb"])
def test_hostile_names(one, project, name):  # noqa: F811
    before = config(project)
    for verb in ("make", "restore", "delete"):
        assert status(snap(one, verb, name))[0] == 400
    assert status(snap(one, "format", "x"))[0] == 400
    assert names(one) == []
    assert config(project) == before


def test_restore_brings_files_only(one, project):  # noqa: F811
    """Keys and devices stay as they are: no right of another day."""
    put_file(project, "old")
    assert tag(one, "one")["status"] == 200
    assert status(snap(one, "make", "s"))[0] == 200
    assert status(snap(one, "restore", "s"))[0] == 409      # it runs
    put_file(project, "new")
    path = f"/1.0/instances/{NAME}?project={PROJECT}"
    project.call("PATCH", path, {"config": {"limits.memory": "100MiB",
                                            "user.agentd.slug": "renamed"},
                                 "devices": {"extra": {
                                     "type": "disk", "source": "/var/tmp",
                                     "path": "/mnt", "readonly": "true"}}})
    assert act(one, "stop")["status"] == 200
    before = config(project)
    assert status(snap(one, "restore", "nosuch"))[0] == 410
    assert status(snap(one, "restore", "s"))[0] == 200
    after = config(project)
    plain = [{k: v for k, v in c["config"].items()
              if not k.startswith("volatile.")} for c in (before, after)]
    assert plain[0] == plain[1]
    assert before["devices"] == after["devices"]
    assert plain[1]["limits.memory"] == "100MiB"
    assert act(one, "start")["status"] == 200
    assert get_file(project) == "old"


def test_tag(one, project):  # noqa: F811
    assert tag(one, "else", "20260101T000000")["status"] == 200
    keys = config(project)["config"]
    assert keys["user.agentd.slug"] == "else"
    assert keys["user.agentd.archived"] == "20260101T000000"
    assert tag(one, "one")["status"] == 200
    assert "user.agentd.archived" not in config(project)["config"]
    for slug, stamp in (("", ""), ("A", ""), ("a", "yesterday"), ("a", "1")):
        assert tag(one, slug, stamp)["status"] == 400


def test_copy_has_no_more_than_a_new_one(one, project, top):  # noqa: F811
    put_file(project, "mine")
    assert status(snap(one, "make", "s"))[0] == 200
    put_file(project, "later")
    path = f"/1.0/instances/{NAME}?project={PROJECT}"
    project.call("PATCH", path, {"config": {"user.secret": "x"}, "devices": {
        "extra": {"type": "disk", "source": "/var/tmp", "path": "/mnt",
                  "readonly": "true"}}})
    assert status(snap(one, "make", "wide"))[0] == 200
    for snapshot, text in (("s", "mine"), ("wide", "later"), ("", "later")):
        got = copy(one, top, snapshot)
        assert got["status"] == 200, got
        assert got["uid_count"] > 0
        c = config(project, OTHER)
        assert set(c["devices"]) == {"root", "agentd-sock"}
        assert c["devices"]["agentd-sock"]["source"].endswith(OTHER)
        assert "user.secret" not in c["config"]
        assert c["config"]["user.agentd.agent_id"] == OTHER
        assert c["config"]["user.agentd.slug"] == "two"
        assert c["status"] == "Running"
        assert got["uid_base"] != probe(one)["uid_base"]
        assert get_file(project, OTHER) == text
        assert act(one, "destroy", agent=OTHER)["status"] == 200
    assert get_file(project) == "later"


def test_copies_at_once_have_their_own_ids(one, project, top):  # noqa: F811
    """Creations and copies take turns: see gate.c."""
    agents = [f"{i:02x}" * 16 for i in range(1, 6)]
    try:
        ids = []
        for i, a in enumerate(agents):
            body = request(top, a)
            if i % 2:
                ids.append(one.ask("keeper", "CT_CREATE", body))
                continue
            del body["image"]
            ids.append(one.ask("keeper", "CT_COPY", {
                **body, "source_id": AGENT, "source": NAME, "snapshot": ""}))
        bases = [one.answer(i)[-1]["f"] for i in ids]
        assert all(b["status"] == 200 for b in bases), bases
        assert len({b["uid_base"] for b in bases}) == len(agents)
    finally:
        for a in agents:
            act(one, "destroy", agent=a)


def test_copy_refusals(one, project, top):  # noqa: F811
    for more, want in (({"snapshot": "nosuch"}, range(400, 600)),
                       ({"snapshot": "../x"}, (400,)),
                       ({"source": "agentd-none"}, (404,)),
                       ({"source_id": OTHER}, (403,)),
                       ({"source": "agentd-" + OTHER[:12]}, (400,)),
                       ({"sock_dir": "/etc"}, (400,)),
                       ({"slug": "A/b"}, (400,))):
        got = copy(one, top, **more)
        assert got["status"] in want, (more, got)
        assert instance(project, OTHER)["error_code"] == 404
    assert not os.path.exists("/var/tmp/none")


@pytest.mark.long
def test_dropped_while_incus_packs(worker, project, top, images):  # noqa
    """A worker that died in an export leaves Incus making an image.  If the
    snapshot goes then, a mount stays (seen), and the instance for ever."""
    at = f"/1.0/instances/{NAME}/snapshots?project={PROJECT}"
    left = f"{NODE}.{'ef' * 16}"
    # Many files: it takes a while to be packed.
    assert put_image(worker, "pi", images.path("pi"))["status"] == 200
    r = worker.call("keeper", "CT_CREATE", {
        **request(top), "image": "pi", "memory": 256 << 20, "disk": 4 << 30})
    assert r["status"] == 200, r
    for i in range(6):
        project.call("POST", at, {"name": "agentd-tmp-efefefefefef"})
        project.call("POST", f"/1.0/images?project={PROJECT}", {
            "compression_algorithm": "none",
            "properties": {"agentd.temp": left},
            "source": {"type": "snapshot",
                       "name": f"{NAME}/agentd-tmp-efefefefefef"}},
            wait=False)
        time.sleep(i * 0.008)
        r = worker.call("keeper", "CT_TEMP_DROP", {"id": "", "size": 0})
        assert r["status"] == 200, (i, r)
        assert names(worker) == []
    r = act(worker, "destroy")
    assert r["status"] == 200, r
    images = project.call(
        "GET", f"/1.0/images?recursion=1&project={PROJECT}")["metadata"]
    assert all(i["aliases"] for i in images), images
