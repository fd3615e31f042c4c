"""`agentrm`, the command line: one file a group, thin over the library."""

from __future__ import annotations

from langchain_agentrm.cli.main import main

__all__ = ["main"]
