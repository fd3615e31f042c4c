from __future__ import annotations

from collections import Counter

import pytest

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.training.samples import (
    SamplesConfig,
    extract_samples,
    label_tree,
    leaf_paths,
    read_samples,
)
from langchain_agentrm.training.store import StoredNode, StoredTree
from langchain_agentrm.training.trees import TreesConfig, build_trees
from langchain_agentrm.types import TaskRef
from tests.training.game import CountFactory, RandomPolicy

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
