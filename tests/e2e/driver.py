# Plays the peers of one real worker, by way of tests/e2e/drive.
# SPDX-License-Identifier: ISC
import json
import os
import queue
import subprocess
import threading
import time


class Worker:
    """A worker under test: send messages as any peer, read what it says."""

    def __init__(self, name, conf, peers, uid=None, gid=None, group=None,
                 fds=None, within=()):
        build = os.environ.get("AGENTD_BUILD", ".")
        argv = [*within, os.path.join(build, "tests/e2e/drive")]
        for flag, value in (("-u", uid), ("-g", gid), ("-G", group)):
            if value is not None:
                argv += [flag, str(value)]
        argv += [os.path.join(build, "agentd-" + name), name]
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.held = []
        self.next_id = 1
        threading.Thread(target=self._read, daemon=True).start()
        self.send("supervisor", "CONF", conf)
        for role, path in (fds or {}).items():
            self.send("supervisor", "CONF_FD", {"name": role}, fd=path)
        self.send("supervisor", "CONF_END",
                  {"generation": conf.get("generation", 1)})
        self.take(lambda m: m.get("type") == "READY")
        for peer in peers:
            self.control(peer, "open")

    def _read(self):
        for line in self.proc.stdout:
            self.lines.put(json.loads(line))
        self.lines.put({"eof": True})

    def _write(self, doc):
        self.proc.stdin.write(json.dumps(doc) + "\n")
        self.proc.stdin.flush()

    def control(self, peer, verb):
        self._write({"as": peer, "do": verb})

    def send(self, peer, kind, fields, **more):
        self._write({"as": peer, "type": kind, "f": fields, **more})

    def ask(self, peer, kind, fields, **more):
        """Sends a request; its id, to be given to answer()."""
        self.next_id += 1
        self.send(peer, kind, fields, id=self.next_id, **more)
        return self.next_id

    def take(self, want, timeout=60):
        """The first message that want() likes; others are kept."""
        for i, m in enumerate(self.held):
            if want(m):
                return self.held.pop(i)
        end = time.monotonic() + timeout
        while True:
            m = self.lines.get(timeout=max(0.001, end - time.monotonic()))
            if want(m):
                return m
            if "exit" in m or "eof" in m:
                raise AssertionError(f"the worker is gone: {m}")
            self.held.append(m)

    def answer(self, rid, timeout=60):
        """All frames of an answer, the last one at the end."""
        rows = []
        while True:
            m = self.take(lambda m: m.get("id") == rid and
                          m.get("type") != "PEER_BAD", timeout)
            rows.append(m)
            if not m["more"]:
                return rows

    def call(self, peer, kind, fields, timeout=60, **more):
        """The last frame's fields of the answer."""
        return self.answer(self.ask(peer, kind, fields, **more),
                           timeout)[-1]["f"]

    def pid(self):
        with open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children",
                  encoding="ascii") as f:
            return int(f.read().split()[0])

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(timeout=10)
