"""agent-link alone, against a gateway and runtimes that fail on demand: no Incus, no root.

SPDX-License-Identifier: ISC
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                     "peers")
sys.path.insert(0, PEERS)
from mock_gateway import MockGateway  # noqa: E402 (found by the line above)


@pytest.fixture(scope="session")
def build(request):
    return os.path.abspath(request.config.getoption("--agentd-build",
                                                    default="build"))


@pytest.fixture(scope="session", autouse=True)
def users():
    """Takes the place of the one for whole systems: none are needed."""


@pytest.fixture(scope="session")
def binary(build):
    for path in (os.environ.get("AGENT_LINK", ""),
                 f"{build}/inst/libexec/agentd/agent-link",
                 f"{build}/gcc/agent-link"):
        if os.access(path, os.X_OK):
            return path
    pytest.fail("no agent-link: run ./check")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Link:
    """One agent-link with its gateway and runtime."""

    def __init__(self, binary, tmp):
        self.binary, self.tmp = binary, tmp
        self.gw = MockGateway(str(tmp / "agentd.sock"))
        self.llm, self.api, self.port = (free_port() for _ in range(3))
        self.proc = self.runtime = None
        self.settings = {}

    def start(self, kind="rpc", gateway=True, **settings):
        self.kind, self.settings = kind, settings
        if gateway:
            self.gw.start()
        if kind == "http" and settings.get("run", True):
            self.start_runtime(settings.get("delay", 0))
        conf = [f"kind = {kind}", "runtime = fake",
                f"socket = {self.gw.path}",
                f"llm_listen = 127.0.0.1:{self.llm}",
                f"api_listen = 127.0.0.1:{self.api}",
                f"turn_timeout = {settings.get('turn_timeout', 20)}",
                f"ready_timeout = {settings.get('ready_timeout', 20)}"]
        if kind == "rpc":
            command = settings.get(
                "command", f"{sys.executable} "
                f"{PEERS}/fake_rpc_runtime.py {self.llm} {self.tmp}")
            conf.append(f"command = {command}")
        elif kind in ("acp", "exec"):
            mode = "acp" if kind == "acp" else settings.get("format", "jsonl")
            command = settings.get(
                "command", f"{sys.executable} {PEERS}/fake_line_runtime.py "
                f"{mode} {self.llm} {self.tmp}")
            conf.append(f"command = {command}")
            if kind == "exec":
                conf.append(f"format = {mode}")
            conf += settings.get("more", [])
        else:
            token = self.tmp / "token"
            token.write_text("runtime-token\n")
            conf += [f"url = http://127.0.0.1:{self.port}"
                     "/v1/chat/completions",
                     f"ready = http://127.0.0.1:{self.port}/readyz",
                     f"token_file = {token}", "model = fake/default"]
        (self.tmp / "link.conf").write_text("\n".join(conf) + "\n")
        self.spawn()
        if gateway:
            self.gw.wait_connected()
        return self.gw

    def spawn(self):
        log = open(self.tmp / "link.log", "ab")
        self.proc = subprocess.Popen(
            [self.binary, "-d", "-f", str(self.tmp / "link.conf")],
            stderr=log, stdin=subprocess.DEVNULL)
        log.close()

    def start_runtime(self, delay=0):
        self.runtime = subprocess.Popen(
            [sys.executable, f"{PEERS}/fake_http_runtime.py", str(self.port),
             str(self.llm), str(delay)])

    def starts(self):
        """Process ids of the fake rpc runtime, one for each start."""
        path = self.tmp / "starts"
        return path.read_text().split() if path.exists() else []

    def request(self, port, method, path, body=None, headers=None):
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        conn.request(method, path, body, headers or {})
        reply = conn.getresponse()
        return reply.status, reply.read()

    def rss_kib(self):
        with open(f"/proc/{self.proc.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def stop(self):
        for proc in (self.proc, self.runtime):
            if proc is not None and proc.poll() is None:
                proc.kill()
                proc.wait()
        self.gw.kill()


@pytest.fixture
def link(binary, tmp_path):
    one = Link(binary, tmp_path)
    yield one
    code = one.proc.poll() if one.proc is not None else None
    one.stop()
    assert code is None or code == 0, (tmp_path / "link.log").read_text()


KINDS = pytest.mark.parametrize("kind", ["rpc", "http", "acp", "exec"])


@KINDS
def test_turn_streams_in_order(link, kind):
    gw = link.start(kind)
    gw.reply_delay = 0.01
    trace = gw.send("count 200")
    last = gw.wait_done(trace)
    assert last["kind"] == "final"
    words = [f"w{i}" for i in range(200)]
    assert gw.text(trace).split() == words
    replies = gw.of(trace)
    seqs = [r["seq"] for r in replies]
    assert seqs == sorted(seqs) and len(set(seqs)) == len(seqs)
    assert all(r["attempt"] == 1 and r["channel_id"] == "c" * 32
               for r in replies)
    deltas = [r for r in replies if r["kind"] == "delta"]
    # Streamed, yet joined while a POST was under way.
    assert 2 <= len(deltas) < 200
    assert "".join(d["content"] for d in deltas).split() == words
    assert gw.llm_calls == [(trace, "1")]
    gw.wait(lambda: gw.acked == 1, what="ack")


@KINDS
def test_key_and_turn_replace_what_the_runtime_sent(link, kind):
    gw = link.start(kind)
    gw.wait_done(gw.send("hello"))
    llm = [h for m, p, h in gw.requests if p == "/v1/chat/completions"]
    assert [h["Authorization"] for h in llm] == ["Bearer " + gw.key]
    assert not any(h.get("x-agentd-turn") == "forged" for h in llm)
    assert gw.hellos[0]["runtime"] == "fake"
    assert gw.hellos[0]["kind"] == kind


def test_runtime_waits_as_asked(link):
    link.gw.hold_ms = 30000
    gw = link.start()
    time.sleep(1.5)             # more than a silent host is waited for
    assert link.starts() == []
    gw.push("start", {})
    gw.wait(lambda: len(link.starts()) == 1, what="start of the runtime")
    gw.wait_done(gw.send("hello"))
    gw.push("start", {})        # said twice it is done once
    gw.wait_done(gw.send("hello"))
    assert len(link.starts()) == 1


@pytest.mark.parametrize("hold", [700, -1, 1.5, "1", 30001, 1 << 62])
def test_runtime_starts_by_itself(link, hold):
    """After the time it was given; a time that makes no sense is none."""
    link.gw.hold_ms = hold
    gw = link.start()
    began = time.monotonic()
    gw.wait(lambda: link.starts(), what="start of the runtime")
    took = time.monotonic() - began
    assert hold != 700 or took > 0.3
    assert took < 5


def test_a_message_does_not_wait(link):
    link.gw.hold_ms = 30000
    gw = link.start()
    assert link.starts() == []
    trace = gw.send("hello")
    assert gw.wait_done(trace)["kind"] == "final"


def test_messages_wait_for_their_turn(link):
    gw = link.start()
    traces = [gw.send(f"count {n}") for n in (30, 20, 10)]
    for trace in traces:
        gw.wait_done(trace)
    order = [r["trace_id"] for r in gw.replies]
    assert [t for i, t in enumerate(order) if t not in order[:i]] == traces
    assert order == sorted(order, key=traces.index)
    gw.wait(lambda: gw.acked == 3, what="acks")


def test_tool_events_and_unicode(link):
    gw = link.start()
    trace = gw.send("tool")
    gw.wait_done(trace)
    kinds = [r["kind"] for r in gw.of(trace)]
    assert kinds == ["tool_call", "tool_result", "delta", "final"]
    call, result = gw.of(trace)[:2]
    assert call["tool"] == "bash" and call["tool_call_id"] == "call_1"
    assert call["args"] == {"command": "echo hi"}
    assert result["result"] == "hi\n" and result["success"] is True
    assert 40 <= result["duration_ms"] < 5000
    trace = gw.send("unicode")
    gw.wait_done(trace)
    assert gw.text(trace) == "gr\u00fc\u00df \u2028 \U0001f600"


def test_long_answer_is_only_in_deltas(link):
    gw = link.start()
    trace = gw.send("long")
    final = gw.wait_done(trace)
    assert final["kind"] == "final" and final["content"] == ""
    assert gw.text(trace) == "x" * 300000


@KINDS
@pytest.mark.parametrize("fault", ["cut", "reset", "refuse"])
def test_broken_llm_path_runs_the_turn_again(link, kind, fault):
    gw = link.start(kind)
    gw.llm_faults = [fault, fault]
    trace = gw.send("hello again")
    last = gw.wait_done(trace, 15)
    assert last["kind"] == "final" and last["attempt"] == 3
    assert gw.text(trace).split() == ["echo:", "hello", "again"]
    assert gw.llm_calls == [(trace, str(n)) for n in (1, 2, 3)]


@KINDS
def test_three_broken_attempts_are_an_error(link, kind):
    gw = link.start(kind)
    gw.llm_faults = ["cut"] * 3
    trace = gw.send("hello")
    last = gw.wait_done(trace, 15)
    assert last["kind"] == "error" and last["error"]
    assert len(gw.llm_calls) == 3
    trace = gw.send("well again")
    assert gw.wait_done(trace)["kind"] == "final"


def test_cut_stream_is_not_taken_for_an_answer(link):
    gw = link.start("http")
    gw.llm_faults = ["cut"]
    trace = gw.send("swallow one two")
    gw.wait_done(trace)
    assert gw.text(trace).split() == ["echo:", "one", "two"]
    assert gw.of(trace)[-1]["attempt"] == 2


@KINDS
def test_gateway_dies_in_the_middle_of_a_turn(link, kind):
    gw = link.start(kind)
    gw.reply_delay = 0.02
    trace = gw.send("count 400")
    gw.wait(lambda: len(gw.replies) >= 2, what="first replies")
    gw.kill()
    time.sleep(0.5)
    gw.reply_delay = 0
    gw.start()
    last = gw.wait_done(trace, 15)
    assert last["kind"] == "final"
    assert gw.text(trace).split() == [f"w{i}" for i in range(400)]
    assert sum(r["kind"] == "final" for r in gw.of(trace)) == 1
    gw.wait(lambda: gw.acked == 1, what="ack")


def test_reply_is_repeated_with_its_seq(link):
    gw = link.start()
    gw.reply_faults = ["reset", 503, 500, "reset", 429]
    trace = gw.send("hello")
    gw.wait_done(trace)
    assert gw.text(trace).split() == ["echo:", "hello"]
    seqs = [r["seq"] for r in gw.of(trace)]
    assert len(set(seqs)) == len(seqs)


def test_refused_final_becomes_an_error(link):
    gw = link.start()
    trace = gw.send("silent")
    assert gw.wait_done(trace)["kind"] == "error"
    gw.reply_delay = 0.3                # all else is queued behind the first
    gw.reply_faults = [202, 202, 202, 422]
    trace = gw.send("tool")
    last = gw.wait_done(trace)
    assert last["kind"] == "error" and "422" in last["error"]


def test_lost_key_is_renewed(link):
    gw = link.start()
    gw.wait_done(gw.send("hello"))
    gw.rotate_key()
    trace = gw.send("after the key was lost")
    assert gw.wait_done(trace, 15)["kind"] == "final"
    assert gw.text(trace).split()[0] == "echo:"
    assert len(gw.hellos) == 2


def test_hello_is_repeated_until_taken(link):
    link.gw.hello_faults = [409, 503, 409, 500]
    gw = link.start()
    assert len(gw.hellos) == 5
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


def test_link_starts_before_the_gateway(link):
    gw = link.start(gateway=False)
    time.sleep(0.5)
    gw.start()
    gw.wait_connected()
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


def test_redelivered_message_is_answered_once(link):
    gw = link.start()
    trace = gw.send("hello")
    gw.wait_done(trace)
    gw.wait(lambda: gw.acked == 1, what="ack")
    with gw.lock:       # as if the host had lost the ack
        gw.acked = 0
    gw.push("user_message", {"id": trace, "trace_id": trace,
                             "channel_id": "c" * 32, "text": "hello"})
    gw.drop_stream()
    gw.wait(lambda: gw.acked == 2, what="ack of the second delivery")
    assert gw.wait_done(gw.send("next"))["kind"] == "final"
    assert sum(r["kind"] == "final" for r in gw.of(trace)) == 1
    assert len(gw.llm_calls) == 2


def test_stream_is_opened_again(link):
    gw = link.start()
    for _ in range(3):
        before = gw.subscribers
        gw.drop_stream()
        gw.wait(lambda b=before: gw.subscribers > b, what="new stream")
        assert gw.wait_done(gw.send("hello"))["kind"] == "final"
    heads = [h for m, p, h in gw.requests if m == "GET"]
    assert heads[-1]["Last-Event-ID"] == "2"


def test_link_restarts_in_the_middle_of_a_turn(link):
    gw = link.start()
    trace = gw.send("hang")
    gw.wait(lambda: gw.of(trace), what="first delta")
    with gw.lock:
        gw.outbox[1][1]["text"] = "hello"
    link.proc.kill()
    link.proc.wait()
    link.spawn()
    assert gw.wait_done(trace, 15)["kind"] == "final"
    seqs = [r["seq"] for r in gw.of(trace)]
    assert seqs == sorted(seqs) and len(set(seqs)) == len(seqs)


def test_crashed_child_is_an_error_and_comes_back(link):
    gw = link.start()
    for _ in range(2):
        last = gw.wait_done(gw.send("crash"))
        assert last["kind"] == "error" and "status 3" in last["error"]
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"
    assert len(link.starts()) == 3
    os.kill(int(link.starts()[-1]), signal.SIGKILL)
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


def test_runtime_that_never_gets_ready_is_an_error(link):
    (link.tmp / "never-ready").touch()
    gw = link.start(ready_timeout=1)
    last = gw.wait_done(gw.send("hello"))
    assert last["kind"] == "error" and "not ready" in last["error"]


def test_command_that_cannot_run_is_an_error(link):
    gw = link.start(ready_timeout=1, command="/does/not/exist --mode rpc")
    last = gw.wait_done(gw.send("hello"))
    assert last["kind"] == "error" and "status 127" in last["error"]


def test_http_runtime_gets_ready_late(link):
    gw = link.start("http", delay=1.0)
    trace = gw.send("plain")
    assert gw.wait_done(trace)["kind"] == "final"
    assert gw.text(trace) == "user " + "c" * 32


def test_http_runtime_that_is_not_there_is_an_error(link):
    gw = link.start("http", run=False, ready_timeout=1)
    last = gw.wait_done(gw.send("hello"))
    assert last["kind"] == "error" and "not ready" in last["error"]


def test_http_runtime_errors_are_told(link):
    gw = link.start("http")
    last = gw.wait_done(gw.send("fail"))
    assert last["kind"] == "error" and "it broke" in last["error"]
    last = gw.wait_done(gw.send("die"))
    assert last["kind"] == "error" and "closed" in last["error"]
    # A message that comes while it is down waits for it.
    trace = gw.send("hello")
    link.runtime.wait()
    time.sleep(0.3)
    assert not gw.of(trace)
    link.start_runtime(0.5)
    assert gw.wait_done(trace)["kind"] == "final"


def test_abort(link):
    gw = link.start()
    first, second = gw.send("hang"), gw.send("never run")
    gw.wait(lambda: gw.of(first), what="first delta")
    gw.abort(second)
    gw.abort(first)
    for trace in (first, second):
        assert gw.wait_done(trace)["error"] == "aborted"
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"
    assert len(link.starts()) == 1
    gw.wait(lambda: gw.acked == 5, what="acks")


def test_prepare(link):
    """The open turn ends, then the host is told; no other one begins."""
    gw = link.start()
    first, second = gw.send("count 200"), gw.send("count 3")
    gw.wait(lambda: gw.of(first), what="first delta")
    gw.prepared_faults = [503]
    gw.push("prepare", {"id": "ab" * 16, "reason": "stop", "deadline_s": 30})
    gw.wait(lambda: len(gw.prepared) == 2, what="word of it, repeated")
    assert set(gw.prepared) == {"ab" * 16}
    assert gw.wait_done(first)["kind"] == "final"
    time.sleep(0.3)
    assert not gw.of(second)
    gw.push("resume", {})
    assert gw.wait_done(second)["kind"] == "final"
    # Without a turn it is told at once.
    gw.push("prepare", {"id": "cd" * 16, "reason": "pause",
                        "deadline_s": 30})
    gw.wait(lambda: gw.prepared[-1] == "cd" * 16, what="word of it")
    gw.push("resume", {})
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


def test_turn_timeout(link):
    gw = link.start(turn_timeout=1)
    last = gw.wait_done(gw.send("hang"))
    assert last["kind"] == "error" and "1 seconds" in last["error"]
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


def test_endless_answer_is_bounded(link):
    gw = link.start()
    trace = gw.send("endless")
    last = gw.wait_done(trace, 20)
    assert last["kind"] == "error" and "longer" in last["error"]
    assert len(gw.text(trace)) <= 1 << 20
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


def test_sigterm_ends_the_turn(link):
    gw = link.start()
    trace = gw.send("hang")
    gw.wait(lambda: gw.of(trace), what="first delta")
    link.proc.terminate()
    assert link.proc.wait(15) == 0
    assert gw.of(trace)[-1]["error"] == "the agent was stopped"
    pid = int(link.starts()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_sigterm_when_idle_is_quick(link):
    gw = link.start()
    gw.wait_done(gw.send("hello"))
    start = time.monotonic()
    link.proc.terminate()
    assert link.proc.wait(10) == 0
    assert time.monotonic() - start < 2.5


def test_many_messages_wait(link):
    gw = link.start()
    gw.reply_delay = 0.2
    first = gw.send("hello")
    gw.wait(lambda: gw.llm_calls, what="first call")
    traces = [gw.send(f"m{n}") for n in range(1200)]
    gw.reply_delay = 0
    gw.wait_done(first)
    gw.wait(lambda: traces[-1] in gw.done, 120, "all answers")
    finals = [r["trace_id"] for r in gw.replies if r["kind"] == "final"]
    assert finals == [first] + traces


def test_api_listener_forwards(link):
    gw = link.start()
    body = b"x" * 3_000_000
    assert link.request(link.api, "POST", "/api/echo", body) == (
        200, json.dumps({"length": len(body)}).encode())

    def chunks():
        for _ in range(40):
            yield b"y" * 50_000
    assert link.request(link.api, "POST", "/api/echo", chunks()) == (
        200, json.dumps({"length": 2_000_000}).encode())
    status, body = link.request(link.llm, "GET", "/v1/models")
    assert status == 200 and b"default" in body
    status, body = link.request(link.api, "POST", "/api/agent/hello", b"{}")
    assert status == 403 and gw.key.encode() not in body
    assert len(gw.hellos) == 1


def test_forwarder_waits_for_a_restarting_gateway(link):
    gw = link.start()
    gw.kill()
    with socket.create_connection(("127.0.0.1", link.llm)) as s:
        s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.4)
        gw.start()
        s.settimeout(10)
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("bad", [
    b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 20000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"hello\r\n\r\n",
])
def test_forwarder_refuses_bad_heads(link, bad):
    gw = link.start()
    before = len(gw.requests)
    with socket.create_connection(("127.0.0.1", link.api)) as s:
        s.sendall(bad)
        s.settimeout(10)
        assert re.match(rb"HTTP/1.1 4\d\d ", s.recv(4096))
    assert len(gw.requests) == before


def test_slow_reader_costs_no_memory(link):
    gw = link.start()
    before = link.rss_kib()
    slow = []
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", link.llm))
        body = json.dumps({"messages": [{"content": "count 20000"}]})
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body.encode())
        slow.append(s)
    gw.wait(lambda: len(gw.llm_calls) == 20, what="calls")
    time.sleep(0.5)
    if "sanit" not in link.binary:
        assert link.rss_kib() - before < 20 * 160
    # And the rest is still there for who reads on.
    data = b""
    while chunk := slow[0].recv(65536):
        data += chunk
    assert b"w19999" in data and data.endswith(b"0\r\n\r\n")
    for s in slow:
        s.close()
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


def test_resident_size(link):
    gw = link.start()
    gw.wait_done(gw.send("hello"))
    if "sanit" not in link.binary:
        assert link.rss_kib() <= 3072
        assert os.path.getsize(link.binary) <= 4 << 20


def test_config_errors_name_the_line(link, binary):
    conf = link.tmp / "bad.conf"
    for text, line, what in [
            ("kind = rpc\nwhat = 1\n", 2, "unknown key"),
            ("kind = bridge\n", 1, "not in this build"),
            ("kind = nosuch\n", 1, "unknown kind"),
            ("kind = rpc\nkind = rpc\n", 2, "twice"),
            ("# nothing\n", 1, "'kind' is missing")]:
        conf.write_text(text)
        done = subprocess.run([binary, "-n", "-f", str(conf)],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 78
        assert f"bad.conf:{line}: " in done.stderr and what in done.stderr
