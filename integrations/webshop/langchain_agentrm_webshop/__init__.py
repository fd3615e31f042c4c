"""WebShop in text mode as an environment for `langchain-agentrm`.

Importing this package loads no catalogue and no search library; the first `reset`, or
a factory's first list of tasks, does.
"""

from __future__ import annotations

from langchain_agentrm_webshop.environment import WebShop
from langchain_agentrm_webshop.factory import WebShopFactory, factory
from langchain_agentrm_webshop.settings import Settings

__all__ = ["Settings", "WebShop", "WebShopFactory", "factory"]
