"""Conformance suite for environments: subclass it in a test module and give fixtures.

```python
class TestMine(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return MyFactory()

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", limit=3)

    @pytest.fixture
    def some_actions(self):
        return ["look", "go north"]
```
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentFactory,
    Start,
)
from langchain_agentrm.errors import (
    AgentRMError,
    ConfigurationError,
    ForkError,
    ReplayMismatchError,
)
from langchain_agentrm.testing._environment_tasks import TaskConformance
from langchain_agentrm.testing.hostile import MALFORMED_ACTIONS
from langchain_agentrm.types import Action, TaskRef, Transition

__all__ = ["MALFORMED_ACTIONS", "EnvironmentConformance", "random_walk"]


def random_walk(
    environment: Environment, some_actions: Sequence[Action], steps: int, seed: int
) -> list[Transition]:
    """Take random actions, listed ones and `some_actions`, until the episode ends.

    Args:
        environment: The environment, reset.
        some_actions: Actions to choose from besides those that the engine lists.
        steps: How many at most.
        seed: Seed of the choices.

    Returns:
        What the environment answered.
    """
    rng = random.Random(seed)  # noqa: S311 - a test's choices, not a secret
    out: list[Transition] = []
    while len(out) < steps and not (out and out[-1].done):
        listed = environment.actions() or []
        out.append(environment.step(rng.choice([*some_actions, *listed])))
    return out


class EnvironmentConformance(TaskConformance):
    """What every environment must do, as tests.

    Give three fixtures: `factory`; `tasks`, a few tasks to try; and `some_actions`, a
    few actions, the first of which must never end an episode by itself.
    """

    @pytest.fixture
    def factory(self) -> EnvironmentFactory:
        """Return the factory under test."""
        raise _missing(self, "factory")

    @pytest.fixture
    def tasks(self) -> Sequence[TaskRef]:
        """Return a few tasks."""
        raise _missing(self, "tasks")

    @pytest.fixture
    def some_actions(self) -> Sequence[Action]:
        """Return a few actions; the first must not end the episode."""
        raise _missing(self, "some_actions")

    # One episode.

    def test_step_before_reset_is_an_error(
        self, factory: EnvironmentFactory, some_actions: Sequence[Action]
    ) -> None:
        """Nothing runs without a task."""
        with pytest.raises(ConfigurationError):
            factory.make().step(some_actions[0])

    def test_start_says_what_there_is_to_do(
        self, factory: EnvironmentFactory, tasks: Sequence[TaskRef]
    ) -> None:
        """A policy gets an observation, a goal and a limit."""
        for task in tasks:
            start = factory.make().reset(task)
            assert start.observation.strip()
            assert start.goal.strip()
            assert start.step_limit >= 1

    def test_same_actions_have_the_same_answers(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """Task and actions determine everything, in a new or a used environment."""
        used = factory.make()
        for i, task in enumerate(tasks):
            fresh = factory.make()
            assert fresh.reset(task) == used.reset(task)
            limit = fresh.reset(task).step_limit
            one = random_walk(fresh, some_actions, limit, i)
            two = random_walk(used, some_actions, limit, i)
            assert one == two
            assert fresh.digests == used.digests

    def test_answers_are_in_range(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """Progress and score are between 0 and 1, and `info` is plain JSON."""
        for i, task in enumerate(tasks):
            environment = factory.make()
            limit = environment.reset(task).step_limit
            for transition in random_walk(environment, some_actions, limit, i):
                assert 0.0 <= transition.progress <= 1.0
                assert 0.0 <= transition.score <= 1.0
                assert isinstance(transition.observation, str)
                info = dict(transition.info)
                assert json.loads(json.dumps(info)) == info

    def test_step_limit_is_exact(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """The episode ends with the last allowed action, and no other one begins."""
        environment = factory.make()
        limit = environment.reset(tasks[0]).step_limit
        ends = [environment.step(some_actions[0]).done for _ in range(limit)]
        assert ends == [False] * (limit - 1) + [True]
        with pytest.raises(AgentRMError):
            environment.step(some_actions[0])

    def test_listed_actions_apply(
        self, factory: EnvironmentFactory, tasks: Sequence[TaskRef]
    ) -> None:
        """The engine accepts each action that it lists; each has a key of its own."""
        for task in tasks:
            environment = _reset(factory, task)
            listed = environment.actions()
            if listed is None:
                return
            assert listed
            assert len({environment.key(action) for action in listed}) == len(listed)
            for action in listed:
                branch = _reset(factory, task)
                assert branch.step(action).info.get("valid", True)

    def test_key_is_stable(
        self,
        factory: EnvironmentFactory,
        some_actions: Sequence[Action],
    ) -> None:
        """Normalising twice changes nothing more."""
        environment = factory.make()
        for action in [*some_actions, *MALFORMED_ACTIONS]:
            key = environment.key(action)
            assert environment.key(action) == key
            if isinstance(action, str):
                assert environment.key(key) == key

    @pytest.mark.parametrize("text", MALFORMED_ACTIONS, ids=ascii)
    def test_malformed_actions_are_answered(
        self, factory: EnvironmentFactory, tasks: Sequence[TaskRef], text: str
    ) -> None:
        """Whatever the text, the engine answers and goes on, and never solves by it."""
        environment = _reset(factory, tasks[0])
        transition = environment.step(text)
        assert isinstance(transition.observation, str)
        assert not transition.success
        if transition.done:
            return
        environment.step(text)
        assert len(environment.actions_taken) == len(environment.digests) - 1

    @pytest.mark.parametrize("text", MALFORMED_ACTIONS, ids=ascii)
    def test_malformed_messages_are_parsed(
        self, factory: EnvironmentFactory, text: str
    ) -> None:
        """`parse` returns an action or None and never raises; blank is None."""
        message = AIMessage.model_construct(content=text, tool_calls=[])
        action = factory.make().parse(message)
        if text.strip():
            assert action is None or isinstance(action, str | list)
        else:
            assert action is None

    def test_a_rejected_message_costs_one_step_and_is_repeated(
        self, factory: EnvironmentFactory, tasks: Sequence[TaskRef]
    ) -> None:
        """What the environment answers to no action is one record, in replays too."""
        environment = _reset(factory, tasks[0])
        message = AIMessage("")
        answer = environment.reject(message)
        if answer is None:
            assert environment.actions_taken == []
            assert len(environment.digests) == 1
            return
        assert len(environment.actions_taken) == 1
        assert len(environment.digests) == 2
        if factory.spec.replayable:
            twin = factory.make()
            twin.replay(tasks[0], environment.actions_taken, environment.digests)
            assert twin.digests == environment.digests
            assert twin.reject(message) == environment.reject(message)
            twin.close()
        environment.close()

    # Branches.

    def test_fork_goes_on_as_the_original(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """At every step of a walk, a fork has the same future as the original."""
        if factory.spec.fork == "none":
            pytest.skip("this environment does not fork")
        for i, task in enumerate(tasks):
            environment = factory.make()
            limit = environment.reset(task).step_limit
            for depth in range(limit - 1):
                fork = environment.fork()
                assert fork.task == environment.task
                assert fork.actions_taken == environment.actions_taken
                rest = limit - depth
                one = random_walk(fork, some_actions, rest, i + depth)
                # What the original would show, computed from the start, since the
                # original itself is still needed.
                alone = _again(factory, task, environment)
                assert random_walk(alone, some_actions, rest, i + depth) == one
                assert alone.digests == fork.digests
                if random_walk(environment, some_actions, 1, i + depth)[0].done:
                    break

    def test_branches_do_not_touch_each_other(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """Stepping a fork changes nothing in its parent, and the other way round."""
        if factory.spec.fork == "none":
            pytest.skip("this environment does not fork")
        for i, task in enumerate(tasks):
            alone = factory.make()
            limit = alone.reset(task).step_limit
            parent = _reset(factory, task)
            prefix = random_walk(alone, some_actions, 2, i)
            assert random_walk(parent, some_actions, 2, i) == prefix
            if prefix[-1].done:
                continue
            child, sibling = parent.fork(), parent.fork()
            before = parent.actions()
            random_walk(child, some_actions, limit, i + 100)
            assert parent.actions() == before
            assert parent.actions_taken == alone.actions_taken
            future = random_walk(alone, some_actions, limit, i + 200)
            assert random_walk(parent, some_actions, limit, i + 200) == future
            # Now the parent has moved on, and the sibling must not have.
            assert random_walk(sibling, some_actions, limit, i + 200) == future

    def test_replay_shows_the_same(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """A fresh engine repeats recorded actions; a false record is noticed."""
        for i, task in enumerate(tasks):
            environment = factory.make()
            start = environment.reset(task)
            random_walk(environment, some_actions, start.step_limit, i)
            twin = factory.make()
            record = environment.digests
            if not factory.spec.replayable:
                with pytest.raises(ForkError):
                    twin.replay(task, environment.actions_taken, record)
                continue
            shown: Start = twin.replay(task, environment.actions_taken, record)
            assert shown == start
            assert twin.digests == record
            with pytest.raises(ReplayMismatchError):
                factory.make().replay(
                    task, environment.actions_taken, [*record[:-1], "something else"]
                )

    # Concurrency.

    async def test_async_twins_answer_the_same(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """`areset`, `astep` and `afork` do what the others do."""
        one, two = factory.make(), factory.make()
        assert await one.areset(tasks[0]) == two.reset(tasks[0])
        assert await one.astep(some_actions[0]) == two.step(some_actions[0])
        if factory.spec.fork != "none":
            fork = await one.afork()
            assert fork.digests == two.digests

    def test_threads_do_not_disturb_each_other(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        some_actions: Sequence[Action],
    ) -> None:
        """Several episodes at once go as they go one after another."""
        if not factory.spec.thread_safe:
            pytest.skip("this environment is for one thread")

        def episode(i: int) -> list[Transition]:
            environment = factory.make()
            limit = environment.reset(tasks[i % len(tasks)]).step_limit
            return random_walk(environment, some_actions, limit, i // 2)

        jobs = range(8 * len(tasks))
        alone = [episode(i) for i in jobs]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(episode, jobs)) == alone


def _reset(factory: EnvironmentFactory, task: TaskRef) -> Environment:
    environment = factory.make()
    environment.reset(task)
    return environment


def _again(
    factory: EnvironmentFactory, task: TaskRef, environment: Environment
) -> Environment:
    if not environment.spec.replayable:
        return environment.fork()
    twin = _reset(factory, task)
    for action in environment.actions_taken:
        twin.step(action)
    return twin


def _missing(suite: object, name: str) -> ConfigurationError:
    msg = f"{type(suite).__name__} gives no fixture {name!r}."
    return ConfigurationError(msg, remedy="Define it in your subclass.")
