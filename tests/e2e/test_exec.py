# Commands in an agent's container, and its logs.
# SPDX-License-Identifier: ISC
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

from lab import own_agentd, wait_for

PROJECT = f"agentd-test-{os.getpid()}x"


@pytest.fixture(scope="module")
def home(build, incus, images):
    with own_agentd(build, incus, PROJECT, images) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def agent(home):
    a = home.deploy("pi")
    yield a
    a.remove()


def ctl(home, *args, **kw):
    return subprocess.run([f"{home.inst}/bin/agentctl", "-s", home.socket,
                           *args], capture_output=True, timeout=60, **kw)


def popen(home, *args, **kw):
    return subprocess.Popen([f"{home.inst}/bin/agentctl", "-s", home.socket,
                             *args], **kw)


def processes(home, agent, needle):
    """Pids in the container whose command line holds the needle."""
    out = subprocess.run(["incus", "exec", "--project", home.project,
                          agent.record["container"], "--", "pgrep", "-f",
                          "--", needle], capture_output=True, text=True,
                         check=False)
    return out.stdout.split()


class Raw:
    """The protocol itself, by hand."""

    def __init__(self, home, agent, **body):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(30)
        self.s.connect(home.socket)
        text = json.dumps(body).encode()
        self.s.sendall(
            f"POST /api/agents/{agent.slug}/exec HTTP/1.1\r\nHost: x\r\n"
            "Connection: Upgrade\r\nUpgrade: agentd-exec/1\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        self.buf = b""
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])

    def more(self):
        data = self.s.recv(65536)
        if not data:
            raise EOFError
        self.buf += data

    def frame(self):
        while len(self.buf) < 5:
            self.more()
        kind, n = struct.unpack(">BI", self.buf[:5])
        while len(self.buf) < 5 + n:
            self.more()
        data, self.buf = self.buf[5:5 + n], self.buf[5 + n:]
        return kind, data

    def send(self, kind, data=b""):
        self.s.sendall(struct.pack(">BI", kind, len(data)) + data)

    def close(self):
        self.s.close()


def test_streams_and_status(home, agent):
    p = ctl(home, "agent", "exec", agent.slug, "--", "sh", "-c",
            "echo out; echo err >&2; exit 7")
    assert (p.returncode, p.stdout, p.stderr) == (7, b"out\n", b"err\n")
    p = ctl(home, "agent", "exec", agent.slug, "--", "printf", "%s|", "a b",
            "$HOME", "'", '"', "\n", "--", "-x", "ü")
    assert p.stdout == 'a b|$HOME|\'|"|\n|--|-x|ü|'.encode()
    assert ctl(home, "agent", "exec", agent.slug, "--",
               "true").returncode == 0
    p = ctl(home, "agent", "exec", agent.slug, "-C", "/tmp", "-u",
            "1000:1001", "--", "sh", "-c", "pwd; id -u; id -g")
    assert p.stdout == b"/tmp\n1000\n1001\n", p
    p = ctl(home, "agent", "exec", agent.slug, "--", "no-such-program")
    assert p.returncode == 127 and b"not found" in p.stderr, p
    p = ctl(home, "agent", "exec", agent.slug, "--", "sh", "-c",
            "kill -9 $$")
    assert p.returncode == 137, p


def test_much_both_ways(home, agent):
    """12 MiB through cat come back the same, and no process grows."""
    data = os.urandom(12 << 20)
    p = ctl(home, "agent", "exec", agent.slug, "--", "cat", input=data)
    assert p.returncode == 0
    assert hashlib.sha256(p.stdout).digest() == hashlib.sha256(data).digest()
    p = ctl(home, "agent", "exec", agent.slug, "--", "sha256sum", input=data)
    assert p.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def rss(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


def test_a_slow_reader_holds_back_the_command(home, agent):
    """Nothing between keeps what the client does not take."""
    pids = home.pids()
    before = {w: rss(pids[w]) for w in ("front", "container")}
    s = Raw(home, agent, argv=["sh", "-c",
                               "head -c 200000000 /dev/zero; echo end"])
    assert s.status == 101
    time.sleep(3)
    assert processes(home, agent, "head -c 200000000")
    for w in before:
        assert rss(pids[w]) < before[w] + (4 << 20), w
    total = 0
    while True:
        kind, data = s.frame()
        if kind == 5:
            break
        total += len(data)
    assert total == 200000004 and data == b"\0\0\0\0"
    s.close()


def test_end_of_the_client_is_the_end_of_the_command(home, agent):
    for argv in (["sleep", "4711"], ["sh", "-c", "exec sleep 4711"]):
        p = popen(home, "agent", "exec", agent.slug, "--", *argv,
                  stdin=subprocess.PIPE)
        wait_for("command", lambda: processes(home, agent, "sleep 4711"))
        p.kill()
        p.wait()
        wait_for("end", lambda: not processes(home, agent, "sleep 4711"))
    # Also when nothing of the client is being read.
    p = popen(home, "agent", "exec", agent.slug, "--", "sleep", "4711",
              stdin=open("/dev/zero", "rb"))
    wait_for("command", lambda: processes(home, agent, "sleep 4711"))
    time.sleep(1)
    p.kill()
    p.wait()
    wait_for("end", lambda: not processes(home, agent, "sleep 4711"))


@pytest.mark.parametrize("worker", ["front", "keeper", "container"])
def test_a_killed_worker_ends_the_session(home, agent, worker):
    p = popen(home, "agent", "exec", agent.slug, "--", "sleep", "4712",
              stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for("command", lambda: processes(home, agent, "sleep 4712"))
    os.kill(home.pids()[worker], signal.SIGKILL)
    assert p.wait(20) == 255
    assert p.stderr.read()
    wait_for("end", lambda: not processes(home, agent, "sleep 4712"))
    wait_for("service", home.healthy)
    wait_for("commands", lambda: ctl(
        home, "agent", "exec", agent.slug, "--", "true").returncode == 0)


def test_protocol(home, agent):
    s = Raw(home, agent, argv=["cat"])
    s.send(0, b"hello")
    assert s.frame() == (1, b"hello")
    s.send(0)
    assert s.frame() == (5, b"\0\0\0\0")
    s.close()
    # What is no frame, or none of a client, ends the session.
    for bad in (b"\xff", struct.pack(">BI", 0, 1 << 30),
                struct.pack(">BI", 1, 0), struct.pack(">BIB", 4, 1, 99)):
        s = Raw(home, agent, argv=["sleep", "4713"])
        assert s.status == 101
        s.s.sendall(bad)
        with contextlib.suppress(EOFError, ConnectionError):
            assert s.frame()[0] == 6
        s.close()
        wait_for("end", lambda: not processes(home, agent, "sleep 4713"))
    s = Raw(home, agent, argv=["sleep", "4713"])
    s.send(4, b"\x0f")
    assert s.frame() == (5, b"\0\0\0\x8f")
    s.close()


def test_refusals(home, agent):
    r = home.call("POST", f"/api/agents/{agent.slug}/exec",
                  {"argv": ["true"]})
    assert r.status == 426, r.body
    for body, word in (({}, "argv"), ({"argv": []}, "argv"),
                       ({"argv": [""]}, "argv"), ({"argv": "ls"}, "argv"),
                       ({"argv": ["a\0b"]}, "argv"),
                       ({"argv": ["x" * 40000]}, "argv"),
                       ({"argv": ["x"] * 600}, "argv"),
                       ({"argv": ["ls"], "cwd": "relative"}, "cwd"),
                       ({"argv": ["ls"], "term": "a b", "tty": True},
                        "term"),
                       ({"argv": ["ls"], "uid": -1}, "uid"),
                       ({"argv": ["ls"], "cols": 0}, "cols"),
                       ({"argv": ["ls"], "shell": True}, "shell")):
        s = Raw(home, agent, **body)
        assert s.status in (400, 422), (body, s.status)
        with contextlib.suppress(EOFError):
            while b"}" not in s.buf:
                s.more()
        assert word in s.buf.decode(), (body, s.buf)
        s.close()
    p = ctl(home, "agent", "exec", "nobody", "--", "true")
    assert p.returncode == 255 and b"no agent nobody" in p.stderr


def test_sessions_are_counted(home, agent):
    held = [Raw(home, agent, argv=["sleep", "60"]) for _ in range(8)]
    assert [s.status for s in held] == [101] * 8
    s = Raw(home, agent, argv=["true"])
    assert s.status == 429
    s.close()
    for s in held:
        s.close()
    wait_for("room", lambda: ctl(home, "agent", "exec", agent.slug, "--",
                                 "true").returncode == 0)


def test_audited(home, agent):
    ctl(home, "agent", "exec", agent.slug, "--", "echo", "audit me\n7")
    events = [e for e in agent.trace(kind="lifecycle")
              if e["payload"].get("event") == "exec"]
    assert any("echo audit me?7" in json.dumps(e) for e in events), events


def test_not_running(home):
    a = home.deploy("pi")
    try:
        assert home.call("POST", f"/api/agents/{a.slug}/stop").status == 200
        p = ctl(home, "agent", "exec", a.slug, "--", "true")
        assert p.returncode == 255
        assert b"is stopped: start it first" in p.stderr, p.stderr
        r = home.get(f"/api/agents/{a.slug}/logs")
        assert r.status == 409, r.body
    finally:
        a.remove()


# ---- terminals ----

def read_until(fd, want, timeout=20):
    buf = b""
    end = time.monotonic() + timeout
    while want not in buf and time.monotonic() < end:
        if select.select([fd], [], [], 0.5)[0]:
            try:
                buf += os.read(fd, 4096)
            except OSError:
                break
    assert want in buf, buf
    return buf


def set_size(fd, cols, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


@pytest.mark.parametrize("end", ["exit", "kill", "cut"])
def test_terminal(home, agent, end):
    """A real tty: size, its change, ^C, and our own given back as it was."""
    master, slave = pty.openpty()
    set_size(master, 91, 31)
    before = termios.tcgetattr(slave)
    p = popen(home, "agent", "shell", agent.slug, stdin=slave, stdout=slave,
              stderr=slave, start_new_session=True)
    try:
        os.write(master, b"PS1='$ '; stty size; tty; echo T=$TERM\n")
        read_until(master, b"31 91")
        assert termios.tcgetattr(slave) != before
        os.write(master, b"sleep 100\n")
        wait_for("sleep", lambda: processes(home, agent, "sleep 100"))
        os.write(master, b"\x03")
        os.write(master, b"echo st=$?\n")
        read_until(master, b"st=130")
        set_size(master, 77, 22)
        os.kill(p.pid, signal.SIGWINCH)
        time.sleep(0.5)
        os.write(master, b"stty size\n")
        read_until(master, b"22 77")
        if end == "exit":
            os.write(master, b"exit 3\n")
            assert p.wait(20) == 3
        elif end == "kill":
            p.terminate()
            assert p.wait(20) == -signal.SIGTERM
        else:
            os.kill(home.pids()["front"], signal.SIGKILL)
            assert p.wait(20) == 255
        assert termios.tcgetattr(slave) == before
    finally:
        p.kill()
        os.close(master)
        os.close(slave)
        wait_for("service", home.healthy)


# ---- logs ----

def test_logs(home, agent):
    ctl(home, "agent", "exec", agent.slug, "--", "sh", "-c",
        "printf 'a \\033[31m red\\n\\377\\376 no text\\n' | "
        "systemd-cat -t hostile")
    path = f"/api/agents/{agent.slug}/logs"

    def there():
        r = home.get(f"{path}?lines=50")
        assert r.status == 200, r.body
        return r.json if "red" in r.json["logs"] else None

    doc = wait_for("line", there)
    assert doc["name"] == agent.slug
    assert len(doc["logs"].splitlines()) <= 50
    assert len(home.get(f"{path}?lines=3").json["logs"].splitlines()) == 3
    out = home.ctl("agent", "logs", agent.slug, "-n", "50")
    assert "red" in out and "\x1b" not in out
    assert "agent-link" in home.ctl("agent", "logs", agent.slug, "--link")
    for bad in ("lines=0", "lines=x", "lines=10001", "unit=x"):
        assert home.get(f"{path}?{bad}").status == 422


def test_logs_follow(home, agent):
    p = popen(home, "agent", "logs", agent.slug, "-f", "-n", "1",
              stdout=subprocess.PIPE)
    try:
        wait_for("journalctl", lambda: processes(home, agent,
                                                 "journalctl.* -f"))
        for i in range(3):
            ctl(home, "agent", "exec", agent.slug, "--", "systemd-cat", "-t",
                "x", "echo", f"line number {i}")
        got = b""
        while b"line number 2" not in got:
            got += p.stdout.readline()
        assert got.index(b"number 0") < got.index(b"number 1")
    finally:
        p.kill()
        p.wait()
    wait_for("end", lambda: not processes(home, agent, "journalctl.* -f"))


@pytest.mark.long
def test_input_waits_for_the_command(home, agent):
    """Who reads after more than a minute gets all there is."""
    data = os.urandom(4 << 20)
    p = popen(home, "agent", "exec", agent.slug, "--", "sh", "-c",
              "sleep 63; sha256sum", stdin=subprocess.PIPE,
              stdout=subprocess.PIPE)
    out, _ = p.communicate(data, timeout=100)
    assert p.returncode == 0
    assert out.split()[0].decode() == hashlib.sha256(data).hexdigest()
