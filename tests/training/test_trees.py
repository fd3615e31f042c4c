from __future__ import annotations

import dataclasses
import importlib.util
import math
import random
import sqlite3
from collections import Counter

import pytest
from langchain_core.messages import AIMessage
from typer.testing import CliRunner

from langchain_agentrm.cli.train import app
from langchain_agentrm.errors import CheckpointError, ConfigurationError, PolicyError
from langchain_agentrm.search.mcts import select, ucb
from langchain_agentrm.training import _policy, episodes
from langchain_agentrm.training._effects import run_in_loop, run_lockstep
from langchain_agentrm.training._parts import Part
from langchain_agentrm.training.cost import estimate_trees
from langchain_agentrm.training.episodes import plant, run_mcts, run_rollouts
from langchain_agentrm.training.mcts import SearchSettings, search_steps
from langchain_agentrm.training.store import ChunkResult, TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from langchain_agentrm.types import Batch, Candidate
from tests.servers.openai_server import running
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
        packed = ChunkResult.pack(tree)
        bad = dataclasses.replace(
            ChunkResult(99, [packed]), trees=[packed, packed]
        )  # the same task twice
        with pytest.raises(sqlite3.IntegrityError):
            store.add(bad, chunk_size=4)
        assert store.totals() == before
        assert 99 not in store.chunks()


SEARCH = TreesConfig.paper(
    env="count", tasks=18, chunk=6, simulations=6, width=4, seed=3
)


def test_the_papers_search_stopped_within_a_chunk_goes_on_to_the_same_trees(tmp_path):
    whole = _build(tmp_path / "whole", SEARCH)
    assert whole["counts"]["tree_iterations"] > 18
    assert not (tmp_path / "whole" / "parts").exists()

    class StoppedError(Exception):
        pass

    class Mortal(RandomPolicy):
        def propose(self, requests):
            if self.calls == 20:
                raise StoppedError
            return super().propose(requests)

    out = tmp_path / "parts"
    options = {"factory": CountFactory(), "make_proposer": Mortal}
    with pytest.raises(StoppedError):
        build_trees(SEARCH, out, out, **options)
    assert list((out / "parts").iterdir())
    changed = SEARCH.model_copy(update={"rollouts": 3})
    with pytest.raises(ConfigurationError, match=r"rollouts=2.*rollouts=3"):
        _build(out, changed)
    _build(out, SEARCH)
    assert _dump(out) == _dump(tmp_path / "whole")
    assert not (out / "parts").exists()


def test_settings_of_the_search_do_not_touch_other_labellers():
    assert "rollouts" not in CONFIG.plain()
    assert SEARCH.plain()["rollouts"] == 2
    paper = TreesConfig.paper()
    assert (paper.simulations, paper.width, paper.c) == (30, 5, 0.7)
    assert (paper.temperature, paper.rollout_temperature) == (1.0, 0.7)


def test_a_full_disk_keeps_what_was_stored_and_says_what_to_do(tmp_path):
    _build(tmp_path)
    with TreeStore(tmp_path / STORE_FILE) as store:
        pages = store._db.execute("pragma page_count").fetchone()[0]
        store._db.execute(f"pragma max_page_count={pages}")
        before = store.totals()
        packed = _bulky(999)
        with pytest.raises(CheckpointError, match=r"trees\.sqlite.*full.*Make room"):
            store.add(ChunkResult(99, [packed]), chunk_size=4)
        assert store.totals() == before
        assert len(list(store.trees())) == 30
    with TreeStore(tmp_path / STORE_FILE) as store:
        store.add(ChunkResult(99, [packed]), chunk_size=4)
        assert 99 in store.chunks()
        assert store.totals()["trees"] == 31


def _bulky(seed):
    tree = plant(CountFactory(), CountFactory().task("plain", seed))
    packed = ChunkResult.pack(tree)
    more = [packed.nodes[0]._replace(node_id=i, action="a" * 900) for i in range(900)]
    return packed._replace(nodes=more)


def test_a_full_disk_within_a_chunk_loses_one_iteration_at_most(tmp_path):
    class Full(Part):
        def flush(self, trees, usage):
            if usage.requests > 60:
                pages = self._db.execute("pragma page_count").fetchone()[0]
                self._db.execute(f"pragma max_page_count={pages}")
            super().flush(trees, usage)

    factory = CountFactory()
    tasks = factory.tasks("train", ["plain"], 6)
    settings = SearchSettings(iterations=40, width=4)

    def grow(kind):
        with kind(tmp_path / "part", {}) as part:
            searches = [
                part.search(i, t, factory, settings) for i, t in enumerate(tasks)
            ]
            begun = sum(search.iteration for search in searches)
            steps = [search_steps(search) for search in searches]
            run_lockstep(steps, RandomPolicy(), after=part.flush)
            return begun, [ChunkResult.pack(search.tree) for search in searches]

    with pytest.raises(CheckpointError, match="full"):
        grow(Full)
    begun, resumed = grow(Part)
    assert begun > 0
    (tmp_path / "part").unlink()
    _, alone = grow(Part)
    assert [x.nodes for x in resumed] == [x.nodes for x in alone]


_FIRST_SCHEMA = """
create table meta(name text primary key, value text not null);
create table chunks(
  chunk integer primary key, env_steps int, requests int, input_tokens int,
  output_tokens int, lost int, cpu_seconds real);
create table trees(
  tree_id integer primary key, chunk int, task_id text unique, task text, start text,
  config text, status text, env_steps int, n int, w real);
create table nodes(
  tree_id int, node_id int, parent int, action text, observation text, reward real,
  done int, depth int, n int, w real, invalid int, primary key(tree_id, node_id)
) without rowid;
insert into meta values('config', '{}');
insert into chunks values(0, 3, 2, 1, 1, 0, 0.5);
insert into trees values(0, 0, 'plain:0',
  '{"env": "count", "type": "plain", "id": "plain:0", "seed": 0}',
  '{"goal": "g", "observation": "o"}', '{}', 'finished', 3, 1, 1.0);
insert into nodes values(0, 0, null, '', 'o', 0.0, 0, 0, 1, 1.0, 0);
insert into nodes values(0, 1, 0, 'done', 'end', 1.0, 1, 1, 1, 1.0, 0);
"""


def test_a_store_of_the_first_version_is_read_and_goes_on(tmp_path):
    path = tmp_path / STORE_FILE
    with sqlite3.connect(path) as db:
        db.executescript(_FIRST_SCHEMA)
    db.close()
    for _ in range(2):
        with TreeStore(path) as store:
            (tree,) = store.trees()
            assert [node.action for node in tree.nodes] == ["", "done"]
            assert tree.nodes[1].to_run() == "done"
            assert tree.nodes[1].v0 is None
            assert store.totals()["env_steps"] == 3
    with TreeStore(path) as store:
        new = plant(CountFactory(), CountFactory().task("plain", 5))
        store.add(ChunkResult(1, [ChunkResult.pack(new)]), chunk_size=1)
        assert store.totals()["trees"] == 2


def test_a_store_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / STORE_FILE
    with TreeStore(path, CONFIG.plain()) as store:
        store._db.execute("pragma user_version=99")
    with pytest.raises(CheckpointError, match="version 99"):
        TreeStore(path)


def test_a_file_that_is_no_store_is_an_error(tmp_path):
    path = tmp_path / STORE_FILE
    path.write_bytes(b"this is no database" * 500)
    with pytest.raises(CheckpointError, match=r"trees\.sqlite.*not a database"):
        TreeStore(path)


def test_costs_are_told_before_and_measured_after(tmp_path):
    before = estimate_trees(SEARCH, tmp_path, factory=CountFactory())
    # 6 iterations of 4 answers, each with 2 rollouts of half of 5 steps.
    assert before.answers == 18 * 6 * 4 * (1 + 2 * 5 / 2)
    assert before.formula.endswith("6 x 4 x (1 + 2 x 5/2)")
    assert before.input_tokens is None

    class StoppedError(Exception):
        pass

    def stop(done, total, **_):
        if done == 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        _build(tmp_path, SEARCH, progress=stop)
    half = estimate_trees(SEARCH, tmp_path, factory=CountFactory())
    assert (half.done, half.trees) == (6, 12)
    assert half.answers == before.answers * 12 / 18
    with TreeStore(tmp_path / STORE_FILE) as store:
        totals = store.totals()
    assert half.requests == 2 * totals["requests"]
    assert half.input_tokens == 2 * totals["input_tokens"]
    spent = estimate_trees(
        SEARCH.model_copy(update={"budget": 9}), factory=CountFactory()
    )
    assert (spent.answers, spent.formula) == (18 * 9, "budget = 9")


@pytest.mark.parametrize("labeller", ["rollouts", "mcts", "agentrm"])
def test_a_server_is_asked_about_many_trees_at_once(tmp_path, labeller, monkeypatch):
    pytest.importorskip("langchain_openai", reason="the served policy needs it")
    made, make = [], _policy.served_policy

    def noted(spec, base_url):
        made.append(make(spec, base_url))
        return made[-1]

    monkeypatch.setattr(_policy, "served_policy", noted)
    with running() as server:
        words = ["add 1", "add 2", "add 2", "done", "nonsense"]
        server.script.answer = lambda body, i: random.Random(
            f"{body['seed']} {i} {len(body['messages'])}"
        ).choice(words)
        server.script.latency = 0.05
        config = SEARCH.model_copy(
            update={"labeller": labeller, "simulations": 3, "tasks": 16, "chunk": 16}
        )
        outs = []
        for in_flight in (1, 16):
            server.most_in_flight = 0
            out = tmp_path / str(in_flight)
            done = build_trees(
                config,
                "openai:m",
                out,
                base_url=server.url,
                in_flight=in_flight,
                factory=CountFactory(),
            )
            outs.append((_dump(out)[1], server.most_in_flight))
        # All clients of one address share their connections.
        run_in_loop(made[0].policy.root_async_client.close())
        assert done["config"]["policy_hash"] == "openai:m"
        assert done["inputs"]["policy"] == "openai:m"
    assert outs[0][0] == outs[1][0]
    if labeller == "mcts":
        assert outs[0][1] == 1
    assert outs[1][1] >= 8


def test_a_policy_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="'nowhere' is neither"):
        build_trees(CONFIG, "nowhere", tmp_path, factory=CountFactory())


@pytest.mark.skipif(
    importlib.util.find_spec("langchain_agentrm_babyai") is None,
    reason="the BabyAI environment is not installed",
)
def test_a_dry_run_tells_the_cost_and_builds_nothing(tmp_path):
    out = tmp_path / "trees"
    command = ["trees", "--policy", "nowhere", "--out", str(out), "--dry-run"]
    some = ["--labeller", "agentrm", "--tasks", "10"]
    done = CliRunner().invoke(app, [*command, *some])
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "10 trees to build, 0 are there" in told
    assert "= 30 x 5 x (1 + 2 x 12/2)" in told
    assert f"{10 * 30 * 5 * 13:,}" in told
    assert not out.exists()
