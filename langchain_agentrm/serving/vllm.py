"""vLLM serving one reward model: started right, watched, restarted, stopped."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models._vllm.folder import Servable, servable
from langchain_agentrm.reward_models._vllm.python import (
    VLLMPython,
    explain,
    find_vllm,
)
from langchain_agentrm.serving._supervisor import Patience, Supervisor, healthy

__all__ = ["VLLMServer", "command_line", "free_port"]

# What the server decides itself: a second value would part what is checked and printed
# from what runs.
_OURS = (
    "--api-key",
    "--data-parallel-size",
    "--dtype",
    "--host",
    "--max-model-len",
    "--model",
    "--pooler-config",
    "--port",
    "--runner",
    "--served-model-name",
    "--tensor-parallel-size",
    "-dp",
    "-tp",
)


class VLLMServer:
    """A vLLM server for one reward model, kept up until it is stopped.

    Checks that the folder holds a reward model with its head, converts what vLLM does
    not know, starts vLLM from the Python that holds it, waits until it is healthy,
    starts it again when it dies, and leaves no process behind, not even when this
    process is killed.

    vLLM asks for its API key under `/v1` only: `/pooling`, which answers the scores,
    and `/classify` are open to whoever reaches the port. So the server listens on
    loopback unless told what else protects it.

    Example:
        ```python
        with VLLMServer(
            "my-reward-model", vllm_python=".venv-vllm/bin/python"
        ) as server:
            print(server.url)
        ```

    Attributes:
        path: What was asked for.
        host: Address it listens on.
        port: Its port, the same after a restart.
        name: The model's name in requests.
        served: The folder that vLLM reads, and how its answers are calibrated.
        python: The interpreter and its vLLM.
        command: The command line.
        log: File with vLLM's output.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        vllm_python: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        protected_by: str | None = None,
        name: str = "rm",
        dtype: str | None = None,
        max_model_len: int | None = None,
        tensor_parallel: int = 1,
        data_parallel: int = 1,
        api_key: str | None = None,
        head: str | Path | None = None,
        tokenizer: str | Path | None = None,
        base: str | Path | None = None,
        extra: Sequence[str] = (),
        log: str | Path | None = None,
        work: str | Path | None = None,
        patience: Patience | None = None,
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Check everything that can be checked before vLLM starts.

        Args:
            path: Checkpoint folder, or a hub id.
            vllm_python: The Python that holds vLLM; this process's own if None.
            host: Address to listen on.
            port: Port to listen on; 0 for a free one.
            protected_by: What keeps strangers from an address that is not loopback,
                such as `"private network"`; such an address is refused without.
            name: The model's name in requests.
            dtype: Precision; float32 on a CPU and bfloat16 else.
            max_model_len: Longest text in tokens; the model's context if None.
            tensor_parallel: GPUs that share each layer.
            data_parallel: Engines behind the port, each with the whole model and a
                prefix cache of its own.
            api_key: Key that vLLM asks for under `/v1`; kept off the command line.
            head: File of a head that the checkpoint lacks.
            tokenizer: Folder or hub id of a tokenizer that it lacks.
            base: Base model of an adapter.
            extra: More flags of vLLM's own.
            log: File for vLLM's output; a temporary one, kept after a failure, if None.
            work: Where to put what is temporary, such as a converted checkpoint, which
                is as large as the model; the system's place if None.
            patience: How long to wait, and how often to start again.
            on_event: Told in a sentence what happens to the server.

        Raises:
            CheckpointError: If the folder holds no reward model that vLLM can serve.
            ConfigurationError: If an option cannot work, or there is no vLLM.
        """
        _check_host(host, protected_by)
        _check_extra(extra)
        if min(tensor_parallel, data_parallel) < 1:
            msg = f"tensor_parallel={tensor_parallel}, data_parallel={data_parallel}."
            raise ConfigurationError(msg, remedy="Both are at least 1.")
        self.path, self.host, self.name = str(path), host, name
        self.python: VLLMPython = find_vllm(vllm_python)
        self._work = Path(tempfile.mkdtemp(prefix="agentrm-vllm-", dir=work))
        try:
            self.served: Servable = servable(
                path,
                self._work / "checkpoint",
                cpu=self.python.cpu,
                head=head,
                tokenizer=tokenizer,
                base=base,
            )
        except BaseException:
            self._tidy()
            raise
        self.log = Path(log or self._work / "vllm.log").absolute()
        self.port = port or free_port(host)
        self.dtype = dtype or self.python.dtype
        self.command = command_line(
            self.python,
            self.served,
            host=host,
            port=self.port,
            name=name,
            dtype=self.dtype,
            max_model_len=max_model_len,
            tensor_parallel=tensor_parallel,
            data_parallel=data_parallel,
            extra=extra,
        )
        environment = self.python.environment()
        if api_key:
            environment["VLLM_API_KEY"] = api_key
        self._supervisor = Supervisor(
            self.command,
            environment,
            lambda: healthy(_reachable(host), self.port),
            self.log,
            patience=patience,
            explain=explain,
            on_event=on_event,
        )

    @property
    def url(self) -> str:
        """Base URL, without a path."""
        host = _reachable(self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def restarts(self) -> int:
        """How often vLLM died and was started again."""
        return self._supervisor.restarts

    @property
    def group(self) -> int | None:
        """Process group of the server and its engines, while it runs."""
        return self._supervisor.pid

    def healthy(self) -> bool:
        """Whether it answers its health check now."""
        return healthy(_reachable(self.host), self.port)

    def start(self) -> Self:
        """Start vLLM and wait until it is healthy; minutes for a large model.

        Returns:
            The server.

        Raises:
            ConfigurationError: If somebody else listens on the port.
            RewardModelError: If vLLM ends or is not healthy in time; shows the end of
                its log.
        """
        try:
            _check_port(self.host, self.port)
            self._supervisor.start()
        except RewardModelError:
            # The log stays: the error names it.
            self._tidy(keep_log=True)
            raise
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self, seconds: float | None = None) -> None:
        """Block until the server is stopped or given up.

        Args:
            seconds: Longest wait; forever if None.

        Raises:
            RewardModelError: If vLLM died too often in a row.
        """
        self._supervisor.wait(seconds)

    def stop(self) -> None:
        """Stop vLLM and all its processes. May be called twice."""
        self._supervisor.stop()
        self._tidy(keep_log=self._supervisor.failure is not None)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tidy(self, *, keep_log: bool = False) -> None:
        here = self._work / "checkpoint" if keep_log else self._work
        shutil.rmtree(here, ignore_errors=True)


def command_line(
    python: VLLMPython,
    served: Servable,
    *,
    host: str,
    port: int,
    name: str,
    dtype: str,
    max_model_len: int | None = None,
    tensor_parallel: int = 1,
    data_parallel: int = 1,
    extra: Sequence[str] = (),
) -> list[str]:
    """Write the command that serves a reward model.

    Args:
        python: The interpreter that holds vLLM.
        served: The folder, and how its answers are calibrated.
        host: Address to listen on.
        port: Port to listen on.
        name: The model's name in requests.
        dtype: Precision.
        max_model_len: Longest text in tokens; the model's context if None.
        tensor_parallel: GPUs that share each layer.
        data_parallel: Engines behind the port.
        extra: More flags, which win where they repeat one that is not fixed here.

    Returns:
        The command, with no secret in it.
    """
    # The module, since the command `vllm` fails under the CPU build, which has no
    # metadata of that name.
    command = [python.python, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(served.folder), "--tokenizer", str(served.tokenizer)]
    command += ["--served-model-name", name]
    command += ["--runner", "pooling", "--dtype", dtype]
    command += ["--host", host, "--port", str(port)]
    if python.cpu:
        # Compiling takes minutes there. Only whole blocks are shared, and the default
        # block of 128 tokens is longer than most candidates.
        command += ["--enforce-eager", "--block-size", "32"]
    if max_model_len is not None:
        command += ["--max-model-len", str(max_model_len)]
    if tensor_parallel > 1:
        command += ["--tensor-parallel-size", str(tensor_parallel)]
    if data_parallel > 1:
        command += ["--data-parallel-size", str(data_parallel)]
    if served.pooler:
        command += ["--pooler-config", json.dumps(dict(served.pooler))]
    return [*command, *extra]


def free_port(host: str = "127.0.0.1") -> int:
    """Find a port of an address that nobody listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _check_port(host: str, port: int) -> None:
    # Another server there would answer the health check in the place of this one.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            msg = f"Nothing can listen on {host}:{port}: {error.strerror}."
            raise ConfigurationError(
                msg, remedy="Choose another port, or 0 for a free one (--port)."
            ) from error


def _reachable(host: str) -> str:
    # What listens on every address is asked on loopback.
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _check_host(host: str, protected_by: str | None) -> None:
    if host == "localhost":
        return
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback or (protected_by and protected_by.strip()):
        return
    msg = (
        f"host={host!r} is not loopback, and vLLM answers /pooling and /classify to "
        "anybody, with or without its API key."
    )
    raise ConfigurationError(
        msg,
        remedy="Leave it on 127.0.0.1 behind a proxy that asks for a key, or say what "
        'protects it: protected_by="private network" (--protected-by).',
    )


def _check_extra(extra: Sequence[str]) -> None:
    for flag in extra:
        name = flag.partition("=")[0].replace("_", "-")
        if name in _OURS or (name.startswith("--") and _shortens(name)):
            msg = f"The vLLM flag {flag!r} is set by the server itself."
            raise ConfigurationError(
                msg, remedy="Use the option of this command that does the same."
            )


def _shortens(name: str) -> bool:
    # Where the parser takes abbreviations, `--hos` would be `--host`.
    return len(name) > len("--d") and any(own.startswith(name) for own in _OURS)
