"""Search trees in SQLite: a chunk of tasks is there as a whole, or not at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from langchain_agentrm._files import same_settings
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.training._parts import writing
from langchain_agentrm.training._tree_rows import (
    ChunkResult,
    PackedTree,
    StoredNode,
    StoredTree,
)

__all__ = ["ChunkResult", "PackedTree", "StoredNode", "StoredTree", "TreeStore"]

_VERSION = 2

_SCHEMA = """
create table if not exists meta(name text primary key, value text not null);
create table if not exists chunks(
  chunk integer primary key, env_steps int, requests int, input_tokens int,
  output_tokens int, lost int, cpu_seconds real);
create table if not exists trees(
  tree_id integer primary key, chunk int, task_id text unique, task text, start text,
  config text, status text, env_steps int, n int, w real,
  ended text not null default '', counters text not null default '{}');
create table if not exists nodes(
  tree_id int, node_id int, parent int, action text, observation text, reward real,
  done int, depth int, n int, w real, invalid int, v0 real, votes int default 0,
  run text, said text, primary key(tree_id, node_id)
) without rowid;
"""
# What a store of version 1 lacks; its readers fill in the rest from the action's text.
_WORK = (
    "create table if not exists work("
    "tree_id integer primary key, replayed int, forks int)"
)
_ADDED = (
    _WORK,
    "alter table trees add column ended text not null default ''",
    "alter table trees add column counters text not null default '{}'",
    "alter table nodes add column v0 real",
    "alter table nodes add column votes int default 0",
    "alter table nodes add column run text",
    "alter table nodes add column said text",
)
_NODE_COLUMNS = (
    "node_id, parent, action, observation, reward, done, depth, n, w, invalid, v0,"
    " votes, run, said"
)


class TreeStore:
    """The trees of one run, in one SQLite file with a write-ahead log.

    Killed at any moment, the file holds exactly the chunks that were finished. Chunks
    are computed from the run's seed alone, so that missing ones come out the same. A
    store of an earlier version gets the columns that it lacks when it is opened.
    """

    def __init__(self, path: Path, config: Mapping[str, Any] | None = None) -> None:
        """Open or make the file.

        Args:
            path: The file.
            config: Settings of the run; None opens an existing file to read.

        Raises:
            CheckpointError: If there is no such file to read, it was written by a later
                version, or it cannot be written.
            ConfigurationError: If the file was begun with other settings.
        """
        if config is None and not path.exists():
            msg = f"There is no tree store {path}."
            raise CheckpointError(msg, remedy="Run stage `trees` first.")
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=normal")
            try:
                self._upgrade()
            except BaseException:
                self.close()
                raise
        row = self._db.execute("select value from meta where name='config'").fetchone()
        if row is None:
            text = json.dumps(config or {}, sort_keys=True)
            with writing(path):
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

    def _upgrade(self) -> None:
        """Make the tables, or add what a store of an earlier version lacks."""
        query = "select count(*) from sqlite_master where name='trees'"
        known = bool(self._db.execute(query).fetchone()[0])
        (version,) = self._db.execute("pragma user_version").fetchone()
        if version > _VERSION:
            msg = f"{self.path} is a tree store of version {version}, later than ours."
            raise CheckpointError(msg, remedy="Use the version that wrote it.")
        if known and version < _VERSION:
            self._db.execute("begin immediate")
            for change in _ADDED:
                self._db.execute(change)
            self._db.execute(f"pragma user_version={_VERSION}")
            self._db.execute("commit")
        elif not known:
            version = f"pragma user_version={_VERSION};"
            script = f"begin immediate;{_SCHEMA}{_WORK};{version}commit;"
            self._db.executescript(script)

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

        Raises:
            CheckpointError: If the file cannot be written, as when the disk is full.
        """
        with writing(self.path):
            self._add(result, chunk_size)

    def _add(self, result: ChunkResult, chunk_size: int) -> None:
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
            # A full disk makes SQLite roll back by itself.
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise

    def _add_tree(
        self, number: int, chunk: int, settings: str, packed: PackedTree
    ) -> None:
        root = packed.nodes[0]
        self._db.execute(
            "insert into trees values(?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                number,
                chunk,
                packed.task["id"],
                json.dumps(packed.task),
                json.dumps(packed.start),
                settings,
                packed.status,
                packed.env_steps,
                root.n,
                root.w,
                packed.ended,
                json.dumps(dict(packed.counters), sort_keys=True),
            ),
        )
        self._db.executemany(
            "insert into nodes values(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [(number, *node) for node in packed.nodes],
        )
        if packed.work:
            done = packed.work.get("replayed", 0), packed.work.get("forks", 0)
            self._db.execute("insert into work values(?,?,?)", (number, *done))

    def trees(self) -> Iterator[StoredTree]:
        """Read all trees in task order.

        Yields:
            One tree at a time, so that a large store needs little memory.
        """
        query = "select tree_id, task, start, status from trees order by tree_id"
        for number, task, start, status in self._db.execute(query).fetchall():
            rows = self._db.execute(
                f"select {_NODE_COLUMNS} from nodes where tree_id=? order by node_id",  # noqa: S608 - names of columns
                (number,),
            )
            nodes = tuple(
                StoredNode._make((*r[:5], bool(r[5]), *r[6:9], bool(r[9]), *r[10:]))
                for r in rows
            )
            first = json.loads(start)
            yield StoredTree(
                json.loads(task),
                first["goal"],
                first["observation"],
                nodes,
                number,
                status,
                first.get("instruction", ""),
            )

    def totals(self) -> dict[str, float]:
        """Counts over the whole store.

        Returns:
            Trees, nodes, steps, requests, tokens, trees that are `tainted`, and the
            sums of the trees' own counters.
        """
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
        query = "select counters, status from trees"
        tainted = 0
        for counters, status in self._db.execute(query):
            tainted += status == "tainted"
            for name, value in json.loads(counters).items():
                label = f"tree_{name}"
                out[label] = out.get(label, 0) + value
        if tainted:
            out["tainted"] = tainted
        query = "select count(*), sum(replayed), sum(forks) from work"
        trees, replayed, forks = self._db.execute(query).fetchone()
        if trees:
            out["replayed"], out["forks"] = replayed, forks
        return out
