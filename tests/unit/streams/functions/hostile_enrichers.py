"""Enricher functions as a bad day would have them; run in worker processes only."""

import json
import os
import signal
import struct
import sys
import time


def good(path, known):
    with open(path, "rb") as file:
        return {"language": f"{len(file.read())} bytes"}


def sees(path, known):
    return {"file_extension": json.dumps(sorted(known))}


def after_language(path, known):
    return {"file_format": "saw " + known.get("language", "nothing")}


def process_id(path, known):
    return {"language": str(os.getpid())}


def aborts(path, known):
    os.abort()


def segfaults(path, known):
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(path, known):
    while True:
        time.sleep(60)


def spins(path, known):
    while True:
        pass


def hogs(path, known):
    return {"language": str(len([bytearray(1 << 24) for _ in range(10_000)]))}


def raises(path, known):
    raise ValueError("no \ud800 today")


def exits(path, known):
    sys.exit(3)


def leaves(path, known):
    os._exit(3)


def answers_with_list(path, known):
    return ["mime"]


def changes_hash(path, known):
    return {"sha256": "0" * 64}


def answers_with_object(path, known):
    return {"mime": object()}


def answers_too_much(path, known):
    return {"magic": "x" * 200_000}


def answers_surrogate(path, known):
    return {"magic": "\ud800"}


def prints(path, known):
    sys.stdout.write("noise" * 10_000)
    sys.stderr.write("noise" * 10_000)
    os.write(1, b"noise")
    return {"language": "quiet"}


def speaks_out_of_turn(path, known):
    """A taken-over worker writes into the socket itself."""
    for descriptor in range(3, 500):
        try:
            os.write(descriptor, b"\x00\x00\x00\x05hello")
        except OSError:
            continue
    return {}


def _say(message):
    body = json.dumps(message).encode()
    for descriptor in range(3, 500):
        try:
            os.write(descriptor, struct.pack(">I", len(body)) + body)
        except OSError:
            continue


def _ticket():
    """Found where a taken-over worker would find it: in the frames that called this function."""
    frame = sys._getframe()
    while "ticket" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["ticket"], frame.f_locals["step"]


def says_more(path, known):
    return {"language": "c", "info": {"lines": [1, 2], "deep": {"er": None}}}


def says_too_much(path, known):
    return {"info": {"text": "x" * 40_000}}


def says_what_is_no_json(path, known):
    return {"language": "c", "info": {"text": "\ud800"}}


def forges_info_without_a_floor(path, known):
    ticket, step = _ticket()
    body = json.dumps({"ticket": ticket, "step": step, "info": {"a": 1}})
    body = body.replace('{"a": 1}', '{"a": ' + "[" * 200_000 + "]" * 200_000 + "}").encode()
    for descriptor in range(3, 500):
        try:
            os.write(descriptor, struct.pack(">I", len(body)) + body)
        except OSError:
            continue
    time.sleep(60)


def forges_a_hash(path, known):
    ticket, step = _ticket()
    _say({"ticket": ticket, "step": step, "fields": {"sha256": "0" * 64}})
    time.sleep(60)


def forges_a_cause(path, known):
    ticket, step = _ticket()
    _say({"ticket": ticket, "step": step, "cause": "because"})
    time.sleep(60)


def answers_ahead(path, known):
    """For the next enricher or the next file, which it cannot know."""
    _, step = _ticket()
    _say({"ticket": "0" * 16, "step": step, "fields": {"language": "forged"}})
    return {}


def answers_everything_at_length(path, known):
    return dict.fromkeys(("ssdeep", "tlsh", "mime", "magic", "file_extension"), "\U0001f600" * 8192)


def announces_a_gigabyte(path, known):
    for descriptor in range(3, 500):
        try:
            os.write(descriptor, b"\x40\x00\x00\x00")
        except OSError:
            continue
    time.sleep(60)


def environment(path, known):
    return {"language": " ".join(sorted(os.environ))}


def starts_a_child(path, known):
    child = os.fork()
    if child == 0:
        time.sleep(600)
    return {"language": str(child)}
