from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from langchain_agentrm.environments.base import EnvironmentSpec
from langchain_agentrm.errors import ForkError, PolicyError
from langchain_agentrm.sampling.chat import ChatProposer
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.training import _effects
from langchain_agentrm.training._effects import run_lockstep, run_side_by_side
from langchain_agentrm.training._parts import Part
from langchain_agentrm.training._walks import turn
from langchain_agentrm.training.episodes import plant
from langchain_agentrm.training.mcts import Search, SearchSettings, search_steps
from langchain_agentrm.training.store import ChunkResult, TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from langchain_agentrm.types import Batch, Candidate, Transition, Usage
from tests.training.game import CountFactory, CountGame, RandomPolicy

SETTINGS = SearchSettings(iterations=12, width=4, rollouts=2)


@pytest.fixture(autouse=True)
def _empty_log():
    CountGame.executed.clear()


class ReplayGame(CountGame):
    """The same game, whose state cannot be copied."""

    spec = EnvironmentSpec(fork="replay")
    alive = 0
    most = 0

    def __init__(self):
        super().__init__()
        type(self).alive += 1
        type(self).most = max(self.most, self.alive)

    def close(self):
        type(self).alive -= 1


@dataclass
class Factory(CountFactory):
    game: type[CountGame] = CountGame
    spec: EnvironmentSpec = field(default_factory=lambda: CountGame.spec)

    def make(self):
        return self.game()


def replaying(game=ReplayGame):
    return Factory(game=game, spec=game.spec)


def _searches(count=8, factory=None, settings=SETTINGS):
    factory = factory or CountFactory()
    tasks = factory.tasks("train", ["plain"], count)
    return [Search.begin(plant(factory, t), factory, settings) for t in tasks]


def _grown(count=8, factory=None, settings=SETTINGS, policy=None):
    searches = _searches(count, factory, settings)
    run_lockstep([search_steps(s) for s in searches], policy or RandomPolicy())
    return [search.tree for search in searches]


def _packed(trees):
    return [ChunkResult.pack(tree)[3] for tree in trees]


def _children(node):
    return list(dict.fromkeys(node.children.values()))


@pytest.mark.parametrize("merge", [True, False])
def test_every_value_is_the_mean_of_what_was_backed_up_through_it(merge):
    settings = SearchSettings(iterations=12, width=4, merge_actions=merge)
    for tree in _grown(settings=settings):
        assert tree.status == "finished"
        for node in tree.nodes:
            if node.over:
                assert node.w == pytest.approx(node.n * node.score)
                assert node.n >= 1
                continue
            first = 0 if node is tree.root else 1
            kids = _children(node)
            assert node.n == first + sum(kid.n for kid in kids)
            assert node.w == pytest.approx(
                (node.v0 or 0.0) + sum(kid.w for kid in kids)
            )


def test_expansions_make_one_child_an_action_and_count_its_votes():
    for tree in _grown():
        for node in tree.nodes:
            if node.expanded:
                texts = [kid.text for kid in _children(node)]
                assert len(texts) == len(set(texts))
                assert sum(kid.votes for kid in _children(node)) == SETTINGS.width


def test_without_merging_each_answer_is_a_child_with_rollouts_of_its_own():
    plain = SearchSettings(iterations=12, width=4, merge_actions=False, cache=False)
    merged, apart = _grown(), _grown(settings=plain)
    for tree in apart:
        assert len(_children(tree.root)) == 4
        assert "merged_actions" not in tree.counters
        assert len({kid.path for kid in _children(tree.root)}) == 4
    draws = [sum(t.counters["draws"] for t in trees) for trees in (merged, apart)]
    assert draws[0] < draws[1]


def test_a_step_that_was_seen_is_executed_again_only_to_get_back():
    trees = _grown()
    fresh = sum(t.env_steps for t in trees)
    assert fresh == len(set(CountGame.executed))
    assert sum(t.counters["cached"] for t in trees) > 0
    known = {
        (t.task["id"], tuple(n.text for n in _way(n)))
        for t in trees
        for n in t.nodes
        if n.parent is not None and not n.invalid
    }
    assert known <= set(CountGame.executed)


def _way(node):
    out = []
    while node.parent is not None:
        out.insert(0, node)
        node = node.parent
    return out


def test_the_cache_changes_no_value():
    bare = SearchSettings(iterations=12, width=4, cache=False)
    CountGame.executed.clear()
    cached = _packed(_grown())
    steps = len(CountGame.executed)
    CountGame.executed.clear()
    assert _packed(_grown(settings=bare)) == cached
    assert steps < len(CountGame.executed)


@pytest.mark.parametrize("engines", [1, 3])
def test_replayed_engines_give_the_same_trees_and_stay_few(engines):
    ReplayGame.alive = ReplayGame.most = 0
    settings = SearchSettings(iterations=12, width=4, engines=engines)
    trees = _grown(1, replaying(), settings)
    assert _packed(trees) == _packed(_grown(1, settings=settings))
    # One more reads answers and stands at the root, one more is on its way.
    assert ReplayGame.most <= engines + 2
    assert ReplayGame.alive == 0
    assert trees[0].work["replayed"] > 0


def test_children_that_show_the_same_are_one_if_asked():
    class Idle(CountGame):
        def parse(self, message):
            text = str(message.text)
            return text if text in {"wait", "look", "add 1", "done"} else None

        def _step(self, action):
            if action in {"wait", "look"}:
                return Transition(f"see: {self.total}")
            return super()._step(action)

        def _copy(self):
            twin = Idle()
            twin.total = self.total
            return twin

    class Policy(RandomPolicy):
        def propose(self, requests):
            items = []
            for r in requests:
                rng = random.Random(r.seed)
                words = ["wait", "look", "add 1", "done"]
                texts = words if r.n == 4 else [rng.choice(words)]
                items.append([Candidate(AIMessage(t), r.parent) for t in texts])
            return Batch(items, Usage())

    factory = Factory(game=Idle)
    settings = SearchSettings(iterations=5, width=4, merge_states=True)
    (tree,) = _grown(1, factory, settings, Policy())
    (apart,) = _grown(1, factory, SearchSettings(iterations=5, width=4), Policy())
    assert len(_children(tree.root)) == 3
    assert len(_children(apart.root)) == 4
    assert tree.root.children["look"] is tree.root.children["wait"]
    assert tree.root.children["wait"].votes == 2
    assert tree.counters["merged_states"] > 0


def test_a_tree_ends_when_all_leaves_are_ends():
    class Done(RandomPolicy):
        def propose(self, requests):
            items = [[Candidate(AIMessage("done"), r.parent)] * r.n for r in requests]
            return Batch(items, Usage())

    (tree,) = _grown(1, policy=Done())
    assert tree.ended == "complete"
    assert tree.counters["iterations"] == 1
    assert len(tree.nodes) == 2


def test_a_tree_ends_when_its_budget_is_spent():
    settings = SearchSettings(iterations=50, width=4, budget=60)
    trees = _grown(settings=settings)
    assert "budget" in {tree.ended for tree in trees}
    whole = 4 + 4 * 2 * 4  # the iteration that spends the last of it ends first
    assert all(tree.counters["draws"] < 60 + whole for tree in trees)


def test_an_environment_that_is_not_repeatable_taints_its_tree(tmp_path):
    class Drifting(ReplayGame):
        steps = 0

        def _step(self, action):
            answer = super()._step(action)
            if self.task["id"] != "plain:1":
                return answer
            Drifting.steps += 1
            return Transition(f"{answer.observation} {Drifting.steps // 12}")

    factory = replaying(Drifting)
    config = TreesConfig(env="count", labeller="agentrm", tasks=3, simulations=8)
    done = build_trees(
        config, tmp_path, tmp_path, factory=factory, make_proposer=RandomPolicy
    )
    assert done["counts"]["tainted"] == 1
    with TreeStore(tmp_path / STORE_FILE) as store:
        found = {tree.task["id"]: tree.status for tree in store.trees()}
    assert found == {
        "plain:0": "finished",
        "plain:1": "tainted",
        "plain:2": "finished",
    }


def test_an_environment_that_cannot_be_branched_is_refused():
    class Once(CountGame):
        spec = EnvironmentSpec(fork="replay", replayable=False)

    with pytest.raises(ForkError, match=r"'count' cannot be branched"):
        _searches(1, replaying(Once))


def test_where_the_policy_is_silent_the_tree_goes_on_elsewhere():
    class Silent(RandomPolicy):
        """Says nothing once the sum is 2, as if the context were full."""

        def propose(self, requests):
            batch = super().propose(requests)
            full = [str(r.messages[-1].text) == "see: 2" for r in requests]
            if all(full):
                raise PolicyError("full")
            return Batch(
                [[] if no else c for no, c in zip(full, batch.items, strict=True)],
                batch.usage,
            )

    trees = _grown(policy=Silent())
    blocked = [node for tree in trees for node in tree.nodes if node.blocked]
    assert blocked
    assert all(node.observation == "see: 2" and not node.expanded for node in blocked)
    # No episode went through them, so nothing was made up about their value.
    assert all(node.v0 is None and node.n == 0 for node in blocked)
    assert sum(tree.lost for tree in trees) > 0


def _chat():
    words = ["add 1", "add 2", "add 2", "done", "nonsense"]
    return ScriptedPolicy(answers=lambda messages, rng: rng.choice(words))


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize("threads", [True, False])
async def test_any_number_of_trees_in_flight_gives_the_same_trees(in_flight, threads):
    searches = _searches(12)
    usage = await run_side_by_side(
        [search_steps(s) for s in searches],
        ChatProposer(_chat()),
        in_flight=in_flight,
        threads=threads,
    )
    alone = _grown(12, policy=ChatProposer(_chat()))
    assert _packed([s.tree for s in searches]) == _packed(alone)
    draws = sum(s.tree.counters["draws"] for s in searches)
    assert 0 < usage.requests <= draws


async def test_trees_in_flight_are_as_many_as_asked():
    most = now = 0

    class Slow(RandomPolicy):
        async def apropose(self, requests):
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.005)
            now -= 1
            return self.propose(requests)

    searches = _searches(16)
    steps = [search_steps(s) for s in searches]
    await run_side_by_side(steps, Slow(), in_flight=8, threads=False)
    assert most == 8


async def test_a_policy_that_fails_for_now_is_asked_again_then_an_error(monkeypatch):
    monkeypatch.setattr(_effects, "_PAUSE", 0.001)

    class Weak(RandomPolicy):
        failures = 0

        async def apropose(self, requests):
            self.failures += 1
            if self.failures % 3:
                raise PolicyError("busy", retryable=True)
            return self.propose(requests)

    (search,) = _searches(1, settings=SearchSettings(iterations=1, width=4, rollouts=1))
    await run_side_by_side([search_steps(search)], Weak(), in_flight=1, threads=False)
    assert search.tree.status == "finished"
    assert search.tree.lost == 0

    class Down(RandomPolicy):
        async def apropose(self, requests):
            raise PolicyError("down", retryable=True)

    searches = _searches(3)
    steps = [search_steps(s) for s in searches]
    with pytest.raises(PolicyError, match="down"):
        await run_side_by_side(steps, Down(), in_flight=2, threads=False)


@pytest.mark.parametrize("stop", [1, 9, 20])
@pytest.mark.parametrize("game", [CountGame, ReplayGame])
def test_a_part_goes_on_after_the_last_whole_iteration(tmp_path, stop, game):
    class StoppedError(Exception):
        pass

    class Mortal(RandomPolicy):
        def propose(self, requests):
            if self.calls == stop:
                raise StoppedError
            return super().propose(requests)

    factory = Factory(game=game, spec=game.spec)
    tasks = factory.tasks("train", ["plain"], 4)

    def run(policy, path):
        with Part(path, {"a": 1}) as part:
            searches = [
                part.search(i, task, factory, SETTINGS) for i, task in enumerate(tasks)
            ]
            begun = [s.iteration for s in searches]
            steps = [search_steps(s) for s in searches]
            run_lockstep(steps, policy, after=part.flush)
            return begun, searches, part.usage

    _, alone, usage = run(RandomPolicy(), tmp_path / "alone")
    with pytest.raises(StoppedError):
        run(Mortal(), tmp_path / "killed")
    begun, resumed, spent = run(RandomPolicy(), tmp_path / "killed")
    assert (max(begun) > 0) is (stop > 1)
    trees = [s.tree for s in alone], [s.tree for s in resumed]
    assert _packed(trees[0]) == _packed(trees[1])
    assert [s.engines.seen for s in alone] == [s.engines.seen for s in resumed]
    for one, other in zip(*trees, strict=True):
        for name in ("draws", "rollouts", "cached", "iterations"):
            assert one.counters[name] == other.counters[name]
    assert spent.requests >= usage.requests - 5 * len(tasks)


def test_tool_calls_are_answered_one_by_one():
    calls = [{"name": "a", "args": {"x": 1}}, {"name": "b", "args": {}}]
    spoken, *answers = turn(calls, "thinking", "seen", 3)
    assert spoken.text == "thinking"
    assert [c["id"] for c in spoken.tool_calls] == ["call-3-0", "call-3-1"]
    assert all(isinstance(answer, ToolMessage) for answer in answers)
    assert [a.tool_call_id for a in answers] == ["call-3-0", "call-3-1"]


def test_thoughts_stay_with_the_policy_and_out_of_the_labels():
    class Thinking(CountGame):
        def parse(self, message):
            return super().parse(AIMessage(str(message.text).rpartition(": ")[2]))

        def _copy(self):
            twin = Thinking()
            twin.total = self.total
            return twin

    seen = Counter()

    class Thinker(RandomPolicy):
        def propose(self, requests):
            for r in requests:
                seen.update(type(m).__name__ for m in r.messages if "Hm" in m.text)
            batch = super().propose(requests)
            said = [
                [Candidate(AIMessage(f"Hm: {c.message.text}"), c.parent) for c in some]
                for some in batch.items
            ]
            return Batch(said, batch.usage)

    (tree,) = _grown(1, Factory(game=Thinking), policy=Thinker())
    assert seen["AIMessage"] > 0
    nodes = ChunkResult.pack(tree)[3]
    valid = [n for n in nodes if n.parent is not None and not n.invalid]
    assert all(n.said == f"Hm: {n.action}" and n.to_run() == n.action for n in valid)
    assert json.loads(json.dumps(nodes)) is not None
