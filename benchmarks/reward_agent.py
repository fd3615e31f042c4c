"""Rules alone on every file of preference pairs: accuracy, router, run time.

Writes `docs/data/reward_agent.json`, and the table between its marks in
`docs/evidence.md`. No model is asked. The files are not part of the repository; one
that is missing is left out and named.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from _page import write_part

from langchain_agentrm._files import read_json, write_json
from langchain_agentrm.evaluation.preference_bench import (
    SPLITS,
    compare_pairs,
    subset_rows,
)
from langchain_agentrm.evaluation.preference_data import (
    PreferencePair,
    candidates,
    load_pairs,
)
from langchain_agentrm.reward_agent import RewardAgent, RuleVerifier
from langchain_agentrm.reward_agent.rules import BareFrequency, extract

FILES = {
    "THU-IFBench": "thu-ifbench/data.converted.json",
    "RM-Bench chat, normal": "rm-bench/total_dataset.chat_normal_converted.json",
    "RM-Bench chat, hard": "rm-bench/total_dataset.chat_hard_converted.json",
    "JudgeBench, GPT-4o": "judgebench/gpt-4o-2024-05-13.jsonl",
    "JudgeBench, Claude": "judgebench/claude-3-5-sonnet-20240620.jsonl",
}
READINGS: Sequence[BareFrequency] = ("exactly", "at_least")


def main(
    data: Annotated[Path, typer.Option(help="Folder of the benchmark files.")] = Path(
        "../shared/data"
    ),
    out: Annotated[Path, typer.Option(help="Docs folder.")] = Path("docs"),
    rounds: Annotated[int, typer.Option(min=1, help="Runs; the median is told.")] = 3,
) -> None:
    """Measure every file that is there; write figures and table."""
    runs: list[dict[str, Any]] = []
    for name, path in FILES.items():
        if not (data / path).is_file():
            print(f"{name} is left out: {data / path} is missing")
            continue
        pairs = load_pairs(data / path)
        readings = READINGS if name == "THU-IFBench" else READINGS[:1]
        runs += [_run(name, pairs, reading, rounds) for reading in readings]
    target = out / "data" / "reward_agent.json"
    write_json(
        target,
        {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": "python benchmarks/reward_agent.py",
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "packages": {"langchain-agentrm": version("langchain-agentrm")},
            "runs": runs,
        },
    )
    table = _table(read_json(target))
    write_part(out / "evidence.md", "reward-agent", table)
    print("\n".join(table))


def _run(
    name: str, pairs: Sequence[PreferencePair], reading: BareFrequency, rounds: int
) -> dict[str, Any]:
    seconds = []
    for _ in range(rounds):
        # A new one each time: what it remembers of requests would flatter the second.
        verifier = RuleVerifier(rules=partial(extract, bare_frequency=reading))
        agent = RewardAgent(verifiers=[verifier])
        began = time.perf_counter()
        results = compare_pairs(agent, pairs)
        seconds.append(time.perf_counter() - began)
    split = SPLITS["ifbench-halves"] if name == "THU-IFBench" else None
    prompts = {pair.messages[-1]["content"]: pair for pair in pairs}
    routed = sum(
        verifier.applies(candidates(pair, pair.chosen, pair.rejected)[0])
        for pair in prompts.values()
    )
    return {
        "file": name,
        "reading": reading,
        "prompts": len(prompts),
        "prompts_with_a_rule": routed,
        "seconds": round(sorted(seconds)[len(seconds) // 2], 2),
        "rows": subset_rows(pairs, results, split=split, verifiers=("rules",)),
    }


def _table(report: Mapping[str, Any]) -> list[str]:
    lines = [
        (
            f"`{report['command']}` on {report['date'][:10]}, one thread, "
            f"{report['cores']} cores. File `data/reward_agent.json`. Accuracy in %, "
            "an undecided pair counts half; 95 % intervals by bootstrap over prompts. "
            "Seconds are the median of the runs over the whole file."
        ),
        "",
        (
            "| file | reading | part | pairs | accuracy | decided | of decided "
            "| prompts with a rule | seconds |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        _line(run, row)
        for run in report["runs"]
        for row in run["rows"]
        if row["subset"] in {"all", "tuned-on", "held-out"}
    ]
    return lines


def _line(run: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    whole = row["subset"] == "all"
    right = row["accuracy_decided"]
    low, high = 100 * row["ci_low"], 100 * row["ci_high"]
    cells = [
        run["file"],
        run["reading"].replace("_", " "),
        row["subset"],
        str(row["n"]),
        f"{100 * row['accuracy']:.1f} [{low:.1f}, {high:.1f}]",
        f"{100 * row['decided']:.1f}",
        "" if right is None else f"{100 * right:.1f}",
        f"{run['prompts_with_a_rule']} of {run['prompts']}" if whole else "",
        f"{run['seconds']:.2f}" if whole else "",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    typer.run(main)
