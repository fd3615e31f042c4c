"""From scores to probabilities, fitted on trajectories whose outcome is known.

Sources: Platt (1999) for the scaled sigmoid and its smoothed targets, Ayer et al.
(1955) for pool-adjacent-violators.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Literal, Self

from langchain_agentrm._files import read_json, write_json
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.metrics import calibration_bins
from langchain_agentrm.reward_models._logistic import fit_logistic, sigmoid
from langchain_agentrm.reward_models.base import (
    Comparable,
    RewardModel,
    checked,
    reads_admissible,
)
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

__all__ = [
    "CalibratedRewardModel",
    "Calibration",
    "expected_calibration_error",
    "fit_isotonic",
    "fit_temperature",
    "load_calibration",
    "save_calibration",
]

_MANIFEST = "agentrm.json"
_KEY = "calibration"
_LEAST_SPAN = 1e-100
"""Scores nearer to each other leave a scale that floats cannot divide by."""
_KNOTS = 100


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map from scores to 0..1, as plain data.

    Attributes:
        kind: `"temperature"`: 1 / (1 + exp(-(score - bias) / temperature));
            `"isotonic"`: straight lines between knots, level outside them.
        temperature: Above 0, in units of the score.
        bias: The score that becomes 0.5.
        knots: Pairs of score and probability, both rising.
        samples: How many labelled scores it was fitted on.
        error: Expected calibration error on those very scores; a figure to publish
            comes from others.
    """

    kind: Literal["temperature", "isotonic"]
    temperature: float = 1.0
    bias: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()
    samples: int = 0
    error: float | None = None

    def __post_init__(self) -> None:
        """Refuse a map that falls somewhere, or that is none."""
        if self.kind not in {"temperature", "isotonic"}:
            self._refuse(f"its kind is {self.kind!r}")
        if not 0 < self.temperature < math.inf or not math.isfinite(self.bias):
            self._refuse(f"temperature={self.temperature!r}, bias={self.bias!r}")
        if self.kind == "isotonic":
            numbers = [n for knot in self.knots for n in knot]
            inside = all(0 <= y <= 1 for _, y in self.knots)
            if not numbers or not all(map(math.isfinite, numbers)) or not inside:
                self._refuse(f"its knots are {self.knots!r}")
            for (x, y), (u, v) in zip(self.knots, self.knots[1:], strict=False):
                if not (x < u and y <= v):
                    self._refuse(f"the knots {(x, y)} and {(u, v)} do not rise")

    def __call__(self, score: float) -> float:
        """Map one score; a higher score never gets a lower value.

        Args:
            score: A finite score.

        Returns:
            A value in 0..1.
        """
        if self.kind == "isotonic":
            return self._between(score)
        return sigmoid((score - self.bias) / self.temperature)

    @property
    def slope(self) -> float:
        """The steepest slope: how much a difference of scores can grow."""
        if self.kind == "temperature":
            return 1 / (4 * self.temperature)
        pairs = zip(self.knots, self.knots[1:], strict=False)
        return max(((v - y) / (u - x) for (x, y), (u, v) in pairs), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        out: dict[str, Any] = {"kind": self.kind}
        if self.kind == "temperature":
            out |= {"temperature": self.temperature, "bias": self.bias}
        else:
            out["knots"] = [list(knot) for knot in self.knots]
        return out | {"samples": self.samples, "error": self.error}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Args:
            data: Plain JSON.

        Returns:
            The calibration.

        Raises:
            ConfigurationError: If it is none, or does not rise.
        """
        try:
            return cls(
                kind=data["kind"],
                temperature=float(data.get("temperature", 1.0)),
                bias=float(data.get("bias", 0.0)),
                knots=tuple((float(x), float(y)) for x, y in data.get("knots", ())),
                samples=int(data.get("samples", 0)),
                error=None if data.get("error") is None else float(data["error"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"{data!r} is no calibration: {type(error).__name__} {error}."
            raise ConfigurationError(msg, remedy="Fit it again.") from error
        except ValueError as error:
            if isinstance(error, ConfigurationError):
                raise
            msg = f"{data!r} is no calibration: {error}."
            raise ConfigurationError(msg, remedy="Fit it again.") from error

    def _between(self, score: float) -> float:
        at = bisect_right(self.knots, score, key=lambda knot: knot[0])
        if at == 0:
            return self.knots[0][1]
        if at == len(self.knots):
            return self.knots[-1][1]
        (x, y), (u, v) = self.knots[at - 1 : at + 1]
        # Rounding must not lift a point above the next knot.
        return min(v, y + (v - y) * ((score - x) / (u - x)))

    def _refuse(self, why: str) -> None:
        msg = f"This is no calibration: {why}."
        raise ConfigurationError(
            msg, remedy="Fit it with fit_temperature or fit_isotonic."
        )


class CalibratedRewardModel:
    """Another reward model's scores, mapped to probabilities.

    The order of two candidates never changes, but equal values can replace different
    ones: where an isotonic map is level, and where a sigmoid saturates. What is gained
    is a value that means the same in thresholds, margins and ensembles.

    Args:
        reward_model: What scores.
        calibration: The map.

    Attributes:
        resolution: The other's, times the map's steepest slope: no two scores that were
            ties differ by more.
        comparable: The other's.
    """

    def __init__(self, reward_model: RewardModel, calibration: Calibration) -> None:
        """Hold both; nothing is scored."""
        self.reward_model = reward_model
        self.calibration = calibration
        self.resolution = reward_model.resolution * calibration.slope
        self.comparable: Comparable = reward_model.comparable
        self.reads_admissible = reads_admissible(reward_model)

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> Self:
        """Load a checkpoint together with the calibration in its `agentrm.json`.

        Args:
            path: Checkpoint folder.
            **options: Of `AgentRM`.

        Returns:
            The calibrated reward model.

        Raises:
            CheckpointError: If the folder holds no reward model or no calibration.
        """
        from langchain_agentrm.reward_models import AgentRM

        # A missing calibration is told before a large model is read.
        calibration = load_calibration(path)
        return cls(AgentRM(path, **options), calibration)

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories and map what comes back.

        Args:
            trajectories: What competes.

        Returns:
            One score in 0..1 each, the first value as the signal `raw`, or an error.
        """
        return self._mapped(trajectories, self.reward_model.score(trajectories))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`."""
        return self._mapped(trajectories, await self.reward_model.ascore(trajectories))

    def _mapped(
        self, trajectories: Sequence[Trajectory], batch: Batch[Score]
    ) -> Batch[Score]:
        batch = checked(trajectories, batch)
        return Batch([self._one(score) for score in batch.items], batch.usage)

    def _one(self, score: Score) -> Score:
        if score.value is None:
            return score
        signals = {**score.signals, "raw": score.value}
        return replace(score, value=self.calibration(score.value), signals=signals)


def fit_temperature(scores: Sequence[float], outcomes: Sequence[float]) -> Calibration:
    """Fit a sigmoid with a scale and an offset by maximum likelihood.

    Args:
        scores: Raw scores of trajectories.
        outcomes: What became of each, 0..1.

    Returns:
        The calibration, strictly rising.

    Raises:
        ConfigurationError: If the data cannot be used, or if higher scores do not go
            with better outcomes.
    """
    _check(scores, outcomes)
    centre, width = fmean(scores), pstdev(scores)
    unit = [(s - centre) / width for s in scores]
    wins = math.fsum(outcomes)
    top = (wins + 1) / (wins + 2)
    bottom = 1 / (len(scores) - wins + 2)
    # Outcomes all on their side of a threshold would drive the scale to zero.
    goals = [bottom + y * (top - bottom) for y in outcomes]
    scale, offset = fit_logistic(unit, goals)
    if not scale > 0:
        msg = f"Over {len(scores)} trajectories, higher scores do not go with success."
        raise ConfigurationError(
            msg, remedy="Check that scores and outcomes are in one order."
        )
    fitted = Calibration(
        "temperature",
        temperature=width / scale,
        bias=centre - offset * width / scale,
        samples=len(scores),
    )
    return _with_error(fitted, scores, outcomes)


def fit_isotonic(scores: Sequence[float], outcomes: Sequence[float]) -> Calibration:
    """Fit a rising line through the outcomes by pooling adjacent violators.

    Pools whose mean scores lie closer than a hundredth of the scores' span are joined,
    so that the line has no steps that noise could fall over.

    Args:
        scores: Raw scores of trajectories.
        outcomes: What became of each, 0..1.

    Returns:
        The calibration; level outside the scores that were seen.

    Raises:
        ConfigurationError: If the data cannot be used.
    """
    _check(scores, outcomes)
    pools: list[tuple[float, float, int]] = []
    gap = (max(scores) - min(scores)) / _KNOTS
    for score, outcome in sorted(zip(scores, outcomes, strict=True)):
        pool = (score, float(outcome), 1)
        while pools and (
            pools[-1][1] / pools[-1][2] >= pool[1] / pool[2]
            or pool[0] / pool[2] - pools[-1][0] / pools[-1][2] < gap
        ):
            x, y, n = pools.pop()
            pool = (x + pool[0], y + pool[1], n + pool[2])
        pools.append(pool)
    knots = tuple((x / n, min(1.0, y / n)) for x, y, n in pools)
    fitted = Calibration("isotonic", knots=knots, samples=len(scores))
    return _with_error(fitted, scores, outcomes)


def expected_calibration_error(
    predicted: Sequence[float], outcomes: Sequence[float], *, bins: int = 10
) -> float:
    """How far predictions are from outcomes, bin by bin, weighted by count.

    Args:
        predicted: Values in 0..1.
        outcomes: What became of each, 0..1.
        bins: Bins of equal width.

    Returns:
        Mean absolute gap, 0 for a perfect calibration; 0.0 of nothing.
    """
    pairs = list(zip(predicted, outcomes, strict=True))
    table = calibration_bins(pairs, bins=bins)
    gaps = (abs(p - t) * n for p, t, n in table)
    return math.fsum(gaps) / len(pairs) if pairs else 0.0


def save_calibration(folder: str | Path, calibration: Calibration) -> None:
    """Write a calibration into a checkpoint's `agentrm.json`, the other keys kept.

    Args:
        folder: Checkpoint folder.
        calibration: What to keep there.

    Raises:
        CheckpointError: If the folder has no `agentrm.json`.
    """
    path = Path(folder) / _MANIFEST
    manifest = _manifest(path)
    write_json(path, {**manifest, _KEY: calibration.to_json()})


def load_calibration(folder: str | Path) -> Calibration:
    """Read the calibration of a checkpoint.

    Args:
        folder: Checkpoint folder.

    Returns:
        The calibration.

    Raises:
        CheckpointError: If there is none, or it cannot be used.
    """
    path = Path(folder) / _MANIFEST
    data = _manifest(path).get(_KEY)
    if data is None:
        msg = f"{path} has no {_KEY!r}."
        raise CheckpointError(
            msg, remedy="Fit one on labelled trajectories and save_calibration it."
        )
    try:
        return Calibration.from_json(data)
    except ConfigurationError as error:
        msg = f"The {_KEY!r} in {path} cannot be used: {error}"
        raise CheckpointError(msg) from error


def _manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path)
    if isinstance(manifest, dict):
        return manifest
    msg = f"{path} holds a {type(manifest).__name__}, not an object."
    raise CheckpointError(msg, remedy="Save the checkpoint again.")


def _check(scores: Sequence[float], outcomes: Sequence[float]) -> None:
    remedy = "Give one score and one outcome in 0..1 for each labelled trajectory."
    if len(scores) != len(outcomes):
        msg = f"There are {len(scores)} scores and {len(outcomes)} outcomes."
        raise ConfigurationError(msg, remedy=remedy)
    for score, outcome in zip(scores, outcomes, strict=True):
        if not math.isfinite(score) or not 0 <= outcome <= 1:
            msg = f"Score {score!r} with outcome {outcome!r} cannot be used."
            raise ConfigurationError(msg, remedy=remedy)
    if len(set(scores)) < 2:  # noqa: PLR2004 - a line needs two points
        msg = f"{len(scores)} trajectories have {len(set(scores))} different scores."
        raise ConfigurationError(msg, remedy="Give at least two, better hundreds.")
    low, high = min(scores), max(scores)
    if high / 2 - low / 2 < _LEAST_SPAN:
        msg = f"{len(scores)} scores from {low!r} to {high!r} lie too close for a fit."
        raise ConfigurationError(
            msg, remedy="Check that the reward model tells trajectories apart."
        )


def _with_error(
    calibration: Calibration, scores: Sequence[float], outcomes: Sequence[float]
) -> Calibration:
    predicted = [calibration(s) for s in scores]
    return replace(calibration, error=expected_calibration_error(predicted, outcomes))
