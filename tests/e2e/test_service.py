# The systemd unit inside a systemd container, and the rc script on the host.
# SPDX-License-Identifier: ISC
import hashlib
import os
import signal
import subprocess

import pytest

from lab import PROJECT, WORKERS, Agentd, wait_for

PACKAGES = ("systemd-sysv,libevent-core-2.1-7,libevent-extra-2.1-7,"
            "libevent-openssl-2.1-7,libjson-c5,libyaml-0-2,libseccomp2,"
            "libsodium23,libsqlite3-0,libcurl4,libssl3,libbsd0,libsystemd0,"
            "ca-certificates,passwd,procps")
NAME = "systemd-lab"
CACHE = "/var/cache/agentd/check"
META = ("architecture: x86_64\ncreation_date: 1700000000\n"
        "properties:\n  description: Debian with systemd, for tests\n")


def incus(*args, check=True, timeout=120):
    return subprocess.run(["incus", *args, "--project", PROJECT], check=check,
                          capture_output=True, text=True, timeout=timeout)


def run(*argv, check=True):
    """In the container."""
    return subprocess.run(["incus", "exec", NAME, "--project", PROJECT, "--",
                           *argv], check=check, capture_output=True,
                          text=True, timeout=60)


def rootfs(build):
    """A Debian with systemd and the libraries agentd links; kept."""
    helper = f"{build}/inst/libexec/agentd/debian-source"
    source = subprocess.run([helper, "bookworm"], check=True, text=True,
                            capture_output=True).stdout
    key = hashlib.sha256((PACKAGES + source).encode()).hexdigest()[:16]
    path = f"{CACHE}/systemd-{key}.tar"
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        form = subprocess.run([helper, "--form", "bookworm"], check=True,
                              text=True, capture_output=True).stdout.strip()
        listing = f"{CACHE}/debian.{form}"
        with open(listing, "w", encoding="utf-8") as f:
            f.write(source)
        # mmdebstrap knows what to make by the ending.
        part = f"{CACHE}/part-{os.getpid()}.tar"
        subprocess.run(["mmdebstrap", "--variant=minbase",
                        f"--include={PACKAGES}", "bookworm", part,
                        listing], check=True)
        os.rename(part, path)
    return path


@pytest.fixture(scope="module")
def machine(build, incus_pool, service, tmp_path_factory):
    """A container with systemd, our build mounted at /opt/agentd."""
    d = tmp_path_factory.mktemp("systemd")
    meta = d / "metadata.yaml"
    meta.write_text(META)
    subprocess.run(["tar", "-C", str(d), "-cf", f"{d}/meta.tar",
                    "metadata.yaml"], check=True)
    tree = d / "image" / "rootfs"
    tree.mkdir(parents=True)
    subprocess.run(["tar", "-C", str(tree), "--numeric-owner",
                    "--exclude=./dev/*", "-xf", rootfs(build)], check=True)
    (d / "image" / "metadata.yaml").write_text(META)
    subprocess.run(["tar", "-C", str(d / "image"), "--numeric-owner", "-cf",
                    f"{d}/image.tar", "metadata.yaml", "rootfs"], check=True)
    subprocess.run(["rm", "-rf", str(d / "image")], check=True)
    incus("image", "import", f"{d}/image.tar", "--alias", "systemd-lab")
    incus("init", "systemd-lab", NAME, "--no-profiles", "-s", incus_pool)
    # /root, /home and /tmp are hidden from the unit: mounted elsewhere.
    incus("config", "device", "add", NAME, "inst", "disk",
          f"source={build}/inst", "path=/opt/inst", "readonly=true")
    incus("start", NAME)
    wait_for("systemd", lambda: run("systemctl", "is-system-running",
                                    check=False).stdout.strip()
             in ("running", "degraded"), 60)
    yield NAME
    incus("delete", "--force", NAME)
    incus("image", "delete", "systemd-lab")


@pytest.fixture(scope="module")
def incus_pool(incus):
    pools = incus.call("GET", "/1.0/storage-pools?recursion=1")["metadata"]
    return next((p["name"] for p in pools if p["driver"] in ("btrfs", "zfs")),
                pools[0]["name"])


def push(text, path):
    subprocess.run(["incus", "file", "push", "-", f"{NAME}{path}", "-p",
                    "--project", PROJECT], input=text, text=True, check=True)


def test_unit(machine, build):
    with open(f"{build}/gcc/etc/agentd.service", encoding="utf-8") as f:
        unit = f.read().replace(f"{build}/inst/etc", "/etc")
    push(unit.replace(f"{build}/inst", "/opt/inst"),
         "/etc/systemd/system/agentd.service")
    push("libexec_dir: /opt/inst/libexec/agentd\n"
         "catalog_dir: /opt/inst/share/agentd/catalog\n"
         "state_dir: /var/lib/agentd\nrun_dir: /run/agentd\n"
         "log_dir: /var/log/agentd\n"
         "listen:\n  http: 127.0.0.1:6969\n  unix: /run/agentd/agentd.sock\n",
         "/etc/agentd/agentd.yaml")
    run("/opt/inst/libexec/agentd/mkusers")
    run("systemctl", "daemon-reload")
    p = run("systemctl", "start", "agentd", check=False)
    journal = run("journalctl", "--no-pager", "-n", "60").stdout
    assert p.returncode == 0, journal
    assert run("systemctl", "is-active", "agentd").stdout.strip() == "active"
    # Ready means: all workers are; each has its own user and journal.
    ps = run("ps", "-eo", "user:32,args").stdout
    for worker in WORKERS:
        assert f"_agentd-{worker} " in ps, ps
        assert run("journalctl", "--no-pager", "-q", "-t",
                   f"agentd-{worker}", check=False).returncode == 0
    out = run("/opt/inst/bin/agentctl", "-s", "/run/agentd/agentd.sock",
              "status").stdout
    assert all(w in out for w in WORKERS), out
    # Reload, then a broken file: the service stays up.
    run("systemctl", "reload", "agentd")
    assert run("systemctl", "is-active", "agentd").stdout.strip() == "active"
    # A dead supervisor takes its workers along and is started again.
    pid = run("systemctl", "show", "-P", "MainPID", "agentd").stdout.strip()
    run("kill", "-9", pid)

    def again():
        now = run("systemctl", "show", "-P", "MainPID", "agentd",
                  check=False).stdout.strip()
        return now not in ("0", pid) and run(
            "systemctl", "is-active", "agentd",
            check=False).stdout.strip() == "active"

    wait_for("restart by systemd", again, 30, 0.2)
    assert run("ps", "-eo", "user:32").stdout.count("_agentd-front") == 1
    run("systemctl", "stop", "agentd")
    assert "_agentd-" not in run("ps", "-eo", "user:32").stdout
    verify = run("systemd-analyze", "verify", "--man=no",
                 "agentd.service", check=False)
    assert "agentd.service" not in verify.stderr, verify.stderr


def test_rc_script(build, incus):
    """start, status, reload, restart, stop, with the LSB's exit codes."""
    daemon = Agentd(build, incus, f"{PROJECT}-rc")
    with open(f"{build}/gcc/etc/agentd.rc", encoding="utf-8") as f:
        text = f.read()
    line = next(x for x in text.split("\n") if x.startswith("CONF="))
    script = f"{daemon.dir}/agentd.rc"
    with open(script, "w", encoding="utf-8") as f:
        f.write(text.replace(line, f"CONF={daemon.config}"))
    os.chmod(script, 0o755)

    def rc(verb):
        # A daemon that kept our pipe open would hang this call.
        return subprocess.run([script, verb], timeout=90, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    try:
        assert rc("status").returncode == 3
        p = rc("start")
        assert p.returncode == 0, p.stdout
        assert daemon.get("/api/status").status == 200
        assert rc("status").returncode == 0
        assert rc("start").returncode == 0
        with open(f"{daemon.dir}/run/agentd.pid", encoding="ascii") as f:
            pid = int(f.read())
        assert rc("reload").returncode == 0
        p = rc("restart")
        assert p.returncode == 0, p.stdout
        assert not os.path.exists(f"/proc/{pid}")
        assert daemon.get("/api/status").status == 200
        assert rc("stop").returncode == 0
        assert rc("status").returncode == 3
        assert rc("stop").returncode == 0
        assert rc("nonsense").returncode == 2
        assert not os.path.exists(daemon.socket)
    finally:
        p = rc("stop")
        incus.call("DELETE", f"/1.0/projects/{PROJECT}-rc")
        daemon.remove()


def test_second_instance_is_refused(build, service):
    p = subprocess.run([f"{build}/inst/sbin/agentd", "--foreground", "-f",
                        service.config], capture_output=True, text=True,
                       timeout=30)
    assert p.returncode != 0
    assert str(service.proc.pid) in p.stderr or "running" in p.stderr
    assert service.healthy()


def test_supervisor_dies_and_everything_comes_back(build, incus, images):
    """SIGKILL of the supervisor: workers end, a new start finds it all."""
    daemon = Agentd(build, incus, f"{PROJECT}-crash")
    try:
        daemon.start()
        daemon.import_image("taos-pi-base", images.path("pi"))
        agent = daemon.deploy("pi")
        agent.answer(agent.say("before"))
        workers = daemon.pids().values()
        daemon.proc.send_signal(signal.SIGKILL)
        daemon.proc.wait()
        wait_for("end of the workers", lambda: not any(
            os.path.exists(f"/proc/{p}") for p in workers), 5)
        daemon.start()
        assert agent.answer(agent.say("after"), 90)["state"] == "complete"
        assert agent.remove().status == 200
    finally:
        daemon.stop()
        daemon.remove()
        incus.purge_project(f"{PROJECT}-crash")
