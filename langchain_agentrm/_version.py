"""The version, read by the build and by manifests of trained models."""

from __future__ import annotations

__version__ = "0.1.0"
