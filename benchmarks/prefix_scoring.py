"""What scoring costs where texts share their beginning: tokens and CPU seconds.

Part one scores K candidates of c tokens after a prefix of P tokens, with a random model
of Llama's shape. The least work is P + K c tokens, against K (P + c) one by one. Part
two is a beam search of 20 steps. Part three is one that outgrows the context.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from _vllm_subject import group_seconds, serving
from rich.console import Console
from rich.table import Table

from langchain_agentrm import AgentRM
from langchain_agentrm._files import write_json
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.trajectory import Trajectory, Turn, render

CANDIDATE = 30
WHOLE = 2  # texts of a group that are timed where each costs the same
CELLS = [(p, k) for p in (512, 1024, 2048) for k in (5, 20)]
TOKENS_LIMIT, SECONDS_LIMIT, SCORE_LIMIT = 0.95, 0.85, 1e-4

Scorer = Callable[[list[Trajectory]], list[float]]


@dataclass
class Subject:
    """A way to score a group.

    Attributes:
        name: What the table calls it.
        score: Scores trajectories.
        prepare: Run before each round, untimed.
        whole: Whether its cost grows with whole texts, so that a few texts of a group
            are timed and the figure is multiplied.
        clock: CPU seconds spent so far.
        encoded: Tokens encoded so far, where it can be known.
    """

    name: str
    score: Scorer
    prepare: Callable[[list[Trajectory]], object] = lambda _: None
    whole: bool = False
    clock: Callable[[], float] = time.process_time
    encoded: Callable[[], int] | None = None


def texts(prefix: int, count: int, model: AgentRM, draw: random.Random) -> list[Any]:
    """Make candidates of `CANDIDATE` tokens after a prefix of that many tokens."""

    def word(size: int) -> str:
        return (
            "".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=size)).strip() or "a"
        )

    def length(trajectory: Trajectory) -> int:
        return len(model.tokens.chat(render(trajectory), generation_prompt=False))

    goal, seen, past = word(prefix // 2), word(40), word(10)
    # The opening of the candidate's turn is part of the prefix, its end of the text.
    empty = Trajectory((Turn(seen, past), Turn("", "")), goal=goal)
    fill = draw.choices("abcdefghijklmnopqrstuvwxyz", k=prefix - length(empty) + 1)
    last = "".join(fill)
    starts = draw.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=count)
    return [
        Trajectory(
            (
                Turn(seen, past),
                Turn(last, start + "".join(draw.choices("abcdefgh", k=CANDIDATE - 2))),
            ),
            goal=goal,
        )
        for start in starts
    ]


def in_process(path: Path, rm: AgentRM, plain: AgentRM, device: str) -> list[Subject]:
    """Make the subjects of this process: plain ways first."""
    # Typed for every task that it knows, which no call of one task fits.
    pipeline: Any = transformers.pipeline
    guess = pipeline(
        "text-classification",
        model=str(path),
        function_to_apply="none",
        device=device,
    )

    def piped(group: list[Trajectory]) -> list[float]:
        rendered = [
            str(rm.tokens.tokenizer.apply_chat_template(render(t), tokenize=False))
            for t in group
        ]
        return [float(row["score"]) for row in guess(rendered)]

    def alone(group: list[Trajectory]) -> list[float]:
        return [v for t in group for v in values(plain, [t])]

    def seen(group: list[Trajectory]) -> None:
        rm.forget()
        rm.score(group[:1])

    return [
        Subject("one by one", alone, whole=True, encoded=lambda: plain.encoded),
        Subject(
            "padded batch",
            lambda group: values(plain, group),
            whole=True,
            encoded=lambda: plain.encoded,
        ),
        Subject("transformers pipeline", piped, whole=True),
        Subject(
            "AgentRM",
            lambda group: values(rm, group),
            prepare=lambda _: rm.forget(),
            encoded=lambda: rm.encoded,
        ),
        Subject(
            "AgentRM, prefix seen",
            lambda group: values(rm, group),
            prepare=seen,
            encoded=lambda: rm.encoded,
        ),
    ]


def values(model: Any, group: list[Trajectory]) -> list[float]:
    """Score, refusing errors."""
    scores = [score.value for score in model.score(group).items]
    if any(score is None for score in scores):
        msg = "a score is missing"
        raise RuntimeError(msg)
    return [float(score) for score in scores if score is not None]


def cell(
    prefix: int, count: int, subjects: list[Subject], rm: AgentRM, rounds: int
) -> list[dict[str, Any]]:
    """Measure all subjects on one size; ratios are to the first."""
    spent: dict[str, list[float]] = {s.name: [] for s in subjects}
    tokens: dict[str, int | None] = {}
    apart: dict[str, float] = {s.name: 0.0 for s in subjects}
    for turn in range(rounds):
        group = texts(prefix, count, rm, random.Random(f"{prefix} {count} {turn}"))
        truth: list[float] = []
        for subject in subjects:
            some = group[:WHOLE] if subject.whole else group
            subject.prepare(group)
            before = subject.encoded() if subject.encoded else 0
            start = subject.clock()
            got = subject.score(some)
            scale = len(group) / len(some)
            spent[subject.name].append((subject.clock() - start) * scale)
            after = subject.encoded() if subject.encoded else 0
            tokens[subject.name] = (
                round((after - before) * scale) if subject.encoded else None
            )
            truth = truth or got
            gap = max(abs(a - b) for a, b in zip(truth, got, strict=False))
            apart[subject.name] = max(apart[subject.name], gap)
    ideal = count * (prefix + CANDIDATE) / (prefix + count * CANDIDATE)
    first = subjects[0].name
    rows = []
    for subject in subjects:
        ratios = [
            one / own
            for one, own in zip(spent[first], spent[subject.name], strict=True)
        ]
        cold = subject.name == "AgentRM"
        saved = tokens[subject.name]
        naive = count * (prefix + CANDIDATE)
        share = (naive - saved) / (naive - naive / ideal) if saved is not None else None
        ratio = statistics.median(ratios)
        rows.append(
            {
                "P": prefix,
                "K": count,
                "subject": subject.name,
                "tokens": saved,
                "tokens_saved_of_ideal": share,
                "cpu_s": statistics.median(spent[subject.name]),
                "times_one_by_one": ratio,
                "of_ideal": ratio / ideal,
                "max_difference": apart[subject.name],
                "held": not cold
                or (
                    (share or 0) >= TOKENS_LIMIT
                    and ratio / ideal >= SECONDS_LIMIT
                    and apart[subject.name] <= SCORE_LIMIT
                ),
            }
        )
    return rows


def search(steps: int, draw: random.Random) -> list[list[Trajectory]]:
    """Make what a beam search (W1 = 2, W2 = 3) would score, step by step."""

    def word(low: int, high: int) -> str:
        return "".join(draw.choices("abcdefghij ", k=draw.randint(low, high)))

    goal = word(256, 256)
    beams: list[tuple[Turn, ...]] = [(), ()]
    out: list[list[Trajectory]] = []
    for step in range(steps):
        group = []
        for beam in beams[: 1 if step == 0 else 2]:
            seen = word(10, 50)
            group += [
                Trajectory((*beam, Turn(seen, f"{k}{word(10, 30)}")), goal=goal)
                for k in range(6 if step == 0 else 3)
            ]
        out.append(group)
        beams = [t.turns for t in draw.sample(group, k=2)]
    return out


def searches(rm: AgentRM, plain: AgentRM, steps: int) -> list[dict[str, Any]]:
    """Score a whole search three ways."""
    script = search(steps, random.Random(0))
    distinct = set()
    for group in script:
        for t in group:
            ids = rm.tokens.chat(render(t), generation_prompt=False)
            distinct |= {ids[:n] for n in range(1, len(ids) + 1)}

    def anew(group: list[Trajectory]) -> list[float]:
        rm.forget()
        return values(rm, group)

    ways: list[tuple[str, AgentRM, Scorer]] = [
        ("padded batch of whole histories", plain, lambda g: values(plain, g)),
        ("prefix shared within a step", rm, anew),
        ("token tree over the search", rm, lambda g: values(rm, g)),
    ]
    rows, truth = [], None
    for name, model, way in ways:
        rm.forget()
        before, start = model.encoded, time.process_time()
        got = [v for group in script for v in way(group)]
        truth = truth or got
        rows.append(
            {
                "steps": steps,
                "way": name,
                "tokens": model.encoded - before,
                "distinct": len(distinct),
                "cpu_s": time.process_time() - start,
                "max_difference": max(
                    abs(a - b) for a, b in zip(truth, got, strict=True)
                ),
            }
        )
    return rows


def common(texts: list[tuple[int, ...]]) -> int:
    """Count the tokens with which all texts begin."""
    columns = zip(*texts, strict=False)
    return next(
        (n for n, column in enumerate(columns) if len({*column}) > 1),
        min(map(len, texts)),
    )


def beyond(path: Path, steps: int, limit: int) -> dict[str, Any]:
    """Count tokens of a search that outgrows its context."""
    rm = AgentRM(path, max_length=limit)
    turns: tuple[Turn, ...] = ()
    draw = random.Random(1)
    new = 0
    for step in range(steps):
        seen = "".join(draw.choices("abcdefghij", k=40))
        group = [
            Trajectory(
                (*turns, Turn(seen, f"{k}" + "".join(draw.choices("abcdefgh", k=20)))),
                goal="a goal " * 5,
            )
            for k in range(5)
        ]
        values(rm, group)
        ids = [rm.tokens.chat(render(t), generation_prompt=False) for t in group]
        shared = common(ids)
        past = 0
        if step:
            done = rm.tokens.chat(
                render(Trajectory(turns, goal="a goal " * 5)), generation_prompt=False
            )
            past = common([ids[0], done])
        new += shared - past + sum(len(i) - shared for i in ids)
        turns = group[draw.randrange(5)].turns
    return {
        "steps": steps,
        "limit": limit,
        "length": len(ids[0]),
        "new_tokens": new,
        "encoded": rm.encoded,
        "ratio": rm.encoded / new,
    }


def main() -> None:
    """Measure, print, write; exit code 1 if a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--vllm-python", type=Path, help="Python that has vLLM")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=120)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = write_mini_checkpoint(
            folder / "rm",
            "reward",
            hidden=args.hidden,
            layers=args.layers,
            context=4096,
            initializer_range=0.05,
        )
        rm = AgentRM(path, device=args.device)
        plain = AgentRM(path, device=args.device, keep_prefix=False)
        subjects = in_process(path, rm, plain, args.device)
        if args.vllm_python:
            for caching in (True, False):
                client, server = stack.enter_context(
                    serving(path, args.vllm_python, prefix_caching=caching)
                )
                subjects.append(
                    Subject(
                        f"vLLM, prefix caching {'on' if caching else 'off'}",
                        partial(values, client),
                        whole=not caching,
                        clock=partial(group_seconds, server),
                    )
                )
        rows = []
        for prefix, count in CELLS:
            rows += cell(prefix, count, subjects, rm, args.rounds)
            console.print(f"P={prefix} K={count} done")
        steps = searches(rm, plain, 20)
        small = write_mini_checkpoint(folder / "small", "reward", context=2048)
        with warnings.catch_warnings():
            outgrown = beyond(small, 40, 600)
        size = sum(p.numel() for p in rm._model.body.parameters())  # noqa: SLF001
    _print(console, rows, steps, outgrown)
    if args.out:
        packages = ("langchain-agentrm", "torch", "transformers")
        write_json(
            args.out,
            {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "command": "make bench-scoring",
                "rounds": args.rounds,
                "parameters": size,
                "candidate_tokens": CANDIDATE,
                "device": args.device,
                "threads": 1,
                "cores": os.cpu_count(),
                "load_1min": round(os.getloadavg()[0], 2),
                "python": platform.python_version(),
                "packages": {name: version(name) for name in packages},
                "rows": rows,
                "search": steps,
                "beyond_context": outgrown,
            },
        )
    raise SystemExit(not (all(r["held"] for r in rows) and outgrown["ratio"] <= 2))


def _print(
    console: Console,
    rows: list[dict[str, Any]],
    steps: list[dict[str, Any]],
    outgrown: dict[str, Any],
) -> None:
    table = Table(
        "P", "K", "way", "tokens", "CPU s", "times", "of ideal", "max difference"
    )
    for r in rows:
        table.add_row(
            str(r["P"]),
            str(r["K"]),
            r["subject"],
            "" if r["tokens"] is None else f"{r['tokens']:,}",
            f"{r['cpu_s']:.2f}",
            f"{r['times_one_by_one']:.1f}",
            f"{100 * r['of_ideal']:.0f} %",
            f"{r['max_difference']:.1e}" + ("" if r["held"] else "  MISSED"),
        )
    console.print(table)
    table = Table("20 steps, W1 2, W2 3", "tokens", "CPU s", "max difference")
    for r in steps:
        table.add_row(
            r["way"],
            f"{r['tokens']:,}",
            f"{r['cpu_s']:.1f}",
            f"{r['max_difference']:.1e}",
        )
    console.print(table)
    console.print(f"{steps[0]['distinct']:,} distinct tokens in that search.")
    console.print(json.dumps(outgrown))


if __name__ == "__main__":
    main()
