"""Where passages come from: a model's memory, a retriever, a search tool, files."""

from __future__ import annotations

from langchain_agentrm.reward_agent.evidence.bm25 import BM25Evidence
from langchain_agentrm.reward_agent.evidence.parametric import ParametricEvidence
from langchain_agentrm.reward_agent.evidence.retriever import RetrieverEvidence
from langchain_agentrm.reward_agent.evidence.tool import ToolEvidence

__all__ = [
    "BM25Evidence",
    "ParametricEvidence",
    "RetrieverEvidence",
    "ToolEvidence",
]
