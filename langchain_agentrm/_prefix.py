"""Encoding many texts of which most was encoded before: a bounded store of KV blocks.

Blocks of 16 tokens are found by a hash chained over the blocks before them, so that
nothing has to be known of the template; only what is missing goes through the network.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = [
    "BLOCK",
    "BlockStore",
    "Encoded",
    "PrefixEncoder",
    "can_keep_prefix",
    "filled",
]

BLOCK = 16
"""Tokens in a block."""

_SHARED = 2  # blocks that texts of one batch must share before they are encoded apart


def can_keep_prefix(config: Any) -> bool:
    """Tell whether all of a model's layers attend to everything before them."""
    config = config.get_text_config(decoder=True)
    layers = getattr(config, "layer_types", None)
    if layers is not None:
        return all(kind == "full_attention" for kind in layers)
    if getattr(config, "sliding_window", None) and getattr(
        config, "use_sliding_window", True
    ):
        return False
    recurrent = ("state_size", "ssm_cfg", "layers_block_type", "attn_layer_period")
    if any(hasattr(config, name) for name in recurrent):
        return False
    return not getattr(config, "is_encoder_decoder", False)


def filled(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of each layer."""
    return [
        (layer.keys, layer.values)
        for layer in cache.layers
        if isinstance(layer, DynamicLayer)
        and layer.keys is not None
        and layer.values is not None
    ]


def chain(ids: Sequence[int]) -> list[bytes]:
    """Hash chain over the whole blocks of a text."""
    raw = np.asarray(ids, dtype=np.int32).tobytes()
    width = BLOCK * 4
    keys: list[bytes] = []
    last = b""
    for start in range(0, len(raw) - width + 1, width):
        block = last + raw[start : start + width]
        last = hashlib.blake2b(block, digest_size=16).digest()
        keys.append(last)
    return keys


class BlockStore:
    """Keys and values of blocks in one growing pool a layer, bounded in bytes."""

    def __init__(self, max_bytes: int) -> None:
        """Start empty.

        Args:
            max_bytes: Bound; the blocks used longest ago are forgotten beyond it.
        """
        self.max_bytes = max_bytes
        self._slots: OrderedDict[bytes, int] = OrderedDict()
        self._pools: list[torch.Tensor] = []
        self._limit = 0

    def __len__(self) -> int:
        """Count the blocks kept."""
        return len(self._slots)

    @property
    def layers(self) -> int:
        """Count the layers, 0 before the first block came."""
        return len(self._pools)

    def find(self, keys: Sequence[bytes]) -> list[int]:
        """Slots of the longest run of blocks that is kept, from the start."""
        found: list[int] = []
        for key in keys:
            slot = self._slots.get(key)
            if slot is None:
                break
            found.append(slot)
        # The start of a text last, so that it outlives what depends on it.
        for key in reversed(keys[: len(found)]):
            self._slots.move_to_end(key)
        return found

    def gather(self, layer: int, slots: torch.Tensor) -> torch.Tensor:
        """Read blocks: [rows, blocks] gives [2, rows, heads, blocks * BLOCK, dim]."""
        rows, blocks = slots.shape
        picked = self._pools[layer][slots]
        heads, dim = picked.shape[3], picked.shape[5]
        return picked.permute(2, 0, 3, 1, 4, 5).reshape(
            2, rows, heads, blocks * BLOCK, dim
        )

    def missing(self, key: bytes) -> bool:
        """Tell whether a block is not kept."""
        return key not in self._slots

    def put(self, keys: Sequence[bytes], blocks: Sequence[torch.Tensor]) -> None:
        """Keep blocks.

        Args:
            keys: Distinct keys, none of them kept, a text's first block first.
            blocks: One tensor a layer, [len(keys), 2, heads, BLOCK, dim].
        """
        if not self._pools:
            self._limit = self.max_bytes // sum(
                b[0].numel() * b.element_size() for b in blocks
            )
            self._pools = [b.new_zeros((64, *b.shape[1:])) for b in blocks]
        count = min(len(keys), self._limit)
        keys = keys[:count]
        slots = [
            self._slots.popitem(last=False)[1]
            for _ in range(max(0, len(self._slots) + count - self._limit))
        ]
        free = len(self._slots) + len(slots)
        fresh = range(free, free + count - len(slots))
        slots.extend(fresh)
        if not slots:
            return
        self._grow(max(slots) + 1)
        index = torch.tensor(slots, device=self._pools[0].device)
        for pool, block in zip(self._pools, blocks, strict=True):
            pool[index] = block[:count]
        for key, slot in reversed(list(zip(keys, slots, strict=True))):
            self._slots[key] = slot

    def _grow(self, size: int) -> None:
        have = len(self._pools[0])
        if size > have:
            room = min(max(size, have * 2), self._limit)
            for i, pool in enumerate(self._pools):
                self._pools[i] = pool.new_zeros((room, *pool.shape[1:]))
                self._pools[i][:have] = pool


@dataclass(frozen=True, slots=True)
class Encoded:
    """One chunk of texts that went through the network.

    Attributes:
        rows: Which of the texts asked for.
        output: What the model returned; its last position is each text's end.
        cache: Keys and values, with holes.
        columns: [rows, longest]: the cache column of each token, aligned right.
    """

    rows: list[int]
    output: Any
    cache: DynamicCache
    columns: torch.Tensor


class PrefixEncoder:
    """Runs a model over texts, leaving out what the store already holds."""

    def __init__(
        self,
        forward: Callable[..., Any],
        device: torch.device,
        store: BlockStore,
        *,
        chunk_tokens: int,
    ) -> None:
        """Set up.

        Args:
            forward: The model, called with keyword arguments.
            device: Where it lives.
            store: The blocks kept.
            chunk_tokens: Cells (rows times columns) of one forward pass.
        """
        self._forward = forward
        self._device = device
        self.store = store
        self._chunk = chunk_tokens
        self.encoded = 0

    def run(self, texts: Sequence[Sequence[int]]) -> Iterator[Encoded]:
        """Encode texts, in chunks of like length.

        Args:
            texts: Token ids, none empty.

        Yields:
            The chunks, in no particular order of texts.
        """
        keys = [chain(t) for t in texts]
        # The last token always runs: its output is what the caller wants.
        usable = [k[: (len(t) - 1) // BLOCK] for k, t in zip(keys, texts, strict=True)]
        heads = self._shared_heads(usable) if self.store.max_bytes > 0 else []
        if heads:
            head_texts = [texts[i][: n * BLOCK] for i, n in heads]
            head_keys = [keys[i][:n] for i, n in heads]
            cut = [k[: len(k) - 1] for k in head_keys]
            for _ in self._chunks(head_texts, head_keys, cut):
                pass
        yield from self._chunks(texts, keys, usable)

    def _shared_heads(self, usable: list[list[bytes]]) -> list[tuple[int, int]]:
        """Find new beginnings that several texts share: (a text, its blocks)."""
        count: dict[bytes, int] = {}
        start = [len(self.store.find(k)) for k in usable]
        for k, s in zip(usable, start, strict=True):
            for key in k[s:]:
                count[key] = count.get(key, 0) + 1
        heads: dict[bytes, tuple[int, int]] = {}
        for i, (k, s) in enumerate(zip(usable, start, strict=True)):
            n = s
            while n < len(k) and count[k[n]] > 1:
                n += 1
            if n - s >= _SHARED:
                heads[k[n - 1]] = (i, n)
        covered = {key for i, n in heads.values() for key in usable[i][: n - 1]}
        return [head for key, head in heads.items() if key not in covered]

    def _chunks(
        self,
        texts: Sequence[Sequence[int]],
        keys: list[list[bytes]],
        usable: list[list[bytes]],
    ) -> Iterator[Encoded]:
        have = [len(self.store.find(k)) * BLOCK for k in usable]
        order = sorted(
            range(len(texts)), key=lambda i: (len(texts[i]) - have[i], have[i])
        )
        chunk: list[int] = []
        widest = 0
        for i in order:
            # Attention runs over the kept columns too, at a fraction of the cost.
            new = max(widest, len(texts[i]) - have[i] + have[i] // 8)
            if chunk and new * (len(chunk) + 1) > self._chunk:
                yield self._encode(chunk, texts, keys, usable)
                chunk, new = [], len(texts[i]) - have[i] + have[i] // 8
            chunk.append(i)
            widest = new
        if chunk:
            yield self._encode(chunk, texts, keys, usable)

    def _encode(
        self,
        rows: list[int],
        texts: Sequence[Sequence[int]],
        keys: list[list[bytes]],
        usable: list[list[bytes]],
    ) -> Encoded:
        slots = [self.store.find(usable[i]) for i in rows]
        sizes = np.array([len(texts[i]) for i in rows])
        kept = np.array([len(s) * BLOCK for s in slots])
        old, new = int(kept.max()), int((sizes - kept).max())
        ids = np.zeros((len(rows), new), dtype=np.int64)
        for r, i in enumerate(rows):
            ids[r, new - (sizes[r] - kept[r]) :] = texts[i][kept[r] :]
        places = np.arange(old + new)
        position = np.maximum(sizes[:, None] - new + places[None, :new], 0)
        device = self._device
        cache = DynamicCache()
        if old:
            blocks = np.zeros((len(rows), old // BLOCK), dtype=np.int64)
            for r, s in enumerate(slots):
                blocks[r, blocks.shape[1] - len(s) :] = s
            index = torch.from_numpy(blocks).to(device)
            for layer in range(self.store.layers):
                k, v = self.store.gather(layer, index)
                cache.update(k, v, layer)
        # A padding position sees itself, or its softmax would be over nothing.
        seen = (places >= old - kept[:, None]) & (places < old)
        seen |= places >= old + new - (sizes - kept)[:, None]
        lower = places[None, :] <= old + np.arange(new)[:, None]
        own = places[None, :] == old + np.arange(new)[:, None]
        mask = (seen[:, None, :] & lower) | own
        output = self._forward(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask[:, None]).to(device),
            position_ids=torch.from_numpy(position).to(device),
            past_key_values=cache,
            use_cache=True,
        )
        self.encoded += int((sizes - kept).sum())
        longest = int(sizes.max())
        token = np.arange(longest) - (longest - sizes)[:, None]
        shift = np.where(
            token < kept[:, None], old - kept[:, None], old + new - sizes[:, None]
        )
        columns = np.maximum(token + shift, 0)
        self._keep(rows, keys, cache, columns, longest - sizes)
        return Encoded(rows, output, cache, torch.from_numpy(columns).to(device))

    def _keep(
        self,
        rows: list[int],
        keys: list[list[bytes]],
        cache: DynamicCache,
        columns: np.ndarray[Any, Any],
        pad: np.ndarray[Any, Any],
    ) -> None:
        fresh: dict[bytes, tuple[int, int]] = {}
        for r, i in enumerate(rows):
            for b, key in enumerate(keys[i]):
                if key not in fresh and self.store.missing(key):
                    fresh[key] = (r, int(pad[r]) + b * BLOCK)
        if not fresh or self.store.max_bytes <= 0:
            return
        where = np.array(list(fresh.values()))
        row = torch.from_numpy(where[:, 0]).to(self._device)
        span = columns[where[:, :1], where[:, 1:] + np.arange(BLOCK)]
        column = torch.from_numpy(span).to(self._device)
        blocks = [
            torch.stack(
                [x[row[:, None], :, column].transpose(1, 2) for x in pair], dim=1
            )
            for pair in filled(cache)
        ]
        self.store.put(list(fresh), blocks)
