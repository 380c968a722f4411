# proxy as it is installed: keys, policies and routes over its channels.
# SPDX-License-Identifier: ISC
import hashlib
import os

import pytest

import llm
import wire

A, B, P = "a" * 32, "b" * 32, "1" * 32
ROW = {"provider_id": P, "name": "one", "owner": "root", "type": "openai",
       "url": "https://api.example.com/v1", "models": "m1\nm2"}


class Proxy:
    def __init__(self, request, path):
        self.libexec = llm.libexec(request)
        self.path = str(path)
        os.chmod(self.path, 0o700)
        os.chown(self.path, wire.NOBODY, wire.NOBODY)
        os.chmod(os.path.dirname(self.path), 0o755)
        self.start()

    def start(self):
        self.worker = wire.Worker(self.libexec, "proxy",
                                  {"state_dir": self.path})
        self.gw = self.worker.edge("gateway")
        self.keeper = self.worker.edge("keeper")
        self.front = self.worker.edge("front")
        name, f, _, _ = self.gw.recv()
        assert (name, f) == ("KEY_FLUSH", {"agent_id": ""})

    def kill(self):
        self.worker.stop()
        self.start()

    def policy(self, agent, model="demo", models=""):
        return self.keeper.call("AGENT_POLICY", {
            "agent_id": agent, "slug": f"agent-{agent[0]}", "owner": "root",
            "model": model, "models": models})

    def mint(self, agent):
        return self.gw.call("KEY_MINT", {"agent_id": agent})["key"]

    def check(self, agent, key):
        return self.gw.call("KEY_CHECK", {
            "agent_id": agent,
            "digest": hashlib.sha256(key.encode()).digest()})


@pytest.fixture
def proxy(request, tmp_path_factory):
    base = tmp_path_factory.mktemp("proxy")
    # The worker is another user; runs side by side have one level more.
    for above in list(base.parents)[:3]:
        os.chmod(above, 0o755)
    (base / "state").mkdir()
    p = Proxy(request, base / "state")
    yield p
    assert p.worker.proc.poll() is None
    p.worker.stop()


def test_keys_survive_a_kill(proxy):
    proxy.policy(A)
    first = proxy.mint(A)
    proxy.kill()
    assert proxy.check(A, first)["status"] == 200
    second = proxy.mint(A)
    proxy.kill()
    assert proxy.check(A, first)["status"] == 200
    assert proxy.check(A, second)["status"] == 200
    proxy.kill()
    assert proxy.check(A, first)["status"] == 401
    assert proxy.check(A, second)["status"] == 200


def test_flush_comes_before_the_answer(proxy):
    """Gateway must drop the old key before it learns of the new one."""
    proxy.policy(A)
    assert proxy.gw.recv()[:2] == ("KEY_FLUSH", {"agent_id": A})
    key = proxy.mint(A)
    rid = proxy.gw.ask("KEY_CHECK", {
        "agent_id": A, "digest": hashlib.sha256(key.encode()).digest()})
    assert proxy.gw.recv()[:2] == ("KEY_FLUSH", {"agent_id": A})
    name, f, got, _ = proxy.gw.recv()
    assert (name, f["status"], got) == ("KEY_INFO", 200, rid)
    # A later check changes nothing.
    proxy.gw.ask("KEY_CHECK", {
        "agent_id": A, "digest": hashlib.sha256(key.encode()).digest()})
    assert proxy.gw.recv()[0] == "KEY_INFO"


def test_stolen_key_names_its_owner(proxy):
    proxy.policy(A)
    proxy.policy(B)
    key = proxy.mint(A)
    assert proxy.check(B, key) == {"status": 403, "owner_agent": A,
                                   "owner_slug": "agent-a"}
    assert proxy.check(B, "sk-agentd-" + "0" * 64) == {
        "status": 401, "owner_agent": "", "owner_slug": ""}


def test_dropped_agent(proxy):
    proxy.policy(A)
    key = proxy.mint(A)
    assert proxy.check(A, key)["status"] == 200
    assert proxy.keeper.call("AGENT_DROP", {"agent_id": A})["status"] == 200
    assert proxy.check(A, key)["status"] == 401
    assert proxy.gw.call("KEY_MINT", {"agent_id": A})["status"] == 404
    route = proxy.gw.call("LLM_ROUTE", {"agent_id": A, "model": "demo"})
    assert route["status"] == 403


def test_unknown_model(proxy):
    got = proxy.policy(A, "nope")
    assert got["status"] == 404 and "demo" in got["error"]


def test_routes_are_pushed_to_upstream(proxy):
    assert proxy.keeper.call("PROVIDER_PUT", ROW)["status"] == 200
    up = proxy.worker.edge("upstream")
    rows = {}
    for _ in range(2):
        name, f, rid, _ = up.recv()
        assert name == "ROUTE_PUT"
        rows[f["name"]] = f
        up.send("DONE", {"status": 200}, rid)
    assert rows["demo"]["type"] == "demo"
    assert rows["one"]["url"] == ROW["url"]
    proxy.policy(A, "m2")
    route = proxy.gw.call("LLM_ROUTE", {"agent_id": A, "model": "default"})
    assert (route["provider_id"], route["model"]) == (P, "m2")
    rid = proxy.keeper.ask("PROVIDER_DROP", {"provider_id": P})
    name, f, asked, _ = up.recv()
    assert (name, f["provider_id"]) == ("ROUTE_DROP", P)
    up.send("DONE", {"status": 200}, asked)
    assert proxy.keeper.recv()[1:3] == ({"status": 200, "error": ""}, rid)
    route = proxy.gw.call("LLM_ROUTE", {"agent_id": A, "model": "m2"})
    assert route["status"] == 404


def test_what_upstream_refuses_is_not_stored(proxy):
    up = proxy.worker.edge("upstream")
    assert up.recv()[1]["name"] == "demo"
    rid = proxy.keeper.ask("PROVIDER_PUT", ROW)
    name, f, asked, _ = up.recv()
    assert (name, f["name"]) == ("ROUTE_PUT", "one")
    up.send("DONE", {"status": 422, "error": "no such thing"}, asked)
    got = proxy.keeper.recv()
    assert got[1] == {"status": 422, "error": "no such thing"}
    assert got[2] == rid
    assert proxy.policy(A, "m1")["status"] == 404


@pytest.mark.parametrize("change,status", [
    ({"name": "demo"}, 409), ({"name": "A"}, 422), ({"type": "x"}, 422),
    ({"url": ""}, 422), ({"models": "a b"}, 422)])
def test_bad_providers(proxy, change, status):
    got = proxy.keeper.call("PROVIDER_PUT", {**ROW, **change})
    assert got["status"] == status and got["error"]


def test_provider_names_are_unique(proxy):
    assert proxy.keeper.call("PROVIDER_PUT", ROW)["status"] == 200
    got = proxy.keeper.call("PROVIDER_PUT", {**ROW, "provider_id": "2" * 32})
    assert got["status"] == 409
    assert proxy.keeper.call("PROVIDER_PUT", ROW)["status"] == 200


@pytest.mark.parametrize("forged", [b"", b"x", b"\0" * 160, b"x" * 192])
def test_forged_pass(proxy, forged):
    got = proxy.front.call("PROVIDER_LIST", {"pass": forged})
    assert got["status"] == 401
    proxy.keeper.send("PASS_KEY", {"key": b"k" * 32, "boot": b"b" * 16})
    # The answer to keeper says that its key has been taken.
    proxy.policy(A)
    got = proxy.front.call("PROVIDER_LIST", {"pass": forged})
    assert got["status"] == 401


@pytest.mark.parametrize("kind,fields", [
    ("KEY_MINT", {"agent_id": "x"}),
    ("KEY_CHECK", {"agent_id": A, "digest": b"short"}),
    ("LLM_ROUTE", {"agent_id": "A" * 32})])
def test_broken_messages_are_reported(proxy, kind, fields):
    proxy.gw.ask(kind, fields)
    name, f, _, _ = proxy.worker.super.recv()
    assert (name, f["proc"]) == ("PEER_BAD", wire.PROCS.index("gateway"))
