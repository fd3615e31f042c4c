"""vLLM as a subject: a real server, and the CPU seconds of all its processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from langchain_agentrm.reward_models.vllm import VLLMRewardModel
from langchain_agentrm.serving import VLLMServer

__all__ = ["group_seconds", "serving"]


@contextmanager
def serving(
    path: Path, vllm_python: Path, *, prefix_caching: bool
) -> Iterator[tuple[VLLMRewardModel, VLLMServer]]:
    """Serve a checkpoint and connect to it."""
    flag = "--enable-prefix-caching" if prefix_caching else "--no-enable-prefix-caching"
    with (
        VLLMServer(path, vllm_python=vllm_python, extra=[flag]) as server,
        VLLMRewardModel(server.url, tokenizer=path) as client,
    ):
        yield client, server


def group_seconds(server: VLLMServer) -> float:
    """CPU seconds so far of this process and of the server's process group."""
    tick = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            # The command's name may hold spaces; fields are counted after it.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == server.group:
                total += (int(fields[11]) + int(fields[12])) / tick
    return total
