"""ALFWorld household games as a text environment for `langchain-agentrm`.

Importing this package reads no game and loads no TextWorld; the first `reset` does.
"""

from __future__ import annotations

from langchain_agentrm_alfworld.environment import ALFWorld, Options
from langchain_agentrm_alfworld.factory import ALFWorldFactory, factory

__all__ = ["ALFWorld", "ALFWorldFactory", "Options", "factory"]
