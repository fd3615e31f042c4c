"""Scoring a file of conversations, so that it can be stopped and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, convert_to_messages

from langchain_agentrm._files import file_digest, read_json, same_settings, write_json
from langchain_agentrm.errors import AgentRMError, ConfigurationError
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Score, Usage

__all__ = ["Scored", "score_file", "trajectory_of"]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a run over a file came to.

    Attributes:
        rows: Lines in the output.
        failed: Those with an error in place of a score.
        resumed: Lines that an earlier run had written.
        usage: What this run spent.
    """

    rows: int
    failed: int
    resumed: int
    usage: Usage


def trajectory_of(row: Any) -> Trajectory:
    """Read one conversation.

    Args:
        row: A list of messages, or a mapping with `messages` and, where wanted,
            `tools`; the last message is the assistant's, and it is what is scored.

    Returns:
        The trajectory.

    Raises:
        ConfigurationError: If it is neither, or ends otherwise.
    """
    fields = row if isinstance(row, Mapping) else {"messages": row}
    given = fields.get("messages")
    if not isinstance(given, list) or not given:
        msg = f"A row is a {type(row).__name__} without a list of messages."
        raise ConfigurationError(
            msg, remedy='Write a list of messages, or {"messages": [...]}.'
        )
    try:
        *before, last = convert_to_messages(given)
    except (ValueError, NotImplementedError, TypeError, KeyError) as error:
        msg = f"The messages cannot be read: {error}"
        raise ConfigurationError(
            msg, remedy='Write each as {"role": ..., "content": ...}.'
        ) from error
    if not isinstance(last, AIMessage):
        msg = f"The last message is of type {last.type!r}."
        raise ConfigurationError(
            msg, remedy="End with the assistant's message that is to be scored."
        )
    return Trajectory.from_messages(before, last, tools=tuple(fields.get("tools", ())))


def score_file(
    model: RewardModel,
    source: str | Path,
    target: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    batch: int = 64,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Scored:
    """Score every line of a JSONL file.

    A line that cannot be read or scored has an `error` in its place. The output grows
    beside the target under the name `TARGET.part` and takes its name when it is whole;
    a run that was stopped goes on there. `TARGET.manifest.json` holds the settings.

    Args:
        model: The reward model.
        source: One conversation a line; see `trajectory_of`. An `id` is copied.
        target: Where to write one `{"line", "id", "score", "signals", "error"}` a line.
        settings: What made the scores, such as the model's path; a resumed run must
            have the same.
        batch: Lines scored in one call; those that begin alike should stand together.
        on_progress: Told lines done and lines in all.

    Returns:
        What it came to.

    Raises:
        ConfigurationError: If the file is missing, or what is there was made with other
            settings.
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        msg = f"There is no file {str(source)!r}."
        raise ConfigurationError(msg, remedy="Give a JSONL file of conversations.")
    manifest = {**(settings or {}), "input": file_digest(source)}
    _check_manifest(target, manifest)
    part = target.with_name(f"{target.name}.part")
    with source.open(encoding="utf-8") as lines:
        total = sum(1 for _ in lines)
    if target.exists():
        rows = _whole_rows(target)
        return Scored(len(rows), sum("error" in r for r in rows), len(rows), Usage())
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(_manifest_of(target), manifest)
    known = _whole_rows(part) if part.exists() else []
    _rewrite(part, known)
    failed, usage = sum("error" in row for row in known), Usage()
    done = len(known)
    with (
        source.open(encoding="utf-8") as lines,
        part.open("a", encoding="utf-8") as out,
    ):
        numbered = islice(enumerate(lines, start=1), done, None)
        while some := list(islice(numbered, batch)):
            rows, spent = _score_lines(model, some)
            usage += spent
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            out.flush()
            os.fsync(out.fileno())
            failed += sum("error" in row for row in rows)
            done += len(rows)
            on_progress(done, total)
    part.replace(target)
    return Scored(done, failed, len(known), usage)


def _score_lines(
    model: RewardModel, lines: list[tuple[int, str]]
) -> tuple[list[dict[str, Any]], Usage]:
    rows: list[dict[str, Any]] = []
    asked: list[tuple[dict[str, Any], Trajectory]] = []
    for number, line in lines:
        row: dict[str, Any] = {"line": number}
        rows.append(row)
        try:
            data = json.loads(line)
            if isinstance(data, Mapping) and "id" in data:
                row["id"] = data["id"]
            asked.append((row, trajectory_of(data)))
        except (ValueError, AgentRMError) as error:
            row["error"] = str(error)
    batch = model.score([trajectory for _, trajectory in asked])
    for (row, _), score in zip(asked, batch.items, strict=True):
        row.update(_columns(score))
    return rows, batch.usage


def _columns(score: Score) -> dict[str, Any]:
    if score.value is None:
        return {"error": score.error}
    signals = {"signals": dict(score.signals)} if score.signals else {}
    return {"score": score.value, **signals}


def _manifest_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.manifest.json")


def _check_manifest(target: Path, manifest: Mapping[str, Any]) -> None:
    file = _manifest_of(target)
    if file.exists():
        same_settings(read_json(file), manifest, where=str(target))
    elif target.exists():
        msg = f"{str(target)!r} exists, and nothing says what made it."
        raise ConfigurationError(msg, remedy="Move it, or name another output.")


def _whole_rows(file: Path) -> list[dict[str, Any]]:
    return list(_rows(file))


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield rows up to the first that a kill cut short."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except ValueError:
                return


def _rewrite(part: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    part.write_text(text, encoding="utf-8")
