"""A suite over the scripted game, and rows that a report can be made of."""

from __future__ import annotations

import json

from langchain_agentrm.engine import as_proposer
from langchain_agentrm.evaluation.suite_config import (
    EnvironmentChoice,
    EvalConfig,
    PolicyChoice,
    RewardModelChoice,
)
from tests.search.doubles import game


class Game:
    """The parts of a suite: each policy and reward model of the scripted game.

    A task whose id is in `broken` makes its environment raise at reset.
    """

    def __init__(self, broken=(), error=None):
        self.policy, self.scorer, self._factory = game()
        self.broken = set(broken)
        self.error = error or RuntimeError("the engine fell over")

    def factory(self, choice):
        return _Breaking(self._factory, self)

    def proposer(self, choice):
        return as_proposer(self.policy)

    def reward_model(self, choice):
        return self.scorer


class _Breaking:
    def __init__(self, factory, parts):
        self._factory = factory
        self._parts = parts

    def __getattr__(self, name):
        return getattr(self._factory, name)

    def make(self):
        env = self._factory.make()
        reset = env.reset

        def checked(task):
            if task["id"] in self._parts.broken:
                raise self._parts.error
            return reset(task)

        env.reset = checked
        return env


def config(**changes):
    """A small suite."""
    return EvalConfig(
        **{
            "environments": (EnvironmentChoice(env="scripted", episodes=4),),
            "policies": {"p": PolicyChoice(model="p")},
            "reward_models": {"r": RewardModelChoice(model="r", trees_from="p")},
            "methods": ("greedy", "likelihood-of-2", "best-of-4", "beam-2x2"),
            **changes,
        }
    )


def row(method, number, score, **more):
    """One row of `episodes.jsonl`."""
    return {
        "method": method,
        "policy": "p",
        "rm": "r" if method.startswith(("best", "beam")) else "-",
        "env": "e",
        "task": "e",
        "task_id": str(number),
        "type": "t",
        "group": "held_in",
        "seed": 0,
        "N": 5,
        "W1": 0,
        "W2": 0,
        "score": score,
        "policy_tokens": 10.0,
        "rm_tokens": 5.0,
        "env_steps": 3.0,
        "wall_s": 0.1,
        "failure": "",
        **more,
    }


def write_run(
    folder,
    rows,
    *,
    pools=(),
    environments=({"env": "e"},),
    policies=("p",),
    reward_models=None,
    models=None,
):
    """A finished run's folder, but for its manifest."""
    folder.mkdir(parents=True)
    settings = {
        "environments": list(environments),
        "policies": policies
        if isinstance(policies, dict)
        else {name: {} for name in policies},
        "reward_models": {"r": {}} if reward_models is None else reward_models,
        "models": models or {},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, some in (("episodes", rows), ("pools", pools)):
        text = "".join(json.dumps(r) + "\n" for r in some)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


def both(n, greedy, guided, **more):
    """Rows of greedy and best-of-5 on n tasks, with these mean scores."""
    out = []
    for i in range(n):
        out.append(row("greedy", i, float(i < greedy * n), **more))
        out.append(row("best-of-5", i, float(i < guided * n), **more))
    return out
