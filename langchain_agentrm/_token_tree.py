"""Which tokens are known already: a radix tree of token runs over cache slots.

Every distinct token of every text stands in the tree once. A node is a run of tokens;
what it needs of a cache is one slot a token. Nothing here knows of tensors.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as count_from

__all__ = ["Node", "TokenTree"]


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens that all texts through it share.

    Attributes:
        ids: Its tokens; empty at the root alone.
        depth: Position of its first token in a text.
        parent: The run before it.
        slots: One cache slot a token; empty while it is pending.
        kids: What follows, by first token.
        used: The last call that read it.
    """

    ids: tuple[int, ...]
    depth: int
    parent: Node | None
    slots: list[int] = field(default_factory=list)
    kids: dict[int, Node] = field(default_factory=dict)
    used: int = 0

    @property
    def pending(self) -> bool:
        """Whether its tokens were not encoded yet."""
        return len(self.slots) < len(self.ids)

    @property
    def end(self) -> int:
        """Length of a text that ends with this run."""
        return self.depth + len(self.ids)

    def path(self) -> list[Node]:
        """All runs from the first one to this one."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def below(self) -> Iterator[Node]:
        """Yield this node and all runs after it, parents first."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.kids.values())


class TokenTree:
    """Texts by their shared beginnings, the least recently used forgotten first."""

    def __init__(self) -> None:
        """Start empty."""
        self.root = Node((), 0, None)
        self.tick = 0

    def __len__(self) -> int:
        """Count the distinct tokens in the tree, pending ones included."""
        return sum(len(node.ids) for node in self.root.below())

    def start(self) -> None:
        """Begin a call: what it touches is younger than all before."""
        self.tick += 1

    def insert(self, ids: Sequence[int]) -> Node:
        """Find or make the path of a text.

        Args:
            ids: The text, not empty.

        Returns:
            The run that ends with the text's last token; runs on its path that are
            new are pending.
        """
        ids = tuple(ids)
        node, at = self.root, 0
        while at < len(ids):
            kid = node.kids.get(ids[at])
            if kid is None:
                kid = Node(ids[at:], at, node)
                node.kids[ids[at]] = kid
            else:
                same = _common(kid.ids, ids, at)
                if same < len(kid.ids):
                    kid = self.split(kid, same)
            kid.used = self.tick
            node, at = kid, kid.end
        return node

    def split(self, node: Node, size: int) -> Node:
        """Cut a run in two; its slots stay where they are.

        Args:
            node: The run, which keeps the tokens from `size` on.
            size: Tokens of the new run before it.

        Returns:
            The new run.
        """
        parent = node.parent
        if parent is None or not 0 < size < len(node.ids):
            msg = f"a run of {len(node.ids)} tokens cannot be cut after {size}"
            raise ValueError(msg)
        head = Node(
            node.ids[:size], node.depth, parent, node.slots[:size], used=node.used
        )
        parent.kids[node.ids[0]] = head
        node.ids, node.slots = node.ids[size:], node.slots[size:]
        node.depth, node.parent = node.depth + size, head
        head.kids[node.ids[0]] = node
        return head

    def remove(self, node: Node) -> list[int]:
        """Forget a run and all that follow it.

        Args:
            node: Any run but the root; one that was removed already is left alone.

        Returns:
            The slots that are free now.
        """
        parent = node.parent
        if parent is None or parent.kids.get(node.ids[0]) is not node:
            return []
        del parent.kids[node.ids[0]]
        gone = list(node.below())
        for run in gone:
            run.parent = None
        return [slot for run in gone for slot in run.slots]

    def evict(self, count: int) -> list[int]:
        """Forget runs that nothing follows, the least recently used first.

        What the present call reads is never forgotten.

        Args:
            count: Slots wanted.

        Returns:
            The slots that are free now; fewer than wanted where all else is in use.
        """
        order = count_from(0)
        leaves = [
            (node.used, next(order), node)
            for node in self.root.below()
            if not node.kids and node.parent is not None and node.used < self.tick
        ]
        heapq.heapify(leaves)
        free: list[int] = []
        while leaves and len(free) < count:
            *_, node = heapq.heappop(leaves)
            parent = node.parent
            free.extend(self.remove(node))
            if parent is None or parent.parent is None:
                continue
            if not parent.kids and parent.used < self.tick:
                heapq.heappush(leaves, (parent.used, next(order), parent))
        return free

    def pending(self, ends: Iterable[Node]) -> list[Node]:
        """List the runs on the paths to `ends` that are not encoded, parents first."""
        found: dict[int, Node] = {}
        for end in ends:
            chain: list[Node] = []
            node: Node | None = end
            while node is not None and node.pending and id(node) not in found:
                chain.append(node)
                node = node.parent
            for run in reversed(chain):
                found[id(run)] = run
        return list(found.values())


def _common(run: tuple[int, ...], ids: tuple[int, ...], at: int) -> int:
    """Count the tokens of `run` that `ids` repeats from `at` on."""
    rest = ids[at : at + len(run)]
    if rest == run:
        return len(run)
    low, high = 0, len(rest)
    while low < high:
        middle = (low + high + 1) // 2
        if rest[:middle] == run[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
