"""Several reward models as one: mean, minimum, weights, or fused ranks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models._groups import content_of, groups_of
from langchain_agentrm.reward_models.base import (
    Comparable,
    RewardModel,
    checked,
    reads_admissible,
)
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["EnsembleRewardModel", "How", "Missing"]

How = Literal["mean", "min", "weighted", "rank"]
Missing = Literal["error", "skip"]

_HOWS = ("mean", "min", "weighted", "rank")
_EXACT = 1e-9

_Outcome = Batch[Score] | RewardModelError


@dataclass(frozen=True, slots=True)
class _Member:
    """A reward model, its name and its weight; all weights sum to one."""

    name: str
    model: RewardModel
    weight: float


class EnsembleRewardModel:
    """Scores with several reward models and joins their scores.

    - `"mean"` and `"weighted"` add the values, `"min"` takes the lowest: the members'
      values must mean the same (calibrate them first where they do not).
    - `"rank"` needs no common scale: each member ranks the candidates of a group, equal
      where they differ by no more than its resolution, and the score is the mean rank
      (with weights: the weighted one), 1.0 for always best and 0.0 for always last.
      Equal candidates hold one place. A candidate alone in its group gets 0.5.

    Where a member has no score for a candidate, `missing` decides. `"error"`: neither
    has the ensemble, and its siblings keep theirs. `"skip"`: the member is left out for
    the whole group of that candidate, so that rivals are always scored by the same
    members, and `skipped_members` in the signals says how many were. A member that
    failed as a whole raises under `"error"` and is left out under `"skip"`, as long as
    another answered.

    Args:
        members: Reward models by name, or a list, named `rm0`, `rm1` and so on.
        how: How their scores are joined.
        weights: One for each member, by name or in order; for `"weighted"` and
            `"rank"`.
        missing: What to do about a score that a member does not have.

    Attributes:
        resolution: Differences below it are ties: the members' own, joined.
        comparable: `"group"` under `"rank"` and `"skip"`, else the narrowest of the
            members'.

    Raises:
        ConfigurationError: If the options cannot work together, or if a member that is
            comparable within one depth meets scores that hold within one group.

    Example:
        ```python no-run: explicit and judge are yours
        reward_model = EnsembleRewardModel(
            {"explicit": explicit, "judge": judge}, how="rank"
        )
        ```
    """

    def __init__(
        self,
        members: Mapping[str, RewardModel] | Sequence[RewardModel],
        *,
        how: How = "mean",
        weights: Mapping[str, float] | Sequence[float] | None = None,
        missing: Missing = "error",
    ) -> None:
        """Check the options and derive what the scores mean."""
        if how not in _HOWS:
            msg = f"how={how!r} is unknown."
            raise ConfigurationError(msg, remedy=f"Use one of {', '.join(_HOWS)}.")
        if missing not in {"error", "skip"}:
            msg = f"missing={missing!r} is unknown."
            raise ConfigurationError(msg, remedy="Use 'error' or 'skip'.")
        named = (
            dict(members)
            if isinstance(members, Mapping)
            else {f"rm{i}": model for i, model in enumerate(members)}
        )
        self.how: How = how
        self.missing: Missing = missing
        self._members = [
            _Member(name, named[name], weight)
            for name, weight in _weights(list(named), weights, how).items()
        ]
        self.comparable: Comparable = self._comparable()
        self.resolution = self._resolution()
        self.reads_admissible = any(reads_admissible(m.model) for m in self._members)

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories, one member after the other.

        Args:
            trajectories: What competes.

        Returns:
            One score each, with every member's value among its signals, or an error.

        Raises:
            RewardModelError: If a member gave no score at all; under `missing="skip"`,
                if none did.
        """
        if not trajectories:
            return Batch([])
        outcomes: list[_Outcome] = []
        for member in self._members:
            try:
                outcomes.append(checked(trajectories, member.model.score(trajectories)))
            except RewardModelError as error:
                outcomes.append(error)
        return self._join(trajectories, outcomes)

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`, all members at once."""
        if not trajectories:
            return Batch([])

        async def one(member: _Member) -> _Outcome:
            try:
                return checked(trajectories, await member.model.ascore(trajectories))
            except RewardModelError as error:
                return error

        answers = await asyncio.gather(
            *(one(member) for member in self._members), return_exceptions=True
        )
        outcomes: list[_Outcome] = []
        for answer in answers:
            # Raised only now, so that no other member goes on unwatched.
            if isinstance(answer, BaseException) and not isinstance(
                answer, RewardModelError
            ):
                raise answer
            outcomes.append(answer)
        return self._join(trajectories, outcomes)

    def _comparable(self) -> Comparable:
        scopes = {m.name: m.model.comparable for m in self._members}
        deep = [name for name, scope in scopes.items() if scope == "depth"]
        within_group = (
            self.how == "rank" or self.missing == "skip" or "group" in scopes.values()
        )
        if deep and within_group:
            msg = (
                f"The scores of {deep[0]!r} are comparable between paths of one "
                "length, those of this ensemble within one group: a search has no set "
                "of beams in which both hold."
            )
            raise ConfigurationError(
                msg, remedy="Use a read-out whose scores do not grow with the path."
            )
        if within_group:
            return "group"
        return "depth" if deep else "global"

    def _resolution(self) -> float:
        if self.how == "rank":
            return _EXACT
        if self.how == "min" or self.missing == "skip":
            return max(m.model.resolution for m in self._members)
        return math.fsum(m.weight * m.model.resolution for m in self._members)

    def _join(
        self, trajectories: Sequence[Trajectory], outcomes: Sequence[_Outcome]
    ) -> Batch[Score]:
        usage = Usage()
        rows: list[tuple[_Member, Sequence[Score]]] = []
        failed: list[tuple[str, RewardModelError]] = []
        for member, outcome in zip(self._members, outcomes, strict=True):
            if isinstance(outcome, RewardModelError):
                failed.append((member.name, outcome))
                lost = Score(error=str(outcome))
                rows.append((member, [lost] * len(trajectories)))
            else:
                usage += outcome.usage
                rows.append((member, outcome.items))
        if failed and (self.missing == "error" or len(failed) == len(rows)):
            raise _failed(*failed[0])
        out = [Score(error="the ensemble was not asked")] * len(trajectories)
        for positions in groups_of(trajectories):
            for i, score in self._group(trajectories, positions, rows).items():
                out[i] = score
        return checked(trajectories, Batch(out, usage))

    def _group(
        self,
        trajectories: Sequence[Trajectory],
        positions: Sequence[int],
        rows: Sequence[tuple[_Member, Sequence[Score]]],
    ) -> dict[int, Score]:
        """Join the scores of one group; every candidate by the same members."""
        out: dict[int, Score] = {}
        if self.missing == "error":
            alive = [i for i in positions if all(row[i].ok for _, row in rows)]
        else:
            alive = [i for i in positions if any(row[i].ok for _, row in rows)]
        used = [(m, row) for m, row in rows if all(row[i].ok for i in alive)]
        for i in positions:
            if i not in alive:
                out[i] = Score(error=_reasons(rows, i))
            elif not used:
                why = "no member of the ensemble scored the whole group: "
                out[i] = Score(error=why + _reasons_of_group(rows, alive))
        if not used or not alive:
            return out
        values = [{i: row[i].value or 0.0 for i in alive} for _, row in used]
        if self.how == "rank":
            keys = {i: content_of(trajectories[i]) for i in alive}
            values = [
                _ranks(column, keys, member.model.resolution)
                for column, (member, _) in zip(values, used, strict=True)
            ]
        total = math.fsum(member.weight for member, _ in used)
        for i in alive:
            column = [v[i] for v in values]
            if self.how == "min":
                value = min(column)
            else:
                value = math.fsum(
                    member.weight / total * v
                    for (member, _), v in zip(used, column, strict=True)
                )
            out[i] = Score(value, _signals(rows, i, len(rows) - len(used)))
        return out


def _weights(
    names: list[str],
    weights: Mapping[str, float] | Sequence[float] | None,
    how: How,
) -> dict[str, float]:
    if not names:
        msg = "An ensemble of no reward models has no score."
        raise ConfigurationError(msg, remedy="Give at least one member.")
    if weights is None:
        if how == "weighted":
            msg = "how='weighted' has no weights."
            raise ConfigurationError(
                msg, remedy="Give weights=, one for each member, or use how='mean'."
            )
        return dict.fromkeys(names, 1 / len(names))
    if how not in {"weighted", "rank"}:
        msg = f"weights are given, but how={how!r} uses none."
        raise ConfigurationError(msg, remedy="Use how='weighted' or how='rank'.")
    if isinstance(weights, Mapping):
        given = dict(weights)
    else:
        given = {
            names[i] if i < len(names) else f"rm{i}": w for i, w in enumerate(weights)
        }
    if set(given) != set(names):
        msg = f"weights are given for {sorted(given)}, the members are {sorted(names)}."
        raise ConfigurationError(msg, remedy="Give one weight for each member.")
    total = math.fsum(given.values())
    if any(not w > 0 for w in given.values()) or not math.isfinite(total):
        msg = f"The weights {given} are not all positive numbers."
        raise ConfigurationError(msg, remedy="Leave members without weight out.")
    return {name: given[name] / total for name in names}


def _ranks(
    values: Mapping[int, float], keys: Mapping[int, Hashable], resolution: float
) -> dict[int, float]:
    """Rank candidates, 1 for the best and 0 for the last.

    Those within the resolution of the best of their run are equal, as in a search.
    """
    best: dict[Hashable, float] = {}
    for i, value in values.items():
        best[keys[i]] = max(value, best.get(keys[i], value))
    order = sorted(best, key=lambda key: -best[key])
    n = len(order)
    if n == 1:
        return dict.fromkeys(values, 0.5)
    rank: dict[Hashable, float] = {}
    start = 0
    while start < n:
        end = start + 1
        while end < n and best[order[start]] - best[order[end]] <= resolution:
            end += 1
        place = (start + end - 1) / 2
        rank |= dict.fromkeys(order[start:end], (n - 1 - place) / (n - 1))
        start = end
    return {i: rank[keys[i]] for i in values}


def _signals(
    rows: Sequence[tuple[_Member, Sequence[Score]]], i: int, skipped: int
) -> dict[str, float]:
    out: dict[str, float] = {}
    for member, row in rows:
        value = row[i].value
        if value is not None:
            out[member.name] = value
        out |= {f"{member.name}.{k}": v for k, v in row[i].signals.items()}
    if skipped:
        out["skipped_members"] = float(skipped)
    return out


def _reasons(rows: Sequence[tuple[_Member, Sequence[Score]]], i: int) -> str:
    return "; ".join(f"{m.name}: {row[i].error}" for m, row in rows if not row[i].ok)


def _reasons_of_group(
    rows: Sequence[tuple[_Member, Sequence[Score]]], alive: Sequence[int]
) -> str:
    firsts = [(m.name, next(row[i] for i in alive if not row[i].ok)) for m, row in rows]
    return "; ".join(f"{name}: {score.error}" for name, score in firsts)


def _failed(name: str, cause: RewardModelError) -> RewardModelError:
    error = RewardModelError(
        f"The ensemble's member {name!r} failed: {cause}",
        remedy="With missing='skip' the other members go on without it.",
        retryable=cause.retryable,
    )
    error.__cause__ = cause
    return error
