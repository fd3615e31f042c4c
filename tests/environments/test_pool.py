"""Live branches, by search and node."""

from __future__ import annotations

import threading

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import EnvironmentSpec
from langchain_agentrm.environments.pool import BranchPool
from langchain_agentrm.errors import (
    ConfigurationError,
    EnvironmentFailedError,
    ForkError,
    ReplayMismatchError,
)
from langchain_agentrm.testing.scripted import ScriptedEnvironment, ScriptedFactory
from tests.search.doubles import a_task


class Counted(ScriptedFactory):
    """Remembers every environment that it, or a fork, made."""

    def __init__(self, fork="copy", spec=None, kind=ScriptedEnvironment):
        super().__init__(fork)
        if spec is not None:
            self.spec = self._shared.spec = spec
        made = self.made = []

        class Kind(kind):
            def __init__(self, shared=None):
                super().__init__(shared)
                made.append(self)

        self.kind = Kind

    def make(self):
        return self.kind(self._shared)


def opened(factory, search="s", **options):
    pool = BranchPool(factory, **options)
    start = pool.start(search, "root", a_task(factory))
    return pool, start


def act(pool, node, action, parent="root", before=(), search="s", digests=()):
    task = a_task(pool.factory)
    return pool.step(search, parent, node, task, list(before), list(digests), action)


def test_siblings_act_in_branches_of_their_own():
    pool, start = opened(Counted())
    assert start.observation == "The number is 0."
    assert act(pool, "a", "add 1").observation == "The number is 1."
    assert act(pool, "b", "add 2").observation == "The number is 2."
    child = act(pool, "c", "add 3", parent="a", before=["add 1"])
    assert child.observation == "The number is 4."


def test_a_step_that_already_ran_is_answered_and_not_run_again():
    factory = Counted()
    pool, _ = opened(factory)
    assert act(pool, "a", "add 1") == act(pool, "a", "add 1")
    assert [s.action for s in factory.log] == ["add 1"]


@pytest.mark.parametrize("fork", ["copy", "replay"])
def test_a_lost_branch_is_rebuilt_by_a_checked_replay(fork):
    factory = Counted(fork)
    pool, _ = opened(factory)
    act(pool, "a", "add 1")
    env = pool._live["s", "a"]
    digests = list(env.digests)
    pool.release("s")
    later = act(pool, "b", "add 2", "a", ["add 1"], digests=digests)
    assert later.observation == "The number is 3."
    assert pool.replays == 1
    with pytest.raises(ReplayMismatchError, match="observation 1"):
        act(pool, "x", "add 2", "q", ["add 2"], digests=digests)


def test_searches_do_not_close_each_other():
    pool, _ = opened(Counted())
    pool.start("t", "root", a_task(pool.factory))
    act(pool, "a", "add 1")
    act(pool, "a", "add 2", search="t")
    pool.release("s")
    assert len(pool) == 2
    child = act(pool, "b", "add 1", "a", ["add 2"], search="t")
    assert child.observation == "The number is 3."
    assert pool.replays == 0


def test_retain_closes_all_but_what_is_needed_and_release_all():
    factory = Counted()
    pool, _ = opened(factory)
    act(pool, "a", "add 1")
    act(pool, "b", "add 2")
    pool.retain("s", {"a"})
    assert list(pool._live) == [("s", "a")]
    pool.release("s")
    assert len(pool) == 0
    assert all(env.closed for env in factory.made)


def test_the_least_recently_used_branch_goes_first_and_is_replayed_when_needed():
    factory = Counted()
    pool, _ = opened(factory, max_branches=2)
    act(pool, "a", "add 1")
    act(pool, "b", "add 2")
    assert [k[1] for k in pool._live] == ["a", "b"]
    assert act(pool, "c", "add 3").observation == "The number is 3."
    assert pool.replays == 1
    assert len(pool) == 2


def test_a_rejected_message_is_answered_by_the_environment_or_ends_the_path():
    pool, _ = opened(Counted())
    assert act(pool, "a", AIMessage("")) is None


@pytest.mark.parametrize(
    ("spec", "refused"),
    [
        (EnvironmentSpec("copy"), False),
        (EnvironmentSpec("replay"), False),
        (EnvironmentSpec("replay", replayable=False), True),
        (EnvironmentSpec("none"), True),
        (EnvironmentSpec("none", replayable=False), True),
        (EnvironmentSpec("copy", replayable=False), False),
    ],
)
def test_width_needs_a_fork_and_one_branch_never_does(spec, refused):
    pool = BranchPool(Counted(spec=spec))
    pool.check_width(1)
    if refused:
        with pytest.raises(ConfigurationError, match="'scripted' cannot be branched"):
            pool.check_width(2)
    else:
        pool.check_width(9)


@pytest.mark.parametrize(
    "spec",
    [
        EnvironmentSpec("none", replayable=False),
        EnvironmentSpec("replay", replayable=False),
        EnvironmentSpec("none"),
    ],
    ids=str,
)
def test_the_only_branch_moves_on_instead_of_being_replayed(spec):
    factory = Counted(spec=spec)
    pool, _ = opened(factory)
    act(pool, "a", "add 1")
    act(pool, "b", "add 2", "a", ["add 1"])
    assert len({s.engine for s in factory.log}) == 1
    assert not any(s.replayed for s in factory.log)
    assert len(pool) == 1


def test_what_forbids_replay_cannot_be_rebuilt():
    pool, _ = opened(Counted("none"))
    pool.release("s")
    with pytest.raises(ForkError, match="forbids replay"):
        act(pool, "a", "add 1")


class Failing(ScriptedEnvironment):
    def _reset(self, task):
        if getattr(self._shared, "down", False):
            raise OSError("down")
        return super()._reset(task)

    def _step(self, action):
        if action == "add 3":
            raise OSError("died")
        return super()._step(action)


def test_an_engine_that_raises_is_closed_and_named_and_its_sibling_lives():
    factory = Counted(kind=Failing)
    pool, _ = opened(factory)
    with pytest.raises(EnvironmentFailedError, match=r"OSError in step of task"):
        act(pool, "a", "add 3")
    assert factory.made[-1].closed
    assert act(pool, "b", "add 1").observation == "The number is 1."


class Away(ScriptedEnvironment):
    def _step(self, action):
        raise ConnectionResetError(action)


@pytest.mark.parametrize(("fork", "retryable"), [("replay", True), ("none", False)])
def test_a_lost_engine_may_be_asked_again_where_a_replay_is_allowed(fork, retryable):
    factory = Counted(fork, kind=Away)
    pool, _ = opened(factory)
    with pytest.raises(EnvironmentFailedError) as failure:
        act(pool, "a", "add 1")
    assert failure.value.retryable is retryable


class NoCopy(ScriptedEnvironment):
    def _copy(self):
        raise MemoryError


def test_a_branch_that_could_not_be_forked_is_not_kept_closed():
    factory = Counted(kind=NoCopy)
    pool, _ = opened(factory)
    with pytest.raises(EnvironmentFailedError, match="in fork of task"):
        act(pool, "a", "add 1")
    assert not [env for env in pool._live.values() if env.closed]


def test_the_grammar_needs_no_task_and_close_ends_everything():
    factory = Counted()
    pool, _ = opened(factory)
    assert pool.grammar.parse(AIMessage("Action: add 2")) == "add 2"
    assert pool.grammar is pool.grammar
    pool.close()
    assert len(pool) == 0
    assert all(env.closed for env in factory.made)


class Fragile(ScriptedEnvironment):
    """Notices when two threads are inside an engine at once."""

    inside = 0

    def _step(self, action):
        Fragile.inside += 1
        assert Fragile.inside == 1
        answer = super()._step(action)
        threading.Event().wait(0.002)
        Fragile.inside -= 1
        return answer


def test_an_environment_that_is_not_thread_safe_is_used_by_one_thread_at_a_time():
    factory = Counted(kind=Fragile, spec=EnvironmentSpec("copy", thread_safe=False))
    pool, _ = opened(factory)
    errors = []

    def work(i):
        try:
            act(pool, f"n{i}", "add 1")
        except Exception as error:  # noqa: BLE001 - judged below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(pool) == 9
