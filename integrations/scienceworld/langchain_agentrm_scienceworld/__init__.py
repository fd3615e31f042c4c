"""ScienceWorld as a text environment for `langchain-agentrm`.

Importing this package starts no JVM; the first `reset` does.
"""

from __future__ import annotations

from langchain_agentrm_scienceworld.environment import ScienceWorld
from langchain_agentrm_scienceworld.factory import ScienceWorldFactory, factory

__all__ = ["ScienceWorld", "ScienceWorldFactory", "factory"]
