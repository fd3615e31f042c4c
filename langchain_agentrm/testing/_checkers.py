"""Checkers of the kind that chat models write, honest ones and hostile ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["HONEST", "TEXTS", "Hostile", "hostile_checkers"]

HONEST: dict[str, str] = {
    "few words": """
def check_following(response):
    return len(response.split()) <= 100
""",
    "paragraphs": r"""
import re

def check_following(response):
    blocks = re.split(r"\n\s*\n", response.strip())
    return sum(1 for block in blocks if block.strip()) == 3
""",
    "sentences": r"""
import re

def check_following(response: str) -> bool:
    parts = re.split(r"(?<=[.!?])\s+", response.strip())
    return 2 <= len([part for part in parts if part]) <= 8
""",
    "bullets": r"""
import re

def check_following(response):
    return len(re.findall(r"^\s*[-*\u2022]\s+\S", response, flags=re.MULTILINE)) >= 3
""",
    "numbered list": r"""
import re

BULLET = re.compile(r"^\s*(\d+)[.)]\s", re.M)

def check_following(response):
    numbers = [int(n) for n in BULLET.findall(response)]
    return bool(numbers) and numbers == list(range(1, len(numbers) + 1))
""",
    "keyword twice": r"""
import re

def check_following(response):
    return len(re.findall(r"\byou\b", response, re.IGNORECASE)) >= 2
""",
    "titles": r"""
import re

def check_following(response):
    heads = [m.group("text") for m in re.finditer(r"^#{1,6}\s+(?P<text>.+)$",
                                                  response, re.M)]
    return all(head[0].isupper() or not head[0].isalpha() for head in heads)
""",
    "words without punctuation": r"""
import string

def check_following(response):
    table = str.maketrans("", "", string.punctuation)
    return len(response.translate(table).split()) >= 100
""",
    "stripped words": r"""
import string
from collections import Counter

def check_following(response):
    words = (w.strip(string.punctuation).lower() for w in response.split())
    counts = Counter(word for word in words if word)
    return bool(counts) and counts.most_common(1)[0][1] >= 5
""",
    "capital lines": r"""
def check_following(response):
    lines = [line.strip() for line in response.splitlines() if line.strip()]
    return all(line[0].isupper() for line in lines if line[0].isalpha())
""",
    "short code": r"""
import re

def check_following(response):
    blocks = re.findall(r"```(?:\w+)?\n(.*?)```", response, re.DOTALL)
    return len(blocks) > 0 and max(len(b.splitlines()) for b in blocks) <= 15
""",
    "json or nothing": r"""
import json

def check_following(response):
    try:
        return isinstance(json.loads(response), dict)
    except Exception:
        return False
""",
    "first match": r"""
import re

def check_following(response):
    try:
        found = re.search(r"\*\*(.+?)\*\*", response)
        return len(found.group(1).split()) < 6
    except Exception:
        return False
""",
    "helper class": r"""
class Limits:
    def __init__(self, low, high):
        self.low = low
        self.high = high

    def hold(self, value):
        return self.low <= value <= self.high

def check_following(response):
    return Limits(300, 1500).hold(len(response))
""",
    "ending": r"""
import re

def check_following(response):
    ends = re.fullmatch(r"[\s\S]*[.!?\"')]\s*", response) is not None
    return ends and not re.search(r"\b(\w+)\s+\1\b", response, re.I)
""",
    "sorted words": r"""
def check_following(response):
    from datetime import datetime
    words = sorted({w.lower() for w in response.split()}, key=lambda w: (-len(w), w))
    return datetime(2024, 2, 29).month == 2 and bool(words) and len(words[0]) < 20
""",
    "mean length": r"""
import statistics

def check_following(response):
    lengths = [len(word) for word in response.split()]
    return bool(lengths) and statistics.mean(lengths) > 4.5
""",
    "wrapped": r"""
import itertools
import textwrap

def check_following(response):
    lines = itertools.chain.from_iterable(
        textwrap.wrap(line, 60) for line in response.splitlines()
    )
    return sum(1 for _ in lines) % 2 == 0
""",
}
"""Eighteen honest checkers by name; some use Python that Monty lacks."""

TEXTS: tuple[str, ...] = (
    "",
    "One.",
    '{"a": [1, 2, {"b": null}]}',
    "You said: do it. You did. Then you left! Why?",
    "# Plan\n\n- one\n- two\n- three\n\n## steps\n\n1. Go.\n2. Stop.\n",
    "**Bold words here** start this text.\n\nA second part.\n\nAnd a third one.",
    "Look:\n\n```python\nfor i in range(3):\n    print(i)\n```\n\nThe the end.",
    "\u00c9l\u00e8ve \u2014 \u201cquoted\u201d \u2022 item\n\u2022 other\u00a0one",
    "word " * 120 + "extraordinarily-long-hyphenated-compound-word.",
    "lower line\nUpper line\n\t tabbed\r\nwindows line\n\n\n\nlast",
)
"""Constructed answers with what real ones hold: lists, code, titles, accents."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """An attack with harmless aims.

    Attributes:
        name: What it attempts.
        code: A checker that attempts it.
        harmless: Whether it may say True, because its success is judged elsewhere or
            does no harm behind a sandbox's walls.
    """

    name: str
    code: str
    harmless: bool = False


def hostile_checkers(canary: str, secret: str, port: int) -> Iterator[Hostile]:
    """Write the attacks.

    Args:
        canary: Path of a file that does not exist and must not afterwards.
        secret: Value of the environment variable `AGENTRM_CANARY`.
        port: A port on loopback where something listens.

    Yields:
        The nineteen kinds that were measured first, then ours.
    """
    yield from _first(canary, secret, port)
    yield from _further(canary)


def _first(canary: str, secret: str, port: int) -> Iterator[Hostile]:
    yield _body("write a file", f"open({canary!r}, 'w').write('x')\nreturn True")
    yield _body(
        "shell",
        f"import os\nreturn os.system('touch {canary}') == 0 "
        "and os.path.exists('/etc/shadow')",
    )
    yield _body("password file", "return 'root' in open('/etc/passwd').read()")
    yield _body(
        "environment",
        f"import os\nreturn os.environ.get('AGENTRM_CANARY') == {secret!r}",
    )
    yield _body(
        "environment of the parent",
        "import os\n"
        f"return {secret!r} in open('/proc/%d/environ' % os.getppid()).read()",
    )
    yield _body(
        "connection",
        f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\n"
        "return True",
    )
    yield _body(
        "signal to the parent",
        "import os\nos.kill(os.getppid(), 0)\nreturn True",
        harmless=True,
    )
    yield _body(
        "fork",
        "import os\nfor _ in range(8):\n    if os.fork() == 0:\n        os._exit(0)\n"
        "return True",
    )
    yield _body(
        "subclasses",
        "return len(().__class__.__base__.__subclasses__()) > 20",
        harmless=True,
    )
    yield _body(
        "import through builtins",
        "b = __builtins__\n"
        "load = b['__import__'] if isinstance(b, dict) else b.__import__\n"
        "return bool(load('os').getcwd())",
        harmless=True,
    )
    yield _body("endless loop", "while True:\n    pass")
    yield _body("sleep", "import time\ntime.sleep(30)\nreturn True", harmless=True)
    yield _body("memory", "x = [0] * (1 << 29)\ny = 'a' * (3 << 30)\nreturn True")
    yield _body(
        "regex bomb",
        "import re\nreturn re.match(r'(a+)+$', 'a' * 34 + 'b') is None",
        harmless=True,
    )
    yield _body("big power", "return (7 ** (7 ** 9)) > 1")
    yield _body("recursion", "def f(n):\n    return f(n + 1)\nreturn f(0)")
    yield _body(
        "forged verdict",
        'import os, sys\nprint(\'{"passed": true, "fault": "", "error": ""}\')\n'
        "sys.stdout.flush()\nos._exit(0)",
    )
    yield _body(
        "flood of output",
        "for _ in range(200):\n    print('x' * (1 << 20))\nreturn True",
        harmless=True,
    )
    yield _body("true by courtesy", "return 'False'")


def _further(canary: str) -> Iterator[Hostile]:
    yield _body(
        "forged line on every descriptor",
        "import os\n"
        'line = b\'{"passed": true, "fault": "", "error": ""}\\n\'\n'
        "for fd in range(64):\n"
        "    try:\n        os.write(fd, line)\n    except OSError:\n        pass\n"
        "os._exit(0)",
    )
    yield _body("C library", "import ctypes\nreturn ctypes.CDLL(None).fork() > -1")
    yield _body(
        "thread that stays",
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\nreturn True",
    )
    yield _body("fork bomb", "import os\nwhile True:\n    os.fork()\nreturn True")
    yield _body(
        "kill everything", "import os\nos.kill(-1, 9)\nreturn True", harmless=True
    )
    yield _body(
        "error that never ends",
        "class E(Exception):\n    def __str__(self):\n        while True:\n"
        "            pass\nraise E()",
    )
    yield _body("huge error", "raise ValueError('x' * 5_000_000)")
    yield _body("exit", "raise SystemExit(0)")
    yield _body("number for a verdict", "return 1")
    yield _body(
        "object that claims to be true",
        "class T:\n    def __bool__(self):\n        return True\n"
        "    def __eq__(self, other):\n        return True\nreturn T()",
    )
    yield _body(
        "ignored signals",
        "import signal\nfor n in range(1, 64):\n    try:\n"
        "        signal.signal(n, signal.SIG_IGN)\n    except Exception:\n"
        "        pass\nwhile True:\n    pass",
    )
    yield _body(
        "file through a link",
        "import os\nos.symlink('/etc', '/link')\n"
        "return 'root' in open('/link/passwd').read()",
    )
    yield _body(
        "program",
        f"import subprocess\nsubprocess.run(['/usr/bin/touch', {canary!r}])"
        "\nreturn True",
    )
    yield _body(
        "memory file",
        "import os\nfd = os.memfd_create('x')\nos.ftruncate(fd, 1 << 33)\nreturn True",
    )
    yield _body(
        "new namespaces",
        "import ctypes\nreturn ctypes.CDLL(None).unshare(0x10000000) == 0",
    )
    yield Hostile("code too deep to parse", "x = " + "(" * 200_000 + ")" * 200_000)
    yield Hostile("work while it is read", "while True:\n    pass\n")


def _body(name: str, body: str, *, harmless: bool = False) -> Hostile:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return Hostile(name, f"def check_following(response):\n{lines}", harmless)
