"""From a word on the command line to a reward model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_models.base import RewardModel

__all__ = ["reward_model"]

_FORMS = ("listwise", "pairwise", "pointwise")


def reward_model(
    name: str, *, base_url: str | None = None, **options: Any
) -> RewardModel:
    """Make the reward model that a word names.

    - `FOLDER`, `local:FOLDER` or a hub id `OWNER/NAME`: `AgentRM` in process.
    - `implicit:FOLDER`: an adapter of `agentrm train implicit`, or another whose base
      is the reference; the factor of its rewards is that of its training.
    - `vllm:FOLDER`: a vLLM server at `base_url`; the folder holds the tokenizer that
      renders trajectories.
    - `judge:openai:MODEL` or `judge:FOLDER`: a chat model as a list-wise judge;
      `judge:pairwise:openai:MODEL` and `judge:pointwise:...` choose the form.

    Args:
        name: The word.
        base_url: Address of the server, such as `http://127.0.0.1:8000`; for a judge
            with the path of its API, such as `http://127.0.0.1:8000/v1`.
        **options: Of the class that the word names; `temperature` of a judge, else 0,
            goes to its chat model.

    Returns:
        The reward model.

    Raises:
        ConfigurationError: If the word names nothing that exists, or a server's
            address is missing.
        CheckpointError: If a checkpoint lacks a part.
    """
    kind, _, rest = name.partition(":")
    if kind == "vllm" and rest:
        return _served(rest, base_url, options)
    if kind == "judge" and rest:
        return _judge(rest, base_url, options)
    implicit = kind == "implicit"
    path = rest if kind in {"local", "implicit"} else name
    if base_url is not None:
        msg = f"base_url={base_url!r} has no meaning for {name!r}."
        raise ConfigurationError(
            msg, remedy="Leave it out, or use vllm:FOLDER or judge:openai:MODEL."
        )
    if not path or not (Path(path).is_dir() or _is_hub_id(path)):
        msg = f"Reward model {name!r} is neither a checkpoint folder nor a hub id."
        raise ConfigurationError(
            msg,
            remedy="Use a folder, OWNER/NAME, implicit:FOLDER, vllm:FOLDER with "
            "--base-url, or judge:openai:MODEL.",
        )
    card = _card(Path(path))
    if implicit:
        return _implicit(path, card, options)
    if card.get("kind") == "implicit":
        msg = f"{path!r} is an implicit reward model: it has no head."
        raise ConfigurationError(
            msg, remedy=f"Use implicit:{path}; in a suite's settings, kind: implicit."
        )
    from langchain_agentrm.reward_models import AgentRM

    return AgentRM(path, **options)


def _card(folder: Path) -> dict[str, Any]:
    """What training wrote beside the weights; nothing where there is none."""
    file = folder / "agentrm.json"
    if not file.is_file():
        return {}
    from langchain_agentrm.reward_models._checkpoint.sources import read_object

    return read_object(file)


def _implicit(path: str, card: dict[str, Any], options: dict[str, Any]) -> RewardModel:
    from langchain_agentrm.reward_models.implicit import ImplicitRewardModel

    # With another factor than in training the rewards are no estimates of a score.
    known = {"beta": float(card["beta"])} if "beta" in card else {}
    return ImplicitRewardModel(path, **{**known, **options})


def _served(
    tokenizer: str, base_url: str | None, options: dict[str, Any]
) -> RewardModel:
    if base_url is None:
        msg = f"vllm:{tokenizer} names no server."
        raise ConfigurationError(
            msg, remedy="Give its address with --base-url (base_url=)."
        )
    from langchain_agentrm.reward_models.vllm import VLLMRewardModel

    return VLLMRewardModel(base_url=base_url, tokenizer=tokenizer, **options)


def _judge(name: str, base_url: str | None, options: dict[str, Any]) -> RewardModel:
    from langchain_agentrm.chat_models.factory import chat_model
    from langchain_agentrm.reward_models.judge import JudgeRewardModel

    form, _, rest = name.partition(":")
    if form in _FORMS and rest:
        name, options = rest, {"form": form, **options}
    temperature = float(options.pop("temperature", 0.0))
    judge = chat_model(name, base_url=base_url, temperature=temperature)
    return JudgeRewardModel(judge, **options)


def _is_hub_id(name: str) -> bool:
    owner, slash, rest = name.partition("/")
    plain = owner not in {"", ".", "..", "~"} and rest and "/" not in rest
    return bool(slash and plain and ":" not in name)
