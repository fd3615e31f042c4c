"""Doubles and conformance suites for tests of agents that search; import by module.

- `langchain_agentrm.testing.scripted`: a policy, a reward model and an environment that
  answer from a script.
- `langchain_agentrm.testing.environment` and `langchain_agentrm.testing.reward_model`:
  what every environment and every reward model must pass.
"""

from __future__ import annotations

__all__: list[str] = []
