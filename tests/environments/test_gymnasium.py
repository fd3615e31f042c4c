"""The Gymnasium adapter: texts, forks by verified copy, forks by replay."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.environments import register, registry
from langchain_agentrm.environments.gymnasium import GymnasiumFactory
from langchain_agentrm.errors import (
    ConfigurationError,
    ReplayMismatchError,
    UnknownTaskError,
)
from langchain_agentrm.testing.environment import EnvironmentConformance


class Space:
    def seed(self, seed):
        self.rng = random.Random(seed)

    def sample(self):
        return self.rng.choice((-1, 1))


class Walk:
    """Walk to a place that the seed chose; wind, drawn at each step, may push."""

    made = 0
    closed = 0

    def __init__(self):
        self.action_space = Space()
        type(self).made += 1

    def reset(self, *, seed=None, options=None):
        self.rng = random.Random(seed)
        self.place, self.goal = 0, self.rng.randint(3, 5)
        return self.place, {"goal": self.goal, "near": 0.0}

    def step(self, action):
        self.place += action + self.rng.choice((0, 0, 1))
        won = self.place >= self.goal
        info = {"goal": self.goal, "near": self.place / self.goal}
        return self.place, float(won), won, False, info

    def close(self):
        type(self).closed += 1


class Locked(Walk):
    """Holds what cannot be copied."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Shared(Walk):
    """Its copies share the place, as engines in native memory do."""

    def reset(self, *, seed=None, options=None):
        shown = super().reset(seed=seed)
        self.cell = [0]
        return shown

    def step(self, action):
        self.place = self.cell[0]
        shown = super().step(action)
        self.cell[0] = self.place
        return shown

    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.__dict__.update(self.__dict__)
        return twin


def walk(engine=Walk, **options):
    return GymnasiumFactory(
        "walk",
        engine,
        describe=lambda place, info: f"at {place} of {info['goal']}",
        actions={"back": -1, "Go on": 1},
        goal=lambda place, info: f"Reach {info['goal']}.",
        instruction="Answer `back` or `go on`.",
        step_limit=12,
        **options,
    )


@pytest.mark.parametrize("engine", [Walk, Locked, Shared])
class TestWalks(EnvironmentConformance):
    @pytest.fixture
    def factory(self, engine):
        return walk(engine)

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", limit=3)

    @pytest.fixture
    def some_actions(self):
        return ["dance", "back", "go on"]


class TestReplayOnly(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return walk(fork="replay")

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", limit=3)

    @pytest.fixture
    def some_actions(self):
        return ["dance", "back", "go on"]


class TestFrozenLake(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        pytest.importorskip("gymnasium")
        return GymnasiumFactory(
            "lake",
            {"slippery": "FrozenLake-v1", "large": "FrozenLake8x8-v1"},
            describe=lambda cell, info: f"You stand on cell {cell}.",
            actions={"left": 0, "down": 1, "right": 2, "up": 3},
            goal="Reach the last cell.",
        )

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("train", limit=4)

    @pytest.fixture
    def some_actions(self):
        return ["jump", "left", "down", "right", "up"]


@pytest.mark.parametrize(
    ("engine", "copied"), [(Walk, True), (Locked, False), (Shared, False)]
)
def test_copies_are_used_only_where_they_go_on_alike(engine, copied) -> None:
    factory = walk(engine)
    env = factory.make()
    env.reset(factory.task("walk", 3))
    env.step("go on")
    env.fork()
    assert factory.copies(env) is copied
    made = engine.made
    twin = env.fork()
    # A copy makes no engine, but where the class itself says how it is copied.
    assert engine.made - made == (0 if copied else 1)
    steps = [("back", "go on", "go on")[i % 3] for i in range(6)]
    assert [env.step(a) for a in steps[:2]] == [twin.step(a) for a in steps[:2]]


def test_the_trial_leaves_an_engine_that_shares_state_as_it_was() -> None:
    factory = walk(Shared)
    env, alone = factory.make(), factory.make()
    for one in (env, alone):
        one.reset(factory.task("walk", 3))
        one.step("go on")
    assert env.verify_copy() is False
    assert env.step("go on") == alone.step("go on")


def test_an_engine_that_is_not_deterministic_is_found_out() -> None:
    class Noisy(Walk):
        resets = 0

        def reset(self, *, seed=None, options=None):
            Noisy.resets += 1
            shown = super().reset(seed=seed)
            self.place = Noisy.resets
            return shown

    factory = walk(Noisy)
    env = factory.make()
    env.reset(factory.task("walk", 3))
    env.step("back")
    with pytest.raises(ReplayMismatchError):
        env.fork()


def test_a_finished_episode_decides_nothing() -> None:
    factory = walk()
    env = factory.make()
    env.reset(factory.task("walk", 3))
    while not env.step("go on").done:
        pass
    assert env.fork().digests == env.digests
    assert factory.copies(env) is False
    assert env.actions() == []
    env.reset(factory.task("walk", 3))
    assert factory.copies(env) is True


def test_a_walk_is_told_in_texts() -> None:
    factory = walk()
    env = factory.make()
    start = env.reset(factory.task("walk", 1))
    assert start.observation == f"at 0 of {start.goal[6:-1]}"
    assert env.actions() == ["back", "Go on"]
    refused = env.step("dance")
    assert refused.observation == "That is no action of this environment."
    assert refused.info == {"valid": False, "steps": 1, "reward": 0.0}
    first = env.step("  GO   on ")
    assert first.info["valid"] is True
    assert first.observation.startswith("at ")
    assert env.key("GO  on") == "go on"
    assert env.step([{"name": "go on", "args": {}}]).info["valid"] is False


@pytest.mark.parametrize(
    ("progress", "low", "high"),
    [("reward", 0.0, 0.0), ("near", 0.15, 0.7), (lambda r, i: 9.0, 1.0, 1.0)],
)
def test_progress_comes_from_where_it_is_said(progress, low, high) -> None:
    factory = walk(progress=progress)
    env = factory.make()
    env.reset(factory.task("walk", 1))
    one = env.step("go on")
    assert low <= one.progress <= high
    assert one.score == one.progress
    assert one.success is (one.progress >= 1)


def test_success_is_the_last_progress() -> None:
    factory = walk()
    env = factory.make()
    env.reset(factory.task("walk", 1))
    while not (last := env.step("go on")).done:
        assert not last.success
    assert (last.success, last.score) == (True, 1.0)


def test_actions_that_depend_on_the_state_and_those_that_are_parsed() -> None:
    def possible(engine):
        return {"go on": 1} if engine.place < 1 else {"go on": 1, "back": -1}

    env = GymnasiumFactory(
        "walk",
        Walk,
        describe=lambda place, info: str(place),
        actions=possible,
        parse=lambda text: int(text) if text.lstrip("-").isdecimal() else None,
    ).make()
    env.reset({"env": "walk", "type": "walk", "id": "walk:1", "seed": 1})
    assert env.actions() == ["go on"]
    assert env.step("back").info["valid"] is False
    assert env.step("1").info["valid"] is True
    assert env.step("back").info["valid"] is True


def test_texts_go_through_where_nothing_else_is_said() -> None:
    class Echo(Walk):
        def reset(self, *, seed=None, options=None):
            return "say something", {}

        def step(self, action):
            return f"you said {action!r}", 0.0, False, False, {}

    env = GymnasiumFactory("echo", Echo).make()
    env.reset({"env": "echo", "type": "echo", "id": "echo:0", "seed": 0})
    assert env.step("Hello").observation == "you said 'Hello'"
    assert env.step(" ").info["valid"] is False
    assert env.actions() is None
    assert env.key("Hello  there") == "Hello there"


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("go on", "go on"),
        ("I think.\nAction: back", "back"),
        ("Action:\ngo on\n", "go on"),
        ("Thought: hm\n\ngo on\n", "go on"),
        ("Action:", None),
        (" \n", None),
        ("x" * 4097, None),
    ],
)
def test_parse(text, action) -> None:
    assert walk().make().parse(AIMessage(text)) == action


def test_an_observation_that_is_no_text_needs_describe() -> None:
    factory = GymnasiumFactory("bare", Walk)
    with pytest.raises(ConfigurationError, match=r"'bare' shows int 0.*describe=fn"):
        factory.make().reset(factory.task("bare", 0))


@pytest.mark.parametrize("options", [{"make": {}}, {"step_limit": 0}, {"fork": "copy"}])
def test_what_cannot_be_made_is_refused(options) -> None:
    with pytest.raises(ConfigurationError, match="'odd' cannot be made"):
        GymnasiumFactory("odd", **{"make": Walk, **options})


def test_tasks_that_do_not_exist_are_refused() -> None:
    factory = walk()
    for seed in (-1, 1.5, "7"):
        with pytest.raises(UnknownTaskError, match="no seed"):
            factory.task("walk", seed)
    with pytest.raises(ConfigurationError, match="no task"):
        factory.make().actions()
    env = factory.make()
    env.reset(factory.task("walk", 3))
    while not env.step("go on").done:
        pass
    with pytest.raises(ConfigurationError, match=r"over after .* reset"):
        env.step("go on")


def test_engines_are_closed_and_reset_reuses_them() -> None:
    factory = walk()
    env = factory.make()
    env.close()
    made, closed = Walk.made, Walk.closed
    env.reset(factory.task("walk", 3))
    env.reset(factory.task("walk", 4))
    assert Walk.made - made == 1
    env.close()
    env.close()
    assert Walk.closed - closed == 1


def test_it_can_be_registered_without_starting_an_engine() -> None:
    made = Walk.made
    register(walk())
    try:
        assert registry.get("walk").types("all") == ["walk"]
        registry.get("walk").tasks("test", limit=5)
    finally:
        registry.unregister("walk")
    assert Walk.made == made


def test_a_missing_gymnasium_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    factory = GymnasiumFactory("lake", "FrozenLake-v1")
    with pytest.raises(ConfigurationError, match=r"gymnasium.*pip install gymnasium"):
        factory.make().reset(factory.task("lake", 0))


def test_the_module_loads_no_gymnasium() -> None:
    code = (
        "import sys, langchain_agentrm.environments.gymnasium; "
        "sys.exit('gymnasium' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
