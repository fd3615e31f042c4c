"""The recorded search, as text and as one HTML page."""

from __future__ import annotations

from langchain_agentrm.trace.html import to_html
from langchain_agentrm.trace.tree import Tree, TreeNode, build

__all__ = ["Tree", "TreeNode", "build", "to_html"]
