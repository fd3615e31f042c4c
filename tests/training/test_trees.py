from __future__ import annotations

import dataclasses
import math
import sqlite3
from collections import Counter

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError, PolicyError
from langchain_agentrm.search.mcts import select, ucb
from langchain_agentrm.training import episodes
from langchain_agentrm.training.episodes import plant, run_mcts, run_rollouts
from langchain_agentrm.training.store import TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from langchain_agentrm.types import Batch, Candidate
from tests.training.game import CountFactory, CountGame, RandomPolicy


@pytest.fixture(autouse=True)
def _empty_log():
    CountGame.executed.clear()


def _trees(count=20):
    factory = CountFactory()
    return [plant(factory, task) for task in factory.tasks("train", ["plain"], count)]


@pytest.mark.parametrize("labeller", ["rollouts", "mcts"])
def test_counts_and_returns_add_up(labeller):
    trees = _trees()
    if labeller == "rollouts":
        run_rollouts(trees, RandomPolicy(), 8, seed=0)
    else:
        run_mcts(trees, RandomPolicy(), 12, seed=0)
    simulations = 8 if labeller == "rollouts" else 12
    for tree in trees:
        assert tree.root.n == simulations
        for node in tree.nodes:
            below = sum(child.n for child in node.children.values())
            ended = node.n - below
            assert ended >= 0
            if not node.over:
                assert ended == 0
                assert node.w == sum(child.w for child in node.children.values())
            elif node.n:
                assert node.w == node.n * node.score
    assert 0 < sum(tree.root.w for tree in trees) < simulations * len(trees)


@pytest.mark.parametrize("labeller", ["rollouts", "mcts"])
def test_no_step_is_executed_twice(labeller):
    trees = _trees()
    if labeller == "rollouts":
        run_rollouts(trees, RandomPolicy(), 8, seed=0)
    else:
        run_mcts(trees, RandomPolicy(), 30, seed=0)
    assert max(Counter(CountGame.executed).values()) == 1
    assert sum(tree.env_steps for tree in trees) == len(CountGame.executed)


def test_all_tasks_share_one_call_per_step():
    policy = RandomPolicy()
    run_rollouts(_trees(50), policy, 8, seed=0)
    assert policy.calls == 5  # the step limit


def test_invalid_answers_are_children_worth_nothing():
    trees = _trees(60)
    run_rollouts(trees, RandomPolicy(), 8, seed=0)
    invalid = [node for tree in trees for node in tree.nodes if node.invalid]
    assert len(invalid) > 10
    assert all(node.over and node.w == 0 and node.n > 0 for node in invalid)


def test_step_limit_ends_an_episode_that_the_game_does_not_end():
    class Adder(RandomPolicy):
        def propose(self, requests):
            answer = [Candidate(AIMessage("add 1"), r.parent) for r in requests]
            return Batch([[a] * r.n for a, r in zip(answer, requests, strict=True)])

    (tree,) = _trees(1)
    run_rollouts([tree], Adder(), 3, seed=0)
    assert [node.n for node in tree.nodes] == [3] * 6
    assert tree.nodes[-1].over


def test_answers_that_never_came_give_no_return():
    class Half(RandomPolicy):
        def propose(self, requests):
            batch = super().propose(requests)
            return Batch([items[: len(items) // 2] for items in batch.items])

    rolled, searched = _trees(2)
    run_rollouts([rolled], Half(), 8, seed=0)
    run_mcts([searched], Half(), 10, seed=0, width=4)
    for tree, simulations in ((rolled, 8), (searched, 10)):
        assert tree.lost
        assert 0 <= tree.root.n < simulations


def test_a_policy_that_fails_at_the_first_step_is_an_error():
    class Broken(RandomPolicy):
        def propose(self, requests):
            msg = "nothing came"
            raise PolicyError(msg)

    with pytest.raises(PolicyError, match="nothing came"):
        run_rollouts(_trees(1), Broken(), 1, seed=0)


def test_search_finds_more_success_than_plain_rollouts():
    rolled, searched, greedy = _trees(12), _trees(12), _trees(12)
    run_rollouts(rolled, RandomPolicy(), 40, seed=0)
    run_mcts(searched, RandomPolicy(), 40, seed=0, c=0.5)
    run_mcts(greedy, RandomPolicy(), 40, seed=0, c=0.1)
    plain, some, more = (sum(t.root.w for t in x) for x in (rolled, searched, greedy))
    assert plain < some < more


def test_ucb_by_hand():
    assert ucb(4, 2.0, 16, 0.5) == pytest.approx(
        0.5 + 0.5 * math.sqrt(math.log(17) / 4)
    )
    assert ucb(0, 0.0, 16, 0.5) == math.inf
    visited = [
        episodes.Node(i, None, "", "", "", 1, n=2, w=w) for i, w in enumerate("ab")
    ]
    visited[0].w, visited[1].w = 0.0, 2.0
    assert select(visited, 4, 0.5, lambda _: 0) is visited[1]
    visited[0].n = 0
    assert select(visited, 4, 0.5, lambda _: 0) is visited[0]


def _dump(folder):
    with sqlite3.connect(folder / STORE_FILE) as db:
        trees = db.execute("select * from trees order by tree_id").fetchall()
        nodes = db.execute("select * from nodes order by tree_id, node_id").fetchall()
    db.close()
    return trees, nodes


CONFIG = TreesConfig(env="count", tasks=30, chunk=4, simulations=6, seed=3)


def _build(out, config=CONFIG, **options):
    return build_trees(
        config,
        out,
        out,
        factory=CountFactory(),
        make_proposer=RandomPolicy,
        **options,
    )


@pytest.mark.parametrize("labeller", ["rollouts", "mcts"])
def test_a_stopped_build_goes_on_to_the_same_trees(tmp_path, labeller):
    config = CONFIG.model_copy(update={"labeller": labeller})
    manifest = _build(tmp_path / "whole", config)
    assert manifest["counts"]["trees"] == 30

    class StoppedError(Exception):
        pass

    def stop(done, total, **_):
        if done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        _build(tmp_path / "parts", config, progress=stop)
    assert len(_dump(tmp_path / "parts")[0]) == 12
    assert not (tmp_path / "parts" / "manifest.json").exists()
    seen = []
    _build(
        tmp_path / "parts", config, progress=lambda done, total, **_: seen.append(done)
    )
    assert seen[0] == 3
    assert _dump(tmp_path / "parts") == _dump(tmp_path / "whole")


def test_worker_processes_make_the_same_trees(tmp_path):
    _build(tmp_path / "one")
    _build(tmp_path / "two", workers=2)
    assert _dump(tmp_path / "one") == _dump(tmp_path / "two")


def test_a_finished_build_is_not_repeated(tmp_path):
    first = _build(tmp_path)
    CountGame.executed.clear()
    assert _build(tmp_path) == first
    assert CountGame.executed == []


def test_changed_settings_are_refused_by_name(tmp_path):
    with TreeStore(tmp_path / STORE_FILE, CONFIG.plain()):
        pass
    other = CONFIG.model_copy(update={"simulations": 7})
    with pytest.raises(ConfigurationError, match=r"simulations=6.*simulations=7"):
        _build(tmp_path, other)


def test_a_chunk_that_fails_half_way_leaves_nothing(tmp_path):
    _build(tmp_path)
    with TreeStore(tmp_path / STORE_FILE) as store:
        before = store.totals()
        tree = plant(CountFactory(), CountFactory().task("plain", 999))
        from langchain_agentrm.training.store import ChunkResult

        packed = ChunkResult.pack(tree)
        bad = dataclasses.replace(
            ChunkResult(99, [packed]), trees=[packed, packed]
        )  # the same task twice
        with pytest.raises(sqlite3.IntegrityError):
            store.add(bad, chunk_size=4)
        assert store.totals() == before
        assert 99 not in store.chunks()
