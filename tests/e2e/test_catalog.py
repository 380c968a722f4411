# The catalog: what it offers can be deployed, what it does not says why, and
# what is broken in it is named without harm to the rest.
# SPDX-License-Identifier: ISC
import json
import os
import shutil
import subprocess

import pytest

from lab import PROJECT, TOP, Agentd, own_agentd, wait_for

# Contract 5.5, and those that runtimes.md adds.
ORIGINAL = {"openclaw", "smolagents", "pocketflow", "langroid",
            "openai-agents-sdk", "nanoclaw", "nullclaw", "microclaw",
            "ironclaw", "zeroclaw", "shibaclaw", "hermes", "agent-zero",
            "moltis", "picoclaw"}
ADDED = {"pi", "opencode", "codex", "claude", "gemini", "qwen"}
# Each has a test of a whole turn: test_first_light.py, test_runtimes.py.
WORKS = {"openclaw", "pi", "opencode", "qwen", "smolagents",
         "openai-agents-sdk", "pocketflow"}


@pytest.fixture(scope="module")
def bare(build, incus):
    """An agentd without images, and a catalog of its own."""
    with own_agentd(build, incus, f"{PROJECT}-catalog") as daemon:
        yield daemon


def frameworks(daemon):
    r = daemon.get("/api/frameworks")
    assert r.status == 200
    return {f["id"]: f for f in r.json}


def test_all_frameworks_have_a_manifest(bare):
    """W24: the original offered ids that its catalog did not have."""
    have = frameworks(bare)
    assert ORIGINAL | ADDED <= set(have)
    assert {i for i, f in have.items() if f["status"] == "works"} == WORKS
    for f in have.values():
        assert f["name"] and f["description"]
        if f["status"] == "works":
            assert f["verification_status"] in ("stable", "beta", "alpha")
            assert f["version"] and f["license"] and f["image"]
        else:
            assert f["verification_status"] == "broken"
            assert len(f["reason"]) > 20


def test_what_works_can_be_built_and_is_pinned(build):
    """Each has an image whose packages are pinned with their hashes."""
    for name in WORKS:
        where = f"{TOP}/catalog/images/{name}"
        if os.path.exists(f"{where}/requirements.txt"):
            with open(f"{where}/requirements.txt", encoding="utf-8") as f:
                lines = [x for x in f if x[0] not in "#\n"]
            assert len(lines) >= 2
            for pin, digest in zip(lines[::2], lines[1::2]):
                assert "==" in pin and "--hash=sha256:" in digest
            continue
        with open(f"{where}/package-lock.json", encoding="utf-8") as f:
            lock = json.load(f)["packages"]
        assert all("integrity" in p for k, p in lock.items() if k)


def test_unavailable_is_refused_with_its_reason(bare, incus):
    """W24: and nothing is made."""
    for name in ("codex", "claude", "moltis"):
        r = bare.call("POST", "/api/agents/deploy",
                      {"name": f"no-{name}", "framework": name,
                       "model": "demo"})
        assert r.status == 409
        assert frameworks(bare)[name]["reason"] in r.json["error"]
    r = bare.call("POST", "/api/agents/deploy",
                  {"name": "none", "framework": "generic", "model": "demo"})
    assert r.status == 400 and "there are: " in r.json["error"]
    assert "codex" not in r.json["error"].split("there are: ")[1]
    assert bare.get("/api/agents").json == []
    assert incus.instances(bare.project) == []


def test_missing_image_says_what_to_run(bare):
    r = bare.call("POST", "/api/agents/deploy",
                  {"name": "early", "framework": "qwen", "model": "demo"})
    assert r.status == 202

    def over():
        s = bare.get("/api/agents/early/deploy-status").json
        return s if s["status"] != "deploying" else None
    s = wait_for("end of the deploy", over, 60)
    assert s["status"] == "failed"
    assert s["error"].endswith("agentctl image build qwen")


def test_agentctl(bare):
    text = bare.ctl("catalog", "list")
    assert "unavailable" in text and "openai-agents-sdk" in text
    rows = json.loads(bare.ctl("catalog", "list", "--json"))
    assert {f["id"] for f in rows} == set(frameworks(bare))
    text = bare.ctl("catalog", "show", "opencode")
    assert "MIT" in text and "acp" in text and "works" in text
    text = bare.ctl("catalog", "show", "claude")
    assert "/v1/messages" in text and "reason:" in text
    doc = json.loads(bare.ctl("catalog", "show", "claude", "--json"))
    assert doc["status"] == "unavailable"
    p = bare.ctl("catalog", "show", "nosuch", check=False)
    assert p.returncode == 1 and "nosuch" in p.stderr
    # What cannot be deployed misses no image.
    p = bare.ctl("doctor", check=False)
    assert "there is no image" in p.stdout and "opencode" in p.stdout
    assert "codex" not in p.stdout


BROKEN = {
    "twice.yaml": ("schema_version: 1\nid: twice\nid: twice\n",
                   "twice.yaml:3:1: duplicate key"),
    "alias.yaml": ("schema_version: &a 1\nid: alias\n", "alias.yaml:1:"),
    "named.yaml": ("schema_version: 1\nid: other\nname: x\ndescription: x\n"
                   "status: unavailable\nreason: x\n",
                   'named.yaml:2:5: id: must be "named"'),
    "why.yaml": ("schema_version: 1\nid: why\nname: x\ndescription: x\n"
                 "status: unavailable\n", "why.yaml:1:1: reason is missing"),
    "path.yaml": ("schema_version: 1\nid: path\nname: x\ndescription: x\n"
                  "image: ../../etc\n", "path.yaml:5:8: image:"),
    "huge.yaml": ("# " + "x" * (2 << 20) + "\n", "huge.yaml"),
    "bytes.yaml": ("schema_version: 1\nname: \x07\n", "bytes.yaml:2:"),
}


def test_broken_manifests_are_named(build, incus, tmp_path):
    """W24: by file and line; the original dropped them without a word."""
    catalog = tmp_path / "catalog"
    shutil.copytree(f"{TOP}/catalog", catalog)
    for name, (text, _) in BROKEN.items():
        (catalog / "frameworks" / name).write_text(text)
    (catalog / "frameworks" / "link.yaml").symlink_to("/etc/shadow")
    daemon = Agentd(build, incus, f"{PROJECT}-broken",
                    extra=f"catalog_dir: {catalog}\n")
    p = subprocess.run([f"{build}/inst/sbin/agentd", "-n", "-f",
                        daemon.config], capture_output=True, text=True,
                       check=False)
    for _, want in BROKEN.values():
        assert want in p.stderr + p.stdout
    daemon.start()
    try:
        have = set(frameworks(daemon))
        assert ORIGINAL | ADDED <= have
        assert not have & {n[:-5] for n in BROKEN} and "link" not in have
        log = daemon.log("supervisor")
        for _, want in BROKEN.values():
            # As the log quotes it.
            assert want.replace('"', '\\"') in log
    finally:
        daemon.stop()
        daemon.remove()
        incus.purge_project(daemon.project)


def test_images_hold_their_sbom(images):
    """What is in an image, by name, version and hash; beside it and in it."""
    path = images.path("pocketflow")
    p = subprocess.run([images.builder, "--sbom", path], capture_output=True,
                       text=True, check=True)
    sbom = json.loads(p.stdout)
    assert sbom["bomFormat"] == "CycloneDX"
    by = {c["purl"].split("@")[0]: c for c in sbom["components"]}
    assert by["pkg:pypi/pocketflow"]["version"] == "0.0.3"
    assert by["pkg:pypi/pocketflow"]["hashes"][0]["alg"] == "SHA-256"
    assert by["pkg:deb/debian/python3"]["version"]
    assert by["pkg:generic/agent-link"]["version"]
    with open(path.replace(".tar.zst", ".sbom.json"), encoding="utf-8") as f:
        assert json.load(f) == sbom


@pytest.mark.long
def test_image_is_the_same_in_each_build(images, tmp_path):
    """File by file: mode, owner, content. The original's were not pinned."""
    again = tmp_path / "again.tar.zst"
    subprocess.run([images.builder, "pocketflow", "--output", str(again)],
                   check=True, stdout=subprocess.DEVNULL)
    p = subprocess.run([images.builder, "--compare",
                        images.path("pocketflow"), str(again)],
                       capture_output=True, text=True, check=False)
    assert p.returncode == 0, p.stdout[-2000:]
    # And it sees a difference when there is one.
    p = subprocess.run([images.builder, "--compare",
                        images.path("pocketflow"), images.path("smolagents")],
                       capture_output=True, text=True, check=False)
    assert p.returncode == 1 and "smolagents" in p.stdout
