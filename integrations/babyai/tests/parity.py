"""Our BabyAI beside MiniGrid's own environment, stepped directly, in both styles.

    python integrations/babyai/tests/parity.py --out parity.json

Ours jumps between states of one shared engine; the bare environment is made by
`gymnasium.make` and takes the same low-level moves, one after another. After each
action the text is written anew from MiniGrid's own visibility, cell by cell, and the
mission and the outcome are compared: in AgentBoard's style the end of the level with
MiniGrid's reward; in the style where the agent says `done`, a fork that says so wins
where MiniGrid's level has just ended with a reward, and not before. What happens after
that end is compared in text only, since MiniGrid judges a level once. One thing is
judged otherwise by design: two things that are to be next to each other may be brought
there by moving either; MiniGrid pays for one of the two only, so there its own view of
where they lie decides, and such states are counted.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gymnasium
from minigrid.envs.babyai.core.verifier import PutNextInstr

from langchain_agentrm.testing._parity import Parity, options
from langchain_agentrm_babyai import BabyAIFactory, levels

BAD = ("", "dance", "{" * 200, "x" * 10_000, "go to \u6253\u5f00 1", "pick up ball")


def bare_engine(level: str, seed: int) -> Any:
    """Make MiniGrid's environment of a level, by the newest registered version."""
    names = (f"BabyAI-{level}-v{version}" for version in (1, 0))
    name = next(name for name in names if name in gymnasium.registry)
    engine = gymnasium.make(name).unwrapped
    with contextlib.redirect_stdout(io.StringIO()):
        engine.reset(seed=seed)
    return engine


def in_sight(engine: Any) -> Iterator[tuple[int, int, Any]]:
    """Yield each visible thing with the cells ahead of the agent and to its right."""
    _, visible = engine.gen_obs_grid()
    for x in range(engine.width):
        for y in range(engine.height):
            thing = engine.grid.get(x, y)
            if thing is None or not engine.in_view(x, y):
                continue
            if not visible[engine.relative_coords(x, y)]:
                continue
            dx, dy = x - engine.agent_pos[0], y - engine.agent_pos[1]
            ahead = dx * engine.dir_vec[0] + dy * engine.dir_vec[1]
            right = dx * engine.right_vec[0] + dy * engine.right_vec[1]
            yield int(ahead), int(right), thing


def state_of(door: Any) -> str:
    """Name the state of a door."""
    return "locked" if door.is_locked else "open" if door.is_open else "closed"


def own_text(engine: Any) -> str:
    """Write the observation of the style in which the agent says `done`."""
    found = [seen for seen in in_sight(engine) if seen[2].type != "wall"]
    found.sort(key=lambda seen: (seen[0] + abs(seen[1]), seen[1], seen[0]))
    numbers: Counter[str] = Counter()
    parts = []
    for ahead, right, thing in found:
        kind = f"{thing.color} {thing.type}"
        numbers[kind] += 1
        words = [f"{kind} {numbers[kind]}"]
        if thing.type == "door":
            words.append(state_of(thing))
        words.append(f"ahead {ahead}")
        if right:
            words.append(f"right {right}" if right > 0 else f"left {-right}")
        parts.append(" ".join(words))
    held = engine.carrying
    carried = f"{held.color} {held.type}" if held else "nothing"
    return f"see: {'; '.join(parts) or 'nothing'}. carrying: {carried}"


def board_text(engine: Any) -> str:
    """Write the observation of AgentBoard's style."""
    # An open door that the agent stands in is not in AgentBoard's view of it.
    every = [seen for seen in in_sight(engine) if seen[:2] != (0, 0)]
    found = [seen for seen in every if seen[2].type != "wall"]
    found.sort(key=lambda seen: (seen[0] + abs(seen[1]), -seen[0], seen[1]))
    text = "You cannot see any objects within sight."
    if every:
        text = "In front of you in this room, you can see several objects: "
    numbers: Counter[str] = Counter()
    for ahead, right, thing in found:
        state = f"{state_of(thing)} " if thing.type == "door" else ""
        name = f"{thing.color} {state}{thing.type}"
        numbers[name] += 1
        where = f"right in front of you {ahead} steps away"
        if right:
            side = "right" if right > 0 else "left"
            where = (
                f"{ahead} steps in front of you and {abs(right)} steps to your {side}"
            )
        text += f"There is a {name} {numbers[name]} {where}.  "
    text += "The room has walls around you. "
    faced = sorted(
        (ahead, thing.type)
        for ahead, right, thing in every
        if not right and thing.type in {"wall", "box"}
    )
    if faced:
        text += f"You are facing a {faced[0][1]} {faced[0][0]} steps away. "
    held = engine.carrying
    carried = f"You are carrying a {held.color} {held.type}." if held else None
    return text + (carried or "You are not carrying anything.")


class Beside:
    """The bare environment, moved as ours moves."""

    def __init__(self, level: str, seed: int, *, board: bool) -> None:
        self.engine = bare_engine(level, seed)
        self.paid_last = self.ended_now = self.paid = self.over = False
        self._board = board

    def text(self) -> str:
        """What the agent would read."""
        return (board_text if self._board else own_text)(self.engine)

    def move(self, moves: list[int]) -> None:
        """Take low-level moves; in AgentBoard's style until one shows nothing new."""
        self.paid_last = self.ended_now = False
        for move in moves:
            before = self.engine.gen_obs()["image"]
            seen, reward, over, _, _ = self.engine.step(move)
            self.paid_last = bool(over and reward != 0)
            self.ended_now = self.paid_last and not self.over
            self.paid = self.paid or self.ended_now
            self.over = self.over or bool(over)
            if self._board and (seen["image"] == before).all():
                break

    def put_another_way(self) -> bool:
        """Whether what is to be together is, though MiniGrid did not pay for it."""
        wanted = self.engine.instrs
        together = isinstance(wanted, PutNextInstr) and wanted.objs_next()
        return together and self.engine.carrying is None


def moves_of(env: Any, action: str, *, board: bool) -> list[int]:
    """The low-level moves that ours would take for an action."""
    world, node = env.position()
    if board:
        return world.macros(node).moves.get(env.key(action), [])
    with world.lock:
        world.load(node)
        return world._plan(node, env.key(action))[0]


def play(report: Parity, style: str, episode: int, rng: random.Random) -> int:
    """Play one episode in both; return how often MiniGrid paid."""
    board = style == "agentboard"
    factory = BabyAIFactory(style=style)
    every = levels.BOARD if board else levels.ALL
    seed = 700_000 + 1_000 * report.seed + episode
    task = factory.task(every[episode % len(every)], seed)
    env = factory.make()
    start = env.reset(task)
    beside = Beside(task["type"], seed, board=board)
    mission = beside.engine.mission
    if board:
        mission = mission.replace("then", "and").replace("after you", "and")
    where = f"{style} {task['id']}"
    report.check(
        f"{where} start",
        (start.goal, start.observation),
        (mission if board else f"goal: {mission}.", beside.text()),
    )
    shown = factory.demonstrate(task) if episode % 3 == 0 else None
    plan = [action for _, action in shown.steps] if shown else []
    for step in range(start.step_limit - 1):
        draw = rng.random()
        listed = [a for a in env.actions() or () if a != "done"]
        action = plan[step] if step < len(plan) else rng.choice(listed)
        if draw < 0.08 and step >= len(plan):
            action = rng.choice(BAD)
        if action == "done":
            break
        moves = moves_of(env, action, board=board)
        ours = env.step(action)
        beside.move(moves)
        report.steps += 1
        at = f"{where} step {step} {action[:60]!r}"
        if board:
            _, node = env.position()
            report.check(f"{at} text", node.text, beside.text())
            report.check(f"{at} success", ours.success, beside.paid_last)
            report.check(f"{at} score", ours.score == 1.0, beside.paid_last)
            report.details["scores_compared"] += 1
            if ours.done:
                break
        else:
            text = ours.observation.rpartition("see: ")
            report.check(f"{at} text", f"see: {text[2]}", beside.text())
            # A level that ended between two moves of one action has no state here.
            if beside.ended_now or not beside.over:
                theirs = beside.ended_now
                if not theirs and beside.put_another_way():
                    report.details["put_another_way"] += 1
                    theirs = True
                says_done = env.fork().step("done")
                report.check(f"{at} score", says_done.score, float(theirs))
                report.details["scores_compared"] += 1
    return int(beside.paid)


def main() -> int:
    """Play, and report the differences."""
    given = options()
    report = Parity(
        "babyai",
        "MiniGrid's environments, stepped directly",
        "mission, text and outcome, at the start and after each action; both styles",
        given.seed,
        {"episodes_of_each_style": given.episodes},
        ("minigrid", "gymnasium"),
    )
    rng = random.Random(given.seed)
    report.details |= {"scores_compared": 0, "put_another_way": 0}
    for style in ("agentrm", "agentboard"):
        before, paid = report.steps, 0
        for episode in range(given.episodes):
            paid += play(report, style, episode, rng)
            report.episodes += 1
        report.details[style] = {
            "episodes": given.episodes,
            "steps": report.steps - before,
            "solved": paid,
        }
    return report.finish(given.out)


if __name__ == "__main__":
    sys.exit(main())
