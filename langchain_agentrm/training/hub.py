"""Models and data sets of a run to the Hugging Face hub, and back.

The token is read by `huggingface_hub` itself, from `HF_TOKEN` or the login; it is never
an option, never logged and never written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from langchain_agentrm._files import read_json
from langchain_agentrm.errors import AgentRMError, CheckpointError, ConfigurationError
from langchain_agentrm.training._card import CARD_FILE, CardConfig, write_card
from langchain_agentrm.trajectory import SERIALIZER

__all__ = ["CardConfig", "Kind", "pull_from_hub", "push_to_hub", "write_card"]

Kind = Literal["model", "dataset"]

# What a stage leaves for going on (states, checkpoints, stores) stays at home.
_FILES: dict[Kind, tuple[str, ...]] = {
    "model": (
        "*.jinja",
        "*.json",
        "*.safetensors",
        "adapter/*.json",
        "adapter/*.safetensors",
        "tokenizer.model",
        CARD_FILE,
    ),
    "dataset": ("*.jsonl", "manifest.json", CARD_FILE),
}
_NEVER = ("checkpoints/*", ".*")
_WEIGHTS: dict[Kind, str] = {"model": "*.safetensors", "dataset": "*.jsonl"}


def push_to_hub(
    folder: Path,
    repo: str,
    kind: Kind = "model",
    *,
    private: bool = True,
    revision: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a finished stage's folder as one commit.

    Args:
        folder: Folder of the stage, with its card (`write_card`).
        repo: `owner/name` on the hub; made if absent.
        kind: A model, or a data set.
        private: Whether a new repository is private.
        revision: Branch; by default the main one.
        endpoint: Another hub's address.
        token: Access token; by default the login's.

    Returns:
        The commit's id.

    Raises:
        ConfigurationError: If the stage is not finished, or has no card.
        AgentRMError: If the hub refuses or cannot be reached.
    """
    for name, remedy in (
        ("manifest.json", "Let its stage finish."),
        (CARD_FILE, "Write one: agentrm train card."),
    ):
        if not (folder / name).is_file():
            msg = f"{folder} has no {name}."
            raise ConfigurationError(msg, remedy=remedy)
    _whole(folder, kind, "Let its stage finish.")
    api = _api(endpoint, token)
    with _explained(repo, token):
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo,
            repo_type=kind,
            folder_path=folder,
            revision=revision,
            allow_patterns=list(_FILES[kind]),
            ignore_patterns=list(_NEVER),
            commit_message=f"{kind} of langchain-agentrm",
        )
    return str(done.oid)


def pull_from_hub(
    repo: str,
    out: Path,
    kind: Kind = "model",
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
) -> Path:
    """Download a model or a data set into a folder.

    Only the files that `push_to_hub` uploads are fetched: no code, no pickles.

    Args:
        repo: `owner/name` on the hub.
        out: The folder to fill.
        kind: A model, or a data set.
        revision: Commit, tag or branch; give a commit to get the same twice.
        endpoint: Another hub's address.
        token: Access token; by default the login's.

    Returns:
        The folder.

    Raises:
        CheckpointError: If there are no safetensors, or no rows, or if a reward model
            was trained on another rendering than this package's.
        AgentRMError: If the hub refuses or cannot be reached.
    """
    api = _api(endpoint, token)
    with _explained(repo, token):
        api.snapshot_download(
            repo,
            repo_type=kind,
            revision=revision,
            local_dir=out,
            allow_patterns=list(_FILES[kind]),
            ignore_patterns=list(_NEVER),
        )
    _whole(out, kind, f"Check what {repo} holds.")
    card = out / "agentrm.json"
    if kind == "model" and card.exists():
        _same_rendering(read_json(card), repo)
    return out


def _whole(folder: Path, kind: Kind, remedy: str) -> None:
    if not any(folder.glob(_WEIGHTS[kind])):
        msg = f"{folder} holds no {_WEIGHTS[kind]}."
        raise CheckpointError(msg, remedy=remedy)
    index = folder / "model.safetensors.index.json"
    if kind != "model" or not index.exists():
        return
    shards = set(read_json(index)["weight_map"].values())
    lacking = sorted(name for name in shards if not (folder / name).is_file())
    if lacking:
        msg = f"{folder} lacks {len(lacking)} of {len(shards)} shards: {lacking[0]}."
        raise CheckpointError(msg, remedy=remedy)


def _same_rendering(card: dict[str, Any], repo: str) -> None:
    found = card.get("serializer")
    if card.get("kind") == "reward" and found != SERIALIZER:
        msg = f"{repo} was trained on rendering {found!r}, this is {SERIALIZER!r}."
        raise CheckpointError(
            msg, remedy="Use the version of langchain-agentrm that trained it."
        )


def _api(endpoint: str | None, token: str | None) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint, token=token)


@contextmanager
def _explained(repo: str, token: str | None) -> Iterator[None]:
    """Turn the hub's errors into ours, without the token.

    Raises:
        AgentRMError: If the hub refuses or cannot be reached.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    lost: tuple[type[Exception], ...] = (OSError, *_transport_errors())
    try:
        yield
    except HFValidationError as error:
        msg = f"{repo!r} is no name of a repository."
        raise ConfigurationError(msg, remedy="Write it as owner/name.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        # Not chained: the original shows the request, with whatever it carried.
        raise _refused(repo, status, _scrubbed(str(error), token)) from None
    except lost as error:
        first = _scrubbed(str(error), token).partition("\n")[0]
        msg = f"The hub could not be reached for {repo}: {first}."
        raise AgentRMError(msg, remedy="Try again.", retryable=True) from None


def _transport_errors() -> tuple[type[Exception], ...]:
    """Lost connections, as the hub's client raises them: its versions differ."""
    clients = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return tuple(client.TransportError for client in clients if client is not None)


def _refused(repo: str, status: int, text: str) -> AgentRMError:
    remedies = {
        401: "Log in: hf auth login, or set HF_TOKEN.",
        403: "Use a token that may write there.",
        404: "Check the name, the kind and the revision, and that the token may read.",
    }
    first = text.strip().partition("\n")[0]
    return AgentRMError(
        f"The hub answered {status} for {repo}: {first}",
        remedy=remedies.get(status, "Try again later."),
        retryable=status == 429 or status >= 500,  # noqa: PLR2004
    )


def _scrubbed(text: str, token: str | None) -> str:
    return text.replace(token, "***") if token else text
