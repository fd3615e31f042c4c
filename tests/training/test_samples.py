from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections import Counter

import pytest

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.training._sample_rules import (
    Label,
    balanced,
    capped,
    labels_of,
    pooled,
    quota,
)
from langchain_agentrm.training.samples import (
    LabelledPath,
    SamplesConfig,
    TaskSamples,
    check_splits,
    extract_samples,
    label_tree,
    leaf_paths,
    read_samples,
    state_rows,
)
from langchain_agentrm.training.store import StoredNode, StoredTree, TreeStore
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from langchain_agentrm.types import TaskRef
from tests.training.game import CountFactory, CountGame, RandomPolicy

TASK = TaskRef(env="count", type="plain", id="plain:0", seed=0)


def _node(i, parent, n, w, *, done=False, invalid=False):
    depth = 0 if parent is None else 1
    return StoredNode(i, parent, f"a{i}", f"o{i}", w, done, depth, n, w, invalid)


# Root, a shared first action, two ends below it, an invalid answer and a never-run one.
TREE = StoredTree(
    TASK,
    "goal",
    "first",
    (
        _node(0, None, 8, 3.0),
        _node(1, 0, 6, 3.0),
        _node(2, 1, 5, 3.0, done=True),
        _node(3, 1, 1, 0.0, done=True),
        _node(4, 0, 2, 0.0, done=True, invalid=True),
        _node(5, 0, 0, 0.0),
    ),
)


def test_paths_end_at_visited_valid_leaves():
    paths = [[node.node_id for node in path] for path in leaf_paths(TREE.nodes)]
    assert paths == [[1, 2], [1, 3]]


def test_every_prefix_is_labelled_once_with_its_mean_return():
    samples = label_tree(TREE, SamplesConfig())
    assert [path.labels for path in samples.paths] == [
        [(0.5, 6), (0.6, 5)],
        [None, (0.0, 1)],
    ]
    assert [path.count for path in samples.paths] == [5, 1]
    assert samples.paths[0].steps == [("a1", "o1"), ("a2", "o2")]


def test_visit_filter_spares_states_where_the_episode_ended():
    samples = label_tree(TREE, SamplesConfig(min_visits=7))
    assert [path.labels for path in samples.paths] == [
        [None, (0.6, 5)],
        [None, (0.0, 1)],
    ]


@pytest.fixture
def trees(tmp_path):
    build_trees(
        TreesConfig(env="count", tasks=60, simulations=6),
        tmp_path,
        tmp_path / "trees",
        factory=CountFactory(),
        make_proposer=RandomPolicy,
    )
    return tmp_path / "trees"


def test_split_is_by_task_and_complete(trees, tmp_path):
    manifest = extract_samples(SamplesConfig(val_share=0.3), trees, tmp_path / "s")
    train = read_samples(tmp_path / "s" / "train.jsonl")
    val = read_samples(tmp_path / "s" / "val.jsonl")
    ids = Counter(samples.task["id"] for samples in [*train, *val])
    assert max(ids.values()) == 1
    assert 5 < len(val) < 35
    assert len(train) + len(val) == len(ids) == 60
    labels = [x for s in [*train, *val] for p in s.paths for x in p.labels if x]
    assert manifest["counts"]["labels"] == len(labels)
    assert all(0 <= value <= 1 and n >= 1 for value, n in labels)


def test_no_validation_task_is_an_error(trees, tmp_path):
    with pytest.raises(ConfigurationError, match="0 validation tasks"):
        extract_samples(SamplesConfig(val_share=1e-9), trees, tmp_path / "s")


def test_absent_trees_are_named(tmp_path):
    with pytest.raises((CheckpointError, FileNotFoundError), match="manifest"):
        extract_samples(SamplesConfig(), tmp_path / "none", tmp_path / "s")


def _label(task, value, n=1, *, text=None, env="count", step=0):
    return Label(task, env, 0, step, value, n, text or f"{task}.{step}")


def test_equal_texts_of_a_task_are_one_label_weighed_by_visits():
    some = [_label("a", 1.0, 3, text="x"), _label("a", 0.0, 1, text="x", step=4)]
    (one,) = pooled(some)
    assert (one.value, one.n, one.step) == (0.75, 4, 0)
    assert len(pooled([*some, _label("a", 0.5, text="y")])) == 2


def test_equal_actions_of_unmerged_children_are_one_label():
    nodes = [
        _node(0, None, 4, 2.0),
        _node(1, 0, 3, 2.0, done=True),
        _node(2, 0, 1, 0.0, done=True)._replace(action="a1", observation="o1"),
    ]
    samples = label_tree(StoredTree(TASK, "goal", "first", nodes), SamplesConfig())
    assert [x.value for x in labels_of(samples)] == [0.6667, 0.0]
    assert [(x.value, x.n) for x in pooled(labels_of(samples))] == [(0.5, 4)]


def test_a_cap_keeps_the_best_visited_of_each_task():
    some = [_label("a", 0.1, n, step=n) for n in (1, 5, 3)] + [_label("b", 0.1)]
    assert [(x.task, x.n) for x in capped(some, 2)] == [("a", 5), ("a", 3), ("b", 1)]


def test_a_quota_holds_for_each_environment():
    some = [_label(f"t{i}", 0.5, env=env) for env in ("one", "two") for i in range(9)]
    kept = quota(some, 4, 0)
    assert Counter(x.env for x in kept) == {"one": 4, "two": 4}
    assert kept == quota(list(reversed(some)), 4, 0)[::-1]


def test_balance_bounds_bins_by_the_median_bin():
    some = [_label(f"l{i}", 0.05) for i in range(40)]
    some += [_label(f"m{i}", 0.5) for i in range(10)]
    some += [_label(f"h{i}", 1.0) for i in range(3)]
    kept = Counter(x.value for x in balanced(some, 2.0, 10, 0))
    assert kept == {0.05: 20, 0.5: 10, 1.0: 3}


def test_rules_reach_the_files_and_spare_validation(trees, tmp_path):
    plain = extract_samples(SamplesConfig(val_share=0.3), trees, tmp_path / "p")
    config = SamplesConfig(val_share=0.3, max_labels=3, balance=1.0, env_quota=25)
    done = extract_samples(config, trees, tmp_path / "r")
    assert done["config"]["max_labels"] == 3
    assert "max_labels" not in plain["config"]

    def labels(folder, side):
        rows = read_samples(tmp_path / folder / f"{side}.jsonl")
        return [labels_of(row) for row in rows]

    assert max(map(len, labels("r", "train"))) <= 3
    assert sum(map(len, labels("r", "train"))) <= 25
    before, after = labels("p", "val"), labels("r", "val")
    assert len(before) == len(after)
    assert [min(3, len(row)) for row in before] == [len(row) for row in after]


def test_texts_on_two_sides_are_counted_dropped_or_refused(trees, tmp_path):
    # The counting game looks alike in every task, so that all texts are shared.
    counted = extract_samples(SamplesConfig(val_share=0.3), trees, tmp_path / "c")
    assert counted["counts"]["shared_with_val"] > 0
    config = SamplesConfig(val_share=0.3, shared_texts="refuse")
    with pytest.raises(ConfigurationError, match=r"texts are in train and in val: "):
        extract_samples(config, trees, tmp_path / "r")
    sides = {
        side: read_samples(tmp_path / "c" / f"{side}.jsonl")
        for side in ("train", "val")
    }
    with pytest.raises(ConfigurationError, match=r"plain:\d+ action \d+ and plain:"):
        check_splits(sides)


def test_dropping_shared_texts_leaves_sides_apart(tmp_path):
    class Triples(CountGame):
        """Three tasks look alike, and no others."""

        def _reset(self, task):
            start = super()._reset(task)
            return dataclasses.replace(start, goal=f"goal {task['seed'] // 3}")

        def _copy(self):
            twin = Triples()
            twin.total = self.total
            return twin

    class Factory(CountFactory):
        def make(self):
            return Triples()

    out = tmp_path / "trees"
    build_trees(
        TreesConfig(env="count", tasks=60, simulations=6),
        out,
        out,
        factory=Factory(),
        make_proposer=RandomPolicy,
    )
    labels = {}
    for what in ("count", "drop"):
        config = SamplesConfig(val_share=0.3, shared_texts=what)
        done = extract_samples(config, out, tmp_path / what)
        labels[what] = done["counts"]["labels"]
        sides = {
            side: read_samples(tmp_path / what / f"{side}.jsonl")
            for side in ("train", "val")
        }
        if what == "count":
            with pytest.raises(ConfigurationError, match="texts are in train"):
                check_splits(sides)
        else:
            check_splits(sides)
        shared = done["counts"]["shared_with_val"]
    assert labels["count"] - shared == labels["drop"] > 0


def _samples(task, *steps):
    return TaskSamples(
        TaskRef(env="count", type="plain", id=task, seed=0),
        "goal",
        task,
        [LabelledPath([(a, "seen") for a in steps], [(0.5, 1)] * len(steps), 1.0)],
    )


def test_a_task_on_two_sides_is_named():
    with pytest.raises(
        ConfigurationError, match=r"1 tasks are in train and in val.*t1"
    ):
        check_splits({"train": [_samples("t1", "a")], "val": [_samples("t1", "b")]})
    apart = {"train": [_samples("t1", "a")], "val": [_samples("t2", "a")]}
    check_splits(apart)


def test_held_out_types_go_to_a_file_of_their_own(tmp_path):
    config = TreesConfig(env="count", tasks=40, simulations=4)
    folders = []
    for kind in ("plain", "other"):
        out = tmp_path / kind
        some = config.model_copy(update={"types": (kind,)})
        build_trees(some, out, out, factory=CountFactory(), make_proposer=RandomPolicy)
        folders.append(out)
    settings = SamplesConfig(val_share=0.2, held_out_types=("other",))
    done = extract_samples(settings, folders, tmp_path / "s")
    held = read_samples(tmp_path / "s" / "held_out.jsonl")
    assert {s.task["type"] for s in held} == {"other"}
    assert len(held) == done["counts"]["held_out_tasks"] == 40
    for side in ("train", "val"):
        rows = read_samples(tmp_path / "s" / f"{side}.jsonl")
        assert {s.task["type"] for s in rows} == {"plain"}


def test_stores_of_one_task_are_pooled(trees, tmp_path):
    again = tmp_path / "again"
    build_trees(
        TreesConfig(env="count", tasks=60, simulations=6, seed=9),
        again,
        again,
        factory=CountFactory(),
        make_proposer=RandomPolicy,
    )
    settings = SamplesConfig(val_share=0.3)
    one = extract_samples(settings, trees, tmp_path / "one")
    both = extract_samples(settings, [trees, again], tmp_path / "both")
    assert both["counts"]["train_tasks"] == one["counts"]["train_tasks"]
    rows = read_samples(tmp_path / "both" / "train.jsonl")
    for row in rows:
        texts = [x.text for x in labels_of(row)]
        assert len(texts) == len(set(texts))
    # A first action's visits are those of both runs.
    visits = max(x.n for row in rows for x in labels_of(row))
    assert visits > 6


def test_tainted_trees_give_nothing(trees, tmp_path):
    with sqlite3.connect(trees / STORE_FILE) as db:
        db.execute("update trees set status='tainted' where tree_id < 10")
    db.close()
    done = extract_samples(SamplesConfig(val_share=0.3), trees, tmp_path / "s")
    assert done["counts"]["tainted"] == 10
    with TreeStore(trees / STORE_FILE) as store:
        bad = {t.task["id"] for t in store.trees() if t.status == "tainted"}
    rows = [
        row
        for side in ("train", "val")
        for row in read_samples(tmp_path / "s" / f"{side}.jsonl")
    ]
    assert len(rows) == 50
    assert not bad & {row.task["id"] for row in rows}


def _file(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def _row(**change):
    return json.dumps({**_samples("t1", "a").plain(), **change})


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ('{"task": 1', "no JSON"),
        ("[1, 2]", "indices must be integers"),
        (
            _row(paths=[{"steps": [["a", "b"]], "labels": [], "score": 1, "count": 1}]),
            "1 steps with 0 labels",
        ),
        (
            _row(
                paths=[
                    {
                        "steps": [["a", "b"]],
                        "labels": [[float("nan"), 1]],
                        "score": 1,
                        "count": 1,
                    }
                ]
            ),
            "no finite number",
        ),
        (_row(paths=[{"steps": []}]), "lacks 'labels'"),
    ],
)
def test_malformed_rows_are_named_by_file_and_line(tmp_path, caplog, bad, what):
    path = _file(tmp_path, _row(), bad, _row())
    with pytest.raises(CheckpointError, match=rf"rows\.jsonl:2: .*{what}"):
        read_samples(path)
    assert len(read_samples(path, on_bad="skip")) == 2
    assert "rows.jsonl:2" in caplog.text


def test_another_serializer_is_refused_even_where_rows_are_skipped(tmp_path):
    path = _file(tmp_path, _row(), _row(serializer="agentrm-v0"))
    with pytest.raises(CheckpointError, match=r"rows\.jsonl:2.*agentrm-v0.*agentrm-v1"):
        read_samples(path, on_bad="skip")


def test_state_rows_are_plain_and_end_with_the_action():
    path = LabelledPath([("a", "seen a"), ("b", "end")], [(0.5, 2), (1.0, 1)], 1.0)
    samples = dataclasses.replace(_samples("t1"), paths=[path])
    first, second = state_rows(samples, "train", instruction="Role.")
    assert first["messages"][-1] == {"role": "assistant", "content": "a"}
    assert [m["role"] for m in second["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    assert (second["value"], second["n"], second["depth"]) == (1.0, 1, 2)
    assert first["parent_id"] != second["parent_id"]
    assert json.loads(json.dumps(second)) == second
