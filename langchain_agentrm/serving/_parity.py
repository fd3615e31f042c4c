"""How far the ways of running one reward model are apart: in process and in vLLM."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_agentrm.errors import RewardModelError
from langchain_agentrm.reward_models import AgentRM
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.reward_models.vllm import VLLMRewardModel
from langchain_agentrm.reward_models.vllm_engine import VLLMEngineRewardModel
from langchain_agentrm.serving.vllm import VLLMServer
from langchain_agentrm.trajectory import Trajectory, Turn

__all__ = ["ParityRow", "parity", "sample_trajectories"]


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One way of running the model, beside the plain one in process.

    Attributes:
        backend: Which way.
        maximum: Largest absolute difference from in process, in units of the score.
        mean: Mean absolute difference.
        spread: Standard deviation of the scores in process, to compare those with.
        same_order: Whether both rank the texts alike, ties below 1e-4 aside.
        texts: How many texts were scored.
        tokens: Tokens of all texts.
        cached: Those of them read from a cache; None where the backend does not say.
    """

    backend: str
    maximum: float
    mean: float
    spread: float
    same_order: bool
    texts: int
    tokens: int
    cached: int | None


def parity(
    path: str | Path,
    vllm_python: str | Path | None = None,
    trajectories: Sequence[Trajectory] | None = None,
    *,
    dtype: str = "float32",
    on_event: Callable[[str], None] = lambda _: None,
) -> list[ParityRow]:
    """Score the same trajectories in process, by a vLLM server and by vLLM's engine.

    Each vLLM scores twice: cold, and again from its prefix cache.

    Args:
        path: Checkpoint folder, or a hub id.
        vllm_python: The Python that holds vLLM; this process's own if None.
        trajectories: What to score; `sample_trajectories()` if None.
        dtype: Precision of all.
        on_event: Told in a sentence what happens.

    Returns:
        One row for each way other than the plain one: in process with kept prefixes,
        HTTP and engine, cold and cached.

    Raises:
        RewardModelError: If one of them does not score one of the texts.
        CheckpointError: If the folder holds no reward model.
        ConfigurationError: If there is no vLLM.
    """
    texts = list(sample_trajectories() if trajectories is None else trajectories)
    on_event("in process, one padded batch")
    plain = AgentRM(path, dtype=dtype, keep_prefix=False)
    reference = _values(plain, texts, "in process")[0]
    rows = []

    def add(backend: str, model: RewardModel, *, counts: bool = True) -> None:
        on_event(backend)
        values, tokens, cached = _values(model, texts, backend)
        rows.append(
            _row(backend, reference, values, tokens, cached if counts else None)
        )

    add("in process, kept prefixes", AgentRM(path, dtype=dtype))
    on_event("starting a vLLM server")
    with VLLMServer(path, vllm_python=vllm_python, dtype=dtype) as server:
        client = VLLMRewardModel(server.url, tokenizer=server.served.tokenizer)
        add("vLLM HTTP, cold", client, counts=False)
        add("vLLM HTTP, cached", client, counts=False)
    on_event("starting a vLLM engine")
    with VLLMEngineRewardModel(path, vllm_python=vllm_python, dtype=dtype) as engine:
        add("vLLM engine, cold", engine)
        add("vLLM engine, cached", engine)
    return rows


def sample_trajectories(states: int = 12, candidates: int = 4) -> list[Trajectory]:
    """Made-up trajectories of growing length, a few candidates each.

    Args:
        states: How many states; the i-th has i turns before it.
        candidates: Candidates a state, at most eight.

    Returns:
        The trajectories; those of one state share all but their last action.
    """
    actions = (
        "go forward",
        "turn left",
        "pick up the red ball",
        "open the blue door",
        "turn right",
        "drop the key",
        "go to the green box",
        "toggle the yellow door",
    )[:candidates]
    return [
        Trajectory(
            turns=(
                *(
                    Turn(f"You see a wall, {i % 7} ahead.", actions[i % len(actions)])
                    for i in range(state)
                ),
                Turn("You see a red ball and a blue door.", action),
            ),
            goal="go to the red ball",
            instruction="You are in a grid.",
            search_id="parity",
            group=f"state {state}",
        )
        for state in range(states)
        for action in actions
    ]


def _values(
    model: RewardModel, texts: Sequence[Trajectory], backend: str
) -> tuple[list[float], int, int]:
    batch = model.score(texts)
    values = [score.value for score in batch.items if score.value is not None]
    if len(values) < len(texts):
        error = next(score.error for score in batch.items if score.value is None)
        msg = f"{backend}: {len(texts) - len(values)} of {len(texts)} texts failed."
        raise RewardModelError(msg, remedy=f"The first says: {error}")
    return values, batch.usage.input_tokens, batch.usage.cached_tokens


def _row(
    backend: str,
    reference: Sequence[float],
    values: Sequence[float],
    tokens: int,
    cached: int | None,
) -> ParityRow:
    apart = [abs(a - b) for a, b in zip(reference, values, strict=True)]
    tie = 1e-4
    pairs = [
        (reference[i] - reference[j], values[i] - values[j])
        for i in range(len(values))
        for j in range(i)
    ]
    return ParityRow(
        backend=backend,
        maximum=max(apart),
        mean=statistics.fmean(apart),
        spread=statistics.pstdev(reference),
        same_order=all(a * b > 0 for a, b in pairs if abs(a) > tie),
        texts=len(values),
        tokens=tokens,
        cached=cached,
    )
