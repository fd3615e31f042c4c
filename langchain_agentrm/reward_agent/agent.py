"""RewardAgent: a preference joined with what can be verified, as one reward model.

Source: Agentic Reward Modeling (Peng et al., ACL 2025): a router chooses verification
agents, a judger joins their signals with a reward model's score. Abstention, the
default judger, and what happens when a part fails are ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_agentrm._asking import Effect, Together, adrive, drive
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent._calls import Call, Steps, told
from langchain_agentrm.reward_agent._parts import as_verifier, check_parts
from langchain_agentrm.reward_agent._results import Run, explained, nothing_left
from langchain_agentrm.reward_agent._signals import Group, read_verdicts
from langchain_agentrm.reward_agent.explanation import Explanation
from langchain_agentrm.reward_agent.judgers import (
    Judger,
    Lexicographic,
    Signal,
)
from langchain_agentrm.reward_agent.router import (
    ForcedRouter,
    Route,
    Router,
    RuleRouter,
)
from langchain_agentrm.reward_agent.types import Verifier
from langchain_agentrm.reward_models._groups import content_of, groups_of
from langchain_agentrm.reward_models.base import (
    Comparable,
    RewardModel,
    checked,
    reads_admissible,
)
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from langchain_agentrm.reward_agent._upstream import UpstreamJudger
    from langchain_agentrm.reward_agent.sandbox.types import Sandbox
    from langchain_agentrm.reward_agent.types import Evidence

__all__ = ["RewardAgent"]


class RewardAgent:
    """Scores the candidates of a group by preference and by checks.

    For each group the router chooses verifiers; they and the preference model look at
    its distinct candidates (at the same time where the caller is async); the judger
    joins their signals. A signal counts only if every candidate of the group has it: a
    verifier that abstains on one of them is left out for all, never filled in.

    A verifier that fails is left out too, and so is a preference model, as long as
    another signal is there; `failed_signals` among the score's signals says how many
    failed. If no signal is there for every candidate, those that the preference model
    scored are still judged, and the others have an error.

    Scores mean something within their group alone. `explain` tells how each came about.

    Args:
        preference: Any reward model; None lets verifiers decide alone.
        verifiers: Verifiers, or functions of a trajectory (see `FunctionVerifier`).
            Their order is their order of importance for the default judger.
        router: Chooses verifiers for a request; by default those that apply.
        judger: Joins signals; by default `Lexicographic()`: what can be verified
            decides, the preference breaks ties.
        max_concurrency: How many groups' checks and judgements are awaited at once by
            the async twins; each may have several requests of its own in flight.

    Attributes:
        resolution: Differences below it are ties.
        comparable: `"group"`.

    Raises:
        ConfigurationError: If there is neither preference nor verifier, if two
            verifiers share a name, if an option names a verifier that is not there, or
            if `max_concurrency` is below 1.

    Example:
        ```python
        from langchain_agentrm.reward_agent import RewardAgent
        from langchain_agentrm.testing.scripted import ScriptedRewardModel
        from langchain_agentrm.trajectory import Trajectory, Turn


        def polite(trajectory):
            return "please" in trajectory.turns[-1].action


        agent = RewardAgent(ScriptedRewardModel(lambda t: 1.0), [polite])
        group = [
            Trajectory((Turn("", text),), group="g")
            for text in ("Sit.", "Sit, please.")
        ]
        [score.value for score in agent.score(group).items]  # [0.0, 1.0]
        ```
    """

    comparable: Comparable = "group"

    def __init__(
        self,
        preference: RewardModel | None = None,
        verifiers: Sequence[Verifier | Callable[..., Any]] = (),
        *,
        router: Router | None = None,
        judger: Judger | None = None,
        max_concurrency: int = 16,
    ) -> None:
        """Check that the parts fit together; nothing is asked."""
        self.preference = preference
        self.verifiers = tuple(as_verifier(v) for v in verifiers)
        self.router: Router = router or RuleRouter()
        self.judger: Judger = judger or Lexicographic()
        self._names = [v.name for v in self.verifiers]
        check_parts(preference, self._names, self.router, self.judger)
        if max_concurrency < 1:
            msg = f"max_concurrency={max_concurrency!r} is not a positive number."
            raise ConfigurationError(msg, remedy="Give at least 1.")
        self.resolution = self.judger.resolution(
            preference.resolution if preference else 0.0
        )
        self.max_concurrency = max_concurrency
        self._as_given = False
        self._any_scale = False

    @classmethod
    def upstream(
        cls,
        planner: Runnable[Any, Any],
        coder: Runnable[Any, Any] | None = None,
        preference: RewardModel | None = None,
        *,
        sandbox: Sandbox | None = None,
        evidence: Evidence | None = None,
        judger: UpstreamJudger = "weighted_sum",
        force: Sequence[str] | None = None,
        seed: int = 0,
    ) -> RewardAgent:
        """Make the agent that goes by the rules of the paper's public code.

        For comparisons with it. The winner of a group, the first where it draws, has
        score 1.0, the last 0.0. What the public code makes up, this agent does too, and
        no other part of this package: 0.5 for all if no checker is left; 0 for a
        candidate that no sampled pair covers; grade 5 for one that cannot be read, and
        whatever number stands in the brackets, even above 10; an exception or a timeout
        of a checker counts as violated; a draw goes to the first. What a verdict owes
        to such a rule stands in its `reason`.

        Two candidates are compared as its pairwise benchmark does, more as its
        best-of-n run does, with the random pairs seeded. Three faults are not copied: a
        failed request leaves its check out, marked, where the public code reads the
        answer "NA"; checkers keep their order and their imports; and their code runs in
        the sandbox. Set temperature 0 on the models, as the public code does.

        Source: Agentic Reward Modeling (ACL 2025), sections 3 and 4, and its code.

        Args:
            planner: Chat model that routes, checks facts and, if asked to, judges.
            coder: Chat model that writes the checkers; the planner by default.
            preference: The reward model; its values are added as they are.
            sandbox: Where checkers run; by default the best one that works here.
            evidence: What is searched; by default the planner is asked.
            judger: `"weighted_sum"` (all weights 1), `"major_vote"` (1.2 factuality,
                1.1 constraint, 1.0 preference), or `"llm"`, for two candidates only.
            force: Names of checks that always run, `"factuality"` and `"constraint"`,
                with no router; None lets the planner choose.
            seed: Seed of the random pairs.

        Returns:
            The agent.

        Raises:
            ConfigurationError: If no sandbox works here, or a name is unknown.
        """
        from langchain_agentrm.reward_agent import _upstream

        agent = cls(
            preference,
            [
                _upstream.Factuality(planner, evidence, seed=seed),
                _upstream.Constraint(coder or planner, sandbox),
            ],
            router=_upstream.Planner(planner) if force is None else ForcedRouter(force),
            judger=_upstream.judger(judger, planner, seed),
        )
        agent._as_given = True
        agent._any_scale = True
        return agent

    @property
    def reads_admissible(self) -> bool:
        """Whether a part of it reads `Trajectory.admissible`."""
        return (
            self.preference is not None and reads_admissible(self.preference)
        ) or any(getattr(v, "reads_admissible", False) for v in self.verifiers)

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories, of one group or several.

        Args:
            trajectories: What competes.

        Returns:
            One score each with its signals: `preference`, each verifier's value, and
            `failed_signals` where something failed; or an error.

        Raises:
            RewardModelError: If nothing could be scored because a part failed.
        """
        batch = drive(self._steps(trajectories))
        return Batch([e.score for e in batch.items], batch.usage)

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`, preference and verifiers at once."""
        batch = await adrive(self._steps(trajectories))
        return Batch([e.score for e in batch.items], batch.usage)

    def explain(self, trajectories: Sequence[Trajectory]) -> list[Explanation]:
        """Score trajectories and tell how each score came about.

        Args:
            trajectories: What competes.

        Returns:
            One explanation each, in the order given.

        Raises:
            RewardModelError: If nothing could be scored because a part failed.
        """
        return list(drive(self._steps(trajectories)).items)

    async def aexplain(self, trajectories: Sequence[Trajectory]) -> list[Explanation]:
        """Async twin of `explain`."""
        return list((await adrive(self._steps(trajectories))).items)

    def _steps(
        self, trajectories: Sequence[Trajectory]
    ) -> Generator[Effect, Any, Batch[Explanation]]:
        """Ask everybody, then judge group by group."""
        if not trajectories:
            return Batch([])
        groups = self._groups(trajectories)
        run = Run(groups, asyncio.Semaphore(self.max_concurrency))
        yield Together(
            [Steps(lambda: self._prefer(run)), Steps(lambda: self._verify(run))]
        )
        resolution = self.preference.resolution if self.preference else 0.0
        for group in groups:
            group.settle(self._names, resolution)
        judged = yield Together([self._judge(group, run) for group in groups])
        out: list[Explanation | None] = [None] * len(trajectories)
        for group, outcome in zip(groups, judged, strict=True):
            for i, explanation in enumerate(explained(group, run.read(outcome, group))):
                for position in group.positions[i]:
                    out[position] = explanation
        explanations = [e for e in out if e is not None]
        if run.failures and not any(e.score.ok for e in explanations):
            raise nothing_left(run.failures)
        return Batch(explanations, run.usage)

    def _groups(self, trajectories: Sequence[Trajectory]) -> list[Group]:
        out = []
        for positions in groups_of(trajectories):
            twins: dict[Hashable, list[int]] = {}
            for position in positions:
                key = position if self._as_given else content_of(trajectories[position])
                twins.setdefault(key, []).append(position)
            rows = list(twins.values())
            if not self._as_given:
                # The order given is the policy's, or the beams': it decides nothing.
                rows.sort(key=lambda row: _key(trajectories[row[0]]))
            out.append(Group([trajectories[row[0]] for row in rows], rows))
        return out

    def _prefer(self, run: Run) -> Generator[Effect, Any, None]:
        """Ask the preference model about all groups in one batch."""
        model = self.preference
        if model is None:
            return
        flat = [member for group in run.groups for member in group.members]
        outcome = yield Call(
            lambda: checked(flat, model.score(flat)), lambda: _achecked(model, flat)
        )
        start = 0
        for group in run.groups:
            end = start + len(group.members)
            if isinstance(outcome, Exception):
                group.take_preference(told(outcome))
            else:
                group.take_preference(outcome.items[start:end])
            start = end
        run.note(outcome)

    def _verify(self, run: Run) -> Generator[Effect, Any, None]:
        """Route, then run what was chosen for every group."""
        if not self.verifiers:
            return
        first = [group.members[0] for group in run.groups]
        routes = yield Call(
            lambda: self.router.route(first, self.verifiers),
            lambda: self.router.aroute(first, self.verifiers),
        )
        run.note(routes)
        for group, route in zip(run.groups, self._routes(routes, first), strict=True):
            group.route = route
        jobs = [
            (group, verifier)
            for group in run.groups
            for verifier in self.verifiers
            if verifier.name in group.route.names
        ]
        outcomes = yield Together(
            [_verification(v, group.members, run) for group, v in jobs]
        )
        for (group, verifier), outcome in zip(jobs, outcomes, strict=True):
            run.note(outcome)
            group.take_verdicts(
                verifier.name,
                read_verdicts(outcome, len(group.members), any_scale=self._any_scale),
            )

    def _routes(self, outcome: Any, first: Sequence[Trajectory]) -> Sequence[Route]:
        """Take the router's choice, or that of the plain rule, marked as such."""
        if isinstance(outcome, Batch) and len(outcome.items) == len(first):
            return [self._known(route) for route in outcome.items]
        why = told(outcome) if isinstance(outcome, Exception) else "it gave no routes"
        plain = RuleRouter().route(first, self.verifiers).items
        return [Route(r.names, r.reason, f"the router failed: {why}") for r in plain]

    def _known(self, route: Route) -> Route:
        unknown = [name for name in route.names if name not in self._names]
        if not unknown:
            return route
        names = tuple(name for name in route.names if name in self._names)
        why = f"the router named {unknown[0]!r}, which is no verifier here"
        return Route(names, route.reason, why)

    def _judge(self, group: Group, run: Run) -> Call:
        members = [group.members[i] for i in group.alive]
        if not group.used:
            return Call(lambda: None, _nothing)
        return Call(
            lambda: checked(members, self.judger.judge(members, group.used)),
            lambda: _ajudged(self.judger, members, group.used),
            run.gate,
        )


def _verification(verifier: Verifier, members: Sequence[Trajectory], run: Run) -> Call:
    return Call(
        lambda: verifier.verify(members), lambda: verifier.averify(members), run.gate
    )


async def _achecked(model: RewardModel, flat: Sequence[Trajectory]) -> Batch[Score]:
    return checked(flat, await model.ascore(flat))


async def _ajudged(
    judger: Judger, members: Sequence[Trajectory], signals: Sequence[Signal]
) -> Batch[Score]:
    return checked(members, await judger.ajudge(members, signals))


async def _nothing() -> None:
    return None


def _key(trajectory: Trajectory) -> str:
    """What sets a candidate apart in its group, the last action first."""
    turns = [part for t in trajectory.turns[::-1] for part in (t.action, t.observation)]
    return "\n".join([*turns, repr(trajectory.calls)])
