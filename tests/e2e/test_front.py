# The real front between clients and played workers: what no healthy worker
# would do to it.
# SPDX-License-Identifier: ISC
import hashlib
import http.client
import json
import os
import select
import socket
import threading
import time

import pytest

import wire

PASS_MS = 30000
MSG = {"channel_id": "0" * 32, "content": "hi"}
JSON = {"Content-Type": "application/json"}


def boottime_ms():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Front:
    def __init__(self, libexec, top):
        self.path = f"{top}/front.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(16)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.worker = wire.Worker(libexec, "front",
                                  {"allowed_hosts": "agents.example"})
        for role, s in (("unix", listener), ("http", self.tcp)):
            self.worker.super.send("CONF_FD", {"name": role}, fd=s.fileno())
        listener.close()
        self.edges = {p: self.worker.edge(p)
                      for p in ("keeper", "trace", "proxy")}
        self.auths = 0
        while self.ask("GET", "/api/health").reply().status != 200:
            time.sleep(0.01)    # the edges are on their way

    @property
    def keeper(self):
        return self.edges["keeper"]

    def authenticate(self, role=2, status=200, life=PASS_MS):
        """Waits for the question who somebody is, and answers it."""
        name, f, rid, _ = self.keeper.recv()
        assert name in ("AUTH_PEER", "AUTH_TOKEN"), name
        if "fd" in f:
            os.close(f["fd"])
        self.auths += 1
        self.keeper.send("AUTH_RES", {
            "status": status, "role": role if status == 200 else 0,
            "principal": "root", "expires_ms": boottime_ms() + life,
            "pass_keeper": b"k" * 160, "pass_trace": b"t" * 160,
            "pass_proxy": b"p" * 160}, rid)
        return name, f

    def ask(self, method, path, body=None, headers=None, conn=None):
        """A request whose reply a thread waits for."""
        return Pending(conn or UnixHTTP(self.path), method, path, body,
                       headers)


class Pending:
    def __init__(self, conn, method, path, body, headers):
        self.conn = conn
        self.error = None
        data = json.dumps(body) if isinstance(body, dict) else body
        headers = {**(JSON if isinstance(body, dict) else {}),
                   **(headers or {})}

        def run():
            try:
                conn.request(method, path, data, headers)
                r = conn.getresponse()
                self.status, self.headers = r.status, r.headers
                self.body = r.read()
            except (OSError, http.client.HTTPException) as e:
                self.error = e

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def reply(self, timeout=20):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "no reply"
        assert self.error is None, self.error
        return self

    @property
    def json(self):
        return json.loads(self.body)


@pytest.fixture
def front(build, tmp_path):
    os.chmod(tmp_path, 0o755)
    f = Front(f"{build}/inst/libexec/agentd", tmp_path)
    yield f
    assert f.worker.proc.poll() is None, "front has died"
    f.worker.stop()


def test_each_audience_gets_its_own_pass(front):
    conn = UnixHTTP(front.path)
    for path, peer, name, mark in (
            ("/api/agents", "keeper", "AGENT_LIST", b"k"),
            ("/api/agents/bob/trace", "trace", "TRACE_QUERY", b"t"),
            ("/api/providers", "proxy", "PROVIDER_LIST", b"p")):
        p = front.ask("GET", path, conn=conn)
        if front.auths == 0:
            front.authenticate()
        got, f, rid, _ = front.edges[peer].recv()
        assert (got, f["pass"]) == (name, mark * 160)
        front.edges[peer].send("RESULT", {"status": 200}, rid)
        assert p.reply().status == 200
    assert front.auths == 1     # cached on the connection


def test_a_pass_that_is_nearly_over_is_renewed(front):
    conn = UnixHTTP(front.path)
    for i in (1, 2):
        p = front.ask("GET", "/api/agents", conn=conn)
        front.authenticate(life=3100)
        rid = front.keeper.recv()[2]
        front.keeper.send("RESULT", {"status": 200}, rid)
        assert p.reply().json == []
        assert front.auths == i
        time.sleep(0.2)


def test_rows_and_parts_become_one_array(front):
    p = front.ask("GET", "/api/agents/bob/trace")
    front.authenticate()
    trace = front.edges["trace"]
    rid = trace.recv()[2]
    big = json.dumps({"x": "y" * 150000})
    trace.send("RESULT", {"status": 200, "json": '{"a":1}'}, rid, more=True)
    trace.send("RESULT_PART", {"data": big[:61000].encode()}, rid, more=True)
    trace.send("RESULT_PART", {"data": big[61000:122000].encode()}, rid,
               more=True)
    trace.send("RESULT", {"status": 200, "json": big[122000:]}, rid,
               more=True)
    trace.send("RESULT", {"status": 200, "json": '{"b":2}'}, rid, more=True)
    trace.send("RESULT", {"status": 200}, rid)
    r = p.reply()
    assert r.json == {"agent_name": "bob", "schema_version": 1, "events": [
        {"a": 1}, json.loads(big), {"b": 2}]}


def test_list_that_breaks_off_is_an_error(front):
    p = front.ask("GET", "/api/agents")
    front.authenticate()
    rid = front.keeper.recv()[2]
    front.keeper.send("RESULT", {"status": 200, "json": "{}"}, rid, more=True)
    front.keeper.send("RESULT", {"status": 503, "json": '{"error":"gone"}'},
                      rid)
    r = p.reply()
    assert (r.status, r.json) == (503, {"error": "gone"})
    assert r.headers["Retry-After"] == "1"


def test_list_without_end_is_cut(front):
    p = front.ask("GET", "/api/agents")
    front.authenticate()
    rid = front.keeper.recv()[2]
    row = json.dumps("x" * 59000)
    for _ in range(400):        # 23 MiB
        front.keeper.send("RESULT", {"status": 200, "json": row}, rid,
                          more=True)
    assert p.reply().status == 507
    assert front.keeper.recv()[:3:2] == ("CANCEL", rid)


def test_lost_worker_fails_at_once(front):
    """What changes something may have been done: not asked twice."""
    p = front.ask("POST", "/api/trace", {"agent_name": "bob",
                                         "kind": "reasoning", "payload": {}})
    front.authenticate()
    front.edges["trace"].recv()
    front.edges["trace"].sock.close()
    r = p.reply(1)
    assert r.status == 503 and r.headers["Retry-After"] == "1"
    assert "trace" in r.json["error"]
    p = front.ask("GET", "/api/health").reply(2)
    assert (p.status, p.json["workers"]["trace"]) == (503, "down")


def test_reading_is_repeated_when_the_worker_is_back(front):
    p = front.ask("GET", "/api/agents/bob/trace")
    front.authenticate()
    front.edges["trace"].recv()
    front.edges["trace"].sock.close()
    front.authenticate()
    front.edges["trace"] = front.worker.edge("trace")
    name, _, rid, _ = front.edges["trace"].recv()
    assert name == "TRACE_QUERY"
    front.edges["trace"].send("RESULT", {"status": 200}, rid)
    assert p.reply().status == 200


def test_keeper_gone_while_it_says_who(front):
    """It is asked again when it is back, and waited for two seconds."""
    p = front.ask("GET", "/api/agents")
    name, f, _, _ = front.keeper.recv()
    assert name == "AUTH_PEER"
    os.close(f["fd"])
    front.keeper.sock.close()
    front.edges["keeper"] = front.worker.edge("keeper")
    front.authenticate()
    name, _, rid, _ = front.keeper.recv()
    assert name == "AGENT_LIST"
    front.keeper.send("RESULT", {"status": 200}, rid)
    assert p.reply().status == 200
    front.keeper.sock.close()
    start = time.monotonic()
    r = front.ask("GET", "/api/agents").reply(5)
    assert r.status == 503 and r.headers["Retry-After"] == "1"
    assert 1 < time.monotonic() - start < 4


def test_new_keeper_voids_the_passes(front):
    conn = UnixHTTP(front.path)
    for i in (1, 2):
        p = front.ask("GET", "/api/agents", conn=conn)
        front.authenticate()
        rid = front.keeper.recv()[2]
        front.keeper.send("RESULT", {"status": 200}, rid)
        assert p.reply().status == 200
        assert front.auths == i
        front.keeper.sock.close()
        front.edges["keeper"] = front.worker.edge("keeper")
        time.sleep(0.2)


def test_silent_worker_is_a_timeout(front):
    p = front.ask("GET", "/api/agents")
    front.authenticate()
    front.keeper.recv()
    assert p.reply(15).status == 504


def test_stale_pass_is_renewed_once(front):
    p = front.ask("GET", "/api/agents/bob/trace")
    trace = front.edges["trace"]
    for _ in range(2):
        front.authenticate()
        rid = trace.recv()[2]
        trace.send("RESULT", {"status": 401, "json": '{"error":"over"}'},
                   rid)
    r = p.reply()
    # It is not the client who is unknown.
    assert r.status == 503 and front.auths == 2


def test_secret_is_not_sent_twice(front):
    """After a 401 the key is not in the body any more: no second try."""
    p = front.ask("POST", "/api/providers", {
        "name": "p", "type": "openai", "api_key": "sk-1"})
    front.authenticate()
    name, f, rid, _ = front.keeper.recv()
    assert (name, f["api_key"]) == ("PROVIDER_ADD", "sk-1")
    front.keeper.send("RESULT", {"status": 401}, rid)
    assert p.reply().status == 503


def test_wrong_answers_kill_the_request_only(front):
    for bad in ({"status": 99}, {"status": 700}):
        p = front.ask("GET", "/api/agents/bob")
        front.authenticate()
        rid = front.keeper.recv()[2]
        front.keeper.send("RESULT", bad, rid)
        assert p.reply().status == 502
    p = front.ask("GET", "/api/agents/bob")
    front.authenticate()
    rid = front.keeper.recv()[2]
    for _ in range(160):        # 9 MiB of one row
        front.keeper.send("RESULT_PART", {"data": b"x" * 61000}, rid,
                          more=True)
    assert p.reply().status == 502


def test_user_is_no_admin(front):
    p = front.ask("GET", "/api/status")
    front.authenticate(role=1)
    assert p.reply().status == 403
    p = front.ask("GET", "/api/status")
    front.authenticate(status=403)
    assert p.reply().status == 403


def test_client_that_leaves_cancels(front):
    p = front.ask("GET", "/api/chat/channels/" + "0" * 32 + "/events",
                  headers={"Last-Event-ID": "7"})
    front.authenticate()
    name, f, rid, _ = front.keeper.recv()
    assert (name, f["last_event_id"]) == ("CHAT_WATCH", 7)
    front.keeper.send("RESULT", {"status": 200}, rid, more=True)
    time.sleep(0.2)
    p.conn.sock.shutdown(socket.SHUT_RDWR)
    assert front.keeper.recv()[:3:2] == ("CANCEL", rid)


def test_refused_stream_has_a_status(front):
    p = front.ask("GET", "/api/chat/channels/" + "0" * 32 + "/events")
    front.authenticate()
    rid = front.keeper.recv()[2]
    front.keeper.send("RESULT", {"status": 404,
                                 "json": '{"error":"no channel"}'}, rid)
    r = p.reply()
    assert r.status == 404 and "no channel" in r.json["error"]


def test_events_and_the_end_of_a_stream(front):
    p = front.ask("GET", "/api/chat/channels/" + "0" * 32 + "/events")
    front.authenticate()
    rid = front.keeper.recv()[2]
    front.keeper.send("RESULT", {"status": 200}, rid, more=True)
    front.keeper.send("RESULT", {"status": 200, "event": "message",
                                 "event_id": 5, "json": '{"a":1}'}, rid,
                      more=True)
    front.keeper.send("RESULT", {"status": 200, "event": "message_delta",
                                 "json": '{"b":2}'}, rid, more=True)
    front.keeper.sock.close()   # it comes back, so does the client
    r = p.reply(2)
    assert r.headers["Content-Type"] == "text/event-stream"
    assert r.body == (b'id: 5\nevent: message\ndata: {"a":1}\n\n'
                      b'event: message_delta\ndata: {"b":2}\n\n')


def test_client_that_never_reads_is_cut(front):
    s = socket.socket(socket.AF_UNIX)
    s.connect(front.path)
    s.sendall(b"GET /api/chat/channels/" + b"0" * 32 +
              b"/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    front.authenticate()
    rid = front.keeper.recv()[2]
    front.keeper.send("RESULT", {"status": 200}, rid, more=True)
    row = {"status": 200, "event": "message", "json": '"' + "x" * 50000 + '"'}
    sent = 0                    # 50 kB each; 4 MiB may wait in front
    while not select.select([front.keeper.sock], [], [], 0.001)[0]:
        front.keeper.send("RESULT", row, rid, more=True)
        sent += 1
        assert sent < 300, "front queues without end"
    assert front.keeper.recv()[:3:2] == ("CANCEL", rid)
    s.close()


def upload(front, size, headers=None):
    body = os.urandom(size)
    p = front.ask("PUT", "/api/images/base", body, headers)
    front.authenticate()
    name, f, rid, _ = front.keeper.recv()
    assert (name, f["alias"], f["size"]) == ("IMAGE_PUT", "base", size)
    return p, body, socket.socket(fileno=f["fd"]), rid


def test_upload_flows_through(front):
    p, body, s, rid = upload(front, 5_000_000)
    got = hashlib.sha256()
    n = 0
    while chunk := s.recv(65536):
        got.update(chunk)
        n += len(chunk)
    assert (n, got.digest()) == (len(body), hashlib.sha256(body).digest())
    front.keeper.send("RESULT", {"status": 201, "json": '{"alias":"base"}'},
                      rid)
    r = p.reply()
    assert (r.status, r.json) == (201, {"alias": "base"})


def test_upload_waits_for_a_slow_reader(front):
    before = front.worker.rss_kib()
    p, body, s, rid = upload(front, 30_000_000)
    time.sleep(1)
    assert front.worker.rss_kib() - before < 8192
    n = 0
    while chunk := s.recv(1 << 20):
        n += len(chunk)
    assert n == len(body)
    front.keeper.send("RESULT", {"status": 201}, rid)
    assert p.reply().status == 201


def test_upload_refused_half_way(front):
    p, _, s, rid = upload(front, 3_000_000)
    s.recv(1000)
    s.close()
    front.keeper.send("RESULT", {"status": 422,
                                 "json": '{"error":"no image"}'}, rid)
    r = p.reply()
    assert r.status == 422 and r.json["error"] == "no image"


def test_upload_given_up_is_cancelled(front):
    s = socket.socket(socket.AF_UNIX)
    s.connect(front.path)
    s.sendall(b"PUT /api/images/base HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Length: 1000\r\n\r\nabc")
    front.authenticate()
    _, f, rid, _ = front.keeper.recv()
    r = socket.socket(fileno=f["fd"])
    assert r.recv(10) == b"abc"
    s.close()
    assert front.keeper.recv()[:3:2] == ("CANCEL", rid)
    assert r.recv(10) == b""    # shorter than it was said to be


def test_upload_needs_its_length(front):
    p = front.ask("PUT", "/api/images/base", iter([b"abc"]))
    front.authenticate()
    assert p.reply().status == 411


def test_names_and_pages(front):
    def get(**headers):
        conn = http.client.HTTPConnection("127.0.0.1", front.port, timeout=5)
        return front.ask("GET", "/api/health", headers=headers,
                         conn=conn).reply().status

    assert get() == 200
    assert get(Host="agents.example:80") == 200
    assert get(Host="evil.example") == 403
    assert get(Origin="http://evil.example") == 403
    assert get(Origin=f"http://127.0.0.1:{front.port}") == 200
    assert get(Origin="null") == 403
    assert get(**{"Sec-Fetch-Site": "cross-site"}) == 403


def test_token_is_asked_for_each_time(front):
    conn = http.client.HTTPConnection("127.0.0.1", front.port, timeout=5)
    for _ in range(2):
        p = front.ask("GET", "/api/agents", conn=conn,
                      headers={"Authorization": "Bearer abc"})
        name, f = front.authenticate()
        assert (name, f["token"]) == ("AUTH_TOKEN", "abc")
        rid = front.keeper.recv()[2]
        front.keeper.send("RESULT", {"status": 200}, rid)
        assert p.reply().status == 200
    # No question to keeper for what cannot be one.
    for value in ("", "Basic abc", "Bearer ", "Bearer " + "a" * 300):
        p = front.ask("GET", "/api/agents", conn=conn,
                      headers={"Authorization": value}).reply()
        assert (p.status, p.json) == (401, {
            "error": "authentication required"})


def test_stop_ends_the_streams(front):
    p = front.ask("GET", "/api/chat/channels/" + "0" * 32 + "/events")
    front.authenticate()
    rid = front.keeper.recv()[2]
    front.keeper.send("RESULT", {"status": 200}, rid, more=True)
    time.sleep(0.2)
    front.worker.super.send("SHUTDOWN", {"ms": 5000})
    assert p.reply(2).body == b""
    p.conn.close()
    assert front.worker.proc.wait(6) == 0
    front.worker.proc.poll = lambda: None   # this death was meant
