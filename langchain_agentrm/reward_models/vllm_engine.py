"""A reward model run by `vllm.LLM`, without a server, in a process beside this one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from langchain_agentrm._checkpoint import load_tokenizer
from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models._texts import fitted
from langchain_agentrm.reward_models._vllm.folder import servable
from langchain_agentrm.reward_models._vllm.process import Engine
from langchain_agentrm.reward_models._vllm.python import find_vllm
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.reward_models.layout import Kind
from langchain_agentrm.trajectory import SERIALIZER, Trajectory
from langchain_agentrm.types import Batch, Score, Usage

__all__ = ["VLLMEngineRewardModel"]


class VLLMEngineRewardModel:
    """Scores trajectories with vLLM's own engine, no server and no port.

    vLLM sets threads and memory policy and pins versions of its own, so that it runs in
    a child process, under the Python that holds it. Texts are rendered here, with the
    same code as everywhere, and go over as token ids; scores come back raw. If it dies,
    that call fails with the end of its log, and the next call starts it again.

    Attributes:
        path: The checkpoint.
        resolution: Differences below it are ties.
        comparable: Its values mean the same everywhere.
        max_length: Longest text in tokens; older turns are dropped beyond it.
        starts: How often the engine was started.
    """

    comparable: Comparable = "global"

    def __init__(
        self,
        path: str | Path,
        *,
        vllm_python: str | Path | None = None,
        dtype: str | None = None,
        max_length: int | None = None,
        tensor_parallel: int = 1,
        head: str | Path | None = None,
        tokenizer: str | Path | None = None,
        base: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
        resolution: float = 1e-4,
        start_seconds: float = 600.0,
        answer_seconds: float = 600.0,
    ) -> None:
        """Check the checkpoint, start the engine and load the model into it.

        Args:
            path: Checkpoint folder, or a hub id.
            vllm_python: The Python that holds vLLM; this process's own if None.
            dtype: Precision; float32 on a CPU and bfloat16 else.
            max_length: Longest text; the model's context if None.
            tensor_parallel: GPUs that share each layer.
            head: File of a head that the checkpoint lacks.
            tokenizer: Folder or hub id of a tokenizer that it lacks.
            base: Base model of an adapter.
            options: More options of `vllm.LLM`, plain JSON; they win.
            resolution: Differences below it are ties; give more for less than float32.
            start_seconds: How long loading may take.
            answer_seconds: How long one call may take.

        Raises:
            CheckpointError: If the folder holds no reward model that vLLM can run.
            ConfigurationError: If an option cannot work, or there is no vLLM.
            RewardModelError: If the engine does not start; shows the end of its log.
        """
        if max_length is not None and max_length < 1:
            msg = f"max_length={max_length} does not work."
            raise ConfigurationError(msg, remedy="Use a positive number, or leave out.")
        self.path = str(path)
        self.resolution = resolution
        self.starts = 0
        self._python = find_vllm(vllm_python)
        self._work = Path(tempfile.mkdtemp(prefix="agentrm-vllm-"))
        self._tidy = weakref.finalize(self, shutil.rmtree, self._work, True)
        served = servable(
            path,
            self._work / "checkpoint",
            cpu=self._python.cpu,
            head=head,
            tokenizer=tokenizer,
            base=base,
        )
        layout = served.layout
        if layout.read != "last":
            msg = f"{self.path!r} is a {layout.kind.value}: it reads values at steps."
            raise CheckpointError(msg, remedy="Score it in process, with AgentRM.")
        if layout.serializer not in {None, SERIALIZER}:
            msg = (
                f"{self.path!r} says serializer {layout.serializer!r}; this release "
                f"renders trajectories as {SERIALIZER!r}."
            )
            raise CheckpointError(
                msg, remedy="Use the release it was trained with, or retrain."
            )
        self.tokens = ChatTokens(load_tokenizer(served.tokenizer))
        # vLLM knows this head at every token only; its last row is the value.
        by_token = layout.kind is Kind.QWEN_RM
        self._task = "token_classify" if by_token else "classify"
        self._outputs = layout.outputs
        self._options: dict[str, Any] = {
            "model": str(served.folder),
            "tokenizer": str(served.tokenizer),
            "runner": "pooling",
            "dtype": dtype or self._python.dtype,
            "max_model_len": max_length,
            "tensor_parallel_size": tensor_parallel,
            "pooler_config": dict(served.pooler) or None,
            "disable_log_stats": True,
            # Compiling takes minutes on a CPU. Only whole blocks are shared, and 128
            # tokens, the default there, are longer than most candidates.
            **({"enforce_eager": True, "block_size": 32} if self._python.cpu else {}),
            **(options or {}),
        }
        self._start_seconds = start_seconds
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self.max_length = int(self._running().ready["max_model_len"])

    @property
    def pid(self) -> int | None:
        """Process id of the engine, while it runs."""
        engine = self._engine
        return engine.pid if engine and engine.alive else None

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories, equal texts once.

        Args:
            trajectories: What competes.

        Returns:
            One score each; an error where a text does not fit or its value is not
            finite. `cached_tokens` are those read from vLLM's prefix cache.

        Raises:
            RewardModelError: If the engine does not start, fails or dies; the next call
                starts it again.
        """
        if not trajectories:
            return Batch([])
        with self._lock:
            texts = [fitted(self.tokens, t, self.max_length) for t in trajectories]
            distinct = [
                ids
                for ids in dict.fromkeys(text.ids for text in texts)
                if 0 < len(ids) <= self.max_length
            ]
            outputs: list[list[float]] = []
            cached = 0
            if distinct:
                outputs, cached = self._running().encode(
                    distinct, self._task, seconds=self._answer_seconds
                )
        known = dict(zip(distinct, map(self._value, outputs), strict=True))
        scores = [
            Score.of(known[text.ids], **text.signals)
            if text.ids in known
            else Score(
                error=f"the trajectory of {len(t.turns)} turns has {len(text.ids)} "
                f"tokens; there must be 1 to {self.max_length}"
            )
            for t, text in zip(trajectories, texts, strict=True)
        ]
        usage = Usage(
            requests=len(distinct),
            input_tokens=sum(map(len, distinct)),
            cached_tokens=cached,
        )
        return checked(trajectories, Batch(scores, usage))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`; the wait is in a thread."""
        return await asyncio.to_thread(self.score, trajectories)

    def close(self) -> None:
        """End the engine and remove what was converted. May be called twice."""
        with self._lock:
            if self._engine:
                self._engine.close()
            self._tidy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> Engine:
        if not self._tidy.alive:
            msg = f"The reward model {self.path!r} was closed."
            raise ConfigurationError(msg, remedy="Make a new one.")
        if self._engine is None or not self._engine.alive:
            if self._engine:
                self._engine.close()
            self._engine = Engine(
                self._python,
                self._options,
                self._work / "engine.log",
                start_seconds=self._start_seconds,
            )
            self.starts += 1
        return self._engine

    def _value(self, outputs: list[float]) -> float:
        # Two classes of a whole text: how much likelier the second is, as a logit.
        return outputs[-1] if self._outputs == 1 else outputs[-1] - outputs[-2]
