"""Stage `dialogues`: expert episodes of other projects, and our own, as training rows.

Read are:

- ETO's three files of expert trajectories, and ShareGPT: `conversations` of
  `{from, value}`. Give the files one by one, for their rows have different fields.
- AgentGym's trajectories: the same, with `item_id` and `loss` flags.
- OpenAI's `messages` of `{role, content}`, with `weight` flags.
- AgentRM's example files: bare lists of messages.
- Rows that this stage wrote, and folders of stage `demos`.

Trees and regression samples that AgentRM published are not known: they lie where this
project could not read them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from langchain_agentrm._conversation import opening_messages
from langchain_agentrm._files import (
    file_digest,
    finished,
    write_jsonl,
    write_manifest,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._config import StageConfig, unit
from langchain_agentrm.training._dialogue import Dialogue, Rules, read_dialogue
from langchain_agentrm.training._row_files import (
    MALFORMED,
    BadRow,
    FileRow,
    OnBadRow,
    read_rows,
    reason,
    take_rows,
)
from langchain_agentrm.training.demos import DEMOS_FILE, demo_of

__all__ = [
    "TRAJECTORIES_FILE",
    "DialoguesConfig",
    "convert_dialogues",
    "read_trajectories",
]

TRAJECTORIES_FILE = "trajectories.jsonl"
_NAMED = 20
_KNOWN = {"sciworld": "scienceworld"}


class DialoguesConfig(StageConfig):
    """Settings of stage `dialogues`."""

    env: str | None = Field(
        default=None,
        description="Environment of all rows; by default a row's own `task`, else the "
        "file's name up to the first underscore.",
    )
    min_reward: float | None = Field(
        default=None,
        description="Rows that scored less are left out; those without a score stay.",
    )
    examples: int = Field(
        default=0,
        ge=0,
        multiple_of=2,
        description="Messages after the instruction's reply that are worked examples.",
    )
    task_marker: str | None = Field(
        default=None,
        min_length=1,
        description="Text of the user message that states the task; nothing before the "
        "last such message is trained on.",
    )
    instruction: str | None = Field(
        default=None,
        description="System message before our own demonstrations; by default their "
        "environment's, which searches put there too.",
    )
    on_bad_row: OnBadRow = Field(
        default="refuse", description="What to do with a row that cannot be used."
    )
    val_share: float = Field(
        default=0.05, ge=0, lt=1, description="Share of tasks kept for validation."
    )


def convert_dialogues(
    config: DialoguesConfig, sources: Sequence[Path], out: Path
) -> dict[str, Any]:
    """Write `trajectories.jsonl`, split by a hash of the task's id.

    Each row is `{id, task, task_id, split, messages, reward, progress, source}`, and
    each message `{role, content, train}`: only assistant messages with `train` true
    are learned. A first reply that starts with "OK" and worked examples are not; flags
    in the source win. `datasets.load_dataset("json", ...)` reads the file.

    Args:
        config: Settings.
        sources: JSON and JSON Lines files, and folders of stage `demos`.
        out: Output folder.

    Returns:
        The manifest; its counts say how many rows were left out, and why.

    Raises:
        ConfigurationError: If a row cannot be used and `on_bad_row` is `"refuse"` (file
            and line are named), if a file's array breaks off, or if no row is left.
    """
    digests = {path.name: file_digest(_file_of(path)) for path in sources}
    if not sources or len(digests) < len(sources):
        msg = f"The sources {[path.name for path in sources]} are none, or share names."
        raise ConfigurationError(msg, remedy="Give files of different names.")
    settings = {**config.plain(), "sources": digests}
    done = finished(out, settings)
    if done is not None:
        return done
    began = time.monotonic()
    made = _Made(config)
    for path in sources:
        made.add(path)
    rows = made.rows
    if not rows:
        msg = f"None of {made.counts['read']} rows is left: {dict(made.counts)}."
        raise ConfigurationError(msg, remedy="Lower min_reward, or check the files.")
    write_jsonl(out / TRAJECTORIES_FILE, rows)
    trained = sum(m["train"] for row in rows for m in row["messages"])
    return write_manifest(
        out,
        stage="dialogues",
        config=settings,
        inputs=digests,
        counts={
            **made.counts,
            "kept": len(rows),
            "tasks": len({(row["task"], row["task_id"]) for row in rows}),
            "by_split": dict(Counter(row["split"] for row in rows)),
            "by_task": dict(Counter(row["task"] for row in rows)),
            "trained_messages": trained,
            "bad": made.bad[:_NAMED],
        },
        seconds=time.monotonic() - began,
        outputs=[TRAJECTORIES_FILE],
    )


def read_trajectories(
    path: Path, split: str | None = None, *, on_bad: OnBadRow = "refuse"
) -> list[dict[str, Any]]:
    """Read what `convert_dialogues` wrote, or rows of that form.

    Args:
        path: The file, or its folder.
        split: The split wanted; None: all.
        on_bad: Whether a malformed row is an error or is left out with a warning.

    Returns:
        The rows.

    Raises:
        CheckpointError: If the file is absent, or a row is malformed and `on_bad` is
            `"refuse"`; names file and line.
        ConfigurationError: If a task lies in more than one split.
    """
    file = path / TRAJECTORIES_FILE if path.is_dir() else path
    taken = list(
        take_rows(
            file,
            _trajectory,
            "trajectory",
            on_bad=on_bad,
            remedy="Make the rows again with stage dialogues",
        )
    )
    sides: dict[tuple[str, str], str] = {}
    for number, row in taken:
        task = (row["task"], row["task_id"])
        side = sides.setdefault(task, row["split"])
        if side != row["split"]:
            msg = (
                f"Line {number} of {file} puts task {task[1]!r} of {task[0]!r} into "
                f"split {row['split']!r}, an earlier one into {side!r}."
            )
            raise ConfigurationError(msg, remedy="Split by task, never by row.")
    return [row for _, row in taken if split is None or row["split"] == split]


def _trajectory(row: Any) -> dict[str, Any]:
    for name in ("id", "task", "task_id", "split"):
        if not isinstance(row[name], str):
            msg = f"{name}={row[name]!r:.40} is no text"
            raise BadRow(msg)
    messages = row["messages"]
    if not isinstance(messages, list) or not messages:
        msg = "`messages` is no list of messages"
        raise BadRow(msg)
    for i, message in enumerate(messages):
        known = message["role"] in {"system", "user", "assistant"}
        flagged = isinstance(message["train"], bool)
        if not (known and flagged and isinstance(message["content"], str)):
            msg = f"message {i} is not of role, content and the flag train"
            raise BadRow(msg)
    return dict(row)


class _Made:
    """The rows so far, and what was left out."""

    def __init__(self, config: DialoguesConfig) -> None:
        self.config = config
        self.rules = Rules(config.examples, config.task_marker)
        self.rows: list[dict[str, Any]] = []
        self.bad: list[str] = []
        names = ("read", "unusable", "duplicates", "below_reward", "no_reward")
        self.counts: Counter[str] = Counter(dict.fromkeys(names, 0))
        self._seen: set[tuple[str, str, str]] = set()
        self._of_task: Counter[tuple[str, str]] = Counter()

    def add(self, path: Path) -> None:
        """Take the rows of one source."""
        env = self.config.env or _environment_of(path)
        rows = _demo_rows(path, self.config) if path.is_dir() else read_rows(path)
        for row in rows:
            self.counts["read"] += 1
            try:
                dialogue = read_dialogue(row.parsed(), self.rules)
            except BadRow as error:
                self._refuse(row, error)
                continue
            self._take(dialogue, self._task_of(row, env), path.name)

    def _take(self, dialogue: Dialogue, env: str, source: str) -> None:
        least = self.config.min_reward
        if dialogue.reward is None:
            self.counts["no_reward"] += 1
        elif least is not None and dialogue.reward < least:
            self.counts["below_reward"] += 1
            return
        task = (env, dialogue.task_id or f"opening-{dialogue.opening}")
        if (*task, dialogue.digest) in self._seen:
            self.counts["duplicates"] += 1
            return
        self._seen.add((*task, dialogue.digest))
        number = self._of_task[task]
        self._of_task[task] += 1
        self.counts["trailing_observations"] += dialogue.trailing
        self.counts["without_task_id"] += not dialogue.task_id
        # By the task's id, as stage `samples` does: no task on both sides anywhere.
        is_val = unit("val", task[1]) < self.config.val_share
        progress = dialogue.progress
        self.rows.append(
            {
                "id": f"{env}/{task[1]}/{number}",
                "task": env,
                "task_id": task[1],
                "split": "val" if is_val else "train",
                "messages": list(dialogue.messages),
                "reward": dialogue.reward,
                "progress": None if progress is None else list(progress),
                "source": source,
            }
        )

    def _task_of(self, row: FileRow, env: str) -> str:
        named = row.value.get("task") if isinstance(row.value, dict) else None
        if self.config.env is None and isinstance(named, str) and named:
            return named
        return env

    def _refuse(self, row: FileRow, error: BadRow) -> None:
        if self.config.on_bad_row == "refuse":
            msg = f"{row.path}, line {row.line}: {error}."
            raise ConfigurationError(
                msg, remedy="Repair the row, or leave such out with on_bad_row=skip."
            ) from error
        self.counts["unusable"] += 1
        self.bad.append(f"{row.where}: {error}")


def _demo_rows(folder: Path, config: DialoguesConfig) -> Iterator[FileRow]:
    path = folder / DEMOS_FILE
    for row in read_rows(path):
        try:
            task, demo = demo_of(row.parsed())
        except MALFORMED as error:
            yield FileRow(path, row.line, None, reason(error))
            continue
        start = demo.start
        opening = opening_messages(
            start.instruction if config.instruction is None else config.instruction,
            start.goal,
            start.observation,
        )
        said: list[dict[str, Any]] = [
            {
                "role": "system" if message.type == "system" else "user",
                "content": str(message.text),
            }
            for message in opening
        ]
        for i, (seen, action) in enumerate(demo.steps):
            if i:
                said.append({"role": "user", "content": seen})
            # Flagged here, for an action may well begin with "ok".
            said.append({"role": "assistant", "content": action, "train": True})
        value = {
            "task": task["env"],
            "task_id": task["id"],
            "messages": said,
            "reward": demo.score,
        }
        yield FileRow(path, row.line, value)


def _environment_of(path: Path) -> str:
    name = path.stem.partition("_")[0]
    return _KNOWN.get(name, name)


def _file_of(path: Path) -> Path:
    file = path / DEMOS_FILE if path.is_dir() else path
    if not file.is_file():
        msg = f"There is no file {file}."
        raise ConfigurationError(
            msg, remedy="Give a JSON or JSONL file, or a folder of stage demos."
        )
    return file
