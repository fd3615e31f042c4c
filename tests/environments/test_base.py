"""The base class on a toy engine, and the conformance suite on broken ones."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentSpec,
    Start,
    digest,
)
from langchain_agentrm.errors import (
    ConfigurationError,
    ForkError,
    ReplayMismatchError,
    UnknownTaskError,
)
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm.types import Transition

LIMIT = 5
SEEDS = {"train": range(10), "dev": range(10, 20), "test": range(20, 30)}


class Counter(Environment):
    """Say `up` until the number is the seed, then `stop`."""

    def __init__(self):
        super().__init__()
        self.state = [0, 0]

    def _reset(self, task):
        if task["type"] not in ("odd", "even"):
            raise UnknownTaskError("no such task")
        self.state = [0, 0]
        self.goal = task["seed"]
        return Start("0", f"reach {self.goal}", step_limit=LIMIT)

    def _step(self, action):
        if self.state[1] >= LIMIT:
            raise ConfigurationError("over")
        self.state[1] += 1
        self.state[0] += action == "up"
        won = action == "stop" and self.state[0] == self.goal
        over = action == "stop" or self.state[1] == LIMIT
        if action == "stop":
            self.state[1] = LIMIT
        return Transition(str(self.state[0]), 0.0, over, won, float(won))

    def actions(self):
        return ["up", "stop"]


class Copied(Counter):
    spec = EnvironmentSpec(fork="copy")

    def _copy(self):
        twin = type(self)()
        twin.state, twin.goal = list(self.state), self.goal
        return twin


class Factory:
    name = "counter"

    def __init__(self, environment=Counter):
        self.environment, self.spec = environment, environment.spec

    def types(self, group):
        return {"held_in": ["odd"], "held_out": ["even"], "dev": []}.get(
            group, ["odd", "even"]
        )

    def tasks(self, split, types=None, limit=None):
        if split not in SEEDS:
            raise UnknownTaskError("no such split")
        types = types or self.types("all")
        return [self.task(t, s) for s in SEEDS[split] for t in types][:limit]

    def task(self, type_, seed):
        if type_ not in self.types("all"):
            raise UnknownTaskError("no such type")
        return {"env": "counter", "type": type_, "id": f"{type_}:{seed}", "seed": seed}

    def make(self):
        return self.environment()


class TestCounter(EnvironmentConformance):
    @pytest.fixture(params=[Counter, Copied])
    def factory(self, request):
        return Factory(request.param)

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", limit=6)

    @pytest.fixture
    def some_actions(self):
        return ["wait", "up"]


# The suite must notice what it is there for.


class SharesState(Copied):
    def _copy(self):
        twin = super()._copy()
        twin.state = self.state
        return twin


class ForgetsState(Copied):
    def _copy(self):
        twin = super()._copy()
        twin.state = [0, self.state[1]]
        return twin


class Drifts(Counter):
    drift = itertools.count()

    def _step(self, action):
        transition = super()._step(action)
        return replace(transition, observation=f"{next(self.drift)}")


class OneTooMany(Counter):
    def _step(self, action):
        transition = super()._step(action)
        return replace(transition, done=False)


class OutOfRange(Counter):
    def _step(self, action):
        return replace(super()._step(action), progress=2.0)


class Chokes(Counter):
    def _step(self, action):
        action.encode()
        return super()._step(action)


@pytest.mark.parametrize(
    ("broken", "check", "error"),
    [
        (
            SharesState,
            "branches_do_not_touch_each_other",
            (AssertionError, ConfigurationError),
        ),
        (ForgetsState, "fork_goes_on_as_the_original", AssertionError),
        (ForgetsState, "branches_do_not_touch_each_other", AssertionError),
        (Drifts, "same_actions_have_the_same_answers", AssertionError),
        (Drifts, "replay_shows_the_same", ReplayMismatchError),
        (OneTooMany, "step_limit_is_exact", AssertionError),
        (OutOfRange, "answers_are_in_range", AssertionError),
    ],
)
def test_the_suite_notices(broken, check, error) -> None:
    factory = Factory(broken)
    arguments = [factory, factory.tasks("train", limit=12), ["wait", "up"]]
    suite = EnvironmentConformance()
    with pytest.raises(error):
        getattr(suite, f"test_{check}")(*arguments)
    sound = Factory(Copied)
    getattr(suite, f"test_{check}")(sound, sound.tasks("train", limit=12), arguments[2])


def test_the_suite_notices_an_engine_that_dies_of_a_text() -> None:
    suite, factory = EnvironmentConformance(), Factory(Chokes)
    with pytest.raises(UnicodeEncodeError):
        suite.test_malformed_actions_are_answered(
            factory, factory.tasks("train", limit=1), "\ud800"
        )


# The base class.


def started(environment, seed=2):
    environment.reset(Factory().task("odd", seed))
    return environment


def test_step_records_actions_and_digests() -> None:
    env = started(Counter())
    env.step("up")
    env.step("wait")
    assert env.actions_taken == ["up", "wait"]
    assert env.digests == [digest("0"), digest("1"), digest("1")]
    env.reset(Factory().task("odd", 2))
    assert (env.actions_taken, env.digests) == ([], [digest("0")])


def test_fork_before_reset_has_no_task() -> None:
    assert Counter().fork().task is None


def test_fork_of_an_engine_without_copy_names_the_remedy() -> None:
    class Promises(Counter):
        spec = EnvironmentSpec(fork="copy")

    with pytest.raises(ForkError, match=r"Promises declares .* Implement _copy"):
        started(Promises()).fork()


def test_replay_is_refused_where_actions_act_outside() -> None:
    class Outside(Counter):
        spec = EnvironmentSpec(fork="none", replayable=False)

    env = started(Outside())
    env.step("up")
    with pytest.raises(ForkError, match=r"cannot be branched.*beam_width=1"):
        env.fork()


def test_replay_names_the_first_difference() -> None:
    env = started(Counter())
    for _ in range(3):
        env.step("up")
    with pytest.raises(ReplayMismatchError, match=r"'odd:2' .* observation 2 of 3"):
        Counter().replay(Factory().task("odd", 2), ["up", "wait", "up"], env.digests)


def test_normalise_decides_what_must_be_equal() -> None:
    class Clock(Drifts):
        def normalise(self, observation):
            return ""

    env = started(Clock())
    env.step("up")
    assert env.fork().state == env.state


def test_the_default_grammar_takes_the_whole_text() -> None:
    env = Counter()
    assert env.parse(AIMessage("  up \n")) == "up"
    assert env.parse(AIMessage(" \n")) is None
    assert env.key(" Go  UP ") == "go up"
    assert env.on_invalid(AIMessage("")) is None


def test_digest_takes_any_text() -> None:
    assert digest("\ud800") != digest("")
    assert digest("a") == digest("a")
