"""What a search may do beyond the paper; all of it is off by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from langchain_agentrm.errors import ConfigurationError

__all__ = ["SearchOptions", "TieBreak"]

TieBreak = Literal["votes", "likelihood"]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Choices that the AgentRM paper does not make; the defaults leave its search.

    One value serves the selector, the ready graphs and the evaluation in lockstep.
    Scores are in the reward model's own unit.

    Attributes:
        early_stop: End the search once the best finished beam is scored at least this
            much above every open one; None never does.
        adaptive: Give the draws of a step to the beams whose scores are close to the
            best one. Their number stays `open beams x expansions`, each beam keeps at
            least one, and a beam's part halves with each `adaptive` it is behind.
        per_parent: Keep at most this many children of one beam, while another beam has
            a child to fill the slot; None is the paper's free competition.
        revisits: How often a search may go back: at a dead end the best dropped
            candidates compete again with what the step kept.
        dead_end: How far the best that a step kept must be scored below the best
            dropped candidate to be a dead end. A step that keeps nothing is always one.
        memory: How many dropped candidates are remembered for a revisit.
        vote_weight: Weight of the policy's vote in the score: the share of a
            candidate among its parent's valid draws, 0..1.
        likelihood_weight: Weight of the policy's likelihood: the candidate's
            probability among its distinct siblings, 0..1. The policy must report
            log-probabilities.
        tie_break: What decides between scores closer than the reward model's
            resolution; then votes, then the key.
        vote_margin: How much better than the policy's most frequent draw another
            candidate must be scored to replace it; needs one beam.

    Raises:
        ConfigurationError: If a value is out of its range.
    """

    early_stop: float | None = None
    adaptive: float | None = None
    per_parent: int | None = None
    revisits: int = 0
    dead_end: float = 0.1
    memory: int = 8
    vote_weight: float = 0.0
    likelihood_weight: float = 0.0
    tie_break: TieBreak = "votes"
    vote_margin: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for name, least in (
            ("early_stop", 0.0),
            ("per_parent", 1),
            ("revisits", 0),
            ("dead_end", 0.0),
            ("memory", 1),
            ("vote_weight", 0.0),
            ("likelihood_weight", 0.0),
            ("vote_margin", 0.0),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                msg = f"SearchOptions({name}={value!r}) is out of range."
                raise ConfigurationError(
                    msg, remedy=f"Give a finite {name} of at least {least}."
                )
        if self.adaptive is not None and not 0 < self.adaptive < float("inf"):
            msg = f"SearchOptions(adaptive={self.adaptive!r}) is out of range."
            raise ConfigurationError(
                msg, remedy="Give a finite distance of scores above 0, such as 0.1."
            )
        if self.tie_break not in ("votes", "likelihood"):
            msg = f"SearchOptions(tie_break={self.tie_break!r}) does not exist."
            raise ConfigurationError(msg, remedy="Use 'votes' or 'likelihood'.")

    @property
    def blends(self) -> bool:
        """Whether the policy's opinion is a part of the score."""
        return bool(self.vote_weight or self.likelihood_weight)

    def check(
        self, *, beam_width: int, comparable: Literal["global", "group", "depth"]
    ) -> None:
        """Refuse what cannot work with a width or a reward model.

        Args:
            beam_width: W1.
            comparable: What the reward model's scores are comparable across.

        Raises:
            ConfigurationError: If scores would be compared that cannot be, or one
                path is asked of several beams.
        """
        if self.vote_margin and beam_width > 1:
            msg = f"vote_margin={self.vote_margin} is for one path, not {beam_width}."
            raise ConfigurationError(msg, remedy="Set beam_width=1.")
        across = {
            "revisits": self.revisits > 0,
            "early_stop": self.early_stop is not None,
            "vote_weight or likelihood_weight": self.blends,
        }
        allowed = {
            "global": set(across),
            "group": {"early_stop"},
            "depth": {"vote_weight or likelihood_weight"},
        }[comparable]
        for name, used in across.items():
            if used and name not in allowed:
                msg = (
                    f"{name} compares scores of different steps, but this reward "
                    f"model's are comparable within one {comparable} only."
                )
                raise ConfigurationError(
                    msg,
                    remedy=f"Leave {name} off, or use a reward model whose scores are "
                    "comparable everywhere (comparable='global').",
                )
