"""Stands in for vLLM in a child process; the text's first id says what happens."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

__version__ = "0.0.0"
FAIL, DIE, SLEEP, NAN = 250, 251, 252, 253

print("a library that prints to standard output")


class PoolingParams(SimpleNamespace):
    pass


class Row(list):
    """As much of a tensor as is read."""

    def float(self):
        return self

    def reshape(self, *_):
        return self

    def tolist(self):
        return list(self)


class LLM:
    def __init__(self, **options):
        if options.get("max_model_len") == 13:
            raise ValueError("13 is no length")
        length = options.get("max_model_len") or 512
        self.llm_engine = SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=length)
        )
        print("loaded", options["model"])

    def encode(self, prompts, pooling_params, pooling_task, *, use_tqdm):
        assert pooling_params.use_activation is False
        assert pooling_task == "classify"
        return [self._one(prompt["prompt_token_ids"]) for prompt in prompts]

    @staticmethod
    def _one(ids):
        print("noise")
        if FAIL in ids:
            raise RuntimeError("no luck with this text")
        if DIE in ids:
            os._exit(5)
        if SLEEP in ids:
            time.sleep(600)
        value = float("nan") if NAN in ids else len(ids) / 8
        return SimpleNamespace(
            outputs=SimpleNamespace(data=Row([value])), num_cached_tokens=16
        )
