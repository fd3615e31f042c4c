"""Groups of candidates, and verifiers and reward models that answer from a script."""

from __future__ import annotations

from langchain_agentrm.reward_agent import Verdict
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch, Usage


def group(*actions, name="g", goal="do it"):
    return [Trajectory((Turn("o", a),), goal=goal, group=name) for a in actions]


def by(**scores):
    return ScriptedRewardModel(scores)


def values(batch):
    assert all(score.ok for score in batch.items), batch.items
    return [score.value for score in batch.items]


class Scripted:
    """A verifier that answers by action; what it lacks, it abstains on."""

    mode = "pointwise"
    purpose = "Reads the script."

    def __init__(self, name, script, *, usage=None, applies=True):
        self.name = name
        self.script = script
        self.usage = usage or Usage(1, 10, 2)
        self.asked = []
        self._applies = applies

    def applies(self, trajectory):
        return self._applies

    def verify(self, trajectories):
        self.asked.append([t.turns[-1].action for t in trajectories])
        if isinstance(self.script, Exception):
            raise self.script
        nothing = Verdict(reason="not in the script")
        got = [self.script.get(t.turns[-1].action, nothing) for t in trajectories]
        verdicts = [v if isinstance(v, Verdict) else Verdict(v) for v in got]
        return Batch(verdicts, self.usage)

    async def averify(self, trajectories):
        return self.verify(trajectories)
