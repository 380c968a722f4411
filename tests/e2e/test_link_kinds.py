"""agent-link's kinds acp and exec alone, with runtimes that fail on demand: no Incus, no root.

SPDX-License-Identifier: ISC
"""
import os
import signal
import sys
import time

import pytest

from test_link import Link, binary, build, users  # noqa: F401

NEW = pytest.mark.parametrize("kind", ["acp", "exec"])


@pytest.fixture
def link(binary, tmp_path):  # noqa: F811
    one = Link(binary, tmp_path)
    yield one
    code = one.proc.poll() if one.proc is not None else None
    one.stop()
    assert code is None or code == 0, (tmp_path / "link.log").read_text()


def gone(pid):
    """Ended, or a zombie that somebody else has to reap."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_gone(pid, timeout=5):
    end = time.monotonic() + timeout
    while not gone(pid):
        assert time.monotonic() < end, f"{pid} still runs"
        time.sleep(0.02)


@NEW
def test_tool_events(link, kind):
    """Announced twice, reported once; the permission is given, a file of
    ours is not (the runtime asserts both)."""
    gw = link.start(kind)
    trace = gw.send("tool")
    assert gw.wait_done(trace)["kind"] == "final"
    calls = [r for r in gw.of(trace) if r["kind"] == "tool_call"]
    results = [r for r in gw.of(trace) if r["kind"] == "tool_result"]
    assert len(calls) == len(results) == 1
    assert calls[0]["tool"] == "bash" and calls[0]["tool_call_id"] == "call_1"
    assert calls[0]["args"] == {"command": "echo hi"}
    assert results[0]["result"] == "hi\n" and results[0]["success"] is True
    assert 40 <= results[0]["duration_ms"] < 5000
    assert gw.text(trace) == "before\n\nafter"


@NEW
def test_thoughts_are_joined(link, kind):
    gw = link.start(kind)
    trace = gw.send("think")
    gw.wait_done(trace)
    assert [r["content"] for r in gw.of(trace) if r["kind"] == "reasoning"] \
        == ["I do think"]
    assert gw.text(trace) == "so"


@NEW
def test_unicode_and_long_answers(link, kind):
    gw = link.start(kind)
    trace = gw.send("unicode")
    gw.wait_done(trace)
    assert gw.text(trace) == "gr\u00fc\u00df \u2028 \U0001f600"
    trace = gw.send("long")
    assert gw.wait_done(trace)["content"] == ""
    assert gw.text(trace) == "x" * 300000
    assert gw.wait_done(gw.send("silent"))["kind"] == "error"


@NEW
def test_crash_is_an_error_and_the_next_works(link, kind):
    gw = link.start(kind)
    for _ in range(2):
        last = gw.wait_done(gw.send("crash"))
        assert last["kind"] == "error" and "status 3" in last["error"]
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


@NEW
def test_abort(link, kind):
    gw = link.start(kind)
    first, second = gw.send("hang"), gw.send("never run")
    gw.wait(lambda: gw.of(first), what="first delta")
    gw.abort(second)
    gw.abort(first)
    for trace in (first, second):
        assert gw.wait_done(trace)["error"] == "aborted"
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"
    # The protocol knows a cancel; a command is killed, with its helpers.
    assert len(link.starts()) == (1 if kind == "acp" else 2)
    if kind == "exec":
        wait_gone(int(link.starts()[0]))
        wait_gone(int((link.tmp / "helper").read_text()))


@NEW
def test_turn_timeout(link, kind):
    gw = link.start(kind, turn_timeout=1)
    last = gw.wait_done(gw.send("hang"))
    assert last["kind"] == "error" and "1 seconds" in last["error"]
    if kind == "exec":
        wait_gone(int((link.tmp / "helper").read_text()))
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


@NEW
def test_hostile_runtime(link, kind):
    """Garbage, records of wrong types, lines of 9 MB, calls without end."""
    gw = link.start(kind)
    gw.wait_done(gw.send("hello"))
    before = link.rss_kib()
    for _ in range(2):
        trace = gw.send("flood")
        assert gw.wait_done(trace, 20)["kind"] == "final"
        assert gw.text(trace).endswith("sane")
        calls = [r for r in gw.of(trace) if r["kind"] == "tool_call"]
        assert 1 <= len(calls) <= 64 + 14
    assert link.rss_kib() - before < 16384
    assert gw.wait_done(gw.send("hello"))["kind"] == "final"


@NEW
def test_endless_answer_is_bounded(link, kind):
    gw = link.start(kind)
    trace = gw.send("endless")
    last = gw.wait_done(trace, 20)
    assert last["kind"] == "error" and "longer" in last["error"]
    assert len(gw.text(trace)) <= 1 << 20
    assert gw.wait_done(gw.send("hello"), 15)["kind"] == "final"


@NEW
def test_sigterm_takes_the_runtime_along(link, kind):
    gw = link.start(kind)
    trace = gw.send("hang")
    gw.wait(lambda: gw.of(trace), what="first delta")
    link.proc.terminate()
    assert link.proc.wait(15) == 0
    assert gw.of(trace)[-1]["error"] == "the agent was stopped"
    wait_gone(int(link.starts()[0]))


@NEW
def test_command_that_cannot_run_is_an_error(link, kind):
    gw = link.start(kind, ready_timeout=1, command="/does/not/exist x")
    last = gw.wait_done(gw.send("hello"))
    assert last["kind"] == "error" and "status 127" in last["error"]


def test_acp_deaf_to_a_cancel_is_killed(link):
    gw = link.start("acp")
    trace = gw.send("deaf")
    gw.wait(lambda: gw.of(trace), what="first delta")
    gw.abort(trace)
    assert gw.wait_done(trace)["error"] == "aborted"
    assert gw.wait_done(gw.send("hello"), 20)["kind"] == "final"
    assert len(link.starts()) == 2


def test_acp_one_session_for_each_channel(link):
    gw = link.start("acp")
    said = []
    for channel in ("a" * 32, "b" * 32, "a" * 32):
        trace = gw.send("which", channel=channel)
        gw.wait_done(trace)
        said.append(gw.text(trace))
    assert said[0] == said[2] != said[1]
    # The conversation is lost with the child: a new session.
    os.kill(int(link.starts()[0]), signal.SIGKILL)
    trace = gw.send("which", channel="a" * 32)
    gw.wait_done(trace)
    assert gw.text(trace) != said[0]


def test_acp_goes_on_with_the_session_after_a_restart(link):
    """When the runtime can load one; what it repeats is no answer."""
    (link.tmp / "can-load").touch()
    gw = link.start("acp")
    trace = gw.send("which")
    gw.wait_done(trace)
    name = gw.text(trace).split()[0]
    os.kill(int(link.starts()[0]), signal.SIGKILL)
    trace = gw.send("which")
    assert gw.wait_done(trace)["kind"] == "final"
    assert gw.text(trace) == f"{name} {link.starts()[1]}"
    # One that cannot be loaded any more is made anew.
    os.kill(int(link.starts()[1]), signal.SIGKILL)
    (link.tmp / "lost-session").touch()
    trace = gw.send("which")
    assert gw.wait_done(trace)["kind"] == "final"
    assert gw.text(trace).split()[0] != name


def test_acp_many_channels(link):
    gw = link.start("acp")
    for n in range(40):
        trace = gw.send("which", channel=f"{n:032x}")
        gw.wait_done(trace)
    names = {gw.text(r["trace_id"]).split()[0] for r in gw.replies}
    assert len(names) == 40


def test_acp_refusals_are_told(link):
    gw = link.start("acp")
    last = gw.wait_done(gw.send("refuse"))
    assert last["kind"] == "error" and "refusal" in last["error"]
    (link.tmp / "no-session").touch()
    last = gw.wait_done(gw.send("hello", channel="d" * 32))
    assert last["error"] == "Authentication required"
    (link.tmp / "no-session").unlink()
    assert gw.wait_done(gw.send("hello", channel="d" * 32))["kind"] == "final"


@pytest.mark.parametrize("fault", ["never-ready", "old-protocol"])
def test_acp_that_does_not_start_is_an_error(link, fault):
    (link.tmp / fault).touch()
    gw = link.start("acp", ready_timeout=1)
    last = gw.wait_done(gw.send("hello"))
    assert last["kind"] == "error" and "not ready" in last["error"]


def test_exec_text(link):
    """All of stdout is the answer; blank lines stay, the last break goes."""
    gw = link.start("exec", format="text", command="/bin/cat")
    trace = gw.send("one\n\ntwo\n")
    assert gw.wait_done(trace)["kind"] == "final"
    assert gw.text(trace) == "one\n\ntwo"


def test_exec_text_fails_by_its_status(link):
    gw = link.start("exec", format="text", command="/bin/false")
    last = gw.wait_done(gw.send("hello"))
    assert last["kind"] == "error" and "status 1" in last["error"]


def test_exec_argument_and_conversation(link):
    more = ["input = argument", "resume = --session"]
    gw = link.start("exec", more=more)
    trace = gw.send("which", channel="e" * 32)
    assert gw.wait_done(trace)["kind"] == "final"
    assert gw.text(trace).split()[0] == "e" * 32
    # What looks like an option is text; it reaches the model.
    trace = gw.send("--help me")
    assert gw.wait_done(trace)["kind"] == "final"
    assert gw.text(trace).split() == ["echo:", "--help", "me"]
    last = gw.wait_done(gw.send("x" * 200000))
    assert last["kind"] == "error" and "too long" in last["error"]


def test_exec_without_a_final_is_no_answer(link):
    gw = link.start("exec", command="/bin/true")
    last = gw.wait_done(gw.send("hello"))
    assert last["kind"] == "error" and "before its answer" in last["error"]


def test_exec_need_not_read_its_stdin(link):
    gw = link.start("exec", format="text",
                    command=f"{sys.executable} -c print('unread')")
    trace = gw.send("y" * 200000)
    assert gw.wait_done(trace)["kind"] == "final"
    assert gw.text(trace) == "unread"
