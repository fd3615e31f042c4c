"""One `vllm.LLM` that answers JSON lines; run by path, by the Python that holds vLLM.

First line in: the options of `vllm.LLM`. First line out: `{"ready": {...}}` or
`{"fatal": "..."}`. Then one line a request, `{"ids": [[...], ...], "task": ".."}`,
answered by `{"values": [[...], ...], "cached": n}` or `{"error": "..."}`. Ends at the
end of its input. Needs nothing of the package beside it, which that Python lacks.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

# Python puts this file's folder first, where modules of the package have the names of
# libraries; vllm is one of them.
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != _HERE]  # noqa: PTH100


def _answers_only() -> TextIO:
    # Libraries print to standard output: what they print goes to the log instead.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def _put(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _values(output: Any) -> list[float]:
    # One row of a head read at the last token; the rows of all steps else.
    return [float(v) for v in output.outputs.data.float().reshape(-1).tolist()]


def main() -> None:
    """Load the model, then answer until the input ends."""
    answers = _answers_only()
    options = json.loads(sys.stdin.readline())
    try:
        import vllm  # type: ignore[import-not-found,unused-ignore]

        llm = vllm.LLM(**options)
        limit = int(llm.llm_engine.model_config.max_model_len)
        raw = vllm.PoolingParams(use_activation=False)
    except Exception as error:  # noqa: BLE001  # the parent raises it
        _put(answers, {"fatal": f"{type(error).__name__}: {error}"})
        return
    _put(answers, {"ready": {"max_model_len": limit, "version": vllm.__version__}})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            outputs = llm.encode(
                [{"prompt_token_ids": ids} for ids in request["ids"]],
                pooling_params=raw,
                pooling_task=request["task"],
                use_tqdm=False,
            )
            values = [_values(output) for output in outputs]
            cached = sum(output.num_cached_tokens or 0 for output in outputs)
        except Exception as error:  # noqa: BLE001  # the parent raises it
            _put(answers, {"error": f"{type(error).__name__}: {error}"})
        else:
            _put(answers, {"values": values, "cached": cached})


if __name__ == "__main__":
    main()
