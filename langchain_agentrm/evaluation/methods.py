"""The methods of the table: what each runs, what it picks, and what it costs alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from langchain_agentrm.budgets import Budget
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.evaluation.chunks import Chunk
from langchain_agentrm.evaluation.naming import parse_method
from langchain_agentrm.evaluation.records import MethodSettings, Record
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.search import RoundSettings
from langchain_agentrm.types import TaskRef

__all__ = [
    "CONTROLS",
    "METHODS",
    "MethodSettings",
    "Record",
    "run_beams",
    "run_chunk",
]

METHODS = (
    "greedy",
    "random-of-5",
    "vote-of-5",
    "likelihood-of-5",
    "finished-first-of-5",
    "random-beam-5x2",
    "best-of-5",
    "best-of-greedy+4",
    "beam-2x3",
    "beam-5x2",
    "beam-5x5",
    "oracle-of-5",
)
"""The usual table; `naming.FORMS` has the other names that exist."""

CONTROLS = METHODS[1:6]
"""What needs no reward model; `oracle-of-5` knows the outcome: a reference only."""


def run_chunk(
    factory: EnvironmentFactory,
    tasks: Sequence[TaskRef],
    proposer: Proposer,
    reward_model: RewardModel,
    methods: Sequence[str],
    settings: MethodSettings,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[Record]:
    """Run methods over some tasks, all episodes of a method in lockstep.

    Args:
        factory: The environment.
        tasks: Tasks of this chunk.
        proposer: The policy.
        reward_model: The reward model.
        methods: Names, such as those of `METHODS`.
        settings: Temperatures and seed.
        progress: Told the name of each method before it runs.

    Returns:
        One record per method and task.

    Raises:
        ConfigurationError: If a method does not exist.
    """
    parsed = [parse_method(name) for name in methods]
    # In the order of the table, so that what is shared is made by the same method.
    parsed.sort(key=lambda m: METHODS.index(m.name) if m.name in METHODS else 99)
    size = max((m.n for m in parsed if m.pooled), default=0)
    chunk = Chunk(factory, tasks, proposer, settings, pool_size=size)
    out: list[Record] = []
    for method in parsed:
        if progress:
            progress(method.name)
        out += chunk.records(method, reward_model)
    return out


def run_beams(
    factory: EnvironmentFactory,
    tasks: Sequence[TaskRef],
    proposer: Proposer,
    reward_model: RewardModel,
    variants: Mapping[str, RoundSettings],
    *,
    budgets: Mapping[str, Budget] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Record]:
    """Run beam searches of any settings over some tasks, each in lockstep.

    Args:
        factory: The environment.
        tasks: Tasks of this chunk.
        proposer: The policy.
        reward_model: The reward model.
        variants: Settings by the name that the records get.
        budgets: Budgets of single searches, by the same names.
        progress: Told the name of each variant before it runs.

    Returns:
        One record per variant and task.

    Raises:
        ConfigurationError: If the settings of a variant cannot work.
    """
    chunk = Chunk(factory, tasks, proposer, MethodSettings(), pool_size=0)
    out: list[Record] = []
    for name, settings in variants.items():
        if progress:
            progress(name)
        out += chunk.beam(name, settings, reward_model, (budgets or {}).get(name))
    return out
