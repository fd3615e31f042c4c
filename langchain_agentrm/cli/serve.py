"""`agentrm serve`: start a server and say how to connect to it."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from langchain_agentrm.cli.serve_proxy import serve_proxy
from langchain_agentrm.serving.vllm import VLLMServer

__all__ = ["app", "connection"]

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Start servers: a reward model behind vLLM, or best of n as a chat API."""


app.command("proxy")(serve_proxy)


def connection(server: VLLMServer, *, api_key: bool = False) -> str:
    """Say how to reach a reward model's server, in Python and by curl.

    Args:
        server: The server.
        api_key: Whether it asks for a key under `/v1`.

    Returns:
        Lines to print.
    """
    key = ", api_key=..." if api_key else ""
    tokenizer = str(server.served.tokenizer)
    body = json.dumps(
        {"model": server.name, "input": [[1, 2, 3]], "use_activation": False}
    )
    curl = (
        f"curl {server.url}/pooling -H 'Content-Type: application/json' "
        f"-d {shlex.quote(body)}"
    )
    return (
        f"Serving {server.path} on {server.url}\n"
        f"  log     {server.log}\n"
        "  Python  from langchain_agentrm.reward_models.vllm import VLLMRewardModel\n"
        f"          VLLMRewardModel({server.url!r}, tokenizer={tokenizer!r}{key})\n"
        f"  curl    {curl}\n"
        "Ctrl-C stops it."
    )


@app.command("rm")
def serve_rm(
    path: Annotated[str, typer.Argument(help="Checkpoint folder, or a hub id.")],
    extra: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- VLLM FLAGS]", help="More flags of vLLM's own."),
    ] = None,
    vllm_python: Annotated[
        str | None,
        typer.Option(help="The Python that holds vLLM; this one if left out."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.")] = 8000,
    protected_by: Annotated[
        str | None,
        typer.Option(help="What protects a host that is not loopback, in words."),
    ] = None,
    name: Annotated[str, typer.Option(help="The model's name in requests.")] = "rm",
    dtype: Annotated[
        str | None,
        typer.Option(help="Precision; float32 on a CPU, bfloat16 on a GPU."),
    ] = None,
    max_model_len: Annotated[
        int | None, typer.Option(help="Longest text in tokens; else the model's.")
    ] = None,
    tensor_parallel_size: Annotated[
        int, typer.Option(help="GPUs that share each layer.")
    ] = 1,
    data_parallel_size: Annotated[
        int, typer.Option(help="Engines behind the port, one prefix cache each.")
    ] = 1,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="VLLM_API_KEY",
            help="Key that vLLM asks for under /v1; /pooling stays open.",
        ),
    ] = None,
    head: Annotated[
        Path | None, typer.Option(help="File of a head that the checkpoint lacks.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or hub id of a tokenizer that it lacks.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model of an adapter, folder or hub id.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="File for vLLM's output; else a temporary one.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Where a converted checkpoint may be put for the time."),
    ] = None,
) -> None:
    """Serve a reward model with vLLM, started again when it dies.

    The head is checked and converted where vLLM does not know it. vLLM answers /pooling
    without its API key, so that the server stays on loopback unless told what protects
    it.
    """
    server = VLLMServer(
        path,
        vllm_python=vllm_python,
        host=host,
        port=port,
        protected_by=protected_by,
        name=name,
        dtype=dtype,
        max_model_len=max_model_len,
        tensor_parallel=tensor_parallel_size,
        data_parallel=data_parallel_size,
        api_key=api_key,
        head=head,
        tokenizer=tokenizer,
        base=base,
        extra=extra or (),
        log=log,
        work=work,
        on_event=lambda text: typer.echo(text, err=True),
    )
    for note in server.served.notes:
        typer.echo(note, err=True)
    typer.echo(f"Starting vLLM {server.python.version}; log {server.log}", err=True)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        server.start()
        typer.echo(connection(server, api_key=bool(api_key)))
        server.wait()
    except KeyboardInterrupt:
        typer.echo("Stopping.", err=True)
    finally:
        server.stop()
        signal.signal(signal.SIGTERM, before)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # A service manager's stop is the same as Ctrl-C.
    raise KeyboardInterrupt
