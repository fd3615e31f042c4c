"""Loading the policy under training, in this process and in workers."""

from __future__ import annotations

import functools
import importlib.util
import os
import socket
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from pathlib import Path

from langchain_agentrm._files import folder_digest
from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.sampling.base import Proposer

__all__ = [
    "MakeProposer",
    "check_digest",
    "die_with_parent",
    "find_policy",
    "local_policy",
    "served_policy",
    "settle",
]

MakeProposer = Callable[[], Proposer]
"""Makes the policy; called once in each process, so it must be picklable."""


def settle() -> None:
    """Prepare this process for a stage: one thread, and no bars but our own.

    Without torch there is nothing to prepare: the models are served elsewhere.
    """
    if importlib.util.find_spec("torch") is None:
        return
    import torch
    from transformers.utils import logging

    # Models this small lose time to a second thread, most of all on a busy machine.
    torch.set_num_threads(1)
    logging.disable_progress_bar()


def local_policy(folder: Path, digest: str | None = None) -> Proposer:
    """Load a causal checkpoint as a proposer, on one thread.

    Args:
        folder: The checkpoint.
        digest: What `folder_digest` must say of it; None: anything. A folder of the
            same name on another machine may hold another model.

    Returns:
        The proposer.

    Raises:
        CheckpointError: If there is no such folder, or it holds something else.
    """
    from langchain_agentrm.chat_models._engine import LocalModel
    from langchain_agentrm.sampling.local import LocalProposer

    if digest is not None:
        check_digest(folder, digest)
    settle()
    return LocalProposer(LocalModel(str(folder)))


def check_digest(folder: Path, digest: str) -> None:
    """Refuse a model folder that is not the one meant.

    Raises:
        CheckpointError: If there is no such folder here, or its content differs.
    """
    here = folder_digest(folder) if folder.is_dir() else None
    if here != digest:
        what = "is not there" if here is None else f"has digest {here}, not {digest}"
        msg = f"Model folder {folder} on {socket.gethostname()} {what}."
        raise CheckpointError(
            msg, remedy="Put the same models under the same path on every machine."
        )


def served_policy(spec: str, base_url: str | None) -> Proposer:
    """Make a proposer over the chat model that a word names, such as `openai:MODEL`."""
    from langchain_agentrm.chat_models.factory import chat_model
    from langchain_agentrm.engine import as_proposer

    return as_proposer(chat_model(spec, base_url=base_url), max_concurrency=256)


def find_policy(
    policy: Path | str, base_url: str | None = None
) -> tuple[MakeProposer, str]:
    """Find the policy that a folder or a word names.

    Args:
        policy: A checkpoint folder, or a word of `chat_models.factory.chat_model`.
        base_url: Address of the server, for a word.

    Returns:
        What makes it in any process, and what tells it from others: the digest of a
        folder, the word of a served model.

    Raises:
        ConfigurationError: If there is no such folder.
    """
    text = str(policy)
    if text.startswith("openai:"):
        return functools.partial(served_policy, text, base_url), text
    # Absolute, because a worker may run in another folder.
    folder = Path(text.removeprefix("local:")).resolve()
    if not folder.is_dir():
        msg = f"Policy {text!r} is neither a checkpoint folder nor openai:MODEL."
        raise ConfigurationError(
            msg, remedy="Use a folder, or openai:MODEL with the server's base URL."
        )
    digest = folder_digest(folder)
    return functools.partial(local_policy, folder, digest), digest


def die_with_parent() -> None:
    """End this worker when its parent is gone, even if that was killed outright."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
