"""agentctl alone: what it does when the service is away, breaks off or sends nonsense. No Incus, no root.

SPDX-License-Identifier: ISC

A few lines of HTTP stand in for the service here, for faults that the real one cannot be made to show; agentctl
with the real one is part of the other tests.
"""
import json
import os
import socketserver
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

CHANNEL, TURN, ANSWER = "c" * 32, "d" * 32, "e" * 32


@pytest.fixture(scope="session")
def build(request):
    return os.path.abspath(request.config.getoption("--agentd-build",
                                                    default="build"))


@pytest.fixture(scope="session", autouse=True)
def users():
    """Takes the place of the one for whole systems: none are needed."""


@pytest.fixture(scope="session")
def binary(build):
    for path in (os.environ.get("AGENTCTL", ""),
                 f"{build}/inst/bin/agentctl", f"{build}/gcc/agentctl"):
        if os.access(path, os.X_OK):
            return path
    pytest.fail("no agentctl: run ./check")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        api = self.server.api
        api.seen.append((self.command, self.path, body,
                         dict(self.headers)))
        answer = api.answers.get((self.command, self.path.split("?")[0]))
        if callable(answer):
            answer = answer(self)
        if answer is None:
            answer = 404, {"error": "no such path"}
        if answer == "stream":
            return
        text = answer[1] if isinstance(answer[1], bytes) else \
            json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def stream(self, *events):
        """Sends events and breaks off."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, doc in events:
            if callable(name):
                name()
                continue
            self.wfile.write(f"event: {name}\ndata: {json.dumps(doc)}\n\n"
                             .encode())
        self.close_connection = True
        return "stream"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass


class Api:
    def __init__(self, binary, tmp):
        self.binary, self.socket = binary, str(tmp / "api.sock")
        self.answers, self.seen = {}, []
        self.server = Server(self.socket, Handler)
        self.server.api = self
        threading.Thread(target=self.server.serve_forever, args=(0.02,),
                         daemon=True).start()

    def run(self, *args, **kw):
        return subprocess.run([self.binary, "-s", self.socket, *args],
                              capture_output=True, text=True, timeout=60,
                              check=False, **kw)

    def wait_for(self, method, path):
        for _ in range(500):
            if any(s[:2] == (method, path) for s in self.seen):
                return
            time.sleep(0.01)
        raise AssertionError(f"no {method} {path}")


@pytest.fixture
def api(binary, tmp_path):
    one = Api(binary, tmp_path)
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_service_that_is_away(binary, tmp_path):
    done = subprocess.run([binary, "-s", str(tmp_path / "none"), "status"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot reach agentd" in done.stderr
    assert "start agentd" in done.stderr or "agentd start" in done.stderr


@pytest.mark.parametrize("args", [
    (), ("nonsense",), ("agent",), ("agent", "show"), ("agent", "show", "a", "b"),
    ("agent", "show", "../../x"), ("agent", "deploy"), ("trace", "a/b"),
    ("agent", "deploy", "a", "--cpus", "0"), ("trace", "a", "--limit", "0"),
    ("provider", "add", "x"), ("logs", "nobody"), ("chat", "a", ""),
    ("--url", "ftp://x", "status"),
])
def test_wrong_calls(api, args):
    done = api.run(*args)
    assert done.returncode == 2 and done.stderr
    assert not api.seen


def test_help_names_every_verb(api):
    text = api.run("help").stdout
    assert all(len(line) < 90 for line in text.splitlines())
    for noun, verb in (("agent", "deploy"), ("provider", "add"),
                       ("image", "build"), ("recycle", "list")):
        assert noun in text and verb in text
        assert f"agentctl {noun} {verb} " in api.run("help", noun).stdout
    for verb in ("status", "chat", "trace", "logs", "log-level", "doctor"):
        assert verb in text
    assert "chat" not in api.run("help", "agent").stdout


@pytest.mark.parametrize("args", [
    ("agent", "deploy", "--help"), ("agent", "deploy", "x", "-h"),
    ("help", "agent", "deploy")])
def test_help_of_one_verb(api, args):
    done = api.run(*args)
    assert done.returncode == 0 and not done.stderr and not api.seen
    assert "agentctl agent deploy NAME" in done.stdout
    assert "agent list" not in done.stdout


def test_help_of_no_verb(api):
    assert api.run("help", "agent", "nosuch").returncode == 2
    # What follows "--" is a command's own.
    done = api.run("agent", "exec", "x", "--", "ls", "--help")
    assert "agentctl agent exec" not in done.stdout


def test_error_of_the_service_is_told_and_harmless(api):
    api.answers["GET", "/api/agents/x"] = (404, {
        "error": "there is no agent \x1b]0;x\x07"})
    done = api.run("agent", "show", "x")
    assert done.returncode == 1
    assert "there is no agent" in done.stderr and "\x1b" not in done.stderr
    api.answers["GET", "/api/agents/x"] = (200, b"no json")
    assert api.run("agent", "show", "x").returncode == 1


def test_restarting_worker_is_waited_for(api):
    def busy(h):
        if len(api.seen) < 3:
            return 503, {"error": "keeper is away"}
        return 200, {"version": "1", "workers": []}
    api.answers["GET", "/api/status"] = busy
    assert api.run("status").returncode == 0
    assert len(api.seen) == 3


def chat_api(api, events):
    api.answers["GET", "/api/agents/a"] = (200, {
        "name": "a", "status": "running", "channel_id": CHANNEL})
    api.answers["POST", "/api/chat/messages"] = (201, {"id": TURN})
    api.answers["GET", f"/api/chat/channels/{CHANNEL}/events"] = events


def message(state, content, error=None):
    meta = {"trace_id": TURN}
    if error:
        meta["error"] = error
    return ("message", {"id": ANSWER, "author_type": "agent",
                        "content": content, "state": state,
                        "metadata": meta})


def test_chat_prints_the_final_text_once(api):
    def stream(h):
        return h.stream(
            (lambda: api.wait_for("POST", "/api/chat/messages"), None),
            ("message", {"id": "f" * 32, "author_type": "agent",
                         "content": "of another turn", "state": "complete",
                         "metadata": {"trace_id": "0" * 32}}),
            message("streaming", ""),
            ("message_delta", {"message_id": ANSWER, "delta": "wrong"}),
            ("message_reset", {"message_id": ANSWER}),
            ("message_delta", {"message_id": ANSWER, "delta": "Hel"}),
            ("message_edit", {"message_id": ANSWER,
                              "content": "Hello \x1b[2J"}),
            ("message_state", {"message_id": ANSWER, "state": "complete"}))
    chat_api(api, stream)
    done = api.run("chat", "a", "hi")
    assert done.returncode == 0
    assert done.stdout == "Hello \\^[[2J\n"
    posts = [s for s in api.seen if s[0] == "POST"]
    assert json.loads(posts[0][2]) == {"channel_id": CHANNEL,
                                       "content": "hi"}
    assert len(posts[0][3]["Idempotency-Key"]) == 32


def test_chat_survives_a_lost_stream(api):
    def stream(h):
        return h.stream(
            (lambda: api.wait_for("POST", "/api/chat/messages"), None),
            message("streaming", ""),
            ("message_delta", {"message_id": ANSWER, "delta": "Hel"}))
    chat_api(api, stream)
    api.answers["GET", f"/api/chat/channels/{CHANNEL}/messages"] = (200, {
        "messages": [message("complete", "Hello")[1]]})
    done = api.run("chat", "a", "hi")
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    assert sum(s[0] == "POST" for s in api.seen) == 1


def test_chat_that_fails(api):
    chat_api(api, lambda h: h.stream(
        (lambda: api.wait_for("POST", "/api/chat/messages"), None),
        message("error", "half", "the model is away")))
    done = api.run("chat", "a", "hi")
    assert done.returncode == 1
    assert "the model is away" in done.stderr


def test_deploy_tells_how_it_ended(api):
    api.answers["POST", "/api/agents/deploy"] = (202, {"name": "a"})
    steps = [{"step": "socket", "ms": 5}, {"step": "instance", "ms": 2000}]
    for status, code in (("success", 0), ("failed", 1)):
        doc = {"status": status, "step": "instance", "steps": steps,
               "error": "no room", "started_at": 1.0, "updated_at": 3.0}
        first = dict(doc, status="deploying", steps=steps[:1])
        api.answers["GET", "/api/agents/a/deploy-status"] = \
            lambda h, f=first, d=doc: h.stream(("step", f), ("step", d))
        done = api.run("agent", "deploy", "A", "--framework", "pi",
                       "--memory", "512MiB", "--cpus", "2")
        assert done.returncode == code
        assert done.stdout.count("socket") == 1
        assert ("no room" in done.stderr) == (code == 1)
    body = json.loads([s for s in api.seen if s[0] == "POST"][0][2])
    assert body == {"name": "A", "framework": "pi",
                    "memory_limit": "512MiB", "cpu_limit": 2}


def test_key_comes_from_standard_input(api):
    api.answers["POST", "/api/providers"] = (201, {"status": "added",
                                                   "name": "p"})
    args = ("provider", "add", "p", "--type", "openai", "--url",
            "https://h/v1", "--model", "m")
    assert api.run(*args, input="sk-secret\n").returncode == 0
    assert json.loads(api.seen[-1][2]) == {
        "name": "p", "type": "openai", "url": "https://h/v1",
        "api_key": "sk-secret", "models": ["m"]}
    count = len(api.seen)
    assert api.run(*args, input="").returncode == 1
    assert len(api.seen) == count
    assert api.run(*args, "--no-key").returncode == 0
    assert "api_key" not in json.loads(api.seen[-1][2])


def test_upload_is_streamed(api, tmp_path):
    image = tmp_path / "image"
    image.write_bytes(os.urandom(3_000_000))
    api.answers["PUT", "/api/images/x-base"] = (201, {"alias": "x-base"})
    assert api.run("image", "import", "--unsigned", "x-base",
                   str(image)).returncode == 0
    assert api.seen[-1][2] == image.read_bytes()
    assert api.run("image", "import", "x", "/none").returncode == 1


def test_logs_of_a_file(api, tmp_path):
    log = tmp_path / "front.log"
    log.write_text("".join(f"line {i}\n" for i in range(100)))
    args = ("logs", "front", "--log-dir", str(tmp_path))
    assert api.run(*args, "-n", "2").stdout == "line 98\nline 99\n"
    assert api.run(*args, "-n", "0").stdout == ""
    assert len(api.run(*args, "-n", "1000").stdout.split("\n")) == 101
    with subprocess.Popen([api.binary, *args, "-n", "1", "-f"],
                          stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == "line 99\n"
        log.rename(tmp_path / "front.log.1")
        log.write_text("after rotation\n")
        assert p.stdout.readline() == "after rotation\n"
        p.kill()


def test_doctor_names_what_is_missing(binary, tmp_path):
    done = subprocess.run([binary, "-s", str(tmp_path / "none"), "doctor"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FAIL  agentd does not answer" in done.stdout
    assert "try: " in done.stdout
