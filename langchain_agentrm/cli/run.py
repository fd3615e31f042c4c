"""`agentrm run`: one task, printed as it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from langchain_agentrm._files import write_text
from langchain_agentrm.chat_models.factory import chat_model
from langchain_agentrm.cli._environment import Options, Prompts, find_environment
from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm.graphs import create_beam_search, create_best_of_n
from langchain_agentrm.reward_models.factory import reward_model as make_reward_model
from langchain_agentrm.trace import build, to_html
from langchain_agentrm.types import TaskRef

__all__ = ["app", "run_task"]

app = typer.Typer(add_completion=False)


class Search(StrEnum):
    """How to search."""

    greedy = "greedy"
    best_of_n = "best-of-n"
    beam = "beam"


def run_task(
    factory: EnvironmentFactory,
    task: TaskRef,
    policy: str,
    reward_model: str,
    *,
    search: str = "beam",
    w1: int = 5,
    w2: int = 2,
    n: int = 5,
    temperature: float | None = None,
    seed: int = 0,
    base_url: str | None = None,
    reward_url: str | None = None,
    on_event: Callable[[Mapping[str, Any]], None] | None = None,
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """Run one task through the search graph and collect its events.

    Args:
        factory: The environment.
        task: The task.
        policy: Checkpoint folder, or `openai:MODEL`.
        reward_model: Checkpoint folder, hub id, `vllm:FOLDER` or `judge:openai:MODEL`.
        search: `"beam"`, `"best-of-n"` or `"greedy"`.
        w1: Beam width.
        w2: Expansions a beam.
        n: Trajectories of best-of-N.
        temperature: Sampling temperature; by default 1.0, or 0.7 for best-of-N.
        seed: Run seed.
        base_url: Endpoint of an `openai:` policy.
        reward_url: Server of a `vllm:` or `judge:` reward model.
        on_event: Told each event as it comes.

    Returns:
        The events and the result.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = chat_model(policy, base_url=base_url)
    scorer = make_reward_model(reward_model, base_url=reward_url)
    if search == "beam":
        builder = create_beam_search(
            model,
            scorer,
            factory,
            beam_width=w1,
            expansions=w2,
            seed=seed,
            temperature=1.0 if temperature is None else temperature,
        )
    else:
        builder = create_best_of_n(
            model,
            scorer,
            factory,
            n=1 if search == "greedy" else n,
            include_greedy=search == "greedy",
            seed=seed,
            temperature=0.7 if temperature is None else temperature,
        )
    events: list[Mapping[str, Any]] = []
    for event in builder.compile().stream({"task": task}, stream_mode="custom"):
        events.append(event)
        if on_event:
            on_event(event)
    return events, events[-1]["result"]


def find_task(factory: EnvironmentFactory, name: str) -> TaskRef:
    """Read `TYPE:SEED`, or take a type's first test task."""
    kind, _, number = name.partition(":")
    if not number:
        return factory.tasks("test", [kind], limit=1)[0]
    if not number.isdecimal():
        msg = f"Task {name!r} has no seed but {number!r}."
        raise UnknownTaskError(msg, remedy="Write TYPE:SEED, such as GoToLocal:400000.")
    return factory.task(kind, int(number))


@app.command()
def run(
    task: Annotated[str, typer.Option(help="TYPE:SEED, or TYPE for its first.")],
    env: Annotated[str, typer.Option(help="Environment.")] = "babyai",
    option: Options = None,
    prompts: Prompts = None,
    search: Annotated[Search, typer.Option(help="How to search.")] = Search.beam,
    w1: Annotated[int, typer.Option(min=1, help="Beams kept.")] = 5,
    w2: Annotated[int, typer.Option(min=1, help="Candidates a beam.")] = 2,
    n: Annotated[int, typer.Option(min=1, help="Trajectories of best-of-n.")] = 5,
    temperature: Annotated[
        float | None, typer.Option(help="Sampling temperature.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Run seed.")] = 0,
    policy: Annotated[
        str | None, typer.Option(help="Checkpoint folder, or openai:MODEL.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Endpoint of an openai: policy.")
    ] = None,
    reward_model: Annotated[
        str | None,
        typer.Option(help="Folder, hub id, vllm:FOLDER or judge:openai:MODEL."),
    ] = None,
    reward_url: Annotated[
        str | None, typer.Option(help="Server of a vllm: or judge: reward model.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the tree here.")] = None,
) -> None:
    """Solve one task and print the search as it happens."""
    console = Console()
    factory = find_environment(env, option, prompts)
    if policy is None or reward_model is None:
        paths = embedded_models(env)
        policy = policy or str(paths.policy)
        reward_model = reward_model or str(paths.reward_model)
    printer = _Printer(console)
    events, result = run_task(
        factory,
        find_task(factory, task),
        policy,
        reward_model,
        search=search.value,
        w1=w1,
        w2=w2,
        n=n,
        temperature=temperature,
        seed=seed,
        base_url=base_url,
        reward_url=reward_url,
        on_event=printer,
    )
    console.print()
    for action in result["actions"]:
        console.print(Text(f"  {action}", style="green"))
    word = "[green]solved[/green]" if result["success"] else "[red]not solved[/red]"
    console.print(
        f"{word} in {len(result['actions'])} actions; ended: {result['ended']}; "
        f"{result['totals']['policy_tokens']} policy tokens, "
        f"{result['totals']['reward_tokens']} reward-model tokens"
    )
    if html is not None:
        write_text(html, to_html(build(events)))
        console.print(f"Tree: {html.resolve().as_uri()}")


class _Printer:
    """Prints events for a person."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "agentrm.start":
            self.console.print(Text(event["goal"], style="bold"))
            self.console.print(Text(event["observation"], style="dim"))
        elif kind == "agentrm.step":
            self._step(event)
        elif kind == "agentrm.transition":
            mark = "✓" if event["success"] else "✗" if event["done"] else "→"
            line = f"      {mark} {event['observation']}"
            self.console.print(Text(line, style="dim", overflow="ellipsis"))

    def _step(self, event: Mapping[str, Any]) -> None:
        self.console.print(f"\n[bold]step {event['step']}[/bold]")
        if event["fallback"]:
            self.console.print(Text(f"  {event['fallback']}", style="yellow"))
        rated = sorted(
            event["candidates"],
            key=lambda c: (-(c["score"] or 0.0), str(c["action"])),
        )
        for c in rated:
            score = "    -" if c["score"] is None else f"{c['score']:5.3f}"
            votes = f" x{c['votes']}" if c["votes"] > 1 else ""
            style = "bold" if c["kept"] else "dim"
            line = f"  {'●' if c['kept'] else '○'} {score}  {c['action']}{votes}"
            self.console.print(Text(line, style=style))
