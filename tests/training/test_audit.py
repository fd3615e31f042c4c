from __future__ import annotations

import json
import random

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError, ReplayMismatchError
from langchain_agentrm.training import audit as module
from langchain_agentrm.training.audit import AUDIT_FILE, AuditConfig, audit_labels
from langchain_agentrm.training.trees import TreesConfig, build_trees
from langchain_agentrm.types import Batch, Candidate, Transition, Usage
from tests.training.game import CountFactory, CountGame, RandomPolicy


class Coin(RandomPolicy):
    """Adds 2 once, then says `done` or adds 1; so values are known by hand."""

    def propose(self, requests):
        self.calls += 1
        items = []
        for request in requests:
            rng = random.Random(request.seed)
            words = {"see: 0": ["add 2"], "see: 2": ["add 2", "add 1"]}
            seen = str(request.messages[-1].text).splitlines()[-1]
            options = words.get(seen, ["done"])
            texts = [rng.choice(options) for _ in range(request.n)]
            items.append([Candidate(AIMessage(t), request.parent) for t in texts])
        return Batch(items, Usage(len(requests)))


@pytest.fixture
def trees(tmp_path):
    config = TreesConfig(env="count", tasks=40, simulations=4)
    out = tmp_path / "trees"
    build_trees(config, out, out, factory=CountFactory(), make_proposer=Coin)
    return out


def _audit(trees, out, make_proposer=Coin, **settings):
    config = AuditConfig(**{"states": 30, "rerolls": 16, **settings})
    return audit_labels(
        config, trees, trees, out, factory=CountFactory(), make_proposer=make_proposer
    )


def test_deterministic_states_have_labels_without_error(trees, tmp_path):
    # After `add 2` and `add 2` all win, after `add 2` and `add 1` all lose.
    report = _audit(trees, tmp_path / "a")["counts"]
    assert json.loads((tmp_path / "a" / AUDIT_FILE).read_text()) == report
    assert report["states"] >= 30
    assert report["label_rmse"] == 0
    assert report["sibling_ceiling"] == 1
    assert report["label_accuracy"] == 1
    assert report["sibling_pairs"] == report["states"] / 2
    assert report["fresh_sd"] == pytest.approx(0.5, abs=0.01)


def test_noisy_labels_show_their_error_and_their_ceiling(tmp_path):
    config = TreesConfig(env="count", tasks=60, simulations=12)
    out = tmp_path / "trees"
    build_trees(config, out, out, factory=CountFactory(), make_proposer=RandomPolicy)
    report = _audit(out, tmp_path / "a", RandomPolicy, states=80, rerolls=60)["counts"]
    assert 0.02 < report["label_rmse_net"] < report["label_rmse"] < 0.4
    assert report["open_states"] < report["states"]
    low, high = report["sibling_ceiling_low"], report["sibling_ceiling_high"]
    assert 0.5 < low <= report["sibling_ceiling"] <= high <= 1
    assert low < high


def test_a_stopped_audit_goes_on(trees, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 3)
    whole = _audit(trees, tmp_path / "whole")["counts"]

    class StoppedError(Exception):
        pass

    def stop(done, total, **_):
        if done == 2:
            raise StoppedError

    config = AuditConfig(states=30, rerolls=16)
    options = {"factory": CountFactory()}
    with pytest.raises(StoppedError):
        audit_labels(
            config,
            trees,
            trees,
            tmp_path / "parts",
            make_proposer=Coin,
            progress=stop,
            **options,
        )
    asked = []

    class Told(Coin):
        def propose(self, requests):
            asked.extend(r.parent for r in requests)
            return super().propose(requests)

    resumed = _audit(trees, tmp_path / "parts", Told)["counts"]
    assert resumed == whole
    again = []

    class All(Coin):
        def propose(self, requests):
            again.extend(r.parent for r in requests)
            return super().propose(requests)

    _audit(trees, tmp_path / "fresh", All)
    assert 0 < len(asked) < len(again)
    with pytest.raises(ConfigurationError, match=r"rerolls=16.*rerolls=17"):
        _audit(trees, tmp_path / "parts", rerolls=17)


def test_another_game_than_the_stored_one_is_told(trees, tmp_path):
    class Other(CountGame):
        def _step(self, action):
            return Transition(f"changed: {super()._step(action).observation}")

    class Factory(CountFactory):
        def make(self):
            return Other()

    with pytest.raises(ReplayMismatchError):
        audit_labels(
            AuditConfig(states=4, rerolls=2),
            trees,
            trees,
            tmp_path / "a",
            factory=Factory(),
            make_proposer=Coin,
        )


def test_trees_without_siblings_are_an_error(tmp_path):
    class One(Coin):
        def propose(self, requests):
            items = [[Candidate(AIMessage("done"), r.parent)] * r.n for r in requests]
            return Batch(items, Usage())

    config = TreesConfig(env="count", tasks=4, simulations=2)
    out = tmp_path / "trees"
    build_trees(config, out, out, factory=CountFactory(), make_proposer=One)
    with pytest.raises(ConfigurationError, match="two labelled actions"):
        _audit(out, tmp_path / "a", One)
