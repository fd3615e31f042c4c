"""What an evaluation is set to, and what it finds out about one method on one task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Draw", "MethodSettings", "Record"]


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """Settings fixed on dev seeds before any test episode.

    Attributes:
        pool_temperature: Of the samples that the pool methods share.
        vote_temperature: Of the vote.
        beam_temperature: Of all beams.
        finished: Whether finished beams compete or stand aside.
        seed: Run seed.
    """

    pool_temperature: float = 0.7
    vote_temperature: float = 0.7
    beam_temperature: float = 1.0
    finished: Literal["compete", "aside"] = "compete"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One method on one task.

    Attributes:
        method: Name of the method.
        env: Environment.
        type: Task type.
        task: Task id.
        score: Episode score, 0..1.
        held: Best score among what the method could have picked at its end.
        steps: Actions of the chosen path; the rounded mean for `random-of-N`.
        policy_tokens: Tokens the method would take alone.
        rm_tokens: The same for the reward model.
        seconds: Wall-clock seconds, its share of the chunk.
        progress: Last progress that the environment reported, 0..1.
        success: 1 if the task was solved; the share of samples for `random-of-N`.
        policy_calls: Requests of the policy; its share of those made for the chunk.
        rm_calls: The same for the reward model.
        env_steps: Actions that engines executed, those of replays included.
    """

    method: str
    env: str
    type: str
    task: str
    score: float
    held: float
    steps: int
    policy_tokens: float
    rm_tokens: float
    seconds: float
    progress: float = 0.0
    success: float = 0.0
    policy_calls: float = 0.0
    rm_calls: float = 0.0
    env_steps: float = 0.0


@dataclass(frozen=True, slots=True)
class Draw:
    """One sampled episode of a pool.

    Attributes:
        score: Episode score.
        progress: Last progress.
        success: Whether the task was solved.
        steps: Actions.
        logprob: Sum of the policy's log-probabilities of its actions.
        ended: Whether it ended before the step limit.
        value: The reward model's score; None where there is none.
    """

    score: float
    progress: float
    success: bool
    steps: int
    logprob: float
    ended: bool
    value: float | None = None
