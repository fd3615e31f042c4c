"""A LangChain chat model over a checkpoint folder, without a server."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr

from langchain_agentrm._tokens import as_chat
from langchain_agentrm.chat_models._engine import Ask, LocalModel, Sample
from langchain_agentrm.errors import PolicyError

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.messages import BaseMessage

__all__ = ["ChatLocal"]

_loaded: WeakValueDictionary[tuple[str, str | None, str | None], LocalModel] = (
    WeakValueDictionary()
)
_loading = threading.Lock()


class ChatLocal(BaseChatModel):
    """Chat model over a local causal checkpoint (safetensors, none of its code run).

    Models of one path share their weights and their kept prefixes.

    Example:
        ```python no-run: needs a checkpoint folder
        model = ChatLocal(path="checkpoints/policy", temperature=0.7)
        model.invoke("go to the red ball").text
        ```
    """

    path: str
    """Folder with config, safetensors weights, tokenizer and chat template."""
    temperature: float = Field(default=1.0, ge=0)
    """0 takes the most likely token each time."""
    max_tokens: int = Field(default=32, ge=1)
    """Longest answer, its end token included."""
    n: int = Field(default=1, ge=1)
    """Answers a call."""
    seed: int | None = None
    """Seed of the draws; None draws anew each time."""
    logprobs: bool = False
    """Give each answer's log-probability in `response_metadata["logprobs"]`."""
    device: str | None = None
    """Torch device; the GPU where there is one."""
    dtype: str | None = None
    """Torch dtype; float32 on a CPU, bfloat16 else."""

    _model: LocalModel = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the checkpoint, or share it with a model that has it already."""
        super().model_post_init(context)
        key = (self.path, self.device, self.dtype)
        with _loading:
            model = _loaded.get(key)
            if model is None:
                model = LocalModel(self.path, device=self.device, dtype=self.dtype)
                _loaded[key] = model
        self._model = model

    @property
    def local_model(self) -> LocalModel:
        """The weights, for a `LocalProposer` that shares them."""
        return self._model

    @property
    def _llm_type(self) -> str:
        return "agentrm-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "n": self.n,
            "seed": self.seed,
        }

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        temperature = kwargs.get("temperature")
        if temperature is None:
            temperature = self.temperature
        seed = kwargs.get("seed", self.seed)
        greedy = temperature == 0
        answer = self._model.generate(
            [
                Ask(
                    as_chat(messages),
                    n=int(kwargs.get("n") or self.n),
                    seed=secrets.randbits(63) if seed is None else int(seed),
                    temperature=float(temperature),
                    greedy=greedy,
                )
            ],
            max_new_tokens=int(kwargs.get("max_tokens") or self.max_tokens),
        )[0]
        if answer.error:
            msg = f"The policy gave no answer: {answer.error}."
            raise PolicyError(
                msg, remedy="Shorten the history or use a model of longer context."
            )
        output = sum(s.tokens for s in answer.samples)
        with_logprobs = bool(kwargs.get("logprobs", self.logprobs))
        return ChatResult(
            generations=[
                self._generation(
                    sample, 0 if k else answer.prompt_tokens, stop, with_logprobs
                )
                for k, sample in enumerate(answer.samples)
            ],
            llm_output={
                "model_name": self.path,
                "token_usage": {
                    "prompt_tokens": answer.prompt_tokens,
                    "completion_tokens": output,
                    "total_tokens": answer.prompt_tokens + output,
                },
            },
        )

    def _generation(
        self,
        sample: Sample,
        prompt_tokens: int,
        stop: list[str] | None,
        with_logprobs: bool,
    ) -> ChatGeneration:
        text, reason = sample.text, sample.finish_reason
        for mark in stop or []:
            head, found, _ = text.partition(mark)
            if found:
                text, reason = head, "stop"
        metadata: dict[str, Any] = {"finish_reason": reason, "model_name": self.path}
        if with_logprobs:
            metadata["logprobs"] = {"total": sample.logprob, "tokens": sample.tokens}
        message = AIMessage(
            text,
            response_metadata=metadata,
            usage_metadata={
                "input_tokens": prompt_tokens,
                "output_tokens": sample.tokens,
                "total_tokens": prompt_tokens + sample.tokens,
            },
        )
        return ChatGeneration(
            message=message, generation_info={"finish_reason": reason}
        )

    def _combine_llm_outputs(
        self, llm_outputs: list[dict[str, Any] | None]
    ) -> dict[str, Any]:
        total: dict[str, int] = {}
        for output in llm_outputs:
            for name, count in ((output or {}).get("token_usage") or {}).items():
                total[name] = total.get(name, 0) + count
        return {"model_name": self.path, "token_usage": total}
