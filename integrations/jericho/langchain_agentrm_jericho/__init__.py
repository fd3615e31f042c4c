"""Interactive fiction, played by Jericho, as an environment for `langchain-agentrm`.

Importing this package loads no interpreter; the first `reset` does.
"""

from __future__ import annotations

from langchain_agentrm_jericho.environment import JerichoGame
from langchain_agentrm_jericho.factory import JerichoFactory, factory

__all__ = ["JerichoFactory", "JerichoGame", "factory"]
