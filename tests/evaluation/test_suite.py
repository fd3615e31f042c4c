"""Suites: their rows, their resumption, and what becomes of failures."""

from __future__ import annotations

import json

import pytest

from langchain_agentrm.errors import ConfigurationError, PolicyError
from langchain_agentrm.evaluation.naming import parse_method
from langchain_agentrm.evaluation.suite import (
    EPISODES_FILE,
    POOLS_FILE,
    read_config,
    run_suite,
)
from langchain_agentrm.evaluation.suite_config import (
    EnvironmentChoice,
    EvalConfig,
    RewardModelChoice,
    tasks_of,
)
from tests.evaluation.suites import Game, config


def rows(folder, name=EPISODES_FILE):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def timeless(some):
    """Rows without what depends on who was played in the same block."""
    shares = {"wall_s", "rm_calls"}
    return [{k: v for k, v in r.items() if k not in shares} for r in some]


def test_a_suite_has_a_row_a_method_and_task(tmp_path):
    settings = config(seeds=(0, 1))
    seen = []
    done = run_suite(
        settings, tmp_path, workers=0, parts=Game(), on_rows=seen.extend, block=3
    )
    found = rows(tmp_path)
    tasks = {r["task_id"] for r in found}
    assert done["counts"]["failures"] == 0
    assert len(found) == len(tasks) * 2 * 4 == done["counts"]["episodes"] == len(seen)
    assert {r["group"] for r in found} == {"held_in", "held_out"}
    for r in found:
        assert 0 <= r["score"] <= r["held"] <= 1
        assert r["rm"] == ("r" if r["method"] in {"best-of-4", "beam-2x2"} else "-")
        assert r["env_steps"] >= r["steps"]
        assert r["policy_tokens"] > 0
        assert not r["failure"]
    for method in settings.methods:
        calls = sum(r["rm_calls"] for r in found if r["method"] == method)
        assert (calls > 0) == parse_method(method).guided
    beam = next(r for r in found if r["method"] == "beam-2x2")
    assert (beam["N"], beam["W1"], beam["W2"]) == (0, 2, 2)


def test_methods_of_one_pool_agree_with_it(tmp_path):
    run_suite(config(), tmp_path, workers=0, parts=Game())
    pools = {p["task_id"]: p for p in rows(tmp_path, POOLS_FILE)}
    for r in rows(tmp_path):
        pool = pools[r["task_id"]]
        assert len(pool["draws"]) == len(pool["values"]["r"]) == 4
        if r["method"] == "best-of-4":
            best = max(range(4), key=pool["values"]["r"].__getitem__)
            assert r["score"] == pytest.approx(pool["draws"][best]["score"])
            assert r["steps"] == pool["draws"][best]["steps"]
        if r["method"] == "likelihood-of-2":
            assert r["held"] == max(d["score"] for d in pool["draws"][:2])


class Stop(Exception):
    pass


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_stopped_run_goes_on_to_the_same_rows(tmp_path, blocks):
    run_suite(config(), tmp_path / "whole", workers=0, parts=Game(), block=2)
    seen = []

    def stop(some):
        seen.extend(some)
        if len(seen) >= blocks * 2 * 4:
            raise Stop

    out = tmp_path / "stopped"
    with pytest.raises(Stop):
        run_suite(config(), out, workers=0, parts=Game(), block=2, on_rows=stop)
    # What a killed process leaves: rows of half a task, and half a line.
    lines = (out / EPISODES_FILE).read_text().splitlines(keepends=True)
    (out / EPISODES_FILE).write_text("".join(lines[:-2]) + lines[-2][:20])
    parts = Game()
    run_suite(config(), out, workers=0, parts=parts, block=3)
    for name in (EPISODES_FILE, POOLS_FILE):
        whole = timeless(rows(tmp_path / "whole", name))
        assert timeless(rows(out, name)) == whole
    # Tasks that were whole are not played again.
    played = {step.task for step in parts._factory.log}
    kept = {r["task_id"] for r in seen}
    assert blocks == 1 or kept - played


def test_a_finished_run_is_not_repeated(tmp_path):
    first = run_suite(config(), tmp_path, workers=0, parts=Game())
    parts = Game()
    assert run_suite(config(), tmp_path, workers=0, parts=parts) == first
    assert parts.policy.calls == 0


def test_other_settings_are_refused_by_name(tmp_path):
    run_suite(config(), tmp_path, workers=0, parts=Game())
    with pytest.raises(ConfigurationError, match="beam_temperature"):
        run_suite(config(beam_temperature=0.5), tmp_path, workers=0, parts=Game())


def test_a_bad_episode_is_data_and_the_others_are_not_touched(tmp_path):
    run_suite(config(), tmp_path / "good", workers=0, parts=Game())
    good = timeless(rows(tmp_path / "good"))
    bad = good[0]["task_id"]
    done = run_suite(config(), tmp_path / "bad", workers=0, parts=Game(broken=[bad]))
    found = timeless(rows(tmp_path / "bad"))
    assert done["counts"]["failures"] == 4
    assert "fell over" in done["counts"]["first_failure"]
    for r in found:
        if r["task_id"] == bad:
            assert r["score"] == 0
            assert "RuntimeError: the engine fell over" in r["failure"]
            assert r["policy_tokens"] is None
    scores = {(r["task_id"], r["method"]): r["score"] for r in good}
    assert all(
        r["score"] == scores[r["task_id"], r["method"]]
        for r in found
        if r["task_id"] != bad
    )
    pools = {p["task_id"]: p for p in rows(tmp_path / "bad", POOLS_FILE)}
    assert pools[bad]["draws"] == []
    assert all(p["draws"] for name, p in pools.items() if name != bad)


def test_what_a_retry_may_mend_stops_the_run_and_is_no_data(tmp_path):
    name = tasks_of(config().environments[0], Game().factory(None))["held_in"][0]["id"]
    down = PolicyError("The server is down.", retryable=True)
    with pytest.raises(PolicyError, match="down"):
        run_suite(config(), tmp_path, workers=0, parts=Game([name], down))
    run_suite(config(), tmp_path, workers=0, parts=Game())
    assert not any(r["failure"] for r in rows(tmp_path))


def test_environments_of_several_options_and_seeds(tmp_path):
    settings = config(
        environments=(
            EnvironmentChoice(env="scripted", episodes=2),
            EnvironmentChoice(env="scripted", label="far", types=("count_far",)),
        ),
        reward_models={
            "r": RewardModelChoice(model="r"),
            "s": RewardModelChoice(model="s", environments=("far",)),
        },
        methods=("greedy", "beam-1x2"),
    )
    run_suite(settings, tmp_path, workers=0, parts=Game())
    found = {(r["env"], r["rm"]) for r in rows(tmp_path)}
    assert found == {
        ("scripted", "-"),
        ("scripted", "r"),
        ("far", "-"),
        ("far", "r"),
        ("far", "s"),
    }


def test_types_set_aside_have_a_group_of_their_own():
    choice = EnvironmentChoice(env="scripted", aside=("count_far",), episodes=10)
    groups = tasks_of(choice, Game().factory(choice))
    assert {g: {t["type"] for t in some} for g, some in groups.items()} == {
        "held_in": {"count"},
        "aside": {"count_far"},
    }
    assert len(groups["aside"]) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("environments: [{env: e, episode: 3}]", "episodes"),
        ("environments: []", "environments"),
        ("methods: [magic]\nenvironments: [{env: e}]", "'magic'"),
        ("environments: [{env: e}, {env: e}]", "'e'"),
        ("environments: [{env: e}]\nreward_models: {policy: {}}", "'policy'"),
        ("[1, 2]", "list"),
        ("a: [", "YAML"),
    ],
)
def test_a_bad_config_file_is_named_with_what_is_wrong(tmp_path, text, said):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"suite\.yaml") as error:
        read_config(path)
    assert said in str(error.value)


def test_options_win_over_the_file(tmp_path):
    path = tmp_path / "suite.json"
    path.write_text('{"environments": [{"env": "e"}], "seeds": [1]}')
    assert read_config(path, seeds=[2, 3]).seeds == (2, 3)


def test_labels_tell_options_and_perturbations():
    choice = EnvironmentChoice(env="alfworld", options={"perturbation": "3"})
    assert (choice.name, choice.perturbation) == ("alfworld+perturbation=3", 3)
    assert EnvironmentChoice(env="babyai").perturbation is None


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("greedy", ("greedy", 0, 0, 0)),
        ("best-of-32", ("best", 32, 0, 0)),
        ("best-of-greedy+4", ("best-greedy", 4, 0, 0)),
        ("beam-5x2", ("beam", 0, 5, 2)),
        ("random-beam-2x3", ("random-beam", 0, 2, 3)),
        ("finished-first-of-5", ("finished-first", 5, 0, 0)),
    ],
)
def test_names_of_methods(name, figures):
    m = parse_method(name)
    assert (m.kind, m.n, m.w1, m.w2) == figures


@pytest.mark.parametrize("name", ["", "best", "best-of-0", "beam-5", "oracle-of-5x"])
def test_other_names_are_refused(name):
    with pytest.raises(ConfigurationError, match="best-of-N"):
        parse_method(name)


def test_embedded_models_of_an_environment_without_any_are_refused():
    settings = EvalConfig(environments=(EnvironmentChoice(env="nowhere"),))
    with pytest.raises(LookupError, match="nowhere"):
        settings.resolved()
