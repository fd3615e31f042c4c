"""Files that are either whole or absent, and the manifests that say what made them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import CheckpointError, ConfigurationError

__all__ = [
    "MANIFEST",
    "PART",
    "append_jsonl",
    "file_digest",
    "finished",
    "folder_digest",
    "new_model_folder",
    "read_json",
    "read_jsonl",
    "same_settings",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_manifest",
    "write_text",
    "writing",
]

MANIFEST = "manifest.json"
PART = ".part-"
"""Begins the name of a folder that is filled before its files are moved."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PACKAGES = (
    "accelerate",
    "langchain-agentrm",
    "langchain-core",
    "minigrid",
    "numpy",
    "peft",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Args:
        path: Where to; its folder is made if absent.
        data: The content.

    Raises:
        CheckpointError: If it cannot be written, as when the disk is full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, so that two processes that write at once cannot mix.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            # mkstemp makes files that only their owner reads.
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path, *, room_only: bool = False) -> Iterator[None]:
    """Turn an error of the disk into one that names the file and the remedy.

    Args:
        path: What is written inside.
        room_only: Leave all but a full disk as it is: the work inside does other
            things, too.

    Raises:
        CheckpointError: If what is done inside cannot write.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        full = _is_full(error)
        if not full and (room_only or not isinstance(error, OSError)):
            raise
        msg = f"{path} could not be written: {error}."
        remedy = "Check that the folder may be written to, and run it again."
        if full:
            remedy = "Make room, and run it again: what was finished is kept."
        raise CheckpointError(msg, remedy=remedy) from error


@contextmanager
def new_model_folder(out: Path) -> Iterator[Path]:
    """Let a model's files be written aside, and move them in when all of them are.

    The weights go last: their presence says that the folder is whole.

    Args:
        out: Where the files go; made if it is not there.

    Yields:
        A hidden folder inside to write to, gone afterwards.
    """
    out.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=out))
    try:
        yield part
        for path in sorted(part.iterdir(), key=lambda p: p.suffix == ".safetensors"):
            # safetensors makes files that only their owner reads.
            path.chmod(0o644)
            path.replace(out / path.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    # safetensors gives the number in a text; torch only says where it stopped writing.
    text = str(error)
    found = re.search(r"\(os error (\d+)\)", text)
    return "unexpected pos" in text if found is None else int(found[1]) in _FULL


def write_text(path: Path, text: str) -> None:
    """Write text atomically as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[object]) -> int:
    """Write one compact JSON value a line, atomically.

    Args:
        path: Where to.
        rows: What to write.

    Returns:
        Number of lines.
    """
    lines = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows]
    write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def append_jsonl(path: Path, rows: Iterable[object]) -> None:
    """Add one compact JSON value a line, on disk when this returns.

    Raises:
        CheckpointError: If they cannot be written, as when the disk is full; the file
            ends then where it ended before.
    """
    lines = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as stream:
            before = stream.tell()
            rest = memoryview("".join(line + "\n" for line in lines).encode())
            try:
                while rest:
                    rest = rest[stream.write(rest) :]
                os.fsync(stream.fileno())
            except OSError:
                # Taking bytes off needs no room; a device has none to take off.
                with suppress(OSError):
                    stream.truncate(before)
                raise


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        CheckpointError: If it is absent or holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"There is no file {path}."
        raise CheckpointError(msg, remedy="Run the stage that writes it.") from error
    except ValueError as error:
        msg = f"{path} holds no JSON: {error}."
        raise CheckpointError(msg, remedy="Delete it and run its stage.") from error


def read_jsonl(path: Path) -> Iterator[Any]:
    """Read one JSON value a line.

    Yields:
        The values in order.

    Raises:
        CheckpointError: If the file is absent or a line holds no JSON.
    """
    if not path.exists():
        msg = f"There is no file {path}."
        raise CheckpointError(msg, remedy="Run the stage that writes it.")
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                msg = f"Line {number} of {path} holds no JSON: {error}."
                raise CheckpointError(
                    msg, remedy="Delete the file and run its stage."
                ) from error


def file_digest(path: Path) -> str:
    """Hash a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(
            stream, lambda: hashlib.blake2b(digest_size=16)
        ).hexdigest()


def folder_digest(folder: Path) -> str:
    """Hash a model folder: names and contents, without manifests and part files."""
    total = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") or path.name == MANIFEST
        if path.is_file() and not hidden and path.suffix != ".pt":
            total.update(f"{path.name}\0{file_digest(path)}\0".encode())
    return total.hexdigest()


def same_settings(
    recorded: Mapping[str, Any], wanted: Mapping[str, Any], *, where: str
) -> None:
    """Refuse to go on with work that was begun with other settings.

    Args:
        recorded: Settings of the work so far.
        wanted: Settings asked for now.
        where: What holds the work so far, for the message.

    Raises:
        ConfigurationError: If a setting differs; names it and both values.
    """
    for name in sorted({*recorded, *wanted}):
        old, new = recorded.get(name), wanted.get(name)
        if old != new:
            msg = f"{where} was made with {name}={old!r}, now {name}={new!r} is asked."
            raise ConfigurationError(
                msg, remedy=f"Give {name}={old!r} again, or another output folder."
            )


def finished(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Tell whether a stage finished in this folder with these settings.

    Args:
        folder: The stage's output folder.
        config: Its settings, as plain JSON.

    Returns:
        The manifest, or None if the stage has not finished there.

    Raises:
        ConfigurationError: If it finished with other settings.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    manifest: dict[str, Any] = read_json(path)
    same_settings(manifest.get("config", {}), config, where=folder.name)
    return manifest


def write_manifest(
    folder: Path,
    *,
    stage: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    counts: Mapping[str, Any],
    seconds: float,
    outputs: Sequence[str] = (),
) -> dict[str, Any]:
    """Write what a stage did; written last, so that its presence means finished.

    Args:
        folder: The stage's output folder.
        stage: Its name.
        config: Its settings, seed among them, as plain JSON.
        inputs: Digests by name of what it read.
        counts: What it made and measured.
        seconds: How long it took.
        outputs: Files of the folder whose digests are recorded.

    Returns:
        The manifest.
    """
    _tidy(folder)
    manifest = {
        "stage": stage,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.get("seed"),
        "config": dict(config),
        "inputs": dict(inputs),
        "outputs": {name: file_digest(folder / name) for name in outputs},
        "counts": dict(counts),
        "seconds": round(seconds, 1),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": _versions(),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def _tidy(folder: Path) -> None:
    """Remove the parts of files that a killed process had not come to the end of.

    What else a folder hides is not ours: only what is called as they are is removed.
    """
    for path in folder.glob(".*"):
        # What `mkstemp` and `mkdtemp` add to a name has eight letters.
        name, dot = path.name[1:-9], path.name[-9:-8]
        if path.is_dir():
            if path.name[:-8] == PART:
                shutil.rmtree(path, ignore_errors=True)
        elif dot == "." and (name == MANIFEST or (folder / name).is_file()):
            path.unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    out = {}
    for name in _PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
