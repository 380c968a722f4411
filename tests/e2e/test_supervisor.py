# The supervisor by itself: what it refuses, restarts, reloads and leaves.
# SPDX-License-Identifier: ISC
import contextlib
import os
import pwd
import signal
import socket
import stat
import subprocess
import time

import pytest

from lab import WORKERS, Agentd, UnixHTTP, request, wait_for

ALARM_DEATHS = 5


@pytest.fixture
def daemon(build):
    """An agentd without Incus, not yet started."""
    d = Agentd(build, None)
    yield d
    with contextlib.suppress(AssertionError):
        d.stop()
    d.remove()


@pytest.fixture
def running(daemon):
    daemon.start()
    wait_for("all workers", lambda: len(up(daemon)) == len(WORKERS))
    return daemon


def up(daemon):
    rows = daemon.get("/api/status").json["workers"]
    return {r["name"]: r for r in rows if r["state"] == "running"}


def row(daemon, worker):
    rows = daemon.get("/api/status").json["workers"]
    return next(r for r in rows if r["name"] == worker)


def fails(daemon, *flags):
    """Starts it, which must fail; what it said."""
    p = subprocess.run([f"{daemon.inst}/sbin/agentd", "--foreground", "-f",
                        daemon.config, *flags], capture_output=True,
                       text=True, timeout=30)
    assert p.returncode == 1, p
    return p.stderr


def edit(daemon, old, new):
    with open(daemon.config, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    with open(daemon.config, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))


def reload(daemon, sign):
    """SIGHUP; waits until the log says this once more."""
    before = daemon.log("supervisor").count(sign)
    os.kill(daemon.proc.pid, signal.SIGHUP)
    wait_for(sign, lambda: daemon.log("supervisor").count(sign) > before)


# ---- what it refuses to start with ----

def test_missing_user(daemon):
    with open(daemon.config, "a", encoding="utf-8") as f:
        f.write("user_prefix: no-such-\n")
    said = fails(daemon)
    assert "user no-such-front does not exist" in said
    assert "mkusers -p no-such-" in said
    assert not os.path.exists(daemon.state)


def test_missing_program(daemon):
    os.makedirs(f"{daemon.dir}/libexec")
    with open(daemon.config, "a", encoding="utf-8") as f:
        f.write(f"libexec_dir: {daemon.dir}/libexec\n")
    assert f"{daemon.dir}/libexec/agentd-front: No such file" in fails(daemon)


def test_port_in_use(daemon):
    with socket.socket() as s:
        s.bind(("127.0.0.1", daemon.port))
        s.listen()
        said = fails(daemon)
    assert f"cannot listen on 127.0.0.1:{daemon.port}" in said
    assert "in use" in said


@pytest.mark.parametrize("name", (".auth_local_token", "secret.key"))
def test_secret_that_others_may_read(daemon, name):
    os.makedirs(daemon.state, 0o711)
    with open(f"{daemon.state}/{name}", "w", encoding="ascii") as f:
        f.write("x" * 64)
    os.chmod(f.name, 0o640)
    assert f"{name} must be a file of root with mode 0600" in fails(daemon)


def test_state_of_somebody_else(daemon):
    os.makedirs(daemon.state)
    os.chown(daemon.state, pwd.getpwnam("nobody").pw_uid, 0)
    assert "belongs to uid" in fails(daemon)


def test_configuration_that_others_may_write(daemon):
    os.chmod(daemon.config, 0o664)
    assert "must belong to root" in fails(daemon)
    os.chmod(daemon.config, 0o644)
    os.chown(daemon.config, pwd.getpwnam("nobody").pw_uid, 0)
    assert "must belong to root" in fails(daemon)


def test_not_root(daemon):
    os.chmod(daemon.config, 0o644)
    p = subprocess.run([f"{daemon.inst}/sbin/agentd", "-d", "-f",
                        daemon.config], capture_output=True, text=True,
                       timeout=30, user="nobody")
    if "denied" not in p.stderr:        # the build may lie in a closed place
        assert p.returncode == 1
        assert "must be started as root" in p.stderr


# ---- what it makes ----

def test_files_have_owners_and_modes(running):
    expected = {
        "": ("root", 0o711),
        "/.auth_local_token": ("root", 0o600),
        "/secret.key": ("root", 0o600),
        "/agents": ("root", 0o700),
        "/keeper": ("_agentd-keeper", 0o700),
        "/proxy": ("_agentd-proxy", 0o700),
        "/trace": ("_agentd-trace", 0o700),
        "/mover": ("_agentd-mover", 0o700),
    }
    for path, (owner, mode) in expected.items():
        st = os.stat(running.state + path)
        assert pwd.getpwuid(st.st_uid).pw_name == owner, path
        assert stat.S_IMODE(st.st_mode) == mode, path
    with open(f"{running.state}/.auth_local_token", encoding="ascii") as f:
        token = f.read()
    assert len(token) == 64 and int(token, 16) > 0
    assert os.stat(f"{running.state}/secret.key").st_size == 32
    assert stat.S_IMODE(os.stat(running.socket).st_mode) == 0o666


def test_secrets_and_node_id_survive_a_restart(running):
    names = (".auth_local_token", "secret.key", "node-id")

    def read():
        out = []
        for name in names:
            with open(f"{running.state}/{name}", "rb") as f:
                out.append(f.read())
        return out

    before = read()
    running.stop()
    running.start()
    assert read() == before


def test_supervisor_keeps_few_capabilities(running):
    with open(f"/proc/{running.proc.pid}/status", encoding="utf-8") as f:
        caps = {k: int(v, 16) for k, v in
                (line.split(":\t") for line in f if line.startswith("Cap"))}
    # CHOWN DAC_OVERRIDE FOWNER KILL SETGID SETUID SETPCAP NET_BIND_SERVICE
    allowed = sum(1 << c for c in (0, 1, 3, 5, 6, 7, 8, 10))
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert caps[name] & ~allowed == 0, name
    assert caps["CapInh"] == caps["CapAmb"] == 0


def test_workers_inherit_nothing(running):
    """Environment, limits and descriptors are what the table says."""
    for worker, pid in running.pids().items():
        with open(f"/proc/{pid}/environ", "rb") as f:
            names = {e.split(b"=")[0] for e in f.read().split(b"\0") if e}
        # setproctitle may have overwritten it.
        assert names <= {b"PATH", b"LANG", b"TZ"}, (worker, names)
        with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
            limits = {line[:26].strip(): line[26:].split()[:2] for line in f}
        assert limits["Max core file size"] == ["0", "0"], worker
        assert limits["Max processes"] == ["0", "0"], worker
        if worker not in ("keeper", "proxy", "trace", "mover"):
            assert limits["Max file size"] == ["0", "0"], worker
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                assert "secret.key" not in target, (worker, target)
                assert "local_token" not in target, (worker, target)


# ---- restarts ----

def test_alarm_after_many_deaths(running):
    for _ in range(ALARM_DEATHS):
        pid = wait_for("dialer", lambda: up(running).get("dialer"))["pid"]
        os.kill(pid, signal.SIGSEGV)
        wait_for("its end", lambda: row(running, "dialer")["pid"] != pid)
    r = row(running, "dialer")
    assert r["alarm"] is True
    assert r["restarts"] == ALARM_DEATHS
    assert r["cause"] == "signal 11 (Segmentation fault)"
    assert "ALARM: worker dialer" in running.log("supervisor")
    assert row(running, "front")["alarm"] is False
    # It is never given up: a second at most, and it is back.
    os.kill(wait_for("dialer", lambda: up(running).get("dialer"))["pid"],
            signal.SIGSEGV)
    time.sleep(1.5)
    assert row(running, "dialer")["state"] == "running"


def test_stopped_worker_does_not_stop_the_others(running):
    pid = running.pids()["dialer"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert running.get("/api/status").status == 200
    finally:
        os.kill(pid, signal.SIGCONT)


def test_connection_waits_while_front_restarts(running):
    """The listener is the supervisor's: nobody is refused."""
    for _ in range(5):
        os.kill(running.pids()["front"], signal.SIGKILL)
        # 503: front is back, and its peers are not yet connected to it.
        r = request(UnixHTTP(running.socket, 10), "GET", "/api/health")
        assert r.status in (200, 503)
        wait_for("health", lambda: running.get("/api/health").status == 200, 2)


# ---- reload ----

def test_reload_moves_a_listener(running):
    new = running.port
    while new == running.port:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            new = s.getsockname()[1]
    pids = running.pids()
    edit(running, f"127.0.0.1:{running.port}", f"127.0.0.1:{new}")
    reload(running, "is in force")
    with socket.create_connection(("127.0.0.1", new), 5) as s:
        s.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200")
    assert running.pids() == pids


def test_reload_refuses_a_taken_port(running):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = s.getsockname()[1]
        edit(running, f"127.0.0.1:{running.port}", f"127.0.0.1:{taken}")
        reload(running, "stays in force")
    assert f"cannot listen on 127.0.0.1:{taken}" in running.log("supervisor")
    with socket.create_connection(("127.0.0.1", running.port), 5):
        pass


def test_reload_keeps_what_needs_a_restart(running):
    edit(running, f"state_dir: {running.state}", "state_dir: /nonexistent")
    reload(running, "is in force")
    assert f"state_dir: a change needs a restart; {running.state} stays" in \
        running.log("supervisor")
    os.kill(running.pids()["keeper"], signal.SIGKILL)
    wait_for("keeper", lambda: running.get("/api/status").status == 200)


def test_reload_changes_the_log_level(running):
    edit(running, "level: debug", "level: error")
    reload(running, "reload of")
    wait_for("level", lambda: row(running, "trace")["level"] == "error")


# ---- the end ----

def test_stop_leaves_nothing(running):
    pids = list(running.pids().values())
    running.stop()
    for pid in pids:
        assert not os.path.exists(f"/proc/{pid}")
    assert os.listdir(f"{running.dir}/run") == []


def test_second_signal_hurries(daemon):
    with open(daemon.config, "a", encoding="utf-8") as f:
        f.write("drain_timeout: 60\n")
    daemon.start()
    wait_for("all workers", lambda: len(up(daemon)) == len(WORKERS))
    # One that does not hear holds the stop up.
    os.kill(daemon.pids()["front"], signal.SIGSTOP)
    daemon.proc.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert daemon.proc.poll() is None
    daemon.proc.send_signal(signal.SIGTERM)
    assert daemon.proc.wait(5) == 0
    daemon.proc = None


def test_stop_has_a_deadline(daemon):
    with open(daemon.config, "a", encoding="utf-8") as f:
        f.write("drain_timeout: 1\n")
    daemon.start()
    wait_for("all workers", lambda: len(up(daemon)) == len(WORKERS))
    os.kill(daemon.pids()["trace"], signal.SIGSTOP)
    start = time.monotonic()
    daemon.proc.send_signal(signal.SIGTERM)
    assert daemon.proc.wait(10) == 0
    assert time.monotonic() - start < 5
    daemon.proc = None
    assert "trace is killed: did not end in time" in daemon.log("supervisor")


def test_workers_do_not_outlive_it(running):
    pids = list(running.pids().values())
    running.proc.kill()
    running.proc.wait()
    running.proc = None
    for pid in pids:
        wait_for(f"end of {pid}",
                 lambda p=pid: not os.path.exists(f"/proc/{p}"), 2)
