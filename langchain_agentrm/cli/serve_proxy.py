"""`agentrm serve proxy`: best of n behind OpenAI's chat API."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_agentrm.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_agentrm.serving.proxy import ProxySettings

__all__ = ["serve_proxy"]

_TOKEN_ENV = "AGENTRM_PROXY_TOKEN"  # noqa: S105 - a variable's name


class _OnRewardError(StrEnum):
    POLICY_ORDER = "policy_order"
    RAISE = "raise"


def serve_proxy(
    upstream: Annotated[
        str, typer.Option(help="OpenAI-compatible server, http://HOST:PORT/v1.")
    ],
    reward_model: Annotated[
        str,
        typer.Option(help="FOLDER, OWNER/NAME, vllm:FOLDER or judge:openai:MODEL."),
    ],
    reward_url: Annotated[
        str | None, typer.Option(help="The reward model's server, where it has one.")
    ] = None,
    n: Annotated[int, typer.Option(help="Candidates a request.")] = 8,
    max_n: Annotated[int, typer.Option(help="Most that a request may ask for.")] = 64,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.")] = 9000,
    token_env: Annotated[
        str,
        typer.Option(
            help="Variable with the token that clients send; needed off loopback."
        ),
    ] = _TOKEN_ENV,
    upstream_key_env: Annotated[
        str | None,
        typer.Option(
            help="Variable with the key for the upstream, OPENAI_API_KEY say."
        ),
    ] = None,
    forward_authorization: Annotated[
        bool,
        typer.Option(
            "--forward-authorization",
            help="Send the client's Authorization to the upstream; the proxy's token "
            "then travels in X-AgentRM-Token.",
        ),
    ] = False,
    on_reward_error: Annotated[
        _OnRewardError,
        typer.Option(help="When nothing can be scored: the policy's order, or 502."),
    ] = _OnRewardError.POLICY_ORDER,
    max_body_mib: Annotated[float, typer.Option(help="Largest body in MiB.")] = 8.0,
    max_concurrency: Annotated[
        int, typer.Option(help="Chat requests in work at once.")
    ] = 64,
    max_upstream: Annotated[
        int, typer.Option(help="Requests to the upstream in flight at once.")
    ] = 256,
    seconds: Annotated[
        float, typer.Option(help="Longest time for one chat request.")
    ] = 300.0,
    score_seconds: Annotated[
        float, typer.Option(help="Longest time for scoring one request.")
    ] = 60.0,
    drain_seconds: Annotated[
        int, typer.Option(help="Time to finish what is in work after SIGTERM.")
    ] = 30,
) -> None:
    """Answer OpenAI's chat API with the best of n candidates of another server.

    Clients change their base URL and nothing else.
    """
    from langchain_agentrm.reward_models.factory import reward_model as make
    from langchain_agentrm.serving._proxy_server import check_exposed, run
    from langchain_agentrm.serving._proxy_settings import api_base, shown
    from langchain_agentrm.serving.proxy import ProxySettings, create_app

    settings = ProxySettings(
        n=n,
        max_n=max(n, max_n),
        on_reward_error=on_reward_error.value,
        token=_secret(token_env, wanted=token_env != _TOKEN_ENV),
        upstream_key=_secret(upstream_key_env, wanted=True),
        forward_authorization=forward_authorization,
        max_body=int(max_body_mib * 2**20),
        max_concurrency=max_concurrency,
        max_upstream=max_upstream,
        seconds=seconds,
        score_seconds=score_seconds,
    )
    check_exposed(host, settings)
    behind = shown(api_base(upstream))
    app = create_app(upstream, make(reward_model, base_url=reward_url), settings)
    run(
        app,
        host=host,
        port=port,
        drain_seconds=drain_seconds,
        on_ready=lambda url: typer.echo(
            _connection(url, behind, settings, token_env), color=False
        ),
    )


def _secret(variable: str | None, *, wanted: bool) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value and wanted:
        msg = f"The environment variable {variable} is empty."
        raise ConfigurationError(msg, remedy="Set it, or leave the option out.")
    return value or None


def _connection(url: str, behind: str, settings: ProxySettings, variable: str) -> str:
    """Say how to reach the proxy, in Python and by curl."""
    header = ""
    key = '"EMPTY"'
    more = ""
    if settings.token is not None:
        name = (
            "X-AgentRM-Token: "
            if settings.forward_authorization
            else ("Authorization: Bearer ")
        )
        header = f' -H "{name}${variable}"'
        if settings.forward_authorization:
            key = "..."
            more = f', default_headers={{"X-AgentRM-Token": os.environ["{variable}"]}}'
        else:
            key = f'os.environ["{variable}"]'
    elif settings.forward_authorization:
        key = "..."
    body = '{"model": "MODEL", "messages": [{"role": "user", "content": "Hello"}]}'
    return (
        f"Serving the best of {settings.n} over {behind} on {url}/v1\n"
        f'  Python  OpenAI(base_url="{url}/v1", api_key={key}{more})\n'
        f"  curl    curl {url}/v1/chat/completions{header} "
        f"-H 'Content-Type: application/json' -d '{body}'\n"
        f"  figures {url}/metrics\n"
        "Ctrl-C or SIGTERM stops it, once what is in work is answered."
    )
