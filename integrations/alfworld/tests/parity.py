"""Play the native engine against TextWorld, step for step, and report differences.

Needs the extra `textworld`. At reset and after every step the text, the ordered list of
admissible commands and whether the game is won are compared. Games come in variants:
both text grammars, objects standing in bowls and plates, and objects recorded at
another location than their receptacle; with --data official games instead.

    python integrations/alfworld/tests/parity.py --episodes 500 --out parity.json

With --record it writes TextWorld's own traces of some games, for test_traces.py.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from langchain_agentrm.testing._parity import Parity
from langchain_agentrm_alfworld._expert import plan
from langchain_agentrm_alfworld._play import Node, root
from langchain_agentrm_alfworld._tables import tables
from langchain_agentrm_alfworld._textworld import TextWorldGame
from langchain_agentrm_alfworld._world import World
from langchain_agentrm_alfworld.games import OfficialGames
from langchain_agentrm_alfworld.generate import generate

BAD = (
    "",
    " ",
    "dance",
    "go to",
    "go to nowhere 9",
    "Look",
    "look ",
    "  look",
    "look\n",
    "go  to desk 1",
    "take \u00e9 from \u2603",
    "x" * 10_000,
    "{" * 200,
    "take a from b with c",
    "examine",
    "use",
    "toggle desklamp 1",
    "help me",
    "None",
    "inventory.",
    "GO TO DESK 1",
    "put apple 1 in/on fridge 1",
    "move apple 1 to fridge 1",
)
VARIANTS = ("plain", "put", "nested", "displaced")
WALK = 40


def variant_game(i: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Make the i-th game: its variant, how `generate` made it, and its content."""
    type_, variant = tables().types[i % 6], VARIANTS[i // 6 % len(VARIANTS)]
    how: dict[str, Any] = {
        "type_": type_,
        "seed": 7_000_000 + i,
        "unseen": bool(i // 24 % 2),
        "generation": "put" if variant == "put" else "move",
        "nested": variant == "nested",
    }
    content = dict(generate(**how).content)
    if variant == "displaced":
        content["pddl_problem"] = displaced(content["pddl_problem"], i)
    return variant, how, content


def games(
    count: int, first: int, data: Path | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a variant's name and a game, types and variants in turn."""
    if data is not None:
        official = OfficialGames(data)
        for i in range(first, first + count):
            type_ = tables().types[i % 6]
            split = ("test", "dev", "train")[i // 6 % 3]
            n = official.count(split, type_)
            if n:
                task = official.nth(split, type_, i // 18 % n)
                yield f"official {task['id']}", official.content(task)
        return
    for i in range(first, first + count):
        variant, how, content = variant_game(i)
        yield f"{variant} {how['type_']}:{how['seed']}", content


def displaced(problem: str, seed: int) -> str:
    """Record a third of the objects at another location than their receptacle's."""
    rng = random.Random(seed)
    lines = problem.split("\n")
    places = sorted(
        {
            line.split()[-1][:-1]
            for line in lines
            if line.startswith("(receptacleAtLocation")
        }
    )
    for i, line in enumerate(lines):
        if line.startswith("(objectAtLocation") and rng.random() < 0.33:
            lines[i] = " ".join([*line.split()[:2], f"{rng.choice(places)})"])
    return "\n".join(lines)


def choose(node: Node, rng: random.Random) -> str:
    """A malformed command, one that does something, or any admissible one."""
    listed = node.commands()
    idle = ("go", "look", "help", "inventory", "examine")
    acting = [c for c in listed if c.split()[0] not in idle]
    draw = rng.random()
    if draw < 0.08:
        return rng.choice(BAD)
    return rng.choice(acting if acting and draw < 0.55 else listed)


def difference(node: Node, other: TextWorldGame) -> str | None:
    """Name the first difference between the two engines."""
    if node.text != other.text:
        return f"text: {node.text[-200:]!r} / {other.text[-200:]!r}"
    mine, theirs = node.commands(), other.commands()
    if mine != theirs:
        only, lacks = set(mine) - set(theirs), set(theirs) - set(mine)
        return f"commands: only native {sorted(only)[:4]}, lacks {sorted(lacks)[:4]}"
    if node.won != other.won or node.valid != other.valid:
        return f"won {node.won} / {other.won}, valid {node.valid} / {other.valid}"
    return None


def episode(
    content: Mapping[str, Any], kind: str, seed: int, seen: Counter[str]
) -> tuple[int, bool, str | None]:
    """Play one episode; return its steps, whether it was won, and the difference."""
    world = World(content)
    node, other = root(world), TextWorldGame(content)
    rng = random.Random(f"{kind}:{seed}")
    commands = plan(world) if kind == "expert" else None
    steps = len(commands) if commands is not None else WALK
    found = difference(node, other)
    for i in range(steps):
        if found is not None:
            return i, node.won, f"step {i}: {found}"
        command = commands[i] if commands is not None else choose(node, rng)
        seen[(command.split() or ["(blank)"])[0][:10]] += 1
        seen["(malformed)"] += command not in node.commands()
        node, other = node.step(command), other.step(command)
        found = difference(node, other)
    return steps, node.won, found


def record(count: int, out: Path) -> int:
    """Write what TextWorld answers in one episode of each of some games.

    Half the games are played by the expert, half at random. A line holds how the game
    is made, with the lines of its problem that differ, and each command with the text,
    a digest of the list of commands, and whether the game is won.
    """
    lines = []
    for i in range(count):
        variant, how, content = variant_game(i)
        plain = generate(**how).content["pddl_problem"].split("\n")
        changed = enumerate(
            zip(plain, content["pddl_problem"].split("\n"), strict=True)
        )
        edits = {n: new for n, (old, new) in changed if old != new}
        world, other = World(content), TextWorldGame(content)
        node, rng = root(world), random.Random(i)
        commands = plan(world) if (i + i // 6) % 2 else [""] * WALK
        trace = [[None, *shown(other)]]
        for planned in commands:
            command = planned
            # Long ones would only fill the file.
            while not planned and (not command or len(command) > 100):
                command = choose(node, rng)
            node, other = node.step(command), other.step(command)
            trace.append([command, *shown(other)])
        lines.append({"variant": variant, "how": how, "edits": edits, "trace": trace})
    out.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return 0


def shown(game: TextWorldGame) -> list[Any]:
    """What a trace keeps of a state."""
    listed = "\n".join(game.commands()).encode()
    digest = hashlib.blake2s(listed, digest_size=8).hexdigest()
    return [game.text, digest, game.won]


def both_ways(
    job: tuple[str, Mapping[str, Any], str, int],
) -> tuple[str, str, int, bool, str | None, Counter[str]]:
    """Play one episode in both engines; for a worker process."""
    name, content, kind, seed = job
    seen: Counter[str] = Counter()
    return name, kind, *episode(content, kind, seed, seen), seen


def jobs(
    episodes: int, first: int, data: Path | None
) -> Iterator[tuple[str, Mapping[str, Any], str, int]]:
    """One expert episode and two random walks of every game."""
    kinds = ("expert", "walk", "walk again")
    played = games(-(-episodes // len(kinds)), first, data)
    every = (
        (name, content, kind, i)
        for i, (name, content) in enumerate(played, first)
        for kind in kinds
    )
    return itertools.islice(every, episodes)


def main() -> int:
    """Play and report; 1 if there was a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="number of the first game")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, help="folder of official games")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--record", type=int, help="games to record into --out")
    options = parser.parse_args()
    if options.record:
        return record(options.record, options.out)
    report = Parity(
        "alfworld",
        "TextWorld's planner behind ALFWorld's wrappers",
        "text, list of admissible commands, won, at the start and after each step",
        options.first,
        {
            "episodes": options.episodes,
            "games": "official" if options.data else "generated",
            "walk_steps": WALK,
        },
        ("alfworld", "textworld", "fast-downward-textworld"),
    )
    won: Counter[str] = Counter()
    variants: Counter[str] = Counter()
    typed: Counter[str] = Counter()
    # Processes of their own: the planner keeps state in the process that loads it.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        every = jobs(options.episodes, options.first, options.data)
        for name, kind, steps, wins, found, seen in pool.map(both_ways, every):
            report.episodes += 1
            report.steps += steps
            variants[name.split()[0]] += 1
            won[kind.split()[0]] += wins
            won[f"{kind.split()[0]} episodes"] += 1
            typed += seen
            if found is not None:
                report.differences.append(f"{name} {kind}: {found}")
            if report.episodes % 50 == 0:
                sys.stdout.write(f"{report.episodes} episodes\n")
                sys.stdout.flush()
    report.details = {
        "variants": dict(variants),
        "expert_episodes": won["expert episodes"],
        "expert_won": won["expert"],
        "malformed": typed["(malformed)"],
        "commands": dict(typed.most_common(20)),
    }
    return report.finish(options.out)


if __name__ == "__main__":
    sys.exit(main())
