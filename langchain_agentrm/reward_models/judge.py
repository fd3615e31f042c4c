"""Any chat model as a reward model: it ranks, compares or grades candidates.

Source: AgentRM (ACL 2025), the training-free judge: a chat model is shown the task and
the candidates and selects the best. The full ranking, votes, balanced orders and the
other two forms are ours.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable

from langchain_agentrm._asking import (
    Ask,
    UnreadableAnswerError,
    adrive,
    answer_text,
    answer_usage,
    drive,
)
from langchain_agentrm.errors import (
    ConfigurationError,
    RewardModelError,
    is_retryable,
)
from langchain_agentrm.reward_models._groups import content_of, groups_of
from langchain_agentrm.reward_models._judging.count import (
    Ballot,
    Tiers,
    duels,
    mean_of,
    pairs_of,
    rankings,
)
from langchain_agentrm.reward_models._judging.parse import (
    read_better,
    read_grade,
    read_ranking,
)
from langchain_agentrm.reward_models._judging.prompts import (
    CRITERIA,
    PROMPT_VERSION,
    Form,
    Table,
    digest,
    question,
    table,
)
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["Form", "JudgeRewardModel", "JudgeVote"]

_FORMS = ("listwise", "pairwise", "pointwise")


@dataclass(frozen=True, slots=True)
class JudgeVote:
    """One answer of the judge, for a record of one's own.

    Attributes:
        form: What was asked.
        group: Group of the candidates.
        order: Their actions in the order shown.
        answer: What the judge wrote; empty if the request failed.
        reading: Actions best first, those of equal rank together, or the grade.
        error: Why the answer could not be used.
        prompt_version: Version of the question's wording.
    """

    form: Form
    group: str
    order: tuple[str, ...]
    answer: str
    reading: tuple[tuple[str, ...], ...] | float | None = None
    error: str | None = None
    prompt_version: str = PROMPT_VERSION


@dataclass(slots=True)
class _Group:
    """Distinct candidates that compete, in an order of their own."""

    view: Table
    members: list[Trajectory]
    positions: list[list[int]]
    ballots: list[Ballot] = field(default_factory=list)


Waves = Generator[Ask, list[Any], Batch[Score]]


class JudgeRewardModel:
    """Scores candidates by asking a chat model about them.

    - `"listwise"` ranks a group's candidates; the score is the mean rank over the
      votes, 1.0 for always best and 0.0 for always last.
    - `"pairwise"` compares two at a time, each pair in both orders; the score is the
      share of comparisons won, a tie counting half.
    - `"pointwise"` grades each candidate alone; the score is the mean grade divided by
      ten, and the only one that is comparable between groups.

    Equal candidates are asked about once. The orders of one group's votes are rotations
    of a seeded shuffle: with `votes="balanced"` every candidate stands at every place
    once, so that a judge that goes by place alone scores all candidates exactly alike;
    with fewer votes it does so on average over groups. A group of one candidate has
    nothing to be ranked against: it gets 0.5 and no question.

    An answer that cannot be read is asked for once more with a reminder of the form;
    then that vote is lost, and `lost_votes` in the signals says so. A comparison with
    one order lost is lost whole. A candidate without any vote has an error.

    Args:
        judge: A chat model, or a runnable that returns an AI message. Its own retries
            and time-outs apply.
        form: How it is asked.
        votes: Answers asked for per group, per pair and order, or per candidate;
            `"balanced"`, for lists, is one vote for each candidate. Several votes on
            one grade differ only if the judge samples and no global LLM cache answers.
        seed: Seed of the orders.
        prompt: What the judge is to look for; the form of the answer is added to it.
        max_concurrency: Requests in flight at once in one call.
        opponents: With how many others each candidate of a group is compared at least;
            larger groups get a balanced part of all pairs.
        on_vote: Called with every answer, for a record.

    Attributes:
        resolution: Differences below it are ties.
        comparable: `"global"` for grades, else `"group"`.

    Raises:
        ConfigurationError: If an option has a value that cannot work.

    Example:
        ```python no-run: chat_model is yours
        reward_model = JudgeRewardModel(chat_model, votes=3)
        ```
    """

    resolution: float = 1e-9

    def __init__(
        self,
        judge: Runnable[Any, Any],
        *,
        form: Form = "listwise",
        votes: int | Literal["balanced"] = 1,
        seed: int = 0,
        prompt: str = CRITERIA,
        max_concurrency: int = 8,
        opponents: int = 8,
        on_vote: Callable[[JudgeVote], None] | None = None,
    ) -> None:
        """Check the options; nothing is asked."""
        given: object = judge
        if not isinstance(given, Runnable):
            msg = f"judge is a {type(given).__name__}, not a chat model."
            raise ConfigurationError(
                msg, remedy="Pass a chat model or a runnable that returns an AIMessage."
            )
        if form not in _FORMS:
            msg = f"form={form!r} is unknown."
            raise ConfigurationError(msg, remedy=f"Use one of {', '.join(_FORMS)}.")
        if votes == "balanced" and form != "listwise":
            msg = f"votes='balanced' has no meaning with form={form!r}."
            raise ConfigurationError(msg, remedy="Give a number of votes.")
        for name, value in (
            ("votes", 1 if votes == "balanced" else votes),
            ("max_concurrency", max_concurrency),
            ("opponents", opponents),
        ):
            if not isinstance(value, int) or value < 1:
                msg = f"{name}={value!r} is not a positive number."
                raise ConfigurationError(msg, remedy=f"Give {name} of at least 1.")
        self.judge = judge
        self.form: Form = form
        self.votes = votes
        self.seed = seed
        self.prompt = prompt
        self.max_concurrency = max_concurrency
        self.opponents = opponents
        self.on_vote = on_vote
        self.comparable: Comparable = "global" if form == "pointwise" else "group"

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories, all groups and votes at once.

        Args:
            trajectories: What competes, of one group or several.

        Returns:
            One score in 0..1 or one error each.

        Raises:
            RewardModelError: If every request to the judge failed.
        """
        return drive(self._waves(trajectories))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`, on the running loop."""
        return await adrive(self._waves(trajectories))

    def _ask(self, prompts: list[list[BaseMessage]]) -> Ask:
        return Ask(
            self.judge,
            prompts,
            "agentrm.judge",
            self.max_concurrency,
            {"agentrm_prompt": PROMPT_VERSION},
        )

    def _waves(self, trajectories: Sequence[Trajectory]) -> Waves:
        """Ask everything, then once more what could not be read."""
        groups = self._groups(trajectories)
        for group in groups:
            group.ballots = [Ballot(order) for order in self._orders(group)]
        open_: list[tuple[_Group, Ballot]] = [(g, b) for g in groups for b in g.ballots]
        asked = len(open_)
        usage = Usage()
        for remind in (False, True):
            if not open_:
                break
            answers = yield self._ask(
                [
                    question(
                        self.form, g.view, b.order, criteria=self.prompt, remind=remind
                    )
                    for g, b in open_
                ]
            )
            for (group, ballot), answer in zip(open_, answers, strict=True):
                usage += answer_usage(answer)
                self._read(group, ballot, answer)
            open_ = [(g, b) for g, b in open_ if b.error and b.failure is None]
        failures = [b.failure for g in groups for b in g.ballots if b.failure]
        if failures and len(failures) == asked:
            raise _all_failed(failures)
        scores = [Score(error="the judge was not asked")] * len(trajectories)
        for group in groups:
            for positions, score in zip(
                group.positions, self._scores(group), strict=True
            ):
                for position in positions:
                    scores[position] = score
        return checked(trajectories, Batch(scores, usage))

    def _groups(self, trajectories: Sequence[Trajectory]) -> list[_Group]:
        out = []
        for positions in groups_of(trajectories):
            twins: dict[Hashable, list[int]] = {}
            for position in positions:
                twins.setdefault(content_of(trajectories[position]), []).append(
                    position
                )
            # The order given must decide nothing: it is the policy's, or the beams'.
            rows = sorted(twins.values(), key=lambda row: _key(trajectories[row[0]]))
            parts = [[row] for row in rows] if self.form == "pointwise" else [rows]
            for part in parts:
                members = [trajectories[row[0]] for row in part]
                out.append(_Group(table(members, seed=self.seed), members, part))
        return out

    def _orders(self, group: _Group) -> list[tuple[int, ...]]:
        """What is asked about a group: the candidates of each question, in order."""
        n = len(group.members)
        if self.form == "pointwise":
            return [(0,)] * int(self.votes)
        if n == 1:
            return []
        if self.form == "pairwise":
            ring = self._shuffled(group, 0)
            pairs = pairs_of(ring, self.opponents)
            both: list[tuple[int, ...]] = []
            for a, b in pairs:
                both += [(a, b), (b, a)]
            return both * int(self.votes)
        votes = n if self.votes == "balanced" else int(self.votes)
        orders = []
        for vote in range(votes):
            ring, turn = self._shuffled(group, vote // n), vote % n
            orders.append((*ring[turn:], *ring[:turn]))
        return orders

    def _shuffled(self, group: _Group, round_: int) -> tuple[int, ...]:
        # By content, not by ids: a thread of another name must see the same orders.
        first = group.members[0]
        keys = [_key(t) for t in group.members]
        seed = digest(str(self.seed), first.instruction, first.goal, str(round_), *keys)
        order = list(range(len(keys)))
        # No secret depends on it, and the order must be repeatable.
        random.Random(seed).shuffle(order)  # noqa: S311
        return tuple(order)

    def _read(self, group: _Group, ballot: Ballot, answer: object) -> None:
        text = ""
        ballot.error = ""
        try:
            text = answer_text(answer)
            ballot.reading = self._reading(ballot, text)
        except UnreadableAnswerError as error:
            ballot.error = f"the judge's answer cannot be read: {error}"
        except Exception as error:  # noqa: BLE001 - other votes go on
            ballot.failure = error
            ballot.error = f"the judge failed: {type(error).__name__}: {error}"
        if self.on_vote is not None:
            self.on_vote(self._vote(group, ballot, text))

    def _reading(self, ballot: Ballot, text: str) -> Tiers | float:
        if self.form == "pointwise":
            return read_grade(text)
        if self.form == "pairwise":
            places = read_better(text)
        else:
            places = read_ranking(text, len(ballot.order))
        return tuple(tuple(ballot.order[p] for p in tier) for tier in places)

    def _vote(self, group: _Group, ballot: Ballot, text: str) -> JudgeVote:
        names = [t.turns[-1].action if t.turns else "" for t in group.members]
        reading = ballot.reading
        return JudgeVote(
            form=self.form,
            group=group.members[0].group,
            order=tuple(names[i] for i in ballot.order),
            answer=text,
            reading=tuple(tuple(names[i] for i in tier) for tier in reading)
            if isinstance(reading, tuple)
            else reading,
            error=ballot.error or None,
        )

    def _scores(self, group: _Group) -> list[Score]:
        n = len(group.members)
        if not group.ballots:
            return [Score(0.5, {"votes": 0.0})] * n
        if self.form == "pairwise":
            votes, lost = duels(group.ballots, n)
        else:
            votes, lost = rankings(group.ballots, n)
        last = next((b.error for b in reversed(group.ballots) if b.error), "")
        return [mean_of(v, k, last) for v, k in zip(votes, lost, strict=True)]


def _key(trajectory: Trajectory) -> str:
    """What sets a candidate apart in its group, the last action first."""
    turns = trajectory.turns[::-1]
    return "\n".join(part for t in turns for part in (t.action, t.observation))


def _all_failed(failures: Sequence[Exception]) -> RewardModelError:
    first = failures[0]
    text = " ".join(str(first).split()).rstrip(".")
    msg = (
        f"The judge failed on all {len(failures)} requests; first error: "
        f"{type(first).__name__}: {text}."
    )
    error = RewardModelError(
        msg,
        remedy="Check the judge's endpoint, key and model name.",
        retryable=any(is_retryable(e) for e in failures),
    )
    error.__cause__ = first
    return error
