"""The proposer seam: candidates for all states of a search step in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from langchain_agentrm.types import Batch, Candidate, ProposalRequest

__all__ = ["Proposer"]


@runtime_checkable
class Proposer(Protocol):
    """Turns requests into candidates.

    One answer list per request, in the order asked. A draw that failed is absent from
    its list, so k of n may come. Candidates carry message, source, log-probability and
    parent; action, key and id stay empty for whoever owns the action grammar.
    """

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Answer requests.

        Args:
            requests: All of a step.

        Returns:
            The candidates of each request, and what the whole cost.

        Raises:
            PolicyError: If nothing came for any request.
        """
        ...

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """Async twin of `propose`."""
        ...
