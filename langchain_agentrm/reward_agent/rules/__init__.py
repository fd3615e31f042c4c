"""Rules that a request states and that can be checked without a model.

`extract` reads them from a request, `from_ifeval` from IFEval's ids, `parse_rules` from
JSON; `check` decides one on an answer.
"""

from __future__ import annotations

from langchain_agentrm.reward_agent.rules.checks import Profile, check
from langchain_agentrm.reward_agent.rules.dsl import Rule, Unknown
from langchain_agentrm.reward_agent.rules.extraction import BareFrequency, extract
from langchain_agentrm.reward_agent.rules.ifeval import IFEVAL_IDS, from_ifeval
from langchain_agentrm.reward_agent.rules.serial import (
    dump_rules,
    parse_rules,
    rules_schema,
)

__all__ = [
    "IFEVAL_IDS",
    "BareFrequency",
    "Profile",
    "Rule",
    "Unknown",
    "check",
    "dump_rules",
    "extract",
    "from_ifeval",
    "parse_rules",
    "rules_schema",
]
