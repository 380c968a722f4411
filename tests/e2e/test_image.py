# The builder, what is in an image, and where the Debian packages come from.
# SPDX-License-Identifier: ISC
import hashlib
import json
import os
import re
import subprocess
import tarfile

import pytest

from lab import TOP

SOURCE = f"{TOP}/etc/debian-source"
MAIN = re.compile(r"(https?|mirror|file|copy)\S*://?\S+")
NAMES = ("pi", "openclaw")


def run(*args, **kw):
    return subprocess.run(args, capture_output=True, text=True, check=False,
                          **kw)


class Image:
    """An image archive: a listing and the small files of interest."""

    def __init__(self, path, link):
        self.members, self.data = {}, {}
        cat = subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE)
        with tarfile.open(fileobj=cat.stdout, mode="r|") as tar:
            for m in tar:
                self.members[m.name] = m
                small = m.size < 4 << 20 and re.search(
                    r"^metadata\.yaml$|/etc/|/share/agentd/|agent-link$"
                    r"|/root/\.|^rootfs/opt/[a-z]+/package-lock\.json$",
                    m.name)
                if m.isfile() and small:
                    self.data[m.name] = tar.extractfile(m).read()
        assert cat.wait() == 0
        self.link = link

    def text(self, name):
        return self.data[f"rootfs/{name}"].decode()


@pytest.fixture(scope="module", params=NAMES)
def image(request, build, images):
    made = Image(images.path(request.param),
                 f"{build}/inst/libexec/agentd/agent-link")
    made.name = request.param
    return made


def test_manifest(image):
    m = json.loads(image.text("usr/share/agentd/manifest.json"))
    lock = f"{TOP}/catalog/images/{image.name}/package-lock.json"
    with open(lock, "rb") as f:
        raw = f.read()
    assert m["name"] == image.name
    assert m["alias"] == f"taos-{image.name}-base"
    assert m["lock"]["sha256"] == hashlib.sha256(raw).hexdigest()
    by = {p["name"]: p for p in m["packages"]}
    top = next(p for p in m["packages"] if "integrity" in p)
    pinned = json.loads(raw)["packages"][f"node_modules/{top['name']}"]
    assert top["version"] == pinned["version"] == m["version"]
    assert top["integrity"] == pinned["integrity"]
    with open(image.link, "rb") as f:
        link = f.read()
    assert by["agent-link"]["sha256"] == hashlib.sha256(link).hexdigest()
    assert image.data["rootfs/usr/lib/agentd/agent-link"] == link


def test_lock_is_whole_and_names_no_host():
    for name in NAMES + ("node",):
        with open(f"{TOP}/catalog/images/{name}/package-lock.json",
                  encoding="utf-8") as f:
            text = f.read()
        packages = json.loads(text)["packages"]
        assert not MAIN.search(text)
        assert all("integrity" in p for k, p in packages.items() if k)


def test_no_trace_of_the_machine(image):
    """No mirror, no proxy, no name of the host that built it."""
    apt = [n for n, m in image.members.items() if m.isfile() and re.match(
        r"rootfs/etc/apt/(sources|apt\.conf\.d/99|auth)", n)]
    assert apt == []
    assert "rootfs/etc/hostname" not in image.members
    for empty in ("etc/resolv.conf", "etc/machine-id"):
        assert image.members[f"rootfs/{empty}"].size == 0
    assert not [n for n in image.members
                if n.startswith("rootfs/var/lib/apt/lists/")]


def test_runtime_knows_only_the_link(image):
    """A dummy key and loopback: there is nothing in it to steal."""
    for path, data in image.data.items():
        for url in re.findall(rb"https?://[\w.:-]+", data):
            if path.startswith("rootfs/root/.") and path.endswith(".json"):
                assert url.startswith(b"http://127.0.0.1:"), path
        assert b"sk-agentd-" not in data or path.endswith("agent-link")
    conf = image.text("etc/agentd-link.conf")
    assert f"runtime = {image.name}\n" in conf
    assert "socket = /opt/agentd/sock/agentd.sock\n" in conf


def test_boots_into_link_and_runtime(image):
    system = "rootfs/etc/systemd/system"
    assert image.members[f"{system}/default.target"].linkname == \
        "agentd.target"
    wants = {n.rsplit("/", 1)[1] for n in image.members
             if n.startswith(f"{system}/agentd.target.wants/")}
    assert "agentd-link.service" in wants
    assert ("openclaw.service" in wants) == (image.name == "openclaw")
    for unit in wants:
        assert b"\nDefaultDependencies=no\n" in image.data[f"{system}/{unit}"]
    if image.name == "openclaw":
        # Its gateway's token is made at each start, in memory.
        assert not [n for n in image.members
                    if "/openclaw/" in n and n.endswith(("/token", "/env"))
                    and not n.startswith("rootfs/opt/")]


@pytest.mark.parametrize("args,want", [
    ((), "usage:"),
    (("nosuch",), "no image 'nosuch'"),
    (("../pi",), "bad image name"),
    (("pi", "--version"), "--version needs a value"),
    (("pi", "--version", "1;reboot"), "bad version"),
    (("pi", "--link", "/nonexistent"), "no agent-link"),
    (("pi", "--output", "/nonexistent/x"), "no directory"),
])
def test_builder_refuses(build, args, want):
    r = run(f"{build}/inst/libexec/agentd/image-build", *args)
    assert r.returncode in (1, 2)
    assert want in r.stderr
    assert r.stdout == ""


def test_builder_needs_root(build):
    # On stdin: another user need not be able to reach the build directory.
    with open(f"{build}/inst/libexec/agentd/image-build", "rb") as script:
        r = run("setpriv", "--reuid=65534", "--regid=65534",
                "--clear-groups", "bash", "-s", "pi", stdin=script)
    assert r.returncode == 1
    assert "must be run as root" in r.stderr


def machine_source():
    """The URI and key of this machine's Debian source, as apt has them."""
    r = run(SOURCE, "bookworm")
    assert r.returncode == 0, r.stderr
    uri = MAIN.search(r.stdout).group(0)
    key = re.search(r"[Ss]igned-[Bb]y[:=] ?(\S+?)[\s\]]", r.stdout)
    return uri, key.group(1) if key else ""


SAMPLES = {
    "one-line": ("list", """\
# a comment
deb [ arch=amd64 {signed} ] {uri} {code} main contrib
""", "deb [ arch=amd64 {signed} ] {uri} {code}-backports main\n"),
    "deb822": ("sources", """\
# only a comment

Types: deb
URIs: {uri}
Suites: nosuch
Components: main
Enabled: no

# the one in use
Types: deb
URIs: {uri}
Suites: {code} {code}-updates
Components: main contrib
Architectures: amd64
Signed-By:
 {key}
""", """\
URIs: {uri}
Architectures: amd64
Signed-By:
 {key}
Types: deb
Suites: {code}-backports
Components: main
"""),
}


@pytest.mark.parametrize("form", sorted(SAMPLES))
def test_backports_from_the_own_source(form, tmp_path):
    """Same mirror, same key, other suite, whichever way it is written."""
    uri, key = machine_source()
    kind, sample, want = SAMPLES[form]
    with open("/etc/os-release", encoding="utf-8") as f:
        code = re.search(r"VERSION_CODENAME=(\w+)", f.read()).group(1)
    # An empty line is not allowed in a field, so no key is no sample.
    words = {"uri": uri, "code": code, "key": key or "none",
             "signed": f"signed-by={key}" if key else "trusted=no"}
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / f"x.{kind}").write_text(sample.format(**words))
    conf = tmp_path / "apt.conf"
    conf.write_text('Dir::Etc::sourcelist "/dev/null";\n'
                    f'Dir::Etc::sourceparts "{parts}";\n')
    env = dict(os.environ, APT_CONFIG=str(conf))
    r = run(SOURCE, f"{code}-backports", env=env)
    assert r.returncode == 0, r.stderr
    assert r.stdout == want.format(**words)
    r = run(SOURCE, "--form", f"{code}-backports", env=env)
    assert r.stdout == f"{kind}\n"


def test_no_source_is_an_error(tmp_path):
    conf = tmp_path / "apt.conf"
    conf.write_text('Dir::Etc::sourcelist "/dev/null";\n'
                    f'Dir::Etc::sourceparts "{tmp_path}";\n')
    r = run(SOURCE, "bookworm-backports",
            env=dict(os.environ, APT_CONFIG=str(conf)))
    assert r.returncode == 1
    assert "no source of Debian" in r.stderr
    assert run(SOURCE, "a b").returncode == 2


def test_setup_leaves_incus_alone(build, incus):
    """A second run changes nothing of what is there."""
    def pools():
        return incus.call("GET", "/1.0/storage-pools?recursion=1")["metadata"]

    def strip(items):
        return [{k: v for k, v in p.items() if k != "used_by"} for p in items]
    before = strip(pools())
    setup = f"{build}/inst/libexec/agentd/incus-setup"
    r = run(setup)
    assert r.returncode == 0, r.stderr
    assert "left as they are" in r.stdout
    assert strip(pools()) == before
    assert run(setup, "--check").returncode == 0
    assert run(setup, "--nonsense").returncode == 2
