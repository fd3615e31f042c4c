"""`agentrm eval`: measure methods, policies and reward models, and report on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from langchain_agentrm.cli._backend import (
    BackendName,
    JobCpus,
    JobGpus,
    RayAddress,
    Workers,
)
from langchain_agentrm.cli._progress import watching
from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.errors import ConfigurationError

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True)

OnBadRow = Literal["refuse", "skip"]
Out = Annotated[Path, typer.Option(help="Output folder; a stopped run goes on there.")]


@app.callback()
def _eval() -> None:
    """Measure methods, policies and reward models, and report on it."""


@app.command()
def run(
    out: Out,
    config: Annotated[
        Path | None, typer.Argument(help="YAML or JSON file with a suite's settings.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(help="Environment; may be repeated.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="Option NAME=VALUE of every --env, such as perturbation=2."),
    ] = None,
    perturbations: Annotated[
        str | None,
        typer.Option(
            help="Run every --env once with each of these, such as 0,1,2,3,4,5."
        ),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Tasks a group of task types.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Comma-separated, such as greedy,best-of-8.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="MODEL or NAME=MODEL: a folder or openai:MODEL; repeatable."),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Endpoint of openai: policies.")
    ] = None,
    reward_model: Annotated[
        list[str] | None,
        typer.Option(
            help="MODEL or NAME=MODEL: a folder, hub id, implicit:FOLDER, vllm: or "
            "judge:; repeatable."
        ),
    ] = None,
    reward_url: Annotated[
        str | None, typer.Option(help="Server of vllm: and judge: reward models.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Run seeds, comma-separated.")
    ] = None,
    block: Annotated[int, typer.Option(min=1, help="Tasks in lockstep.")] = 25,
    workers: Workers = None,
    backend: BackendName = "local",
    ray_address: RayAddress = None,
    job_cpus: JobCpus = None,
    job_gpus: JobGpus = None,
) -> None:
    """Run methods over tasks, policies and reward models; resumable.

    Takes its settings from a file, or from the options; options that name a setting
    of the file win over it.
    """
    from langchain_agentrm.evaluation.suite import run_suite
    from langchain_agentrm.evaluation.suite_config import make_config, read_config
    from langchain_agentrm.training.backends import make_backend

    given = _settings(env, option, perturbations, episodes, config is not None)
    given |= _models("policies", policy, base_url)
    given |= _models("reward_models", reward_model, reward_url)
    if methods is not None:
        given["methods"] = [m.strip() for m in methods.split(",") if m.strip()]
    if seeds is not None:
        given["seeds"] = _numbers(seeds, "--seeds")
    if config is not None:
        settings = read_config(config, **given)
    else:
        settings = make_config(given, where="The command line")
    with watching() as watch:
        done = run_suite(
            settings,
            out,
            backend=make_backend(
                backend,
                workers=workers,
                ray_address=ray_address,
                num_cpus=job_cpus,
                num_gpus=job_gpus,
            ),
            block=block,
            progress=watch("eval"),
        )
    console = Console()
    _show(out, console)
    counts = done["counts"]
    if counts["failures"]:
        console.print(
            f"[yellow]{counts['failures']} episodes failed and score 0; the first: "
            f"[/yellow]{counts['first_failure']}"
        )
    console.print(
        f"{counts['episodes']} episodes in {done['seconds']:.0f} s. "
        f"Now: agentrm eval report {out} --out {out / 'report'}"
    )


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Output folders of eval run and eval offline.")
    ],
    out: Annotated[Path, typer.Option(help="Gets report.html, report.md, figures.")],
    title: Annotated[str, typer.Option(help="Title.")] = "Evaluation report",
) -> None:
    """Make one HTML page and Markdown of runs: tables, plots, claim by claim."""
    from langchain_agentrm.evaluation.report import write_report

    data = write_report(runs, out, title=title)
    missing = [s["title"] for s in data["sections"] if s["missing"]]
    console = Console()
    if missing:
        console.print(f"Not measured in these runs: {'; '.join(missing)}.")
    console.print(f"Report: {(out / 'report.html').resolve().as_uri()}")


@app.command()
def offline(
    samples: Annotated[
        Path, typer.Argument(help="Sample file of `agentrm train samples`.")
    ],
    out: Out,
    reward_model: Annotated[
        str | None,
        typer.Option(
            help="Folder, hub id, implicit:FOLDER, vllm: or judge:; by default the "
            "embedded."
        ),
    ] = None,
    env: Annotated[
        str, typer.Option(help="Environment of the embedded reward model.")
    ] = "babyai",
    reward_url: Annotated[
        str | None, typer.Option(help="Server of a vllm: or judge: reward model.")
    ] = None,
    name: Annotated[str, typer.Option(help="Its name in reports.")] = "rm",
    gap: Annotated[
        float, typer.Option(min=0, help="Least difference of siblings' values.")
    ] = 0.1,
    tasks: Annotated[int | None, typer.Option(min=1, help="First tasks only.")] = None,
    on_bad_row: Annotated[
        OnBadRow, typer.Option(help="refuse or skip malformed samples.")
    ] = "refuse",
) -> None:
    """Hold a reward model against labelled states: siblings, errors, calibration."""
    from langchain_agentrm.evaluation.analysis import (
        OFFLINE_FILE,
        OfflineConfig,
        analyse_offline,
    )

    model = reward_model or str(embedded_models(env).reward_model)
    config = OfflineConfig(
        reward_model=model,
        base_url=reward_url,
        name=name,
        gap=gap,
        tasks=tasks,
        on_bad_row=on_bad_row,
    )
    with watching() as watch:
        analyse_offline(config, samples, out, progress=watch("offline"))
    _print_offline(out / OFFLINE_FILE)


def _settings(
    envs: list[str] | None,
    options: list[str] | None,
    perturbations: str | None,
    episodes: int | None,
    has_file: bool,
) -> dict[str, Any]:
    """Settings of the environments; none where a file has them."""
    if envs is None and has_file:
        if options or perturbations or episodes:
            msg = "--option, --perturbations and --episodes belong to --env."
            raise ConfigurationError(
                msg, remedy="Give --env too, or write them into the file."
            )
        return {}
    common = _pairs(options or [], "--option")
    numbers = _numbers(perturbations, "--perturbations") if perturbations else [None]
    choices: list[dict[str, Any]] = []
    for env in envs or ["babyai"]:
        for number in numbers:
            own = dict(common)
            if number is not None:
                own["perturbation"] = str(number)
            choice: dict[str, Any] = {"env": env, "options": own}
            if episodes is not None:
                choice["episodes"] = episodes
            choices.append(choice)
    return {"environments": choices}


def _models(kind: str, texts: list[str] | None, base_url: str | None) -> dict[str, Any]:
    if not texts:
        return {}
    out: dict[str, Any] = {}
    for text in texts:
        name, equals, model = text.partition("=")
        if not equals:
            name, model = Path(text).name.replace(":", "-"), text
        if name in out:
            msg = f"Two of the {kind} are called {name!r}."
            raise ConfigurationError(msg, remedy="Write NAME=MODEL.")
        needs_url = model.startswith(("openai:", "vllm:", "judge:openai:"))
        out[name] = {"model": model, "base_url": base_url if needs_url else None}
        if kind == "reward_models" and model.startswith("judge:"):
            out[name]["kind"] = "judge"
    return {kind: out}


def _pairs(texts: list[str], what: str) -> dict[str, str]:
    out = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or key in out:
            msg = f"{what} {text!r} is no NAME=VALUE, or its name is given twice."
            raise ConfigurationError(msg, remedy="Write it so, such as style=eto.")
        out[key] = value
    return out


def _numbers(text: str, what: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        msg = f"{what} {text!r} is no list of numbers."
        raise ConfigurationError(msg, remedy="Write it so: 0,1,2.") from error


def _show(out: Path, console: Console) -> None:
    """Print means; intervals and differences are the report's."""
    from langchain_agentrm._files import read_jsonl
    from langchain_agentrm.evaluation.suite import EPISODES_FILE

    cells: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in read_jsonl(out / EPISODES_FILE):
        at = (row["env"], row["group"], row["policy"], row["method"], row["rm"])
        cells.setdefault(at, []).append(row)
    table = Table(
        "env", "group", "policy", "method", "rm", "n", "score %", box=SIMPLE_HEAD
    )
    for names, rows in cells.items():
        mean = 100 * sum(row["score"] for row in rows) / len(rows)
        table.add_row(*names, str(len(rows)), f"{mean:.1f}")
    console.print(table)


def _print_offline(path: Path) -> None:
    from langchain_agentrm._files import read_json

    found = read_json(path)
    table = Table("figure", "all states", "low", "high", "tasks", box=SIMPLE_HEAD)
    for name, e in found["pooled"].items():
        if e is None:
            table.add_row(name, "no meaning here", "", "", "")
        else:
            bounds = [f"{e[k]:.3f}" for k in ("value", "low", "high")]
            table.add_row(name, *bounds, str(e["tasks"]))
    Console().print(table)
