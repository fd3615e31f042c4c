"""Value targets and objectives beside the paper's mean return, on one set of trees.

Trains one explicit reward model a variant and seed on the same samples, for as many
passes, and plays best-of-5 and a beam with each over the same test tasks; the sampled
episodes are shared. A target beyond the paper's is kept only if it wins here. Reads
what `make reproduce` made of BabyAI; writes `docs/data/targets.json` and a table in
`docs/evidence.md`. Goes on where it was stopped.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from _page import write_part
from _reproduce_data import subset
from rich.console import Console

from langchain_agentrm._files import MANIFEST, read_json, write_json
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation._estimates import Estimate
from langchain_agentrm.evaluation.report._data import (
    ASIDE,
    Row,
    difference,
    load_runs,
    mean_of,
)
from langchain_agentrm.evaluation.suite import (
    EnvironmentChoice,
    EvalConfig,
    PolicyChoice,
    RewardModelChoice,
    run_suite,
)
from langchain_agentrm.training.explicit import ExplicitConfig, train_explicit

ENV = "babyai"
USUAL = "mean (paper)"
VARIANTS: dict[str, dict[str, Any]] = {
    USUAL: {},
    "distribution over 21 values": {"bins": 21},
    "pairs of siblings": {"objective": "pairwise"},
    "mean and pairs": {"objective": "mixed"},
}
METHODS = ("greedy", "best-of-5", "beam-5x2")


def main(
    made: Annotated[
        Path, typer.Option(help="What `make reproduce` made of BabyAI.")
    ] = Path("runs/reproduce/babyai"),
    work: Annotated[Path, typer.Option(help="Folder of this run.")] = Path(
        "runs/targets"
    ),
    out: Annotated[Path, typer.Option(help="Docs folder.")] = Path("docs"),
    states: Annotated[int, typer.Option(min=64, help="Labelled states.")] = 16_000,
    epochs: Annotated[float, typer.Option(min=0.1, help="Passes.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds.")] = 2,
    episodes: Annotated[int, typer.Option(min=2, help="Tasks a group.")] = 200,
) -> None:
    """Train every variant, play, compare, write."""
    console = Console(width=110)
    for name in ("policy", "samples"):
        if not (made / name / MANIFEST).exists():
            msg = f"{made / name} is not there."
            raise ConfigurationError(
                msg, remedy="Run: make reproduce ARGS='--only babyai'."
            )
    subset(made / "samples", states, 0, work / "samples")
    models: dict[str, RewardModelChoice] = {}
    trained: dict[str, list[dict[str, Any]]] = {}
    for variant, options in VARIANTS.items():
        for seed in range(seeds):
            config = ExplicitConfig(
                seed=seed,
                epochs=epochs,
                lr=2e-3,
                batch_size=16,
                accumulate=2,
                weight_decay=0.05,
                max_length=1024,
                evaluations=2,
                **options,
            )
            name = f"{variant}, seed {seed}"
            folder = work / f"{_slug(variant)}-s{seed}"
            began = time.process_time()
            manifest = train_explicit(config, work / "samples", made / "policy", folder)
            chosen = manifest["counts"]["chosen"]
            console.print(
                f"{name}: {chosen}, {time.process_time() - began:.0f} CPU s",
                highlight=False,
            )
            trained.setdefault(variant, []).append(manifest)
            models[name] = RewardModelChoice(
                model=str(folder), trained_on=(ENV,), trees_from="small"
            )
    suite = EvalConfig(
        environments=(EnvironmentChoice(env=ENV, episodes=episodes),),
        policies={"small": PolicyChoice(model=str(made / "policy"))},
        reward_models=models,
        methods=METHODS,
    )
    run_suite(suite, work / "suite", workers=1)
    rows = [r for r in load_runs([work / "suite"]).episodes if r["group"] != ASIDE]
    data = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "make bench-targets",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {p: version(p) for p in ("langchain-agentrm", "torch")},
        "states": states,
        "epochs": epochs,
        "seeds": seeds,
        "greedy": _plain(mean_of(r for r in rows if r["method"] == "greedy")),
        "variants": [
            _compared(variant, rows, trained[variant]) for variant in VARIANTS
        ],
    }
    write_json(out / "data" / "targets.json", data)
    lines = _lines(read_json(out / "data" / "targets.json"))
    write_part(out / "evidence.md", "targets", lines)
    console.print("\n".join(lines), highlight=False)


def _compared(
    variant: str, rows: Sequence[Row], manifests: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    def of(name: str, method: str) -> list[Row]:
        return [
            r
            for r in rows
            if r["method"] == method and r["rm"].rpartition(", seed ")[0] == name
        ]

    chosen = [m["counts"]["chosen"] for m in manifests]
    return {
        "variant": variant,
        "settings": VARIANTS[variant],
        "chosen": chosen,
        "methods": {
            method: {
                "score": _plain(mean_of(of(variant, method))),
                "minus_mean": _plain(difference(of(variant, method), of(USUAL, method)))
                if variant != USUAL
                else None,
            }
            for method in METHODS[1:]
        },
    }


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    return estimate.plain() if estimate else None


def _slug(variant: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in variant).split())


def _lines(data: dict[str, Any]) -> list[str]:
    greedy = data["greedy"]
    head = ["value target", "siblings in order"]
    for method in METHODS[1:]:
        head += [method, "minus the mean's"]
    table = [head, ["---"] * len(head)]
    for row in data["variants"]:
        right = [100 * c["siblings"] for c in row["chosen"]]
        cells = [row["variant"], " / ".join(f"{x:.1f}" for x in right)]
        for found in row["methods"].values():
            score, delta = found["score"], found["minus_mean"]
            cells.append(f"{100 * score['value']:.1f}")
            cells.append(
                "{value:+.1f} [{low:+.1f}, {high:+.1f}]".format(
                    **{k: 100 * delta[k] for k in ("value", "low", "high")}
                )
                if delta
                else ""
            )
        table.append(cells)
    return [
        (
            f"`{data['command']}` on {data['date'][:10]}: BabyAI, {data['states']:,} "
            f"labelled states of the policy's own trees, epochs: {data['epochs']:g}, "
            f"training seeds: {data['seeds']}; {greedy['tasks']} test tasks, half of "
            f"them of held-out types; greedy {100 * greedy['value']:.1f}. Success in "
            "%; differences are paired by task, 95 % intervals by bootstrap over "
            "tasks, not corrected for the number of rows. Siblings: pairs of held-out "
            "states with one parent, by seed. File `data/targets.json`."
        ),
        "",
        *("| " + " | ".join(cells) + " |" for cells in table),
    ]


if __name__ == "__main__":
    typer.run(main)
