"""Hold the profile `ifeval` to the official verifiers, verdict by verdict.

`make ifeval-parity` runs it, in an environment of its own that has lm-eval's copy of
the verifiers and NLTK's Punkt data. Every instruction id is checked with every set of
arguments that IFEval's file has, on the answers of THU-IFBench and on answers made for
the purpose. Writes `docs/data/ifeval.json`, and the table between its marks in
`docs/evidence.md`. With `--fixture` it writes the rows of
`tests/reward_agent/data/ifeval_verdicts.jsonl` instead.

Source: Instruction-Following Evaluation for Large Language Models (Zhou et al., 2023).
"""

from __future__ import annotations

import os
import platform
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from _ifeval_answers import SAMPLE_ARGUMENTS, SAMPLE_TEXTS, constructed
from _page import write_part

from langchain_agentrm._files import (
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import IFEVAL_IDS, check, from_ifeval

PACKAGES = ("langchain-agentrm", "langdetect", "lm-eval", "nltk", "regex")
SHOWN = 80
COLUMNS = (
    "arguments",
    "n",
    "official_true",
    "agree",
    "abstain",
    "disagree",
    "explained",
)
DRAWN = "the official verifier draws a letter in place of this sign"
OTHER_WORDS = "the engine of NLTK's patterns takes other signs for parts of words"
FIXTURE_ROWS = 8
FIXTURE_LONGEST = 700

Arguments = Mapping[str, Any]
Official = Callable[[str, Arguments, str], bool]


@dataclass
class Tally:
    """What came of one instruction id.

    Attributes:
        arguments: Sets of arguments.
        seen: Pairs of official verdict and ours (None where ours abstains), counted.
        explained: Differences whose reason is known, by reason.
        examples: The first of each kind that differs or abstains.
    """

    arguments: int
    seen: Counter[tuple[bool, bool | None]] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    examples: dict[tuple[bool, bool | None, str], dict[str, Any]] = field(
        default_factory=dict
    )

    def row(self, name: str) -> dict[str, Any]:
        """Give the counts as plain JSON."""
        followed = sum(n for (theirs, _), n in self.seen.items() if theirs)
        agree = self.seen[True, True] + self.seen[False, False]
        abstain = self.seen[True, None] + self.seen[False, None]
        return {
            "id": name,
            "arguments": self.arguments,
            "n": self.seen.total(),
            "official_true": followed,
            "agree": agree,
            "abstain": abstain,
            "disagree": self.seen.total() - agree - abstain,
            "explained": self.explained.total(),
            "reasons": dict(self.explained),
            "examples": list(self.examples.values()),
        }


def main(
    data: Annotated[Path, typer.Option(help="Folder with ifeval/ and thu-ifbench/.")],
    out: Annotated[Path, typer.Option(help="Docs folder.")] = Path("docs"),
    limit: Annotated[
        int | None, typer.Option(min=20, help="At most so many real answers.")
    ] = None,
    fixture: Annotated[
        Path | None, typer.Option(help="Write the test rows to this file instead.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what the official code draws.")] = 0,
) -> None:
    """Compare every verdict; exit with 1 if one differs for no known reason."""
    began = time.perf_counter()
    official, undecided = official_verifiers(seed)
    if fixture is not None:
        rows = list(fixture_rows(official))
        write_jsonl(fixture, rows)
        print(f"Wrote {len(rows)} rows to {fixture}")
        return
    answers = _answers(data)[:limit]
    rows = []
    for name, sets in sorted(_arguments(data).items()):
        row = _compare(name, sets, answers, official).row(name)
        print({k: v for k, v in row.items() if k != "examples"}, flush=True)
        rows.append(row)
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "make ifeval-parity" + (f" ARGS='--limit {limit}'" if limit else ""),
        "seconds": round(time.perf_counter() - began, 1),
        "seed": seed,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {p: version(p) for p in PACKAGES},
        "real_answers": len(answers),
        "undecided_without_punkt": undecided,
        "total": {k: sum(row[k] for row in rows) for k in COLUMNS},
        "rows": rows,
    }
    write_json(out / "data" / "ifeval.json", result)
    table = _table(result)
    write_part(out / "evidence.md", "ifeval", table)
    print("\n".join(table))
    total = result["total"]
    raise typer.Exit(code=int(total["disagree"] > total["explained"]))


def official_verifiers(seed: int = 0) -> tuple[Official, list[str]]:
    """Load lm-eval's copy of the official verifiers, without the rest of lm-eval.

    Args:
        seed: Of the language detector, and of the letters that they draw.

    Returns:
        The strict verdict for an id, its arguments and an answer; and the ids that
        raise an error where NLTK has no Punkt data.

    Raises:
        ConfigurationError: If lm-eval is not installed, or NLTK has no Punkt data.
    """
    found = find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        msg = "lm_eval is not installed."
        raise ConfigurationError(msg, remedy="Run `make ifeval-parity`.")
    nltk: Any = import_module("nltk")
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError as error:
        msg = f"NLTK finds no tokenizers/punkt_tab in {nltk.data.path}."
        raise ConfigurationError(
            msg, remedy="Run `make ifeval-parity`, or set NLTK_DATA to its folder."
        ) from error
    # The package's own __init__ imports a task manager with all its dependencies.
    tasks = ModuleType("lm_eval.tasks")
    tasks.__path__ = [str(Path(p) / "tasks") for p in found.submodule_search_locations]
    sys.modules[tasks.__name__] = tasks
    registry: Any = import_module("lm_eval.tasks.ifeval.instructions_registry")
    langdetect: Any = import_module("langdetect")
    langdetect.DetectorFactory.seed = seed
    # With a seed, one text has one language: neither side need find it 22 times.
    langdetect.detect = lru_cache(maxsize=None)(langdetect.detect)
    own: Any = import_module("langchain_agentrm.reward_agent.rules._official")
    own.language_of = lru_cache(maxsize=None)(own.language_of)
    random.seed(seed)

    def verdict(name: str, arguments: Arguments, answer: str) -> bool:
        verifier = registry.INSTRUCTION_DICT[name](name)
        verifier.build_description(**{k: v for k, v in arguments.items() if v})
        return bool(answer.strip() and verifier.check_following(answer))

    paths, nltk.data.path = nltk.data.path, []
    undecided = [name for name in IFEVAL_IDS if _lacks_data(verdict, name)]
    nltk.data.path = paths
    random.seed(seed)
    return verdict, undecided


def _lacks_data(verdict: Official, name: str) -> bool:
    try:
        verdict(name, SAMPLE_ARGUMENTS[name], "One. TWO.")
    except LookupError:
        return True
    return False


def ours(name: str, arguments: Arguments, answer: str) -> tuple[bool | None, str]:
    """Decide one instruction by our own rules.

    Args:
        name: Instruction id.
        arguments: Its arguments.
        answer: The answer.

    Returns:
        Our verdict, None where a rule abstains and none is broken; and what was seen.
    """
    found = [
        check(rule, answer, profile="ifeval") for rule in from_ifeval(name, arguments)
    ]
    detail = "; ".join(f.detail for f in found if f.detail)
    if any(f.passed is False for f in found):
        return False, detail
    return (None if any(f.passed is None for f in found) else True), detail


def fixture_rows(official: Official) -> Iterable[dict[str, Any]]:
    """Make the rows of the test fixture, from texts and arguments of our own.

    Args:
        official: The official verdict.

    Yields:
        Up to 8 rows an id that keep the instruction, and up to 8 that break it.
    """
    for name, arguments in SAMPLE_ARGUMENTS.items():
        made = constructed(name, arguments, SAMPLE_TEXTS * 7)
        rows = [
            {
                "id": name,
                "kwargs": arguments,
                "answer": answer,
                "official": official(name, arguments, answer),
            }
            for answer in dict.fromkeys((*SAMPLE_TEXTS, *made))
            if len(answer) < FIXTURE_LONGEST
        ]
        for wanted in (True, False):
            yield from [r for r in rows if r["official"] is wanted][:FIXTURE_ROWS]


def _answers(data: Path) -> list[str]:
    pairs = read_json(data / "thu-ifbench" / "data.converted.json")
    sides = ("text_chosen", "text_rejected")
    return [pair[side][1]["content"] for pair in pairs for side in sides]


def _arguments(data: Path) -> dict[str, list[Arguments]]:
    """Collect the distinct arguments of each instruction id."""
    out: dict[str, list[Arguments]] = defaultdict(list)
    for prompt in read_jsonl(data / "ifeval" / "ifeval_input_data.jsonl"):
        pairs = zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True)
        for name, arguments in pairs:
            given = {k: v for k, v in arguments.items() if v is not None}
            if given not in out[name]:
                out[name].append(given)
    return out


def _compare(
    name: str, sets: Sequence[Arguments], answers: Sequence[str], official: Official
) -> Tally:
    tally = Tally(len(sets))
    for arguments in sets:
        for answer in (*answers, *constructed(name, arguments, answers)):
            theirs = official(name, arguments, answer)
            own, detail = ours(name, arguments, answer)
            tally.seen[theirs, own] += 1
            if theirs is own:
                continue
            reason = "" if own is None else _reason(name, arguments, answer)
            tally.explained.update([reason] if reason else [])
            tally.examples.setdefault(
                (theirs, own, reason),
                {
                    "arguments": dict(arguments),
                    "official": theirs,
                    "ours": own,
                    "detail": detail,
                    "reason": reason,
                    "answer": answer[:SHOWN],
                    "characters": len(answer),
                },
            )
    return tally


def _reason(name: str, arguments: Arguments, answer: str) -> str:
    """Say why the verdicts differ, where that can be told from the case itself."""
    if name == "keywords:letter_frequency":
        letter = str(arguments["letter"]).strip().lower()
        return "" if len(letter) == 1 and "a" <= letter <= "z" else DRAWN
    if name == "length_constraints:number_words":
        engine: Any = import_module("regex")
        words = r"\w+"
        other = len(engine.findall(words, answer)) != len(re.findall(words, answer))
        return OTHER_WORDS if other else ""
    return ""


def _table(result: Mapping[str, Any]) -> list[str]:
    packages = ", ".join(f"{k} {v}" for k, v in result["packages"].items())
    return [
        (
            f"`{result['command']}` on {result['date'][:10]}, seed {result['seed']}, "
            f"{result['seconds']:.0f} s, {packages}, Python {result['python']}. "
            f"{result['real_answers']} real answers and constructed ones, for each set "
            "of arguments. File `data/ifeval.json`, with an example of each kind of "
            "difference."
        ),
        "",
        (
            "| instruction | arguments | verdicts | official: followed | agree "
            "| we abstain | differ | of these explained |"
        ),
        "|---|---|---|---|---|---|---|---|",
        *(_line(row["id"], row) for row in result["rows"]),
        _line("all", result["total"]),
    ]


def _line(name: str, row: Mapping[str, int]) -> str:
    return " | ".join((f"| {name}", *(f"{row[c]:,}" for c in COLUMNS))) + " |"


if __name__ == "__main__":
    typer.run(main)
