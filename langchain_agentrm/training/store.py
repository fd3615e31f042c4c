"""Search trees in SQLite: a chunk of tasks is there as a whole, or not at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from langchain_agentrm._files import same_settings
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.training.episodes import Tree
from langchain_agentrm.types import TaskRef

__all__ = ["ChunkResult", "StoredNode", "StoredTree", "TreeStore"]

_SCHEMA = """
create table if not exists meta(name text primary key, value text not null);
create table if not exists chunks(
  chunk integer primary key, env_steps int, requests int, input_tokens int,
  output_tokens int, lost int, cpu_seconds real);
create table if not exists trees(
  tree_id integer primary key, chunk int, task_id text unique, task text, start text,
  config text, status text, env_steps int, n int, w real);
create table if not exists nodes(
  tree_id int, node_id int, parent int, action text, observation text, reward real,
  done int, depth int, n int, w real, invalid int, primary key(tree_id, node_id)
) without rowid;
"""


class StoredNode(NamedTuple):
    """A node as it is stored; the fields are the table's columns.

    Attributes:
        node_id: Number within the tree; 0 is the root.
        parent: Number of the node above; None at the root.
        action: The policy's answer.
        observation: What the environment answered; None where it was never run.
        reward: The episode's score so far.
        done: Whether the episode ended.
        depth: Actions from the root.
        n: Simulations through it.
        w: Sum of their returns.
        invalid: Whether the answer held no action.
    """

    node_id: int
    parent: int | None
    action: str
    observation: str | None
    reward: float
    done: bool
    depth: int
    n: int
    w: float
    invalid: bool


@dataclass(frozen=True, slots=True)
class StoredTree:
    """A tree as it is stored.

    Attributes:
        task: The task.
        goal: Its goal.
        observation: What it showed first.
        nodes: The nodes by number.
    """

    task: TaskRef
    goal: str
    observation: str
    nodes: tuple[StoredNode, ...]


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a worker hands back for one chunk of tasks, ready to be stored."""

    chunk: int
    trees: Sequence[tuple[TaskRef, Mapping[str, str], int, Sequence[StoredNode]]]
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    lost: int = 0
    cpu_seconds: float = 0.0

    @staticmethod
    def pack(
        tree: Tree,
    ) -> tuple[TaskRef, Mapping[str, str], int, Sequence[StoredNode]]:
        """Reduce a finished tree to what is stored of it."""
        start = {"goal": tree.start.goal, "observation": tree.start.observation}
        nodes = [
            StoredNode(
                node.id,
                None if node.parent is None else node.parent.id,
                node.text,
                node.observation,
                node.score,
                node.over,
                node.depth,
                node.n,
                node.w,
                node.invalid,
            )
            for node in tree.nodes
        ]
        return tree.task, start, tree.env_steps, nodes


class TreeStore:
    """The trees of one run, in one SQLite file with a write-ahead log.

    Killed at any moment, the file holds exactly the chunks that were finished. Chunks
    are computed from the run's seed alone, so that missing ones come out the same.
    """

    def __init__(self, path: Path, config: Mapping[str, Any] | None = None) -> None:
        """Open or make the file.

        Args:
            path: The file.
            config: Settings of the run; None opens an existing file to read.

        Raises:
            CheckpointError: If there is no such file to read.
            ConfigurationError: If the file was begun with other settings.
        """
        if config is None and not path.exists():
            msg = f"There is no tree store {path}."
            raise CheckpointError(msg, remedy="Run stage `trees` first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)
        row = self._db.execute("select value from meta where name='config'").fetchone()
        if row is None:
            text = json.dumps(config or {}, sort_keys=True)
            self._db.execute("insert into meta values('config', ?)", (text,))
            self.config: dict[str, Any] = dict(config or {})
        else:
            self.config = json.loads(row[0])
            if config is not None:
                try:
                    same_settings(self.config, config, where=path.name)
                except BaseException:
                    self.close()
                    raise

    def __enter__(self) -> Self:
        """Return the open store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def chunks(self) -> set[int]:
        """Numbers of the finished chunks."""
        return {row[0] for row in self._db.execute("select chunk from chunks")}

    def add(self, result: ChunkResult, *, chunk_size: int) -> None:
        """Store a chunk in one transaction; a chunk that is there already is kept.

        Args:
            result: The chunk.
            chunk_size: Tasks a full chunk has, from which tree numbers follow.
        """
        settings = json.dumps(self.config, sort_keys=True)
        self._db.execute("begin immediate")
        try:
            steps = sum(tree[2] for tree in result.trees)
            added = self._db.execute(
                "insert or ignore into chunks values(?,?,?,?,?,?,?)",
                (
                    result.chunk,
                    steps,
                    result.requests,
                    result.input_tokens,
                    result.output_tokens,
                    result.lost,
                    result.cpu_seconds,
                ),
            ).rowcount
            if added:
                first = result.chunk * chunk_size
                for number, tree in enumerate(result.trees, first):
                    self._add_tree(number, result.chunk, settings, tree)
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise

    def _add_tree(
        self,
        number: int,
        chunk: int,
        settings: str,
        packed: tuple[TaskRef, Mapping[str, str], int, Sequence[StoredNode]],
    ) -> None:
        task, start, steps, nodes = packed
        self._db.execute(
            "insert into trees values(?,?,?,?,?,?,?,?,?,?)",
            (
                number,
                chunk,
                task["id"],
                json.dumps(task),
                json.dumps(start),
                settings,
                "finished",
                steps,
                nodes[0].n,
                nodes[0].w,
            ),
        )
        self._db.executemany(
            "insert into nodes values(?,?,?,?,?,?,?,?,?,?,?)",
            [(number, *node) for node in nodes],
        )

    def trees(self) -> Iterator[StoredTree]:
        """Read all trees in task order.

        Yields:
            One tree at a time, so that a large store needs little memory.
        """
        query = "select tree_id, task, start from trees order by tree_id"
        for number, task, start in self._db.execute(query).fetchall():
            rows = self._db.execute(
                "select node_id, parent, action, observation, reward, done, depth,"
                " n, w, invalid from nodes where tree_id=? order by node_id",
                (number,),
            )
            nodes = tuple(
                StoredNode._make((*r[:5], bool(r[5]), *r[6:9], bool(r[9])))
                for r in rows
            )
            first = json.loads(start)
            yield StoredTree(
                json.loads(task), first["goal"], first["observation"], nodes
            )

    def totals(self) -> dict[str, float]:
        """Counts over the whole store: trees, nodes, steps, requests, tokens."""
        names = (
            "env_steps",
            "requests",
            "input_tokens",
            "output_tokens",
            "lost",
            "cpu_seconds",
        )
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in names)
        row = self._db.execute(f"select {sums} from chunks").fetchone()  # noqa: S608
        out: dict[str, float] = dict(zip(names, row, strict=True))
        out["cpu_seconds"] = round(out["cpu_seconds"], 1)
        query = "select count(*), coalesce(sum(w) / sum(n), 0) from trees"
        out["trees"], mean_return = self._db.execute(query).fetchone()
        out["mean_return"] = round(mean_return, 4)
        out["nodes"] = self._db.execute("select count(*) from nodes").fetchone()[0]
        query = "select coalesce(sum(n), 0) from nodes where invalid"
        out["invalid"] = self._db.execute(query).fetchone()[0]
        return out
