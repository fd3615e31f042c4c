"""BabyAI (MiniGrid) as a text environment for `langchain-agentrm`.

Importing this package starts no engine and loads no MiniGrid; the first `reset` does.
"""

from __future__ import annotations

from langchain_agentrm_babyai.environment import BabyAI, BabyAIFactory, factory

__all__ = ["BabyAI", "BabyAIFactory", "factory"]
