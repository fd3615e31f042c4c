"""Settings of the mini reproduction: one YAML file, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_agentrm.errors import ConfigurationError

__all__ = ["EnvironmentPlan", "Settings", "Stage", "TransferPlan", "read_settings"]

LONGEST = 20.0
"""Most minutes of a piece; all but short ones can be stopped on the way."""

# Fields of stages that `--scale` multiplies, each with the least that still works.
_SCALED = {
    "n_per_type": 40,
    "tasks": 36,
    "episodes": 1,
    "eval_tasks": 0,
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(_Part):
    """One piece of work: its budget, and the settings of the stage that it runs."""

    model_config = ConfigDict(frozen=True, extra="allow")

    minutes: float = Field(gt=0, le=LONGEST, description="Budget on one core.")

    def fields(self, scale: float = 1.0) -> dict[str, Any]:
        """Settings of the stage; the numbers of tasks are multiplied by the scale."""
        given = dict(self.model_extra or {})
        for name, least in _SCALED.items():
            if name in given:
                # Never above what the file says, however small that is.
                floor = min(least, given[name])
                given[name] = max(floor, round(given[name] * scale))
        return given


class DataStudy(Stage):
    """Reward models on nested subsets of the samples."""

    sizes: tuple[int, ...] = Field(min_length=2, description="States, log-spaced.")
    seeds: tuple[int, ...] = Field(default=(0,), description="Of subset and training.")
    each: float = Field(gt=0, le=LONGEST, description="Minutes a reward model.")


class AblationStudy(Stage):
    """Reward models that read a part of the state."""

    keep: tuple[Literal["all", "action", "observation"], ...] = Field(min_length=2)
    each: float = Field(gt=0, le=LONGEST, description="Minutes a reward model.")


class RobustStudy(Stage):
    """A policy that knows every action grammar, and a reward model of the usual one."""

    grammars: tuple[int, ...] = Field(min_length=1, description="Perturbations.")
    demos: Stage = Field(description="Of each of them; the usual one has its own.")
    policy: Stage


class EnvironmentPlan(_Part):
    """What is done in one environment; a study that is not named is not done."""

    needs: Literal["", "java"] = Field(default="", description="What its engine needs.")
    methods: tuple[str, ...] = Field(
        default=(), description="Methods of its main run; empty: those of all."
    )
    demos: Stage
    policy: Stage
    pool: Stage
    trees: Stage
    samples: Stage
    rm: Stage
    main: Stage
    rollouts: Stage | None = None
    implicit: Stage | None = None
    kinds: Stage | None = None
    large: Stage | None = None
    strong: Stage | None = None
    data: DataStudy | None = None
    ablation: AblationStudy | None = None
    robust: RobustStudy | None = None
    offline: Stage | None = None


class TransferPlan(_Part):
    """One policy of several environments; policies and reward models of one."""

    environments: tuple[str, ...] = Field(min_length=2)
    base: Stage
    pool: Stage
    trees: Stage
    samples: Stage
    rm: Stage
    own: dict[str, dict[str, Stage]] = Field(
        default_factory=dict, description="Other stages by environment and name."
    )
    dialogues: Stage
    tune: Stage
    guided: Stage
    tuned: Stage


class Settings(_Part):
    """All of it."""

    seed: int = 0
    methods: tuple[str, ...] = Field(min_length=1)
    study_methods: tuple[str, ...] = Field(min_length=1)
    environments: dict[str, EnvironmentPlan] = Field(min_length=1)
    transfer: TransferPlan | None = None
    tried: dict[str, str] = Field(
        default_factory=dict,
        description="By claim, what was done to turn its answer; for the report alone.",
    )


def read_settings(path: Path) -> Settings:
    """Read the file.

    Raises:
        ConfigurationError: If it cannot be read or a setting cannot work; names it.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(data, Mapping):
            msg = f"{path} holds a {type(data).__name__}."
            raise ConfigurationError(msg, remedy="Write settings by name.")
        return Settings.model_validate(data)
    except (OSError, yaml.YAMLError) as error:
        msg = f"{path} cannot be read: {error}."
        raise ConfigurationError(msg, remedy="Give a YAML file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        msg = f"{path}: setting {name}={first['input']!r:.80}: {first['msg']}."
        raise ConfigurationError(msg, remedy="Repair the setting.") from error
