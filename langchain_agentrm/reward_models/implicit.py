"""The implicit reward of a step, beta * log(policy / reference), in process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from langchain_agentrm._checkpoint import placement
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models._implicit.load import load_pair
from langchain_agentrm.reward_models._implicit.logprobs import LogProbs
from langchain_agentrm.reward_models._implicit.probe import probe
from langchain_agentrm.reward_models._implicit.steps import (
    Ask,
    ReadOut,
    StepRewards,
    comparable_of,
)
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.trajectory import Trajectory, Turn
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["ImplicitRewardModel"]


class ImplicitRewardModel:
    """Reads how much likelier each action is to a policy than to its reference.

    The reward of step t is `beta * log(policy(a_t | s_t) / reference(a_t | s_t))`,
    summed over the tokens of the assistant turn with its end-of-turn token; what the
    chat template writes around them is left out. The read-out makes one score of them:
    their sum (`"cumulative"`), their `"mean"` or `"min"`, or the `"last"` one.

    A step's reward is read when the step is the last one and then remembered. A path
    longer than the context keeps the rewards of its dropped turns: they were, or are
    now, read in the text that fitted then.

    Source: Rafailov et al. 2024 (From r to Q*), Yuan et al. 2024 (implicit PRM), and
    the AgentRM paper's implicit model.

    Attributes:
        resolution: Differences below it are ties.
        comparable: `"global"` for `"mean"`, else `"depth"`: sums and minima move with
            the number of steps, and one step's advantage says nothing of the others.
        max_length: Longest text in tokens; older turns are dropped beyond it.
    """

    def __init__(
        self,
        policy: str | Path,
        reference: str | Path | None = None,
        *,
        beta: float = 0.05,
        read: ReadOut = "cumulative",
        device: str | None = None,
        dtype: str | None = None,
        max_length: int | None = None,
        batch_tokens: int = 8192,
        prefix_bytes: int = 1 << 30,
    ) -> None:
        """Load both models and check that they read alike.

        Args:
            policy: Folder or hub id of a causal language model, or of a LoRA adapter.
            reference: The same of the reference. None where the policy is an adapter:
                its base, with the adapter off and no second copy of the weights.
            beta: Factor of the log-ratios, as in training.
            read: The read-out.
            device: Torch device; the GPU where there is one.
            dtype: Torch dtype; float32 on a CPU, bfloat16 else.
            max_length: Longest text; the shorter context of the two where None.
            batch_tokens: Tokens of one forward pass, padding included.
            prefix_bytes: Bound of the keys and values that both models keep, together;
                0 to keep none. A text that alone is beyond it is read whole, as are
                all texts of models with sliding windows or recurrent layers.

        Raises:
            CheckpointError: If a part is missing, the models read a conversation
                differently, or the chat template writes earlier turns anew.
            ConfigurationError: If an option cannot work, or there is no reference.
        """
        for name, value in (("max_length", max_length), ("batch_tokens", batch_tokens)):
            if value is not None and value < 1:
                msg = f"{name}={value} does not work."
                raise ConfigurationError(msg, remedy="Use a positive number.")
        place, kind = placement(device, dtype)
        on, off = load_pair(policy, reference, place, kind)
        self.path = str(policy)
        self.tokens = on.tokens
        context = min(on.context, off.context)
        self.max_length = min(max_length or context, context)
        self._steps = StepRewards(self.tokens, self.max_length, beta=beta, read=read)
        self.comparable: Comparable = comparable_of(read)
        # Sums of float32 log-probabilities repeat to about 1e-4 a step, whatever else
        # is in the batch; those of bfloat16 to about 0.1.
        self.resolution = beta * (1e-3 if kind == torch.float32 else 0.1)
        self._sides = tuple(
            LogProbs(
                side,
                place,
                kind,
                batch_tokens=batch_tokens,
                prefix_bytes=prefix_bytes // 2,
            )
            for side in (on, off)
        )
        texts = _probes(self.tokens, context)
        for side in self._sides:
            side.check(texts)
        self.keeps_prefix = all(side.shares for side in self._sides)
        self._lock = threading.Lock()

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories; a step that was read before is not read again.

        Args:
            trajectories: What competes.

        Returns:
            One score each, with the last step's reward as the signal `step_reward` and
            `dropped_turns` where some were; an error where a turn does not fit, its
            tokens cannot be told, or its log-ratio is not finite. The usage counts the
            texts of both models.
        """
        if not trajectories:
            return Batch([])
        with self._lock:
            plan = self._steps.plan(trajectories)
            before = sum(side.encoded for side in self._sides)
            policy, reference = (side.sums(plan.asks) for side in self._sides)
            encoded = sum(side.encoded for side in self._sides) - before
            ratios = [
                [a - b for a, b in zip(one, other, strict=True)]
                for one, other in zip(policy, reference, strict=True)
            ]
            scores = self._steps.settle(plan, ratios)
        tokens = 2 * sum(len(ask.ids) for ask in plan.asks)
        usage = Usage(
            requests=2 * len(plan.asks),
            input_tokens=tokens,
            cached_tokens=max(0, tokens - encoded),
        )
        return checked(trajectories, Batch(scores, usage))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`; the models run in a thread."""
        return await asyncio.to_thread(self.score, trajectories)

    def forget(self) -> None:
        """Drop all remembered rewards and kept beginnings."""
        with self._lock:
            self._steps.forget()
            for side in self._sides:
                side.forget()


def _probes(tokens: ChatTokens, context: int) -> list[Ask]:
    """Two texts that begin alike, all of their steps wanted."""
    first = probe(tokens)
    *past, last = first.turns
    sibling = replace(first, turns=(*past, Turn(last.observation, "turn left")))
    steps = StepRewards(tokens, context, beta=1.0, read="cumulative")
    return steps.plan([first, sibling]).asks
