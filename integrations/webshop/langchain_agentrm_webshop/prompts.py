"""What a policy is told: in our words, or from AgentRM's published prompt folder."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from langchain_agentrm.errors import ConfigurationError

__all__ = ["INSTRUCTION", "read_instruction"]

INSTRUCTION = """\
You are shopping in an online store for someone whose wish stands after "Instruction:".
Each observation is a page of the store, its parts divided by [SEP].
Answer with one action:
search[words] - look for products; works from any page
click[text] - press a button, open a product by its code, or choose an option's value;
the text must be on the page
A page of results lists code, title and price of ten products; "Next >" shows more.
A product's page lists its options, each name followed by its values: click each value
that is wished for. A choice does not show on the page, but is kept until you leave for
the results. "Description" and "Features" tell more; "< Prev" leads back.
click[Buy Now] buys the product with the values chosen, and ends the task. Only this
purchase counts: by the kind of product, by how many of the wished qualities and options
it has, and by whether its price is low enough."""


@lru_cache(maxsize=8)
def read_instruction(folder: str) -> str:
    """Read WebShop's instruction and first example from AgentRM's prompt folder.

    Args:
        folder: The folder that holds `instructions` and `icl_examples`.

    Returns:
        The instruction and, where there is one, an example, parted by a blank line.

    Raises:
        ConfigurationError: If the instruction is missing or the example no JSON.
    """
    path = Path(folder) / "instructions" / "webshop_inst.txt"
    examples = Path(folder) / "icl_examples" / "webshop_icl.json"
    if not path.is_file():
        msg = f"Prompt folder {folder!r} has no instructions/webshop_inst.txt."
        raise ConfigurationError(msg, remedy="Name AgentRM's eval_agent/prompt folder.")
    parts = [path.read_text(encoding="utf-8").strip()]
    if examples.is_file():
        try:
            first = json.loads(examples.read_text(encoding="utf-8"))[0]
            parts.append("\n\n".join(turn["content"] for turn in first))
        except (ValueError, LookupError, TypeError) as error:
            msg = f"{examples} holds no list of examples: {error!r}."
            raise ConfigurationError(msg, remedy="Fetch the folder again.") from error
    return "\n\n".join(parts)
