"""A chunk of trees on its way: every finished iteration is kept in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from langchain_agentrm._files import same_settings
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import CheckpointError
from langchain_agentrm.training._tree import Node, Tree, plant
from langchain_agentrm.training._walks import Seen
from langchain_agentrm.training.mcts import Search, SearchSettings
from langchain_agentrm.types import TaskRef, Usage

__all__ = ["Part", "writing"]

_SCHEMA = """
create table if not exists meta(name text primary key, value text not null);
create table if not exists trees(tree int primary key, data text not null);
create table if not exists nodes(
  tree int, node int, data text not null, primary key(tree, node)) without rowid;
create table if not exists seen(
  tree int, trail text, data text not null, primary key(tree, trail)) without rowid;
"""
_FIELDS = (
    "text",
    "key",
    "path",
    "trail",
    "depth",
    "observation",
    "score",
    "over",
    "invalid",
    "n",
    "w",
    "action",
    "said",
    "votes",
    "v0",
    "blocked",
    "expanded",
)

_Rows = tuple[tuple[int, str], list[tuple[int, int, str]], list[tuple[int, str, str]]]


class writing:  # noqa: N801 - a context manager that reads as a word
    """Turn a store's write error, such as a full disk, into one that says what to do.

    What was stored before stays readable: a transaction is there as a whole or not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """Translate the error."""
        damaged = type(error) is sqlite3.DatabaseError
        if damaged or isinstance(error, sqlite3.OperationalError | OSError):
            msg = f"{self.path} could not be opened or written: {error}."
            raise CheckpointError(
                msg,
                remedy="Make room or repair the disk, and run the stage again: it goes "
                "on after what is stored.",
            ) from error


class Part:
    """The unfinished trees of one chunk in a file of their own.

    Killed at any moment, at most the iteration that was under way in each tree is lost,
    and it comes out the same when it is repeated.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        """Open or make the file.

        Raises:
            ConfigurationError: If it was begun with other settings.
            CheckpointError: If it cannot be written.
        """
        self.path = path
        self.usage = Usage()
        self._staged: dict[int, list[_Rows]] = defaultdict(list)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Used by one thread at a time, though not always by the same one.
            self._db = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=normal")
            self._db.executescript(_SCHEMA)
            meta = dict(self._db.execute("select name, value from meta").fetchall())
            if "config" not in meta:
                text = json.dumps(dict(config), sort_keys=True)
                self._db.execute("insert into meta values('config', ?)", (text,))
        if "usage" in meta:
            self.usage = Usage(*json.loads(meta["usage"]))
        self._before = self.usage
        if "config" in meta:
            try:
                same_settings(json.loads(meta["config"]), config, where=path.name)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        """Return the open part."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @staticmethod
    def file(folder: Path, chunk: int) -> Path:
        """Where a chunk's part lies."""
        return folder / f"chunk-{chunk:06d}.sqlite"

    @staticmethod
    def forget(folder: Path, chunk: int) -> None:
        """Delete a chunk's part: its trees are in the store of the run now."""
        path = Part.file(folder, chunk)
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def search(
        self,
        number: int,
        task: TaskRef,
        factory: EnvironmentFactory,
        settings: SearchSettings,
    ) -> Search:
        """Begin a tree's search, or read back how far it came.

        Args:
            number: The tree's place in the chunk.
            task: Its task.
            factory: The environment.
            settings: Settings of the search.

        Returns:
            The search, which stages its iterations here.
        """
        row = self._db.execute("select data from trees where tree=?", (number,))
        found = row.fetchone()
        search = Search.begin(plant(factory, task), factory, settings)
        if found is not None:
            self._restore(search, number, json.loads(found[0]))
        search.keep = lambda s: self._staged[number].append(_rows(number, s))
        return search

    def _restore(self, search: Search, number: int, data: Mapping[str, Any]) -> None:
        tree = search.tree
        search.iteration = data["iteration"]
        tree.status, tree.ended = data["status"], data["ended"]
        tree.env_steps, tree.lost = data["env_steps"], data["lost"]
        tree.counters, tree.work = data["counters"], data["work"]
        if data["start"] != _start(tree):
            tree.status = "tainted"
            tree.ended = f"task {tree.task['id']!r} shows another start than before"
        children: list[list[tuple[str, int]]] = []
        query = "select data from nodes where tree=? order by node"
        for (text,) in self._db.execute(query, (number,)):
            row = json.loads(text)
            values = dict(zip(_FIELDS, row["values"], strict=True))
            if row["parent"] is None:
                node = tree.root
                for name, value in values.items():
                    setattr(node, name, value)
            else:
                parent = tree.nodes[row["parent"]]
                node = Node(len(tree.nodes), parent, **values)
                tree.nodes.append(node)
            children.append(row["children"])
        for node, known in zip(tree.nodes, children, strict=True):
            node.children = {key: tree.nodes[kid] for key, kid in known}
        query = "select trail, data from seen where tree=?"
        for trail, text in self._db.execute(query, (number,)):
            search.engines.seen[trail] = Seen(*json.loads(text))
        search.changed.clear()

    def flush(self, trees: Iterable[int], usage: Usage) -> None:
        """Store what the given trees have staged, in one transaction.

        Args:
            trees: Places in the chunk.
            usage: What the policy used in this process so far.

        Raises:
            CheckpointError: If it cannot be written.
        """
        staged = [rows for number in trees for rows in self._staged.pop(number, [])]
        self.usage = self._before + usage
        if not staged:
            return
        spent = self.usage
        text = json.dumps(
            [
                spent.requests,
                spent.input_tokens,
                spent.output_tokens,
                spent.cached_tokens,
            ]
        )
        with writing(self.path):
            self._db.execute("begin immediate")
            try:
                for tree, nodes, seen in staged:
                    self._put("trees", [tree])
                    self._put("nodes", nodes)
                    self._put("seen", seen)
                self._put("meta", [("usage", text)])
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise

    def _put(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        marks = ",".join("?" * len(rows[0]))
        self._db.executemany(f"insert or replace into {table} values({marks})", rows)


def _start(tree: Tree) -> dict[str, str]:
    return {"goal": tree.start.goal, "observation": tree.start.observation}


def _rows(number: int, search: Search) -> _Rows:
    tree = search.tree
    data = {
        "start": _start(tree),
        "iteration": search.iteration,
        "status": tree.status,
        "ended": tree.ended,
        "env_steps": tree.env_steps,
        "lost": tree.lost,
        "counters": tree.counters,
        "work": tree.work,
    }
    nodes = []
    for ident in sorted(search.changed):
        node = tree.nodes[ident]
        row = {
            "parent": None if node.parent is None else node.parent.id,
            "values": [getattr(node, name) for name in _FIELDS],
            "children": [[key, kid.id] for key, kid in node.children.items()],
        }
        nodes.append((number, ident, json.dumps(row)))
    engines = search.engines
    seen = [(number, t, json.dumps(engines.seen[t])) for t in engines.news]
    search.changed.clear()
    engines.news.clear()
    return (number, json.dumps(data)), nodes, seen
