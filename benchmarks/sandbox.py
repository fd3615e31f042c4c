"""What model-written checkers cost in each sandbox, and what the sandboxes hold.

Runs eighteen honest checkers over answers in every sandbox that works here, compares
each verdict with CPython's, and runs every attack of the conformance suite. CPython in
this process is the reference: it is what a user would do who trusts the code, and what
nobody should do who does not.

    python benchmarks/sandbox.py --answers FILE --out docs/data/sandbox.json

`--answers` is a file of preference pairs in the converted form of THU-IFBench; without
it, constructed texts are used.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from langchain_agentrm._files import write_json
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.sandbox import (
    BubblewrapSandbox,
    LayeredSandbox,
    MontySandbox,
    Sandbox,
    self_test,
)
from langchain_agentrm.testing._checkers import HONEST, TEXTS, hostile_checkers

SECRET = "canary-51ab"
SECONDS = 1.0
GRACE = 4.0
REFERENCE = "CPython, this process"

Verdicts = dict[str, list[bool | None]]


def main(
    answers: Annotated[Path | None, typer.Option(help="Preference pairs.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Answers for the timing.")] = 45,
    rounds: Annotated[int, typer.Option(min=1, help="Repeats.")] = 5,
    out: Annotated[Path | None, typer.Option(help="JSON file.")] = None,
) -> None:
    """Measure, print, write."""
    texts = _texts(answers)
    few = texts[:: max(1, len(texts) // limit)][:limit]
    sandboxes = _sandboxes()
    subjects: dict[str, Callable[[], Verdicts]] = {REFERENCE: lambda: _cpython(few)}
    for sandbox in sandboxes:
        subjects[sandbox.name] = partial(_checked, sandbox, few)
    timed = _timed(subjects, rounds, len(HONEST) * len(few))
    single = {s.name: _single(s, rounds) for s in sandboxes}
    expected = _cpython(texts)
    rows = []
    for name, row in timed.items():
        tried = next((s for s in sandboxes if s.name == name), None)
        rows.append(row | ({} if tried is None else _trial(tried, texts, expected)))
        rows[-1]["ms_single"] = single.get(name)
    _show(rows, len(few), len(texts))
    for sandbox in sandboxes:
        sandbox.close()
    if out is not None:
        about = _about(answers, texts, few, rounds)
        write_json(out, {**about, "rows": rows})
    kept = all(row.get("attacks_held") == row.get("attacks") for row in rows)
    if not kept or any(row.get("differing") for row in rows):
        raise typer.Exit(1)


def _texts(answers: Path | None) -> list[str]:
    if answers is None:
        return list(TEXTS)
    pairs = json.loads(answers.read_text(encoding="utf-8"))
    return [p[k][1]["content"] for p in pairs for k in ("text_chosen", "text_rejected")]


def _sandboxes() -> list[Sandbox]:
    made: list[Sandbox] = []
    console = Console(stderr=True)
    for make in (MontySandbox, lambda: MontySandbox(jailed=True), BubblewrapSandbox):
        try:
            sandbox: Sandbox = make()
        except ConfigurationError as error:
            console.print(f"left out: {error}")
            continue
        faults = self_test(sandbox)
        if faults:
            console.print(f"left out: {sandbox.name}: {'; '.join(faults)}")
        else:
            made.append(sandbox)
    if len(made) == 3:
        made.append(LayeredSandbox(made[1], made[2]))
    return made


def _cpython(texts: Sequence[str]) -> Verdicts:
    verdicts: Verdicts = {}
    for name, code in HONEST.items():
        space: dict[str, Any] = {}
        exec(compile(code, name, "exec"), space)  # our own checkers
        verdicts[name] = [space["check_following"](text) for text in texts]
    return verdicts


def _checked(sandbox: Sandbox, texts: Sequence[str]) -> Verdicts:
    return {
        name: [outcome.passed for outcome in sandbox.check(code, texts)]
        for name, code in HONEST.items()
    }


def _timed(
    subjects: dict[str, Callable[[], Verdicts]], rounds: int, checks: int
) -> dict[str, dict[str, Any]]:
    """Take turns, so that what else the machine does meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(-1, rounds):
        for name, subject in subjects.items():
            began = time.perf_counter()
            subject()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - began)
    reference = seconds[REFERENCE]
    return {
        name: {
            "sandbox": name,
            "ms_per_check": round(statistics.median(took) * 1e3 / checks, 4),
            "ratio": round(
                statistics.median(a / b for a, b in zip(took, reference, strict=True)),
                1,
            ),
        }
        for name, took in seconds.items()
    }


def _single(sandbox: Sandbox, rounds: int) -> float:
    """Milliseconds of a call with one answer, the worst case of sharing nothing."""
    code = HONEST["bullets"]
    took = []
    for _ in range(4 * rounds):
        began = time.perf_counter()
        sandbox.check(code, ["- a\n- b"])
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1e3, 3)


def _trial(
    sandbox: Sandbox, texts: Sequence[str], expected: Verdicts
) -> dict[str, Any]:
    told = _checked(sandbox, texts)
    pairs = [
        (a, b)
        for name, row in told.items()
        for a, b in zip(row, expected[name], strict=True)
    ]
    names = [a.name for a in hostile_checkers("", "", 0)]
    failed = [name for name in names if not _holds(sandbox, name)]
    return {
        "checkers": len(told),
        "checkers_run": sum(None not in row for row in told.values()),
        "verdicts": len(pairs),
        "equal": sum(a == b for a, b in pairs),
        "silent": sum(a is None for a, _ in pairs),
        "differing": sum(a is not None and a != b for a, b in pairs),
        "attacks": len(names),
        "attacks_held": len(names) - len(failed),
        "attacks_failed": failed,
    }


def _holds(sandbox: Sandbox, name: str) -> bool:
    os.environ["AGENTRM_CANARY"] = SECRET
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        canary = Path(folder) / "canary"
        attacks = hostile_checkers(str(canary), SECRET, listener.getsockname()[1])
        attack = next(a for a in attacks if a.name == name)
        began = time.monotonic()
        (outcome,) = sandbox.check(attack.code, ["hello"], seconds=SECONDS)
        late = time.monotonic() - began > SECONDS + GRACE
        try:
            listener.accept()[0].close()
            reached = True
        except BlockingIOError:
            reached = False
        gained = outcome.passed is True and not attack.harmless
        return not (late or reached or gained or canary.exists())


def _show(rows: Sequence[dict[str, Any]], few: int, many: int) -> None:
    table = Table(
        "sandbox",
        "ms a check",
        "ratio",
        "ms, one answer",
        "checkers run",
        f"equal verdicts of {len(HONEST)} x {many}",
        "attacks held",
        title=f"{len(HONEST)} checkers, timed on {few} answers a call",
    )
    for row in rows:
        ran = "checkers" in row
        table.add_row(
            row["sandbox"],
            f"{row['ms_per_check']:.3f}",
            f"{row['ratio']:.1f}",
            "" if row["ms_single"] is None else f"{row['ms_single']:.1f}",
            f"{row['checkers_run']}/{row['checkers']}" if ran else "",
            f"{row['equal']}/{row['verdicts']}, {row['differing']} differ"
            if ran
            else "",
            f"{row['attacks_held']}/{row['attacks']}" if ran else "",
        )
    Console(width=140).print(table)


def _about(
    answers: Path | None, texts: Sequence[str], few: Sequence[str], rounds: int
) -> dict[str, Any]:
    given = "" if answers is None else f" --answers {answers.name}"
    bwrap = ["bwrap", "--version"]
    told = subprocess.run(bwrap, capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/sandbox.py{given} --limit {len(few)} "
        f"--rounds {rounds}",
        "statistic": "median over rounds; ratios are taken within a round",
        "answers": len(texts),
        "answers_timed": len(few),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "packages": {
            "pydantic-monty": version("pydantic-monty"),
            "bubblewrap": told.stdout.strip().removeprefix("bubblewrap "),
        },
    }


if __name__ == "__main__":
    typer.run(main)
