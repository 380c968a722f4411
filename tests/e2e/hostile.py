# What an enemy, or a typing mistake, may send: the tables of test_hostile.py.
# SPDX-License-Identifier: ISC
import io
import json
import tarfile

import movefile

def differences(old, new, path=""):
    """Where two footprints differ, and how."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for k in sorted(old.keys() | new.keys())
                for d in differences(old.get(k), new.get(k), f"{path}/{k}")]
    if isinstance(old, list) and isinstance(new, list):
        both = [x for x in old if x in new]
        old, new = ([x for x in v if x not in both] for v in (old, new))
    return [] if old == new else [(path, old, new)]


# ---- names ----

# Names of agents that are refused: what, status, what is said.
NAMES = [
    ("", 422, "1 to 128"), ("a" * 129, 422, "1 to 128"),
    ("   ", 400, "letter or digit"), ("..", 400, "letter or digit"),
    ("/", 400, "letter or digit"), ("---", 400, "letter or digit"),
    ("\u00e4\u00f6", 400, "letter or digit"),
    ("\U0001f98a", 400, "letter or digit"),
    ("a\0b", 422, "NUL"), ("a\nb", 422, "control"), ("a\tb", 422, "control"),
    ("a\x1b[2Jb", 422, "control"), ("a\x7fb", 422, "control"),
    ("a\x9b31mb", 422, "control"), ("a\u202eb", 422, "reorders"),
    ("a\u2066b", 422, "reorders"), ("a\u200fb", 422, "reorders"),
    ("a\u061cb", 422, "reorders"), ("a\u200bb", 422, "hides"),
    ("a\u2028b", 422, "control"), ("\ufeffa", 422, "hides"),
]
NO_NAMES = [7, [], {}, True, ["a"], 1.5]
# Text that would mean something elsewhere, and the slug that comes of it.
HARMLESS = [
    ("%2e%2e", "2e-2e"), ("../../etc/passwd", "etc-passwd"),
    ("'; DROP TABLE agent; --", "drop-table-agent"),
    ("\" OR 1=1 --", "or-1-1"), ("$(reboot)", "reboot"),
    ("`id`; rm -rf / & | > x", "id-rm-rf-x"), ("-rf", "rf"),
    ("--help", "help"), ("a" * 128, "a" * 52), ("%s%n%x", "s-n-x"),
    ("<script>alert(1)</script>", "script-alert-1-script"),
    ("\u05d0\u05d1 x", "x"), ("\U0001f469\u200d\U0001f4bb y", "y"),
    ("NUL", "nul"), ("con.", "con"), ("${IFS}", "ifs"),
]
RESERVED = ["archived", "Bulk", "containers", "DEPLOY", "import", "default"]
# What stands in a path where a slug, an id or an alias should.
PATHS = ["%2e%2e", "%2E", "..%2f..%2fstatus", "a%2fb", "a%00b", "A", "-a",
         "a-", "a_b", "a" * 53, "%ff", "%c0%ae", "a%0ab", "a%20b", "%27--",
         "a%zz", "%e2%80%aea", "a;b", "*"]
SNAPSHOTS = ["", "../x", "..", "a/b", "-x", ".x", "_x", "a b", "a?b",
             "a&project=default", "a\"b", "x" * 64, "a\nb", "a%2fb", "a..b",
             "\u00e4", "a\u202eb", "a\0b", "agentd-x", "auto-x", "'; --"]
CHANNELS = ["..", "a/b", "0" * 32, "'; DROP TABLE message", "\0", "x" * 33,
            "F" * 32, 7, [], True]
DOMAINS = ["*", "*.com", "10.0.0.1", "[::1]", "127.1", "0x7f.1", "::1",
           "a..b", "-a.com", "a b.com", "\u00e4.com", "a.com:0",
           "a.com:65536", "a.com:-1", "a.com/x", "http://a.com", "a.com\n",
           "a.com\0", "\u202ea.com", "a" * 64 + ".com", "a." * 140 + "com",
           "u@a.com", "", "a.com\nb.com", "*.*.com", "2130706433"]

# ---- limits: as they stand in the JSON ----

NUMBERS = ["-1", "0", "9223372036854775808", "18446744073709551616",
           "-9223372036854775809", "1e309", "1.5", "1e3", "[]", "{}", "true",
           "[1]", "\"\"", "\"2\\u0000\"", "\"-1\"", "\"0x10\"", "\" 1\""]
SIZES = NUMBERS + ["\"2 GiB\"", "\"64XB\"", "\"lots\"", "\"1e9\"",
                   "\"512mib\"", "\"GiB\"", "\"9223372036854775807TiB\"",
                   "\"+1GiB\"", "\"1,5GiB\"", "\"1KiB\"", "\"\u00b2GiB\"",
                   "\"65537TiB\""]
LIMITS = ([("memory_limit", v) for v in SIZES + ["\"1025GiB\""]] +
          [("disk_limit", v) for v in SIZES + ["\"65TiB\""]] +
          [("cpu_limit", v) for v in NUMBERS + ["65", "\"2\""]] +
          [("process_limit", v) for v in NUMBERS + ["31", "100001", "\"64\""]])
QUOTAS = NUMBERS + ["65537", "null", "\"4\""]

# ---- JSON ----

# Bodies of a deploy that are no request: what, status, what is said.
BODIES = [
    (b"", 422, "name is required"), (b" ", 400, "JSON"),
    (b"{", 400, "JSON"), (b"[]", 400, "JSON"), (b"null", 400, "JSON"),
    (b"\"x\"", 400, "JSON"), (b"{}x", 400, "JSON"), (b"{,}", 400, "JSON"),
    (b"{'name':'a'}", 400, "JSON"), (b"{\"name\":NaN}", 400, "JSON"),
    (b"{\"name\":Infinity}", 400, "JSON"), (b"{\"n\":01}", 400, "JSON"),
    (b"{\"cpu_limit\":" + b"9" * 200 + b"}", 400, "JSON"),
    (b"{\"name\":\"a\",\"name\":\"b\"}", 400, "duplicate"),
    (b"{\"name\":\"a\",\"n\\u0061me\":\"b\"}", 400, "duplicate"),
    (b"{\"name\":{\"x\":1,\"x\":2}}", 400, "duplicate"),
    (b"{\"name\":\"\xff\"}", 400, "UTF-8"),
    (b"{\"name\":\"\xc0\x80\"}", 400, "UTF-8"),
    (b"{\"name\":\"\xed\xa0\x80\"}", 400, "UTF-8"),
    (b"\xef\xbb\xbf{}", 400, "JSON"),
    (b"{\"name\":\"a\nb\"}", 400, "JSON"),
    (b"[" * 10000, 400, "JSON"),
    (b"{\"a\":" * 33 + b"1" + b"}" * 33, 400, "deep"),
    (b"{\"name\":\"" + b"a" * 20000 + b"\"}", 413, "large"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"privileged\":true}", 422,
     "privileged"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"devices\":{}}", 422,
     "devices"),
    (b"{\"a\\u202eb\":1}", 422, "unknown field a.b"),
    (b"{\"" + b"\xc3\xa4" * 100 + b"\":1}", 422, "unknown field"),
    (b"{\"name\":\"a\"}", 422, "framework"),
    (b"{\"framework\":\"pi\"}", 422, "name"),
    (b"{\"name\":\"a\",\"framework\":\"../pi\"}", 400, "framework"),
    (b"{\"name\":\"a\",\"framework\":\"pi\\u0000\"}", 422, "framework"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"color\":\"red\"}", 422,
     "color"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"emoji\":\"\\u001b[m\"}", 422,
     "emoji"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"model\":\"\\u202e\"}", 422,
     "model"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"fallback_models\":[1]}", 422,
     "fallback_models"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"fallback_models\":[\"\\n\"]}",
     422, "fallback_models"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"network\":\"all\"}", 422,
     "none, egress or allow"),
    (b"{\"name\":\"a\",\"framework\":\"pi\",\"domains\":[\"*\"]}", 422,
     "domain"),
]
# Lifecycle routes below an agent that take a body.
LIFECYCLE = ["PATCH ", "POST /model", "PUT /limits", "POST /quota",
             "PUT /network", "POST /domains", "PUT /idle", "POST /snapshots",
             "PUT /snapshots/schedule", "POST /fork", "POST /stop"]
TYPES = ["text/plain", "application/x-www-form-urlencoded", "text/json",
         "application/jsonx", "application/json,text/plain",
         "multipart/form-data", ""]

# ---- images ----

META = ("architecture: x86_64\ncreation_date: 1700000000\n"
        "properties:\n  description: hostile\n")
ALIASES = ["%2e%2e", "..", "a%2fb", "-x", ".x", "_x", "a..b", "a%20b",
           "%c3%a4", "a" * 129, "a%0a", "a%00", "a%3fproject=default"]


def archive(*members, meta=META, mode="w:gz"):
    """An image of (name, kind, target or data); None: no metadata."""
    out = io.BytesIO()
    kinds = {"dir": tarfile.DIRTYPE, "sym": tarfile.SYMTYPE,
             "hard": tarfile.LNKTYPE, "chr": tarfile.CHRTYPE,
             "blk": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE}
    with tarfile.open(fileobj=out, mode=mode) as tar:
        if meta is not None:
            members = (("metadata.yaml", "file", meta.encode()),) + members
        for name, kind, *more in members:
            m = tarfile.TarInfo(name)
            m.type = kinds.get(kind, tarfile.REGTYPE)
            m.mode = 0o755
            data = b""
            if kind == "sparse":
                # One TiB, all of it a hole.
                data = f"1\n{1 << 40}\n0\n".encode().ljust(512, b"\0")
                m.size = len(data)
                m.pax_headers = {
                    "GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                    "GNU.sparse.name": name,
                    "GNU.sparse.realsize": str(1 << 40)}
            if kind == "file":
                data = more[0] if more else b""
                m.size = len(data)
            elif kind in ("sym", "hard"):
                m.linkname = more[0]
            elif kind in ("chr", "blk"):
                m.devmajor, m.devminor = (1, 3) if kind == "chr" else (8, 0)
            tar.addfile(m, io.BytesIO(data))
    return out.getvalue()


def truncated():
    whole = archive(("rootfs/x", "file", bytes(range(256)) * 400))
    return whole[:len(whole) // 2]


# No images at all: refused when they come in.
NOT_IMAGES = [
    ("one byte", b"x"), ("zeros", bytes(10240)),
    ("text", b"#!/bin/sh\nreboot\n" * 100),
    ("head of gzip", b"\x1f\x8b\x08\0" + bytes(100)),
    ("truncated", truncated()[:200]),
    ("no metadata", archive(("rootfs", "dir"), meta=None)),
    ("empty metadata", archive(("rootfs", "dir"), meta="")),
    ("broken metadata", archive(("rootfs", "dir"), meta="{[\n")),
    ("metadata of another kind", archive(("rootfs", "dir"), meta="- a\n")),
    ("no architecture", archive(
        ("rootfs", "dir"), meta=META.replace("x86_64", "vax"))),
    ("metadata a link", archive(("metadata.yaml", "sym", "/etc/shadow"),
                                meta=None)),
]
ROOT = ("rootfs", "dir")


# What is said when they are unpacked; of the others: when they are started.
TREE_REASONS = {"cut off": "end of file", "path upward": "contains '..'",
                "through a link": "Not a directory",
                "tree is a link": "Not a directory",
                "hard link outward": "Cannot hard link"}


def hostile_trees(mark):
    """Images that look good from outside; mark: a file of the host that must
    not come into being."""
    up = "rootfs/" + "../" * 12 + mark.lstrip("/")
    return [
        ("cut off", truncated()),
        ("no files", archive()),
        ("path upward", archive(ROOT, (up, "file", b"x"))),
        ("absolute path", archive(ROOT, (mark, "file", b"x"))),
        ("through a link", archive(
            ROOT, ("rootfs/l", "sym", "/"),
            ("rootfs/l" + mark, "file", b"x"))),
        ("tree is a link", archive(("rootfs", "sym", "/"),
                                   ("rootfs" + mark, "file", b"x"))),
        ("hard link outward", archive(
            ROOT, ("rootfs/h", "hard", "/etc/shadow"))),
        ("one TiB of nothing", archive(ROOT, ("rootfs/big", "sparse"))),
        ("five thousand files", archive(ROOT, *[
            (f"rootfs/{i}", "file") for i in range(5000)])),
        ("devices", archive(ROOT, ("rootfs/dev/null", "chr"),
                            ("rootfs/sda", "blk"))),
        ("template outward", archive(
            ROOT, ("templates/t", "file", b"x"), meta=META +
            f"templates:\n  ../../../../../..{mark}:\n    when: [create]\n"
            "    template: t\n")),
    ]


# ---- manifests ----

HEAD = "schema_version: 1\nid: %s\nname: x\ndescription: x\n"
GOOD = HEAD + ("image: x-base\nruntime: rpc\nunit: x.service\nmemory: 384MiB\n"
               "cpus: 1\ndisk: 4GiB\nprocesses: 512\nready_timeout: 30\n"
               "refusal_status: 400\nturn_timeout: 600\n"
               "max_calls_per_turn: 50\n")


def bomb():
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    for i in range(1, 12):
        lines.append(f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 10) + "]")
    return "\n".join(lines) + "\n"


# Name, text (%s: the name), and what is said after "NAME.yaml:".
MANIFESTS = [
    ("h-syntax", "id: [\n", "2:1: "),
    ("h-tab", "id:\n\t- x\n", "2:1: "),
    ("h-bomb", bomb(), "1:5: anchors"),
    ("h-deep", "id: " + "[" * 5000 + "\n", "1:13: nested too deeply"),
    ("h-many", "id: [" + "x," * 5000 + "]\n", "1:"),
    ("h-long", "id: x\n#" + "x" * (1 << 20) + "\n", "larger than"),
    ("h-line", (HEAD % "h-line").replace("name: x", "name: " + "x" * 65),
     "3:7: name: "),
    ("h-type", GOOD.replace("cpus: 1", "cpus: [1]"), "9:7: cpus"),
    ("h-float", GOOD.replace("cpus: 1", "cpus: 1.5"), "9:7: cpus"),
    ("h-map", GOOD.replace("name: x", "name: {a: b}"), "3:7: name"),
    ("h-null", GOOD.replace("image: x-base", "image:"), "5:7: image"),
    ("h-huge", GOOD.replace("384MiB", "9999999999999TiB"), "8:9: memory"),
    ("h-minus", GOOD.replace("cpus: 1", "cpus: -1"), "9:7: cpus"),
    ("h-kind", GOOD.replace("runtime: rpc", "runtime: magic"),
     "6:10: runtime: \"magic\": is not a runtime kind"),
    ("h-path", GOOD.replace("unit: x.service", "unit: ../../x.service"),
     "7:7: unit: "),
    ("h-shell", GOOD.replace("unit: x.service",
                             "unit: \"x;reboot .service\""), "7:7: unit: "),
    ("h-image", GOOD.replace("x-base", "/etc/passwd"), "5:8: image: "),
    ("h-key", GOOD + "raw.lxc: x\n", "16:1: unknown key \"raw.lxc\""),
    ("h-twice", GOOD + "cpus: 2\n", "16:1: duplicate key \"cpus\""),
    ("h-id", GOOD.replace("id: %s", "id: pi"), "2:5: id: must be \"h-id\""),
    ("h-merge", GOOD + "<<: {cpus: 1}\n", "16:1: merge keys"),
    ("h-tag", GOOD.replace("cpus: 1", "cpus: !!python/object:os.system x"),
     "9:7: tags"),
    ("h-two", GOOD + "---\nid: x\n", "16:1: only one document"),
    ("h-esc", GOOD.replace("description: x",
                           "description: \"\\e[2J\""), "4:14: description"),
    ("h-utf16", "\ufeff".encode("utf-16").decode("latin1"), "1:1: "),
]


# ---- files of agents ----

def sections():
    """A file that is good, of an agent that never was."""
    record = {"agent_id": "ab" * 16, "owner": "uid:0", "slug": "pilgrim",
              "display_name": "Pilgrim", "framework": "pi",
              "emoji": "", "color": "", "memory": 1 << 29, "cpus": 1,
              "disk": 0, "processes": 0, "created_at": 1700000000}
    policy = {"model": "demo", "fallbacks": [], "network": "none"}
    manifest = {"format": "agentd-export", "version": 1, "server": "cd" * 8,
                "arch": "x86_64", "agent_id": record["agent_id"],
                "slug": "pilgrim", "framework": "pi", "image": "x",
                "created_at": 1700000000, "sections": [
                    {"name": n, "rows": r} for n, r in (
                        ("record", 1), ("policy", 1), ("chat", 1),
                        ("trace", 1), ("rootfs", 2))]}
    message = {"id": "1" * 32, "author_id": "uid:0", "author_type": "user",
               "content": "hi", "state": "answered",
               "created_at": 1700000000}
    event = {"v": 1, "id": "e1", "kind": "message_in",
             "created_at": 1700000000, "payload": {}}
    return {"record": json.dumps(record).encode(),
            "policy": json.dumps(policy).encode(),
            "chat": json.dumps(message).encode() + b"\n",
            "trace": json.dumps(event).encode() + b"\n",
            "rootfs": movefile.tar(("rootfs", "dir"),
                                   ("rootfs/a", "file", b"x")),
            "manifest": json.dumps(manifest).encode()}


TOP = ("rootfs", "dir")
# Trees that test_move.py does not have; their sizes and paths lie.
TREES = [
    ([TOP, ("rootfs/x", "file", b"", {"size": str(1 << 40)})],
     "more than .* bytes|cut off"),
    ([TOP, ("rootfs/x", "file", b"", {"path": "rootfs/../../etc/cron.d/x"})],
     r"with \. or \.\."),
    ([TOP, ("rootfs/x", "file", b"", {"path": "/etc/cron.d/x"})],
     "absolute path"),
    ([TOP, ("rootfs/x", "file", b"", {"path": "rootfs/" + "x" * 256})],
     "over 255"),
    ([TOP, ("rootfs/x", "file", b"", {"path": "rootfs/" + "d/" * 3000})],
     "too long"),
    ([TOP, ("rootfs/x", "file", b"", {"uid": "-1"})], "owner that is none"),
    ([TOP, ("rootfs/x", "file", b"", {"uid": str(1 << 32)})],
     "owner that is none"),
    ([TOP, ("rootfs/x", "file", b"", {"mtime": "1e309"})],
     "time that is none"),
    ([TOP, ("rootfs/l", "sym", "")], "without a target|cut off"),
    ([TOP, ("rootfs/x", "file", b"", {"SCHILY.xattr.security.selinux": "x"})],
     "attribute that is not"),
    ([TOP, ("rootfs/x", "file", b"", {"comment": "x" * 70000})],
     "extended header"),
]
RECORDS = [
    ({"display_name": "a\u202eb"}, "display_name", 422),
    ({"display_name": "a\x9bb"}, "display_name", 422),
    ({"emoji": "\n"}, "emoji", 422), ({"owner": "a\u200bb"}, "owner", 422),
    ({"memory": 1 << 63}, "memory", 422), ({"disk": -1}, "disk", 422),
    ({"cpus": 0}, "cpus", 422), ({"cpus": [1]}, "cpus", 422),
    ({"idle": 1 << 40}, "idle", 422), ({"slug": "a" * 53}, "slug", 422),
    ({"created_at": 1e300}, "created_at", 422),
    ({"framework": "codex"}, "catalog", 409),
    ({"raw.lxc": "x"}, "member raw.lxc", 422),
    ({"security.privileged": "true"}, "member security.privileged", 422),
]
