"""Methods over tasks in lockstep, beside the graphs that users run."""

from __future__ import annotations

import pytest

from langchain_agentrm import create_beam_search, create_best_of_n
from langchain_agentrm.engine import Models, as_proposer, drive_many
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.episodes import (
    beam,
    greedy,
    open_task,
    rollouts,
    score_all,
    vote,
)
from langchain_agentrm.evaluation.methods import METHODS, MethodSettings, run_chunk
from langchain_agentrm.search import RoundSettings
from langchain_agentrm.testing.scripted import (
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from tests.search.doubles import closeness, game


def lockstep(make, answers=None, scores=closeness):
    policy, _, factory = game()
    policy = ScriptedPolicy(answers=answers) if answers else policy
    models = Models(as_proposer(policy), ScriptedRewardModel(scores))
    tasks = factory.tasks("test", limit=6)
    return drive_many([make(open_task(factory, t)) for t in tasks], models), tasks


def coarse(trajectory):
    """Many ties, so that the order among equals shows."""
    return round(closeness(trajectory) * 25) / 25


@pytest.mark.parametrize("scores", [closeness, coarse])
@pytest.mark.parametrize("finished", ["compete", "aside"])
@pytest.mark.parametrize("widths", [(1, 4), (3, 2)])
def test_beams_in_lockstep_find_what_the_graph_finds(widths, finished, scores):
    width, each = widths
    settings = RoundSettings(beam_width=width, expansions=each, finished=finished)
    found, tasks = lockstep(
        lambda root: beam(root, settings, resolution=0.0), scores=scores
    )
    policy, _, factory = game()
    graph = create_beam_search(
        policy,
        ScriptedRewardModel(scores),
        factory,
        beam_width=width,
        expansions=each,
        finished=finished,
    ).compile()
    for (best, _), task in zip(found, tasks, strict=True):
        result = graph.invoke({"task": task})["result"]
        assert best.env.actions_taken == result["actions"]
        assert best.value == result["score"]


def test_best_of_n_in_lockstep_finds_what_the_graph_finds():
    def both(root):
        ends = yield from rollouts(root, n=4, temperature=0.7, seed=0)
        values = yield from score_all(ends)
        return max(zip(values, ends, strict=True), key=lambda p: p[0])

    found, tasks = lockstep(both)
    graph = create_best_of_n(*game(), n=4).compile()
    for (value, _), task in zip(found, tasks, strict=True):
        assert graph.invoke({"task": task})["result"]["score"] == value


def test_greedy_follows_the_first_answer_and_vote_the_most_frequent():
    answers = ["add 1", "add 2", "add 2", "take 1", "add 2"]
    followed, tasks = lockstep(greedy, answers)
    for branch, task in zip(followed, tasks, strict=True):
        goal = 3 + task["seed"] % 4 + 6 * (task["type"] == "count_far")
        assert branch.env.actions_taken == ["add 1"] * goal
    voted, _ = lockstep(lambda r: vote(r, n=5, temperature=1.0, seed=0), answers)
    assert all(set(b.env.actions_taken) == {"add 2"} for b in voted)


def test_lockstep_is_one_call_a_wave_and_the_same_as_alone():
    policy, reward_model, factory = game()
    settings = RoundSettings(beam_width=2, expansions=2)
    tasks = factory.tasks("test", ["count_far"], limit=3)

    def run(some, scorer):
        return drive_many(
            [beam(open_task(factory, t), settings, resolution=0.0) for t in some],
            Models(as_proposer(policy), scorer),
        )

    together = run(tasks, reward_model)
    longest = max(len(best.env.actions_taken) for best, _ in together)
    assert reward_model.calls <= 2 * longest
    alone = [run([t], ScriptedRewardModel(closeness))[0] for t in tasks]
    assert [b.state.id for b, _ in together] == [b.state.id for b, _ in alone]


def test_records_of_all_methods():
    policy, reward_model, factory = game()
    tasks = factory.tasks("test", limit=4)
    told = []
    records = run_chunk(
        factory,
        tasks,
        as_proposer(policy),
        reward_model,
        METHODS,
        MethodSettings(),
        progress=told.append,
    )
    assert told == list(METHODS)
    assert len(records) == len(METHODS) * len(tasks)
    by = {(r.method, r.task): r for r in records}
    assert len(by) == len(records)
    for r in records:
        assert 0 <= r.score <= r.held <= 1
        assert r.policy_tokens > 0
        assert 1 <= r.steps <= 12
    for t in tasks:
        pool = [by[m, t["id"]] for m in ("best-of-5", "oracle-of-5", "random-of-5")]
        assert len({r.held for r in pool}) == 1
        assert pool[1].score == pool[1].held >= pool[0].score
        assert by["beam-5x5", t["id"]].score == 1
    for method in ("greedy", "vote-of-5", "random-beam-5x2", "likelihood-of-5"):
        assert all(by[method, t["id"]].rm_tokens == 0 for t in tasks)


def test_an_unknown_method_is_named_with_the_known_ones():
    policy, reward_model, factory = game()
    with pytest.raises(ConfigurationError, match=r"'magic'.*greedy"):
        run_chunk(
            factory, [], as_proposer(policy), reward_model, ["magic"], MethodSettings()
        )


def test_the_environment_of_a_root_is_never_stepped():
    factory = ScriptedFactory()
    root = open_task(factory, factory.task("count", 203))
    policy, reward_model, _ = game()
    drive_many([greedy(root)], Models(as_proposer(policy), reward_model))
    assert root.env.actions_taken == []
