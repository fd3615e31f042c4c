"""The whole pipeline, from an environment with an expert to two small models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.training._config import PlayConfig, Progress, silent
from langchain_agentrm.training.backends import Backend
from langchain_agentrm.training.bc import CloneConfig, clone_policy
from langchain_agentrm.training.demos import DemosConfig, collect_demos
from langchain_agentrm.training.export import export_mini
from langchain_agentrm.training.pool import PoolConfig, build_pool
from langchain_agentrm.training.rm import RewardConfig, train_reward_model
from langchain_agentrm.training.samples import SamplesConfig, extract_samples
from langchain_agentrm.training.trees import TreesConfig, build_trees

__all__ = ["MiniConfig", "train_mini"]

_FULL_MINUTES = 15.0


class MiniConfig(PlayConfig):
    """Settings of the whole pipeline; each stage's own follow from them."""

    labeller: Literal["rollouts", "mcts"] = Field(
        default="rollouts", description="How states are labelled."
    )
    minutes: float = Field(
        default=_FULL_MINUTES,
        gt=0,
        description="Size of the run: fewer make less data.",
    )
    smoke: bool = Field(
        default=False, description="Run everything on next to nothing, as a test."
    )

    def stages(self) -> dict[str, Any]:
        """Settings by stage."""
        size = min(1.0, self.minutes / _FULL_MINUTES)
        common: dict[str, Any] = {"seed": self.seed}
        here: dict[str, Any] = {"env": self.env, "options": self.options, **common}
        if self.smoke:
            return {
                "demos": DemosConfig(**here, n_per_type=40),
                "bc": CloneConfig(
                    **here, hidden=48, layers=1, epochs=8, val_share=0.1, eval_tasks=12
                ),
                "trees": TreesConfig(
                    **here, labeller=self.labeller, tasks=36, simulations=4, chunk=18
                ),
                "samples": SamplesConfig(**common, val_share=0.25),
                "pool": PoolConfig(**here, tasks=24),
                "rm": RewardConfig(**common, epochs=1, evaluations=2),
            }
        return {
            "demos": DemosConfig(**here),
            # The policy is not made smaller: a weaker one fails almost everywhere, and
            # then its episodes cannot tell good from bad.
            "bc": CloneConfig(**here),
            "trees": TreesConfig(
                **here,
                labeller=self.labeller,
                tasks=max(600, round(8400 * size / 120) * 120),
                # One simulation of a search costs about two thirds of an episode.
                simulations=8 if self.labeller == "rollouts" else 12,
            ),
            "samples": SamplesConfig(**common),
            "pool": PoolConfig(**here),
            "rm": RewardConfig(**common),
        }


def train_mini(
    config: MiniConfig,
    out: Path,
    *,
    workers: int = 2,
    backend: Backend | None = None,
    factory: EnvironmentFactory | None = None,
    watch: Callable[[str], Progress] = lambda _: silent,
) -> dict[str, dict[str, Any]]:
    """Run all stages; one that finished before is skipped.

    Args:
        config: Settings.
        out: Gets one folder a stage, and `export` with the small copies.
        workers: Processes that play episodes.
        backend: Where the trees are built, such as a Ray cluster; by default `workers`
            processes here.
        factory: The environment; by default the one registered as `config.env`.
        watch: Makes the progress report of the stage it is given the name of.

    Returns:
        The manifests, by stage.
    """
    stages = config.stages()
    at = {name: out / name for name in stages}
    made: dict[str, dict[str, Any]] = {}
    made["demos"] = collect_demos(
        stages["demos"], at["demos"], factory=factory, progress=watch("demos")
    )
    made["bc"] = clone_policy(
        stages["bc"], at["demos"], at["bc"], factory=factory, progress=watch("bc")
    )
    made["pool"] = build_pool(
        stages["pool"], at["bc"], at["pool"], factory=factory, progress=watch("pool")
    )
    made["trees"] = build_trees(
        stages["trees"],
        at["bc"],
        at["trees"],
        workers=workers,
        backend=backend,
        factory=factory,
        progress=watch("trees"),
    )
    made["samples"] = extract_samples(stages["samples"], at["trees"], at["samples"])
    made["rm"] = train_reward_model(
        stages["rm"],
        at["samples"],
        at["pool"],
        at["bc"],
        at["rm"],
        progress=watch("rm"),
    )
    export_mini(at["bc"], at["rm"], out / "export")
    return made
