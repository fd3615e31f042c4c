"""From drawn answers to preference pairs to DPO, with a tiny model on a CPU.

    python examples/annotate_and_dpo/main.py --work work

Answers are drawn (here: made from patterns), `agentrm reward-agent annotate` pairs them
by what can be verified, and TRL's DPOTrainer learns from the pairs.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from langchain_agentrm.cli import main as agentrm
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint

THINGS = [
    f"{kind} {thing}"
    for thing in ("river", "market", "bridge", "letter", "castle")
    for kind in ("small", "famous", "hidden", "quiet")
]
LEARNED = 14
ASKED = "Describe a {thing}. Write all in lowercase letters and do not use any commas."
PATTERNS = (
    "a {thing} is old and quiet.",
    "A {thing} is old, quiet and WIDE.",
    "the {thing} is near here, and it is small.",
    "The {thing} is Near Here.",
)


def draw(path: Path, things: list[str]) -> Path:
    """Write four answers for each prompt, as a policy would have drawn them."""
    rng = random.Random(0)
    rows = []
    for thing in things:
        patterns = rng.sample(PATTERNS, len(PATTERNS))
        prompt = [{"role": "user", "content": ASKED.format(thing=thing)}]
        responses = [pattern.format(thing=thing) for pattern in patterns]
        rows.append({"id": thing, "prompt": prompt, "responses": responses})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def annotate(responses: Path, pairs: Path) -> list[dict[str, Any]]:
    """Pair the answers by the rules in their prompts; no model is asked."""
    command = ["reward-agent", "annotate", str(responses), "--out", str(pairs)]
    try:
        agentrm([*command, "--verifiers", "rules", "--margin", "0.25"])
    except SystemExit as end:
        if end.code:
            raise
    return [json.loads(line) for line in pairs.read_text().splitlines()]


def preferred(model: Any, tokenizer: Any, pairs: list[dict[str, Any]]) -> float:
    """Share of pairs whose chosen answer the model finds likelier, per token."""
    return sum(
        _likelihood(model, tokenizer, pair["prompt"], pair["chosen"])
        > _likelihood(model, tokenizer, pair["prompt"], pair["rejected"])
        for pair in pairs
    ) / len(pairs)


def _likelihood(model: Any, tokenizer: Any, prompt: Any, answer: Any) -> float:
    def ids(messages: Any, **options: Any) -> list[int]:
        text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    start = len(ids(prompt, add_generation_prompt=True))
    tokens = torch.tensor([ids([*prompt, *answer])])
    with torch.no_grad():
        logits = model(tokens).logits[0, start - 1 : -1].log_softmax(-1)
    return float(logits.gather(-1, tokens[0, start:, None]).mean())


def train(folder: Path, pairs: Path, out: Path, steps: int) -> Any:
    """Run DPO on the file of pairs as TRL reads it."""
    data = load_dataset(
        "json", data_files=str(pairs), split="train", cache_dir=str(out / "cache")
    )
    options = DPOConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        max_length=256,
        logging_steps=steps,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        seed=0,
    )
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        args=options,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    trainer.train()
    return trainer.model


def main() -> None:
    """Draw, annotate, train, and see what the model prefers on new prompts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)

    learned = draw(given.work / "responses.jsonl", THINGS[:LEARNED])
    unseen = draw(given.work / "unseen.jsonl", THINGS[LEARNED:])
    pairs = given.work / "pairs.jsonl"
    print(f"{len(annotate(learned, pairs))} pairs to learn from")
    new = annotate(unseen, given.work / "unseen_pairs.jsonl")

    folder = write_mini_checkpoint(given.work / "policy", context=256)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    before = AutoModelForCausalLM.from_pretrained(folder).eval()
    print(f"chosen answer likelier before: {preferred(before, tokenizer, new):.0%}")
    after = train(folder, pairs, given.work / "dpo", given.steps).eval()
    print(f"chosen answer likelier after:  {preferred(after, tokenizer, new):.0%}")


if __name__ == "__main__":
    main()
