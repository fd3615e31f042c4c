"""`agentrm train`: the training pipeline, stage by stage or as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from langchain_agentrm.cli._progress import watching
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import StageConfig

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True)

Out = Annotated[
    Path, typer.Option(help="Output folder; a stopped stage goes on there.")
]
Seed = Annotated[int, typer.Option(help="Seed that all draws derive from.")]
Env = Annotated[str, typer.Option(help="Registry name of the environment.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that play episodes.")]
PolicyFolder = Annotated[Path, typer.Option(help="Folder of stage bc.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Further setting as NAME=JSON; may be repeated."),
]


@app.callback()
def _train() -> None:
    """Train a policy and a reward model, stage by stage."""


@app.command()
def demos(
    out: Out,
    env: Env = "babyai",
    n_per_type: Annotated[int, typer.Option(help="Tasks of each type.")] = 1600,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Let the environment's expert demonstrate."""
    from langchain_agentrm.training.demos import DemosConfig, collect_demos

    config = _make(DemosConfig, settings, env=env, n_per_type=n_per_type, seed=seed)
    with watching() as watch:
        done = collect_demos(config, out, progress=watch("demos"))
    _show({"demos": done})


@app.command()
def bc(
    demos: Annotated[Path, typer.Option(help="Folder of stage demos.")],
    out: Out,
    seed: Seed = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Most CPU minutes; by default no limit.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Train a small policy from scratch on demonstrations."""
    from langchain_agentrm.training.bc import CloneConfig, clone_policy

    config = _make(CloneConfig, settings, seed=seed, cpu_minutes=minutes)
    with watching() as watch:
        done = clone_policy(config, demos, out, progress=watch("bc"))
    _show({"bc": done})


@app.command()
def trees(
    policy: PolicyFolder,
    out: Out,
    env: Env = "babyai",
    labeller: Annotated[str, typer.Option(help="rollouts or mcts.")] = "rollouts",
    tasks: Annotated[int, typer.Option(help="Tasks in all.")] = 8400,
    simulations: Annotated[int, typer.Option(help="Episodes a task.")] = 8,
    workers: Workers = 2,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Label states by the policy's own episodes, or by tree search."""
    from langchain_agentrm.training.trees import TreesConfig, build_trees

    config = _make(
        TreesConfig,
        settings,
        env=env,
        labeller=labeller,
        tasks=tasks,
        simulations=simulations,
        seed=seed,
    )
    with watching() as watch:
        done = build_trees(
            config, policy, out, workers=workers, progress=watch("trees")
        )
    _show({"trees": done})


@app.command()
def samples(
    trees: Annotated[Path, typer.Option(help="Folder of stage trees.")],
    out: Out,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Read the labelled prefixes out of the trees."""
    from langchain_agentrm.training.samples import SamplesConfig, extract_samples

    config = _make(SamplesConfig, settings, seed=seed)
    _show({"samples": extract_samples(config, trees, out)})


@app.command()
def pool(
    policy: PolicyFolder,
    out: Out,
    env: Env = "babyai",
    tasks: Annotated[int, typer.Option(help="Tasks in all.")] = 400,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Play the dev episodes that choose the reward model's checkpoint."""
    from langchain_agentrm.training.pool import PoolConfig, build_pool

    config = _make(PoolConfig, settings, env=env, tasks=tasks, seed=seed)
    with watching() as watch:
        done = build_pool(config, policy, out, progress=watch("pool"))
    _show({"pool": done})


@app.command()
def rm(
    samples: Annotated[Path, typer.Option(help="Folder of stage samples.")],
    pool: Annotated[Path, typer.Option(help="Folder of stage pool.")],
    policy: PolicyFolder,
    out: Out,
    seed: Seed = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Most CPU minutes; by default no limit.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Train the reward model, starting from the policy's body."""
    from langchain_agentrm.training.rm import RewardConfig, train_reward_model

    config = _make(RewardConfig, settings, seed=seed, cpu_minutes=minutes)
    with watching() as watch:
        done = train_reward_model(
            config, samples, pool, policy, out, progress=watch("rm")
        )
    _show({"rm": done})


@app.command()
def mini(
    out: Out,
    env: Env = "babyai",
    seed: Seed = 0,
    minutes: Annotated[float, typer.Option(help="Size of the run.")] = 15.0,
    labeller: Annotated[str, typer.Option(help="rollouts or mcts.")] = "rollouts",
    workers: Workers = 2,
    smoke: Annotated[bool, typer.Option(help="Next to nothing, as a test.")] = False,
) -> None:
    """Run all stages; those that finished before are skipped."""
    from langchain_agentrm.training.mini import MiniConfig, train_mini

    config = _make(
        MiniConfig,
        None,
        env=env,
        seed=seed,
        minutes=minutes,
        labeller=labeller,
        smoke=smoke,
    )
    with watching() as watch:
        done = train_mini(config, out, workers=workers, watch=watch)
    _show(done)


def _make(kind: type[StageConfig], settings: list[str] | None, **given: Any) -> Any:
    """Make a stage's config; `--set` wins over the options."""
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not equals:
            msg = f"--set {text!r} has no '='."
            raise ConfigurationError(msg, remedy="Write it as NAME=JSON.")
        try:
            given[name] = json.loads(value)
        except ValueError:
            # A bare word means itself, as in `--set split=dev`.
            given[name] = value
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        msg = f"Setting {name}={first['input']!r}: {first['msg']}."
        known = ", ".join(sorted(kind.model_fields))
        raise ConfigurationError(msg, remedy=f"Settings are {known}.") from error


def _show(manifests: dict[str, Any]) -> None:
    table = Table("stage", "seconds", "counts")
    for stage, manifest in manifests.items():
        counts = {
            name: value
            for name, value in manifest["counts"].items()
            if not isinstance(value, list)
        }
        text = ", ".join(f"{name} {value}" for name, value in counts.items())
        table.add_row(stage, f"{manifest['seconds']:.0f}", text)
    Console().print(table)
