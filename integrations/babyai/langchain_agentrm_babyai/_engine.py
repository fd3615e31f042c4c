"""MiniGrid engines without the parts that the text game does not use."""

from __future__ import annotations

import builtins
import re
import threading
from contextvars import ContextVar
from functools import cache
from typing import Any

from gymnasium.envs.registration import load_env_creator, registry
from minigrid.envs.babyai.core import roomgrid_level

from langchain_agentrm.errors import UnknownTaskError

__all__ = ["new_engine"]

_quiet: ContextVar[bool] = ContextVar("langchain_agentrm_babyai_quiet", default=False)
_install = threading.Lock()


def _print(*values: object, **options: Any) -> None:
    """Print unless this thread is generating a task of ours."""
    if not _quiet.get():
        builtins.print(*values, **options)  # noqa: T201 - it stands in for print


@cache
def _registered() -> dict[str, Any]:
    # Some levels exist only as a later version, so the version is looked up.
    found: dict[str, tuple[int, Any]] = {}
    for name, spec in registry.items():
        match = re.fullmatch(r"BabyAI-(\w+)-v(\d+)", name)
        if match is None:
            continue
        version = int(match[2])
        if version >= found.get(match[1], (-1, None))[0]:
            found[match[1]] = (version, spec)
    return {level: spec for level, (_, spec) in found.items()}


def new_engine(level: str, seed: int) -> Any:
    """Make a level's engine and generate one task in it.

    Args:
        level: Level name without prefix and version, such as `"GoToLocal"`.
        seed: Seed of the task.

    Returns:
        The MiniGrid environment, reset, that makes no images and has no step limit.

    Raises:
        UnknownTaskError: If MiniGrid has no such level.
    """
    spec = _registered().get(level)
    if spec is None:
        msg = f"MiniGrid has no BabyAI level {level!r}."
        raise UnknownTaskError(
            msg, remedy='Choose one of factory.types("all"), or update minigrid.'
        )
    engine = load_env_creator(spec.entry_point)(**spec.kwargs)
    # The game has its own text, so the image that each low-level move would make is
    # never read; making it is most of the cost of a move.
    engine.gen_obs = dict
    with _install:
        # The level generator prints every rejected sample. Redirecting stdout would
        # silence other threads too; its module's own `print` is asked instead.
        if vars(roomgrid_level).get("print") is not _print:
            vars(roomgrid_level)["print"] = _print
    token = _quiet.set(True)
    try:
        engine.reset(seed=seed)
    finally:
        _quiet.reset(token)
    engine.max_steps = 10**9
    return engine
