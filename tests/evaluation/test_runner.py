"""Chunks are kept, not computed twice, and not mixed with another plan's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_agentrm.engine import as_proposer
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation import runner
from langchain_agentrm.evaluation.runner import Plan, evaluate
from tests.search.doubles import game


@pytest.fixture
def parts(monkeypatch):
    policy, reward_model, factory = game()
    monkeypatch.setattr(runner, "CHUNK", 2)
    monkeypatch.setattr(runner.registry, "get", lambda name: factory)
    monkeypatch.setattr(runner, "_load", lambda p: (as_proposer(policy), reward_model))
    return policy, factory


def plan_of(factory, limit=5):
    tasks = factory.tasks("test", limit=limit)
    return Plan("scripted", tasks, ["greedy"], "policy", "rm")


def test_a_run_goes_on_from_its_kept_chunks(parts, tmp_path):
    policy, factory = parts
    plan = plan_of(factory)

    class Stopped(Exception):
        pass

    seen = []

    def stop(records):
        seen.append(records)
        if len(seen) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        evaluate(plan, workers=0, keep=tmp_path, on_chunk=stop)
    asked = policy.calls
    records = evaluate(plan, workers=0, keep=tmp_path)
    assert [r.task for r in records] == [t["id"] for t in plan.tasks]
    assert records[:4] == [r for chunk in seen for r in chunk]
    assert policy.calls > asked
    asked = policy.calls
    told = []
    assert evaluate(plan, workers=0, keep=tmp_path, on_chunk=told.append) == records
    assert policy.calls == asked
    assert len(told) == 3


def test_another_plan_is_refused(parts, tmp_path):
    _, factory = parts
    plan = plan_of(factory)
    evaluate(plan, workers=0, keep=tmp_path)
    with pytest.raises(ConfigurationError, match=tmp_path.name):
        evaluate(replace(plan, policy="another"), workers=0, keep=tmp_path)


def test_without_a_folder_nothing_is_kept(parts, tmp_path):
    _, factory = parts
    assert len(evaluate(plan_of(factory, 3), workers=0)) == 3
    assert list(tmp_path.iterdir()) == []
