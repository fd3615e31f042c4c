"""Mazes of LMRL-Gym and AgentGym as a text environment for `langchain-agentrm`."""

from __future__ import annotations

from langchain_agentrm_maze.environment import MazeEnvironment
from langchain_agentrm_maze.factory import MazeFactory, factory

__all__ = ["MazeEnvironment", "MazeFactory", "factory"]
