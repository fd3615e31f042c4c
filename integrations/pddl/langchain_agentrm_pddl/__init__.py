"""Barman, blockworld, gripper and tyreworld (PDDL) for `langchain-agentrm`."""

from __future__ import annotations

from langchain_agentrm_pddl.environment import PDDL
from langchain_agentrm_pddl.factory import PDDLFactory, factory

__all__ = ["PDDL", "PDDLFactory", "factory"]
