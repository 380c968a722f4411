# agentd -n: every mistake is named with its place, and nothing is started.
# SPDX-License-Identifier: ISC
import glob
import os
import re
import subprocess

import pytest

from lab import TOP

GOLDEN = f"{TOP}/tests/golden/conf"
BROKEN = sorted(os.path.basename(p)[:-4] for p in glob.glob(f"{GOLDEN}/*.err"))
GOOD = sorted(set(os.path.basename(p)[:-5]
                  for p in glob.glob(f"{GOLDEN}/*.yaml")) - set(BROKEN))
PLACE = re.compile(r"^(.+):([0-9]+):([0-9]+): (.+)$")


def check(build, path, cwd=None):
    return subprocess.run([f"{build}/inst/sbin/agentd", "-n", "-f", path],
                          capture_output=True, text=True, timeout=30, cwd=cwd)


def manifest(**changes):
    """A good manifest of the framework x, with some of its keys changed."""
    keys = {"schema_version": 1, "id": "x", "name": "x",
            "description": "a test", "image": "x-base", "runtime": "rpc",
            "unit": "agentd-link.service", "memory": "384MiB", "cpus": 1,
            "disk": "4GiB", "processes": 512, "ready_timeout": 30,
            "refusal_status": 400, "turn_timeout": 600,
            "max_calls_per_turn": 50}
    keys.update(changes)
    return "".join(f"{k}: {v}\n" for k, v in keys.items() if v is not None)


def catalog(tmp_path, **manifests):
    """A configuration with a catalog of these manifests; its path."""
    folder = tmp_path / "catalog" / "frameworks"
    folder.mkdir(parents=True)
    for name, text in manifests.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    conf = tmp_path / "agentd.yaml"
    conf.write_text(f"catalog_dir: {tmp_path}/catalog\n", encoding="utf-8")
    return str(conf)


def test_there_are_enough_broken_ones():
    assert len(BROKEN) >= 25


@pytest.mark.parametrize("name", BROKEN)
def test_broken(build, name):
    r = check(build, f"{name}.yaml", GOLDEN)
    assert r.returncode == 1
    assert "OK" not in r.stdout
    lines = [line for line in r.stderr.split("\n")
             if line.startswith(f"{name}.yaml:")]
    assert all(PLACE.match(line) for line in lines), lines
    with open(f"{GOLDEN}/{name}.err", encoding="utf-8") as f:
        assert lines == f.read().rstrip("\n").split("\n")


@pytest.mark.parametrize("name", GOOD)
def test_good(build, name, tmp_path):
    with open(f"{GOLDEN}/{name}.yaml", encoding="utf-8") as f:
        text = f.read()
    conf = tmp_path / "agentd.yaml"
    # Its catalog would be somewhere else: the installed one is good.
    conf.write_text(re.sub(r"(?m)^catalog_dir:.*\n", "", text),
                    encoding="utf-8")
    r = check(build, str(conf))
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout == "configuration OK\n"


def test_the_sample_is_good(build):
    r = check(build, f"{build}/inst/share/agentd/agentd.yaml")
    assert (r.returncode, r.stderr) == (0, "")


def test_no_such_file(build, tmp_path):
    r = check(build, f"{tmp_path}/none.yaml")
    assert r.returncode == 1
    assert r.stderr == (f"{tmp_path}/none.yaml: cannot open: "
                        "No such file or directory\n")


def test_all_files_are_checked(build, tmp_path):
    """One mistake in each of three files: three messages."""
    conf = catalog(tmp_path, x=manifest(cpus=0), y=manifest(id="y"),
                   z=manifest(id="z", memory="much"))
    with open(conf, "a", encoding="utf-8") as f:
        f.write("drain_timeout: long\n")
    r = check(build, conf)
    assert r.returncode == 1
    assert r.stderr.split("\n") == [
        f'{conf}:2:16: drain_timeout: "long" is not a decimal number',
        f"{tmp_path}/catalog/frameworks/x.yaml:9:7: cpus: must be from 1 to "
        "64, not 0",
        f'{tmp_path}/catalog/frameworks/z.yaml:8:9: memory: "much" is not a '
        "size (like 512MiB)",
        ""]


@pytest.mark.parametrize("kind", ("bridge",))
def test_runtime_kind_that_this_build_lacks(build, tmp_path, kind):
    r = check(build, catalog(tmp_path, x=manifest(runtime=kind)))
    assert r.returncode == 1
    assert f'x.yaml:6:10: runtime: "{kind}": this build has no runtime ' \
        f'kind "{kind}"' in r.stderr


@pytest.mark.parametrize("changes,where,what", (
    ({"id": "other"}, "2:5", 'id: must be "x"'),
    ({"name": None}, "1:1", "name is missing"),
    ({"image": "../etc"}, "5:8", "image: "),
    ({"disk": "1TB"}, "10:7", "disk: "),
    ({"raw.idmap": "both 0 0"}, "16:1", "unknown key"),
    ({"unit": '"a b.service"'}, "7:7", "unit: "),
))
def test_broken_manifest(build, tmp_path, changes, where, what):
    r = check(build, catalog(tmp_path, x=manifest(**changes)))
    assert r.returncode == 1
    assert f"x.yaml:{where}: {what}" in r.stderr


def test_a_broken_file_starts_nothing(build, tmp_path):
    conf = tmp_path / "agentd.yaml"
    conf.write_text(f"state_dir: {tmp_path}/state\nbogus: 1\n",
                    encoding="utf-8")
    r = subprocess.run([f"{build}/inst/sbin/agentd", "--foreground", "-f",
                        str(conf)], capture_output=True, text=True, timeout=30)
    assert r.returncode == 1
    assert f"{conf}:2:1: unknown key" in r.stderr
    assert not os.path.exists(f"{tmp_path}/state")
