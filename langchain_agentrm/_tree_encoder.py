"""Encoding texts that begin alike: each distinct token goes through the network once.

Keys and values of all tokens lie in one pool a layer, a slot a token. A forward pass
takes rows; a row packs the new tokens of texts that share their beginning, and a mask
lets each token see its own path only. Keys are stored after rotation by their depth in
the text, so that a slot can be read from any row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import DynamicCache

from langchain_agentrm._token_tree import Node, TokenTree

__all__ = ["TooLongError", "TreeEncoder", "out_of_memory"]

_LONE = 64  # from so many tokens on, a new beginning runs alone, by the causal kernel
_PACK = 160  # new tokens of a row: all that it holds is seen, masked or not
_MASK_CELLS = 1 << 24
_START = 256  # slots of a new pool

Read = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class TooLongError(Exception):
    """One text alone needs more than the pool may hold."""


@dataclass(frozen=True, slots=True)
class _Row:
    """New runs that go through the network side by side."""

    runs: list[Node]
    kept: list[Node]

    @property
    def new(self) -> int:
        return sum(len(run.ids) for run in self.runs)

    @property
    def old(self) -> int:
        return sum(len(run.ids) for run in self.kept)


class _Pool(DynamicCache):
    """Keys and values by slot; slot 0 is never used and stays zero."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.size = _START
        self.new: torch.Tensor | None = None
        self.valid: torch.Tensor | None = None
        self.columns: torch.Tensor | None = None

    @property
    def slot_bytes(self) -> int:
        """Bytes of one token, 0 before the first forward pass."""
        return sum(t[0].numel() * t.element_size() for t in [*self.keys, *self.values])

    def grow(self, size: int) -> None:
        for tensors in (self.keys, self.values):
            for i, old in enumerate(tensors):
                tensors[i] = old.new_zeros((size, *old.shape[1:]))
                tensors[i][: len(old)] = old
        self.size = size

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep what is new; give all that the rows may see, [rows, heads, n, dim]."""
        while len(self.keys) <= layer_idx:
            for tensors, states in (
                (self.keys, key_states),
                (self.values, value_states),
            ):
                heads, dim = states.shape[1], states.shape[3]
                tensors.append(states.new_zeros((self.size, heads, dim)))
        return (
            self._through(self.keys[layer_idx], key_states),
            self._through(self.values[layer_idx], value_states),
        )

    def _through(self, pool: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        pool[self.new] = states.transpose(1, 2)[self.valid]
        if self.columns is None:
            return states
        rows, wide = self.columns.shape
        picked = pool.index_select(0, self.columns.reshape(-1))
        return picked.view(rows, wide, *pool.shape[1:]).transpose(1, 2)


class TreeEncoder:
    """Runs a decoder over texts; what an earlier text shares is not run again."""

    def __init__(
        self,
        body: Callable[..., Any],
        read: Read,
        device: torch.device,
        dtype: torch.dtype,
        *,
        max_bytes: int,
        chunk_tokens: int,
    ) -> None:
        """Set up.

        Args:
            body: The decoder without its head, called with keyword arguments; all of
                its layers must attend to everything before them.
            read: From hidden states [tokens, hidden] and ids [tokens] to what is kept
                of each token, [tokens, width] in float32.
            device: Where the model lives.
            dtype: Its floating-point type.
            max_bytes: Bound of keys and values kept.
            chunk_tokens: Tokens of one forward pass, padding included.
        """
        self._body = body
        self._read = read
        self._device = device
        self._dtype = dtype
        self.max_bytes = max_bytes
        self.chunk_tokens = chunk_tokens
        self.encoded = 0
        self.forget()

    def forget(self) -> None:
        """Drop all that was kept."""
        self._tree = TokenTree()
        self._pool = _Pool()
        self._values: torch.Tensor | None = None
        self._free: list[int] = list(range(_START - 1, 0, -1))

    @property
    def tokens(self) -> int:
        """Tokens kept."""
        return self._pool.size - 1 - len(self._free)

    @property
    def bytes(self) -> int:
        """Bytes of keys and values kept."""
        return self.tokens * self._pool.slot_bytes

    def run(
        self,
        texts: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]] | None = None,
    ) -> list[torch.Tensor]:
        """Encode texts.

        Runs whose values are not finite are not kept: in a packed row they would spoil
        what is beside them, so the caller should ask for such texts one by one.

        Args:
            texts: Token ids, none empty.
            positions: Which tokens of each text to read; the last one where None.

        Returns:
            What was read of each text, [positions, width].

        Raises:
            TooLongError: If one text alone is longer than the pool may be.
        """
        if not texts:
            return []
        self._tree.start()
        ends = [self._tree.insert(text) for text in texts]
        pending = self._tree.pending(ends)
        if not self._reserve(sum(len(run.ids) for run in pending)):
            self._remove(pending)
            if len(texts) == 1:
                raise TooLongError
            half = len(texts) // 2
            first, second = (
                (None, None)
                if positions is None
                else (positions[:half], positions[half:])
            )
            return [*self.run(texts[:half], first), *self.run(texts[half:], second)]
        try:
            new = self._encode(ends)
        except BaseException:
            self._remove(self._tree.pending(ends))
            raise
        wanted = [
            _slots(end, [-1] if positions is None else positions[i])
            for i, end in enumerate(ends)
        ]
        found = self._at([slot for slots in wanted for slot in slots])
        fresh = [slot for run in new for slot in run.slots]
        if fresh and not bool(torch.isfinite(self._at(fresh)).all()):
            self._remove(new)
        return list(torch.split(found, [len(slots) for slots in wanted]))

    def _at(self, slots: list[int]) -> torch.Tensor:
        if self._values is None:
            msg = "nothing was encoded yet"
            raise RuntimeError(msg)
        return self._values[torch.tensor(slots, device=self._device)]

    def _remove(self, runs: Sequence[Node]) -> None:
        for run in runs:
            self._free.extend(self._tree.remove(run))

    def _reserve(self, need: int) -> bool:
        """Make room for new tokens within the bound, if that can be done."""
        each = self._pool.slot_bytes
        # The first pass shows what a token takes; until then there is no bound.
        limit = self.max_bytes // each if each else self._pool.size + need
        if need > limit - self.tokens:
            # A little more than needed, or every call would look for leaves again.
            spare = need + self.tokens - limit + limit // 16
            self._free.extend(self._tree.evict(spare))
        if need > limit - self.tokens:
            return False
        short = need - len(self._free)
        if short > 0:
            size = self._pool.size
            self._grow(min(max(size * 2, size + short), limit + 1))
        return True

    def _grow(self, size: int) -> None:
        self._free = [*range(size - 1, self._pool.size - 1, -1), *self._free]
        self._pool.grow(size)
        if self._values is not None:
            grown = self._values.new_zeros((size, self._values.shape[1]))
            grown[: len(self._values)] = self._values
            self._values = grown

    def _encode(self, ends: list[Node]) -> list[Node]:
        """Run what is pending, in smaller passes where memory does not do."""
        new: list[Node] = []
        while pending := self._tree.pending(ends):
            alone, packed = self._waves(pending)
            try:
                for causal, rows in ((True, alone), (False, packed)):
                    for chunk in _in_chunks(rows, self.chunk_tokens):
                        self._forward(chunk, causal=causal)
                        new.extend(run for row in chunk for run in row.runs)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not out_of_memory(error) or not self._shrink():
                    raise
        return new

    def _shrink(self) -> bool:
        """Ask less of memory: a smaller pass, and in the end an emptier pool."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self.chunk_tokens <= _LONE:
            return False
        self.chunk_tokens //= 2
        return True

    def _waves(self, pending: list[Node]) -> tuple[list[_Row], list[_Row]]:
        """Sort what can run now into rows: beginnings alone, the rest packed."""
        of: dict[int, Node] = {}
        clusters: dict[int, list[Node]] = {}
        for run in pending:  # parents first
            top = of.get(id(run.parent), run)
            of[id(run)] = top
            clusters.setdefault(id(top), []).append(run)
        alone: list[_Row] = []
        packed: list[_Row] = []
        for cluster in clusters.values():
            runs = self._ready(cluster)
            top = runs[0]
            if top.depth == 0 and len(runs) == 1:
                alone.append(_Row(runs, []))
                continue
            kept = top.parent.path() if top.parent is not None else []
            size = sum(len(run.ids) for run in runs)
            if packed and _fits(packed[-1], top, size, self.chunk_tokens):
                seen = {id(run) for run in packed[-1].kept}
                packed[-1].runs.extend(runs)
                packed[-1].kept.extend(run for run in kept if id(run) not in seen)
            else:
                packed.append(_Row(runs, kept))
        return alone, packed

    def _ready(self, cluster: list[Node]) -> list[Node]:
        """Choose what of a run and its pending followers goes into one row."""
        top = cluster[0]
        room = self.chunk_tokens
        if top.depth:
            room = min(room, max(_LONE, _MASK_CELLS // (top.depth + room)))
        if len(top.ids) > room:
            return [self._tree.split(top, room)]
        size = sum(len(run.ids) for run in cluster)
        lone = top.depth == 0 and len(top.ids) >= _LONE
        # Followers of one beginning see nothing of each other: in one row, all that
        # they do not share would be masked work.
        forked = len(top.kids) > 1 and size > max(top.end // 8, _PACK)
        return [top] if lone or forked or size > room else list(cluster)

    def _forward(self, rows: list[_Row], *, causal: bool) -> None:
        news = [row.new for row in rows]
        wide, old = max(news), max(row.old for row in rows)
        ids = np.zeros((len(rows), wide), dtype=np.int64)
        position = np.zeros_like(ids)
        slots = np.zeros_like(ids)
        columns = np.zeros((len(rows), old + wide), dtype=np.int64)
        mask = np.zeros((len(rows), wide, old + wide), dtype=np.bool_)
        given = [[self._free.pop() for _ in range(size)] for size in news]
        for g, (row, mine) in enumerate(zip(rows, given, strict=True)):
            slots[g, : len(mine)] = mine
            columns[g, old : old + len(mine)] = mine
            _fill(row, old, ids[g], position[g], columns[g], mask[g])
        device = self._device
        self._pool.valid = torch.from_numpy(slots > 0).to(device)
        index = torch.from_numpy(slots).to(device)[self._pool.valid]
        self._pool.new = index
        self._pool.columns = None if causal else torch.from_numpy(columns).to(device)
        feed = torch.from_numpy(ids).to(device)
        try:
            hidden = self._body(
                input_ids=feed,
                attention_mask=None if causal else self._additive(mask),
                position_ids=torch.from_numpy(position).to(device),
                past_key_values=self._pool,
                use_cache=True,
            ).last_hidden_state
            values = self._read(hidden[self._pool.valid], feed[self._pool.valid])
            if self._values is None:
                self._values = values.new_zeros((self._pool.size, values.shape[1]))
            self._values[index] = values
        except BaseException:
            self._free.extend(slot for mine in given for slot in mine)
            raise
        for row, mine in zip(rows, given, strict=True):
            at = 0
            for run in row.runs:
                run.slots = mine[at : at + len(run.ids)]
                at += len(run.ids)
            self.encoded += at

    def _additive(self, mask: NDArray[np.bool_]) -> torch.Tensor:
        """Write a mask as what is added to scores: right for every kernel."""
        seen = torch.from_numpy(mask[:, None]).to(self._device)
        low = torch.finfo(self._dtype).min
        out = torch.full(seen.shape, low, dtype=self._dtype, device=self._device)
        return out.masked_fill_(seen, 0.0)


def _slots(end: Node, positions: Sequence[int]) -> list[int]:
    """Slots of some tokens of a text; negative positions count from its end."""
    length = end.end
    out: list[int] = []
    for position in positions:
        at = position % length
        node = end
        while node.depth > at and node.parent is not None:
            node = node.parent
        out.append(node.slots[at - node.depth])
    return out


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory did not do, on a GPU or a CPU."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return "allocate memory" in str(error) or "out of memory" in str(error).lower()


def _fits(row: _Row, top: Node, size: int, room: int) -> bool:
    """Tell whether runs may join a row: they share most, and attention stays small."""
    shared = sum(len(run.ids) for run in row.kept)
    if top.parent is None or top.depth == 0:
        return False
    seen = {id(run) for run in row.kept}
    common = sum(len(run.ids) for run in top.parent.path() if id(run) in seen)
    if common * 2 < max(top.depth, shared):
        return False
    return row.new + size <= min(room, max(common // 8, _PACK))


def _in_chunks(rows: list[_Row], room: int) -> Iterator[list[_Row]]:
    """Put rows of like size together, as many as fit into one pass."""
    order = sorted(rows, key=lambda row: (row.new, row.old))
    chunk: list[_Row] = []
    old = 0
    for row in order:
        count, wide = len(chunk) + 1, max(old, row.old) + row.new
        if chunk and (count * row.new > room or count * row.new * wide > _MASK_CELLS):
            yield chunk
            chunk, old = [], 0
        chunk.append(row)
        old = max(old, row.old)
    if chunk:
        yield chunk


def _fill(
    row: _Row,
    old: int,
    ids: NDArray[np.int64],
    position: NDArray[np.int64],
    columns: NDArray[np.int64],
    mask: NDArray[np.bool_],
) -> None:
    """Write one row's tokens, depths, visible columns and mask."""
    where: dict[int, slice] = {}
    at = 0
    for run in row.kept:
        where[id(run)] = slice(at, at + len(run.ids))
        columns[where[id(run)]] = run.slots
        at += len(run.ids)
    at = 0
    seen: dict[int, NDArray[np.bool_]] = {}
    for run in row.runs:
        size = len(run.ids)
        rows = slice(at, at + size)
        ids[rows] = run.ids
        position[rows] = np.arange(run.depth, run.end)
        above = seen.get(id(run.parent))
        if above is None:
            above = np.zeros(mask.shape[1], dtype=np.bool_)
            for earlier in run.parent.path() if run.parent is not None else []:
                above[where[id(earlier)]] = True
            seen[id(run.parent)] = above
        mask[rows] = above
        mask[rows, old + at : old + at + size] = np.tri(size, dtype=np.bool_)
        where[id(run)] = slice(old + at, old + at + size)
        at += size
