"""Makes pieces of the mini reproduction: of one stage, of a chain, of a suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _reproduce_data import demonstrating
from _reproduce_pieces import TRANSFER, Piece, sized
from _reproduce_settings import Settings, Stage

from langchain_agentrm.evaluation._block import Installed
from langchain_agentrm.evaluation.suite import (
    EnvironmentChoice,
    EvalConfig,
    PolicyChoice,
    RewardModelChoice,
    run_suite,
)
from langchain_agentrm.training.bc import CloneConfig, clone_policy
from langchain_agentrm.training.demos import DemosConfig, collect_demos
from langchain_agentrm.training.pool import PoolConfig, build_pool
from langchain_agentrm.training.rm import RewardConfig, train_reward_model
from langchain_agentrm.training.samples import SamplesConfig, extract_samples
from langchain_agentrm.training.trees import TreesConfig, build_trees

__all__ = ["Maker"]

_SUITE = ("episodes", "types", "groups", "split")
_SHARE = 0.9  # of a budget for the steps; loading and measuring take the rest


@dataclass(frozen=True)
class Maker:
    """Makes single pieces and chains of them.

    Attributes:
        settings: What to do.
        out: Output folder.
        scale: Factor on the numbers of tasks, and so of training steps.
        workers: Processes that play trees and episodes.
    """

    settings: Settings
    out: Path
    scale: float = 1.0
    workers: int = 1

    def _names(self, *folders: Path | str) -> tuple[str, ...]:
        """Pieces that write these folders."""
        return tuple(Path(f).relative_to(self.out).as_posix() for f in folders)

    def _given(self, stage: Stage) -> dict[str, Any]:
        return {"seed": self.settings.seed, **stage.fields(self.scale)}

    def _demos(self, env: str, name: str, stage: Stage, **options: str) -> Piece:
        config = DemosConfig(env=env, options=options, **self._given(stage))
        out = self.out / name
        return Piece(
            name,
            stage.minutes,
            lambda told: collect_demos(
                config,
                out,
                factory=None if options else demonstrating(env),
                progress=told,
            ),
            env,
        )

    def _clone(self, group: str, name: str, stage: Stage, demos: Path) -> Piece:
        env: dict[str, Any] = {"env": group} if group != TRANSFER else {}
        config = CloneConfig(
            **env, cpu_minutes=stage.minutes * _SHARE, **self._given(stage)
        )
        out = self.out / name
        return Piece(
            name,
            stage.minutes,
            lambda told: clone_policy(config, demos, out, progress=told),
            group,
            "val",
            reads=self._names(demos),
        )

    def _chain(
        self,
        env: str,
        prefix: str,
        policy: Path,
        stages: Mapping[str, Stage],
        group: str = "",
    ) -> Iterator[Piece]:
        """From a policy to a reward model of one environment."""
        at = self.out / prefix
        here: dict[str, Any] = {"env": env}
        pool = PoolConfig(**here, **self._given(stages["pool"]))
        trees = TreesConfig(**here, **self._given(stages["trees"]))
        samples = SamplesConfig(**self._given(stages["samples"]))
        yield Piece(
            f"{prefix}pool",
            stages["pool"].minutes,
            lambda told: build_pool(pool, policy, at / "pool", progress=told),
            group or env,
            reads=self._names(policy),
        )
        yield Piece(
            f"{prefix}trees",
            stages["trees"].minutes,
            lambda told: build_trees(
                trees, policy, at / "trees", workers=self.workers, progress=told
            ),
            group or env,
            "any",
            reads=self._names(policy),
        )
        yield Piece(
            f"{prefix}samples",
            stages["samples"].minutes,
            lambda _: extract_samples(samples, at / "trees", at / "samples"),
            group or env,
            reads=self._names(at / "trees"),
        )
        yield self._value(
            group or env,
            f"{prefix}rm",
            stages["rm"],
            (at / "samples", at / "pool", policy),
        )

    def _value(
        self,
        group: str,
        name: str,
        stage: Stage,
        made: tuple[Path, Path, Path],
        **more: Any,
    ) -> Piece:
        config = RewardConfig(
            cpu_minutes=stage.minutes * _SHARE, **{**self._given(stage), **more}
        )
        out = self.out / name
        return Piece(
            name,
            stage.minutes,
            lambda told: train_reward_model(config, *made, out, progress=told),
            group,
            "dev",
            reads=self._names(*made),
        )

    def _small(self, env: str) -> dict[str, PolicyChoice]:
        return {f"{env}-small": self._policy(f"{env}/policy", env)}

    def _own_rm(self, env: str) -> dict[str, RewardModelChoice]:
        return {f"{env}-rm": self._rm(f"{env}/rm", env)}

    def _policy(self, name: str, env: str) -> PolicyChoice:
        return PolicyChoice(model=str(self.out / name), trained_on=(env,))

    def _rm(self, name: str, env: str, **more: Any) -> RewardModelChoice:
        return RewardModelChoice(
            model=str(self.out / name),
            trained_on=(env,),
            trees_from=f"{env}-small",
            **more,
        )

    def _suite(
        self,
        name: str,
        stage: Stage,
        group: str,
        study: str,
        *,
        policies: Mapping[str, PolicyChoice],
        models: Mapping[str, RewardModelChoice],
        methods: Sequence[str] = (),
        variants: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Piece:
        given = stage.fields(self.scale)
        chosen = given.pop("methods", None) or methods or self.settings.study_methods
        asked = {key: given[key] for key in _SUITE if key in given}
        registered = self.settings.environments
        environments = tuple(
            EnvironmentChoice(
                env=label if label in registered else group,
                label=label,
                options=dict(options),
                **asked,
            )
            for label, options in (variants or {group: {}}).items()
        )
        # Made when it runs: models may not exist before.
        config = EvalConfig(
            seed=self.settings.seed,
            environments=environments,
            policies=dict(policies),
            reward_models=dict(models),
            methods=sized(chosen, self.scale),
        )
        return Piece(
            name,
            stage.minutes,
            lambda told: run_suite(
                config,
                self.out / name,
                workers=self.workers,
                block=10,
                parts=Installed(),
                progress=told,
            ),
            group,
            "any",
            study,
            self._names(
                *(policy.model for policy in policies.values()),
                *(model.model for model in models.values()),
            ),
        )
