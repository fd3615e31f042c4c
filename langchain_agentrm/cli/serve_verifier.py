"""`agentrm reward-agent serve`: verifiers and scores over HTTP."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from langchain_agentrm.cli._agent_parts import AgentWords, build_agent
from langchain_agentrm.errors import ConfigurationError

__all__ = ["serve"]

_VARIABLE = "AGENTRM_VERIFIER_TOKEN"


def serve(
    words: AgentWords,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.")] = 9100,
    token_env: Annotated[
        str,
        typer.Option(
            help="Variable with the token that clients send; needed off loopback."
        ),
    ] = _VARIABLE,
    allow_code: Annotated[
        bool,
        typer.Option(
            "--allow-code", help="Let verifiers run model-written code, sandboxed."
        ),
    ] = False,
    max_body_mib: Annotated[float, typer.Option(help="Largest body in MiB.")] = 1.0,
    max_answers: Annotated[int, typer.Option(help="Most answers in a request.")] = 64,
    max_concurrency: Annotated[
        int, typer.Option(help="Requests in work at once.")
    ] = 16,
    seconds: Annotated[
        float, typer.Option(help="Longest time for one request.")
    ] = 60.0,
    drain_seconds: Annotated[
        int, typer.Option(help="Time to finish what is in work after SIGTERM.")
    ] = 30,
) -> None:
    """Answer POST /v1/verify, /v1/score and /evaluate/.

    A request has an instruction and answers. Where a part is down or nothing decides,
    the status is 503, never a made-up score.
    """
    from langchain_agentrm.serving._proxy_server import check_exposed, run
    from langchain_agentrm.serving.verifier_service import (
        VerifierSettings,
        create_verifier_app,
    )

    if words.runs_code and not allow_code:
        msg = "A verifier named runs code that a model wrote."
        raise ConfigurationError(
            msg, remedy="Allow it with --allow-code, or leave the verifier out."
        )
    settings = VerifierSettings(
        token=_secret(token_env),
        allow_code=allow_code,
        max_body=int(max_body_mib * 2**20),
        max_answers=max_answers,
        max_concurrency=max_concurrency,
        seconds=seconds,
    )
    check_exposed(host, settings, what="service", variable=token_env)
    app = create_verifier_app(build_agent(words), settings)
    run(
        app,
        host=host,
        port=port,
        drain_seconds=drain_seconds,
        on_ready=lambda url: typer.echo(
            _connection(url, token_env if settings.token else None), color=False
        ),
    )


def _secret(variable: str) -> str | None:
    value = os.environ.get(variable, "").strip()
    if not value and variable != _VARIABLE:
        msg = f"The environment variable {variable} is empty."
        raise ConfigurationError(msg, remedy="Set it, or leave the option out.")
    return value or None


def _connection(url: str, variable: str | None) -> str:
    header = f' -H "Authorization: Bearer ${variable}"' if variable else ""
    body = '{"instruction": "Answer in one word.", "answers": ["Yes", "Yes, I do."]}'
    return (
        f"Serving verdicts and scores on {url}\n"
        f"  curl    curl {url}/v1/score{header} "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
        "Ctrl-C or SIGTERM stops it, once what is in work is answered."
    )
