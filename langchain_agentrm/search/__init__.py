"""The pure core: ids, merging, ranking, keeping and stopping, over plain data.

Nothing in here imports a model, an environment, torch or langgraph. A search step is
a generator (`rounds.select`) that yields what it wants done (`Propose`, `Evaluate`)
and is sent the answers, so that one implementation serves sync, async and many
episodes in lockstep; `langchain_agentrm.engine` holds those drivers.
"""

from __future__ import annotations

from langchain_agentrm.search.adaptive import allot_close
from langchain_agentrm.search.beam import Finished, Kept, allot, keep, rank
from langchain_agentrm.search.best_of_n import apart, rollout_wave
from langchain_agentrm.search.blend import blend, first_choices
from langchain_agentrm.search.diverse import spread
from langchain_agentrm.search.ids import derive_seed, node_id, root_id
from langchain_agentrm.search.merge import (
    ToolCallGrammar,
    apply_grammar,
    merge,
    tool_call_key,
)
from langchain_agentrm.search.options import SearchOptions
from langchain_agentrm.search.revisit import Shelf, revisit
from langchain_agentrm.search.rounds import (
    Evaluate,
    OpenState,
    Propose,
    RoundSettings,
    Selection,
    select,
)
from langchain_agentrm.search.stopping import clear_lead, why_ended

__all__ = [
    "Evaluate",
    "Finished",
    "Kept",
    "OpenState",
    "Propose",
    "RoundSettings",
    "SearchOptions",
    "Selection",
    "Shelf",
    "ToolCallGrammar",
    "allot",
    "allot_close",
    "apart",
    "apply_grammar",
    "blend",
    "clear_lead",
    "derive_seed",
    "first_choices",
    "keep",
    "merge",
    "node_id",
    "rank",
    "revisit",
    "rollout_wave",
    "root_id",
    "select",
    "spread",
    "tool_call_key",
    "why_ended",
]
