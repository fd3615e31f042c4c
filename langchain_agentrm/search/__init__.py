"""The pure core: ids, merging, ranking, keeping and stopping, over plain data.

Nothing in here imports a model, an environment, torch or langgraph. A search step is
a generator (`rounds.select`) that yields what it wants done (`Propose`, `Evaluate`)
and is sent the answers, so that one implementation serves sync, async and many
episodes in lockstep; `langchain_agentrm.engine` holds those drivers.
"""

from __future__ import annotations

from langchain_agentrm.search.beam import Finished, Kept, allot, keep, rank
from langchain_agentrm.search.best_of_n import apart, rollout_wave
from langchain_agentrm.search.ids import derive_seed, node_id, root_id
from langchain_agentrm.search.merge import (
    ToolCallGrammar,
    apply_grammar,
    merge,
    tool_call_key,
)
from langchain_agentrm.search.rounds import (
    Evaluate,
    OpenState,
    Propose,
    RoundSettings,
    Selection,
    select,
)

__all__ = [
    "Evaluate",
    "Finished",
    "Kept",
    "OpenState",
    "Propose",
    "RoundSettings",
    "Selection",
    "ToolCallGrammar",
    "allot",
    "apart",
    "apply_grammar",
    "derive_seed",
    "keep",
    "merge",
    "node_id",
    "rank",
    "rollout_wave",
    "root_id",
    "select",
    "tool_call_key",
]
