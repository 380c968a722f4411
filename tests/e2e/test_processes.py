# What ps and /proc say of a running agentd, and that nothing kills it.
# SPDX-License-Identifier: ISC
import contextlib
import os
import pwd
import signal
import stat
import threading
import time

import pytest

from lab import WORKERS, wait_for

# The most that all daemons together may take, idle with one agent.
PSS_MAX_KIB = 40 * 1024
IDLE_SECONDS = int(os.environ.get("AGENTD_IDLE_SECONDS", "60"))


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f
                    if ":\t" in line)


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f
                    if line.startswith("Pss:"))


def test_every_worker_is_confined(service):
    pids = service.pids()
    assert set(pids) == set(WORKERS)
    uids = set()
    for worker, pid in pids.items():
        s = status_of(pid)
        uid = int(s["Uid"].split()[0])
        assert uid == pwd.getpwnam(f"_agentd-{worker}").pw_uid
        assert s["Uid"].split() == [str(uid)] * 4
        uids.add(uid)
        assert s["NoNewPrivs"].strip() == "1", worker
        assert s["Seccomp"].strip() == "2", worker
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(s[caps], 16) == 0, (worker, caps, s[caps])
        if worker != "container":
            assert s["Groups"].strip() == "", (worker, s["Groups"])
    assert len(uids) == len(WORKERS)


def test_front_and_gateway_have_no_file(service, pi):
    for worker in ("front", "gateway"):
        pid = service.pids()[worker]
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                mode = os.stat(f"/proc/{pid}/fd/{fd}").st_mode
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                assert not stat.S_ISREG(mode) and not stat.S_ISDIR(mode), \
                    (worker, fd, target)
                if fd == "2":
                    assert stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def test_memory_when_idle(service, pi):
    pi.answer(pi.say("warm up"))
    time.sleep(IDLE_SECONDS)
    pids = [service.proc.pid, *service.pids().values()]
    total = sum(pss_kib(p) for p in pids)
    print(f"PSS of {len(pids)} processes: {total} KiB")
    assert total <= PSS_MAX_KIB


@pytest.mark.parametrize("worker", WORKERS)
def test_a_killed_worker_costs_no_message(service, pi, worker):
    """SIGKILL in the middle of a turn: answered, once."""
    before = service.pids()[worker]
    pi.answer(pi.say("first"))
    turn = pi.say("second")
    # At another point of the turn for each worker.
    time.sleep(0.02 * (1 + WORKERS.index(worker)))
    os.kill(before, signal.SIGKILL)
    answer = pi.answer(turn, 60)
    assert answer["state"] == "complete", answer
    assert len(pi.answers(turn)) == 1
    after = wait_for("new worker", lambda: service.pids().get(worker))
    assert after not in (0, before)
    rows = service.get("/api/status").json["workers"]
    row = next(r for r in rows if r["name"] == worker)
    assert row["restarts"] >= 1 and "9" in row["cause"]
    # The service as a whole answers again at once.
    start = time.monotonic()
    assert pi.answer(pi.say("third"))["state"] == "complete"
    assert time.monotonic() - start < 20
    outs = [e for e in pi.trace() if e["kind"] == "message_out"]
    assert len(outs) == 3


def test_kills_all_along_a_turn(service, pi):
    """The gateway and upstream die at ten points of ten turns."""
    pi.answer(pi.say("warm"))
    for i in range(10):
        worker = ("gateway", "upstream")[i % 2]
        turn = pi.say(f"turn {i}")
        time.sleep(0.015 * i)
        os.kill(service.pids()[worker], signal.SIGKILL)
        assert pi.answer(turn, 60)["state"] == "complete"
        assert len(pi.answers(turn)) == 1


def test_agentctl_status_names_the_cause(service):
    pid = service.pids()["dialer"]
    os.kill(pid, signal.SIGKILL)
    wait_for("restart", lambda: service.pids()["dialer"] not in (0, pid))
    assert "signal 9" in service.ctl("status")


def test_reload_drops_no_connection(service, pi):
    from lab import UnixHTTP
    conn = UnixHTTP(service.socket, 30)
    conn.request("GET", "/api/health")
    assert conn.getresponse().read()
    pids = service.pids()
    os.kill(service.proc.pid, signal.SIGHUP)
    time.sleep(0.5)
    conn.request("GET", "/api/health")
    assert conn.getresponse().status == 200
    conn.close()
    assert service.pids() == pids
    # A broken file is refused, and the old configuration goes on.
    with open(service.config, encoding="utf-8") as f:
        good = f.read()
    with open(service.config, "a", encoding="utf-8") as f:
        f.write("no_such_key: 1\n")
    try:
        os.kill(service.proc.pid, signal.SIGHUP)
        wait_for("complaint", lambda: "no_such_key" in
                 service.log("supervisor"))
        assert pi.answer(pi.say("still there?"))["state"] == "complete"
    finally:
        with open(service.config, "w", encoding="utf-8") as f:
            f.write(good)
        os.kill(service.proc.pid, signal.SIGHUP)


def test_log_level_at_run_time(service):
    service.ctl("log-level", "front", "debug")
    row = next(w for w in service.get("/api/status").json["workers"]
               if w["name"] == "front")
    assert row["level"] == "debug"
    service.ctl("log-level", "front", "info")


def test_many_messages_at_once(service, pi):
    """Ten posted at once: ten answers, each once, in order."""
    turns = []
    lock = threading.Lock()

    def post(i):
        turn = pi.say(f"number {i}")
        with lock:
            turns.append(turn)

    threads = [threading.Thread(target=post, args=(i,)) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for turn in turns:
        assert pi.answer(turn, 60)["state"] == "complete"
    for turn in turns:
        assert len(pi.answers(turn)) == 1
