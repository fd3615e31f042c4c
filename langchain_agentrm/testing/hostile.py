"""Texts that a policy may send by accident or by malice, and a check that plays them.

```python no-run: needs an environment of yours
def test_hostile_actions():
    factory = MyFactory()
    report = check_hostile_actions(factory, factory.tasks("train", limit=5), 10_000)
    assert report.forks > 100
```
"""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import Environment, EnvironmentFactory
from langchain_agentrm.errors import AgentRMError
from langchain_agentrm.testing._hostile_texts import (
    MALFORMED_ACTIONS,
    hostile_calls,
    hostile_texts,
)
from langchain_agentrm.types import Action, TaskRef, Transition

__all__ = [
    "MALFORMED_ACTIONS",
    "HostileReport",
    "check_hostile_actions",
    "hostile_texts",
]


@dataclass(frozen=True, slots=True)
class HostileReport:
    """What `check_hostile_actions` did.

    Attributes:
        actions: Actions that an engine answered, in forks too.
        hostile: How many of them were none that the engine listed.
        messages: Messages that were parsed.
        episodes: Episodes begun.
        forks: Forks made.
        slowest: Seconds of the slowest step.
    """

    actions: int
    hostile: int
    messages: int
    episodes: int
    forks: int
    slowest: float


def check_hostile_actions(
    factory: EnvironmentFactory,
    tasks: Sequence[TaskRef],
    n: int = 10_000,
    seed: int = 0,
    *,
    some_actions: Sequence[Action] = (),
    fork_share: float = 0.05,
    step_seconds: float = 20.0,
) -> HostileReport:
    """Play hostile and real actions over many episodes, with forks in between.

    Every step must be answered in time, by text that can be written as UTF-8, with
    progress and score in 0..1. What a fork does must change nothing in its parent, nor
    in a second fork. `parse` may refuse a message with None or with an error of this
    package, and must raise no other.

    Args:
        factory: Makes the environments.
        tasks: Tasks, played in turn.
        n: How many actions.
        seed: Seed of all choices.
        some_actions: Real actions besides those that the engine lists.
        fork_share: Share of the steps at which the environment is forked.
        step_seconds: After how long a call counts as hanging.

    Returns:
        What was done.

    Raises:
        AssertionError: If the environment misbehaves; names the task and the action.
    """
    game = _Game(factory, tasks, n, seed, some_actions, fork_share)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            game.play()
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            failed.append(error)

    # A daemon, so that a call which never returns does not keep the process.
    worker = threading.Thread(target=work, daemon=True, name="hostile-actions")
    worker.start()
    while worker.is_alive():
        worker.join(0.05)
        what, since = game.now
        waited = time.monotonic() - since
        if worker.is_alive() and waited > step_seconds:
            msg = f"No answer for {waited:.0f} s. {what}"
            raise AssertionError(msg)
    if failed:
        if isinstance(failed[0], AssertionError):
            raise failed[0]
        msg = f"{type(failed[0]).__name__}: {failed[0]}. {game.now[0]}"
        raise AssertionError(msg) from failed[0]
    return game.report()


class _Game:
    """The play itself; `now` says what it is at, for whoever watches."""

    def __init__(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        n: int,
        seed: int,
        some_actions: Sequence[Action],
        fork_share: float,
    ) -> None:
        self._factory = factory
        self._tasks = tasks
        self._most = n
        self._rng = random.Random(seed)  # noqa: S311 - a test's choices
        self._some = list(some_actions)
        self._real: list[str] = [a for a in some_actions if isinstance(a, str)]
        self._texts = hostile_texts(seed, self._real)
        self._fork_share = fork_share if factory.spec.fork != "none" else 0.0
        self._actions = self._hostile = self._messages = 0
        self._episodes = self._forks = 0
        self._slowest = 0.0
        self.now = ("It had not begun.", time.monotonic())

    def report(self) -> HostileReport:
        return HostileReport(
            self._actions,
            self._hostile,
            self._messages,
            self._episodes,
            self._forks,
            self._slowest,
        )

    def play(self) -> None:
        env: Environment | None = None
        while self._actions < self._most:
            task = self._tasks[self._episodes % len(self._tasks)]
            self._at(f"Task {task['id']!r}: reset")
            # An environment is used for several episodes, as a pool uses it.
            if env is None or self._rng.random() < 0.2:
                if env is not None:
                    env.close()
                env = self._factory.make()
            env.reset(task)
            self._episodes += 1
            over = False
            while not over and self._actions < self._most:
                if self._rng.random() < self._fork_share:
                    over = self._fork(env)
                else:
                    over = self._step(env, self._choose(env)).done
            if over:
                self._refuses_more(env)
        if env is not None:
            env.close()

    def _at(self, what: str) -> None:
        self.now = (what, time.monotonic())

    def _choose(self, env: Environment) -> Action:
        """A listed action, a hostile one, or what `parse` makes of a message."""
        draw = self._rng.random()
        if draw < 0.3:
            self._at(f"Task {_id(env)!r}: actions()")
            listed = [*(env.actions() or ()), *self._some]
            if listed:
                self._real[:] = [a for a in listed if isinstance(a, str)][:50]
                action: Action = self._rng.choice(listed)
                return action
        self._hostile += 1
        text = next(self._texts)
        if draw < 0.35:
            return hostile_calls(self._rng, text)
        if draw < 0.6:
            parsed = self._parse(env, text)
            return text if parsed is None else parsed
        return text

    def _parse(self, env: Environment, text: str) -> Action | None:
        calls = hostile_calls(self._rng, text) if self._rng.random() < 0.3 else []
        self._at(f"Task {_id(env)!r}: parse of {_show(text)} with calls {_show(calls)}")
        self._messages += 1
        # Not validated, since a provider's message is not either.
        message = AIMessage.model_construct(content=text, tool_calls=calls)
        try:
            action = env.parse(message)
        except AgentRMError:
            return None
        assert action is None or (action and isinstance(action, str | list)), (
            f"parse gave {action!r}. {self.now[0]}"
        )
        if action is None and self._rng.random() < 0.2:
            before = len(env.actions_taken)
            answer = env.fork().reject(message) if self._fork_share else None
            assert len(env.actions_taken) == before, f"reject leaked. {self.now[0]}"
            if answer is not None:
                self._judge(answer)
        return action

    def _step(self, env: Environment, action: Action) -> Transition:
        self._at(f"Task {_id(env)!r}: step {_show(action)}")
        taken = len(env.actions_taken)
        key = env.key(action)
        assert isinstance(key, str), f"key gave {key!r}. {self.now[0]}"
        transition = env.step(action)
        self._slowest = max(self._slowest, time.monotonic() - self.now[1])
        self._actions += 1
        self._judge(transition)
        assert len(env.actions_taken) == taken + 1, f"Not recorded. {self.now[0]}"
        assert len(env.digests) == taken + 2, f"No digest. {self.now[0]}"
        return transition

    def _judge(self, transition: Transition) -> None:
        where = self.now[0]
        assert isinstance(transition, Transition), f"No transition. {where}"
        text = transition.observation
        assert isinstance(text, str), f"The answer is {text!r}. {where}"
        try:
            text.encode()
        except UnicodeEncodeError as error:
            msg = f"The answer is no valid text: {error}. {where}"
            raise AssertionError(msg) from error
        for name in ("progress", "score"):
            value = getattr(transition, name)
            fits = math.isfinite(value) and 0.0 <= value <= 1.0
            assert fits, f"{name} is {value!r}. {where}"
        # What no JSON can say, such as NaN, would end in a trace that nobody can read.
        json.dumps(dict(transition.info), allow_nan=False)

    def _fork(self, env: Environment) -> bool:
        """Play in a fork, and compare its parent with a twin that was left alone."""
        self._at(f"Task {_id(env)!r}: fork after {len(env.actions_taken)} actions")
        alone, child = env.fork(), env.fork()
        self._forks += 2
        before = _shown(env)
        for _ in range(self._rng.randint(1, 4)):
            if self._step(child, self._choose(child)).done:
                break
        last = self.now[0]
        child.close()
        assert _shown(env) == before, f"A fork changed its parent. {last}"
        action = self._choose(env)
        one = self._step(env, action)
        two = self._step(alone, action)
        assert one == two, f"A fork changed its parent's future: {one} {two}. {last}"
        assert _shown(alone) == _shown(env), f"A fork leaked. {last}"
        alone.close()
        return one.done

    def _refuses_more(self, env: Environment) -> None:
        """An episode that is over takes no more actions."""
        action = next(self._texts)
        self._at(f"Task {_id(env)!r}: step {_show(action)} after the end")
        before = _shown(env)
        try:
            env.step(action)
        except AgentRMError:
            assert _shown(env) == before, f"It changed something. {self.now[0]}"
            return
        msg = f"It was taken. {self.now[0]}"
        raise AssertionError(msg)


def _shown(env: Environment) -> tuple[object, ...]:
    """What an environment shows of its state."""
    listed = env.actions()
    actions = None if listed is None else tuple(listed)
    return env.task, list(env.actions_taken), list(env.digests), actions


def _id(env: Environment) -> str:
    return env.task["id"] if env.task else ""


def _show(value: object) -> str:
    text = ascii(value)
    return text if len(text) < 300 else f"{text[:300]}... ({len(text)} characters)"
