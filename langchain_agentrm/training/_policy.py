"""Loading the policy under training, in this process and in workers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from pathlib import Path

from langchain_agentrm.sampling.base import Proposer

__all__ = ["MakeProposer", "die_with_parent", "local_policy", "settle"]

MakeProposer = Callable[[], Proposer]
"""Makes the policy; called once in each process, so it must be picklable."""


def settle() -> None:
    """Prepare this process for a stage: one thread, and no bars but our own."""
    import torch
    from transformers.utils import logging

    # Models this small lose time to a second thread, most of all on a busy machine.
    torch.set_num_threads(1)
    logging.disable_progress_bar()


def local_policy(folder: Path) -> Proposer:
    """Load a causal checkpoint as a proposer, on one thread."""
    from langchain_agentrm.chat_models._engine import LocalModel
    from langchain_agentrm.sampling.local import LocalProposer

    settle()
    return LocalProposer(LocalModel(str(folder)))


def die_with_parent() -> None:
    """End this worker when its parent is gone, even if that was killed outright."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
