"""From a folder or a hub id to a folder on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import CheckpointError

__all__ = ["TOKENIZER_FILES", "find_folder", "has_tokenizer", "read_object"]

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
)
"""What a tokenizer can be made of; no file that holds code."""

_VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_WANTED = ["*.json", "*.jinja", *TOKENIZER_FILES]
_WEIGHTS = "*.safetensors"
# The same weights again in other layouts, and whatever lies in subfolders.
_LEFT = ["*/*", "consolidated*"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_folder(
    source: str | Path,
    *,
    what: str,
    revision: str | None = None,
    weights: bool = True,
) -> Path:
    """Find a checkpoint's folder, from the hub where it is no folder here.

    Of a hub repository only JSON, safetensors, tokenizer files and chat templates are
    fetched. `HF_HUB_OFFLINE` and the hub's cache work as everywhere.

    Args:
        source: A folder, or a hub id such as `"org/name"`.
        what: What is looked for, for messages.
        revision: Branch, tag or commit on the hub.
        weights: Whether weights are wanted too.

    Returns:
        The folder.

    Raises:
        CheckpointError: If it is neither.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(source, Path) or not _HUB_ID.fullmatch(source):
        msg = f"There is no {what} folder {str(source)!r}."
        raise CheckpointError(
            msg,
            remedy="Give the folder that holds config.json and the weights, or a hub "
            "id such as 'org/name'.",
        )
    return _download(source, what, revision, weights=weights)


def has_tokenizer(folder: Path) -> bool:
    """Tell whether a folder holds a tokenizer's vocabulary."""
    return any((folder / name).is_file() for name in _VOCABULARIES)


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Args:
        file: Which one.

    Returns:
        Its content.

    Raises:
        CheckpointError: If it is absent, holds no JSON, or something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"There is no {file.name} in {str(file.parent)!r}."
        raise CheckpointError(
            msg, remedy="Copy it from where the model comes from."
        ) from error
    except (OSError, ValueError) as error:
        msg = f"{file} holds no JSON: {error}."
        raise CheckpointError(msg, remedy="Copy or download it again.") from error
    if not isinstance(content, dict):
        msg = f"{file} holds a JSON {type(content).__name__}, not an object."
        raise CheckpointError(msg, remedy="Copy or download it again.")
    return content


def _download(source: str, what: str, revision: str | None, *, weights: bool) -> Path:
    remedy = (
        "Check the id, the revision and your access (`hf auth login`), or download it "
        "elsewhere and give the folder."
    )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        msg = f"There is no {what} folder {source!r}, and huggingface_hub is absent."
        raise CheckpointError(
            msg, remedy="Install langchain-agentrm[local] or give a folder."
        ) from error
    try:
        return Path(
            snapshot_download(
                source,
                revision=revision,
                allow_patterns=[*_WANTED, _WEIGHTS] if weights else _WANTED,
                ignore_patterns=_LEFT,
            )
        )
    # The hub's client raises its HTTP library's own errors for a lost connection.
    except Exception as error:
        at = f" at revision {revision!r}" if revision else ""
        msg = (
            f"There is no {what} folder {source!r} here, and the hub does not give "
            f"it{at}: {type(error).__name__}: {_first_line(error)}"
        )
        raise CheckpointError(msg, remedy=remedy) from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "no reason")
