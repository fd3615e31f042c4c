"""What a run of stage `trees` will ask of the policy, told before it begins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.training._config import find_factory
from langchain_agentrm.training.store import TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig

__all__ = ["TreesCost", "estimate_trees"]


@dataclass(frozen=True, slots=True)
class TreesCost:
    """An estimate for the trees that are still to be built.

    Attributes:
        trees: Trees to build.
        done: Trees that are there already.
        horizon: Actions of an episode that the estimate reckons with (H).
        answers: Answers of the policy, before merging saves any.
        formula: How `answers` follows from the settings.
        requests: Requests, as measured on the trees that are there; None without any.
        env_steps: Steps of the environment, likewise.
        input_tokens: Tokens read, likewise.
        output_tokens: Tokens written, likewise.
    """

    trees: int
    done: int
    horizon: int
    answers: int
    formula: str
    requests: int | None = None
    env_steps: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    def plain(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return asdict(self)


def estimate_trees(
    config: TreesConfig,
    out: Path | None = None,
    *,
    horizon: int | None = None,
    factory: EnvironmentFactory | None = None,
) -> TreesCost:
    """Estimate what a run costs; no policy is asked.

    Args:
        config: Settings of the run.
        out: Its output folder; trees that are there are measured and not counted again.
        horizon: Actions of an episode; by default the step limit of the first task, so
            that the estimate is one from above.
        factory: The environment; by default the one registered as `config.env`.

    Returns:
        The estimate. Tokens are known only where trees are there to measure: build one
        chunk to know them.
    """
    found = find_factory(config.env, factory, config.options)
    types = list(config.types) or found.types("held_in")
    tasks = found.tasks(config.split, types, config.tasks)
    if horizon is None:
        env = found.make()
        horizon = env.reset(tasks[0]).step_limit
        env.close()
    totals: dict[str, float] = {}
    path = None if out is None else out / STORE_FILE
    if path is not None and path.exists():
        with TreeStore(path) as store:
            totals = store.totals()
    done = int(totals.get("trees", 0))
    left = max(0, len(tasks) - done)
    each, formula = _answers(config, horizon)
    measured = {
        name: round(totals[name] / done * left)
        for name in ("requests", "env_steps", "input_tokens", "output_tokens")
        if done
    }
    return TreesCost(left, done, horizon, round(each * left), formula, **measured)


def _answers(config: TreesConfig, horizon: int) -> tuple[float, str]:
    """Answers of one tree, before merging, and the formula."""
    i, k, n, h = config.simulations, config.width, config.rollouts, horizon
    if config.labeller == "rollouts":
        return i * h, f"simulations x H = {i} x {h}"
    if config.labeller == "mcts":
        # One expansion, and on average half an episode after it.
        return i * (k + h / 2), f"simulations x (width + H/2) = {i} x ({k} + {h}/2)"
    each = i * k * (1 + n * h / 2)
    if config.budget is not None and config.budget < each:
        return config.budget, f"budget = {config.budget}"
    text = "simulations x width x (1 + rollouts x H/2)"
    return each, f"{text} = {i} x {k} x (1 + {n} x {h}/2)"
