# A front that was taken over cannot invent a principal: the real keeper,
# trace and proxy, with this test in the place of their peers.
# SPDX-License-Identifier: ISC
import hashlib
import hmac
import os
import pwd
import shutil
import tempfile

import pytest

from driver import Worker
from lab import wait_for

FRONT_QUERIES = {
    "trace": ("TRACE_QUERY", {"agent": "demo", "limit": 10}),
    "proxy": ("PROVIDER_LIST", {}),
    "keeper": ("AGENT_LIST", {}),
}
PEERS = {"trace": ["front", "keeper", "gateway"],
         "proxy": ["front", "keeper", "gateway", "upstream"],
         "keeper": ["front", "container", "gateway", "trace", "proxy", "mover",
                    "upstream"]}


@pytest.fixture(params=sorted(FRONT_QUERIES))
def worker(request, build):
    name = request.param
    os.environ["AGENTD_BUILD"] = f"{build}/gcc"
    user = pwd.getpwnam(f"_agentd-{name}")
    top = tempfile.mkdtemp(prefix="owned-", dir="/var/tmp")
    os.chmod(top, 0o711)
    state = f"{top}/state"
    os.mkdir(state, 0o700)
    os.chown(state, user.pw_uid, user.pw_gid)
    fds = {}
    for role, size in (("state-key", 32), ("local-token", 64)):
        with open(f"{top}/{role}", "wb") as f:
            f.write(os.urandom(size // 2).hex().encode()[:size])
        fds[role] = f"{top}/{role}"
    w = Worker(name, {"generation": 1, "log_level": 2, "node_id": "0" * 32,
                      "state_dir": state, "agents_dir": f"{top}/agents",
                      "max_calls_per_turn": 50, "deploy_timeout": 60},
               PEERS[name], uid=user.pw_uid, gid=user.pw_gid,
               fds=fds if name == "keeper" else None)
    w.name = name
    yield w
    w.close()
    shutil.rmtree(top, ignore_errors=True)


def forge(key, audience):
    """A pass of the right form that says: administrator."""
    audiences = {"keeper": 2, "proxy": 6, "trace": 8}
    raw = bytearray(160)
    raw[0], raw[1], raw[2] = 1, 2, audiences[audience]
    raw[4:8] = (4).to_bytes(4, "little")
    raw[16:24] = (2 ** 62).to_bytes(8, "little")
    raw[40:44] = b"root"
    raw[128:160] = hmac.new(key, bytes(raw[:128]),
                            hashlib.sha512).digest()[:32]
    return bytes(raw)


def ask(worker, pass_):
    kind, fields = FRONT_QUERIES[worker.name]
    ident = worker.ask("front", kind, {**fields, "pass": pass_.hex()})
    return worker.take(lambda m: m.get("id") == ident and
                       not m.get("more"), 10)["f"]["status"]


def test_forged_pass(worker):
    if worker.name != "keeper":
        # keeper's key, which front never sees, for the positive control.
        key, boot = os.urandom(32), bytes(16)
        worker.send("keeper", "PASS_KEY", {"key": key.hex(),
                                           "boot": boot.hex()})
        # The key travels on another edge than the question.
        wait_for("pass that counts", lambda: ask(
            worker, forge(key, worker.name)) in (200, 404), 10)
        other = "proxy" if worker.name == "trace" else "trace"
        assert ask(worker, forge(key, other)) == 401
    for bad in (forge(os.urandom(32), worker.name), bytes(160),
                os.urandom(160), b"", forge(bytes(32), worker.name)):
        assert ask(worker, bad) == 401
