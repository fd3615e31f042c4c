"""Doubles and conformance suites for tests of agents that search; import by module.

- `langchain_agentrm.testing.scripted`: a policy, a reward model and an environment that
  answer from a script.
- `langchain_agentrm.testing.environment`, `langchain_agentrm.testing.reward_model` and
  `langchain_agentrm.testing.verifier`: what every environment, reward model and
  verifier must pass.
- `langchain_agentrm.testing.sandbox`: every attack that a sandbox must hold.
"""

from __future__ import annotations

__all__: list[str] = []
