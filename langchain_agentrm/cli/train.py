"""`agentrm train`: the training pipeline, stage by stage or as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_agentrm.cli import (
    _train_audit,
    _train_hub,
    _train_rewards,
    _train_sft,
)
from langchain_agentrm.cli._backend import (
    BackendName,
    JobCpus,
    JobGpus,
    RayAddress,
    Workers,
)
from langchain_agentrm.cli._environment import Options, read_options
from langchain_agentrm.cli._progress import watching
from langchain_agentrm.cli._stages import Out, Seed, Settings
from langchain_agentrm.cli._stages import make as _make
from langchain_agentrm.cli._stages import show as _show
from langchain_agentrm.cli._train_audit import (
    BaseUrl,
    Engines,
    InFlight,
    Policy,
    show_cost,
)

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True)

Env = Annotated[str, typer.Option(help="Registry name of the environment.")]
PolicyFolder = Annotated[Path, typer.Option(help="Folder of stage bc.")]


@app.callback()
def _train() -> None:
    """Train a policy and a reward model, stage by stage."""


@app.command()
def demos(
    out: Out,
    env: Env = "babyai",
    option: Options = None,
    n_per_type: Annotated[int, typer.Option(help="Tasks of each type.")] = 1600,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Let the environment's expert demonstrate."""
    from langchain_agentrm.training.demos import DemosConfig, collect_demos

    given: dict[str, Any] = {"env": env, "options": read_options(option)}
    config = _make(DemosConfig, settings, **given, n_per_type=n_per_type, seed=seed)
    with watching() as watch:
        done = collect_demos(config, out, progress=watch("demos"))
    _show({"demos": done})


@app.command()
def bc(
    demos: Annotated[Path, typer.Option(help="Folder of stage demos.")],
    out: Out,
    env: Env = "babyai",
    option: Options = None,
    seed: Seed = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Most CPU minutes; by default no limit.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Train a small policy from scratch on demonstrations."""
    from langchain_agentrm.training.bc import CloneConfig, clone_policy

    given: dict[str, Any] = {"env": env, "options": read_options(option)}
    config = _make(CloneConfig, settings, **given, seed=seed, cpu_minutes=minutes)
    with watching() as watch:
        done = clone_policy(config, demos, out, progress=watch("bc"))
    _show({"bc": done})


@app.command()
def trees(
    policy: Policy,
    out: Out,
    env: Env = "babyai",
    option: Options = None,
    labeller: Annotated[
        str, typer.Option(help="rollouts, mcts, or agentrm: the paper's search.")
    ] = "rollouts",
    tasks: Annotated[int, typer.Option(help="Tasks in all.")] = 8400,
    simulations: Annotated[
        int | None,
        typer.Option(help="Episodes or iterations a task: 8, or 30 with agentrm."),
    ] = None,
    workers: Workers = None,
    backend: BackendName = "local",
    ray_address: RayAddress = None,
    job_cpus: JobCpus = None,
    job_gpus: JobGpus = None,
    base_url: BaseUrl = None,
    in_flight: InFlight = 8,
    engines: Engines = 4,
    dry_run: Annotated[bool, typer.Option(help="Only tell what it costs.")] = False,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Label states by the policy's own episodes, or by tree search."""
    from langchain_agentrm.training.backends import make_backend
    from langchain_agentrm.training.cost import estimate_trees
    from langchain_agentrm.training.trees import TreesConfig, build_trees

    given: dict[str, Any] = {"env": env, "labeller": labeller}
    given |= {"options": read_options(option), "tasks": tasks, "seed": seed}
    if labeller == "agentrm":
        given = {**TreesConfig.paper().model_dump(), **given}
    if simulations is not None:
        given["simulations"] = simulations
    config = _make(TreesConfig, settings, **given)
    show_cost(estimate_trees(config, out))
    if dry_run:
        return
    where = make_backend(
        backend,
        workers=workers,
        ray_address=ray_address,
        num_cpus=job_cpus,
        num_gpus=job_gpus,
    )
    with watching() as watch:
        done = build_trees(
            config,
            policy,
            out,
            base_url=base_url,
            backend=where,
            in_flight=in_flight,
            engines=engines,
            progress=watch("trees"),
        )
    _show({"trees": done})


@app.command()
def samples(
    trees: Annotated[
        list[Path], typer.Option(help="Folder of stage trees; may be repeated.")
    ],
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
    option: Options = None,
    tasks: Annotated[int, typer.Option(help="Tasks in all.")] = 400,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Play the dev episodes that choose the reward model's checkpoint."""
    from langchain_agentrm.training.pool import PoolConfig, build_pool

    given: dict[str, Any] = {"env": env, "options": read_options(option)}
    config = _make(PoolConfig, settings, **given, tasks=tasks, seed=seed)
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
    option: Options = None,
    seed: Seed = 0,
    minutes: Annotated[float, typer.Option(help="Size of the run.")] = 15.0,
    labeller: Annotated[str, typer.Option(help="rollouts or mcts.")] = "rollouts",
    workers: Workers = None,
    backend: BackendName = "local",
    ray_address: RayAddress = None,
    job_cpus: JobCpus = None,
    job_gpus: JobGpus = None,
    smoke: Annotated[bool, typer.Option(help="Next to nothing, as a test.")] = False,
) -> None:
    """Run all stages; those that finished before are skipped."""
    from langchain_agentrm.training.backends import make_backend
    from langchain_agentrm.training.mini import MiniConfig, train_mini

    config = _make(
        MiniConfig,
        None,
        env=env,
        options=read_options(option),
        seed=seed,
        minutes=minutes,
        labeller=labeller,
        smoke=smoke,
    )
    where = make_backend(
        backend,
        workers=workers,
        ray_address=ray_address,
        num_cpus=job_cpus,
        num_gpus=job_gpus,
    )
    with watching() as watch:
        done = train_mini(config, out, backend=where, watch=watch)
    _show(done)


_train_sft.add_to(app)
_train_audit.add_to(app)
_train_rewards.add_to(app)
_train_hub.add_to(app)
