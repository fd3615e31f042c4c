"""A rule that solves most tasks, for demonstrations and as an upper reference."""

from __future__ import annotations

from typing import Any

from minigrid.envs.babyai.core import verifier

from langchain_agentrm.environments.base import Demonstration
from langchain_agentrm.types import TaskRef
from langchain_agentrm_babyai._world import Node, World
from langchain_agentrm_babyai.environment import BabyAI

__all__ = ["demonstrate", "expert_action"]


def expert_action(env: BabyAI) -> str | None:
    """Choose the next action from the level's own verifier, which the agent cannot see.

    The rule does the next unfinished instruction with what is in sight, and turns right
    where that is not in sight. It does not explore other rooms.

    Args:
        env: An environment with a task.

    Returns:
        The action, or None where the episode is over or cannot be solved any more.

    Raises:
        ConfigurationError: If no task was loaded.
    """
    world, node = env.position()
    if node.over:
        return None
    with world.lock:
        world.load(node)
        if world.holds(world.instructions):
            return "done"
        instruction = _next(world, world.instructions)
        return None if instruction is None else _act(world, node, instruction)


def demonstrate(task: TaskRef, env: BabyAI | None = None) -> Demonstration:
    """Let the expert act until it says `done`, gives up or reaches the step limit.

    Args:
        task: The task.
        env: The environment to use; by default a new one.

    Returns:
        The episode, successful or not.

    Raises:
        UnknownTaskError: If the task does not exist.
    """
    env = env or BabyAI()
    start = env.reset(task)
    return Demonstration.play(env, start, iter(lambda: expert_action(env), None))


def _next(world: World, instruction: Any) -> Any:
    """Find the first part of an instruction that MiniGrid has not ticked off."""
    if not isinstance(instruction, verifier.SeqInstr):
        return instruction
    parts = [
        (instruction.a_done, instruction.instr_a),
        (instruction.b_done, instruction.instr_b),
    ]
    if isinstance(instruction, verifier.AfterInstr):
        parts.reverse()
    for done, part in parts:
        if done == "failure":
            return None
        if done != "success":
            return _next(world, part)
    return None


def _act(world: World, node: Node, instruction: Any) -> str:
    carrying = node.snapshot.carrying
    if isinstance(instruction, verifier.PutNextInstr):
        if carrying is None:
            return _towards(world, node, "pick up", instruction.desc_move)
        if any(carrying is thing for thing in instruction.desc_move.obj_set):
            return _towards(world, node, "put next to", instruction.desc_fixed)
        return _put_away(world, node)
    if isinstance(instruction, verifier.PickupInstr):
        if carrying is not None:
            return _put_away(world, node)
        return _towards(world, node, "pick up", instruction.desc)
    verb = "open" if isinstance(instruction, verifier.OpenInstr) else "go to"
    return _towards(world, node, verb, instruction.desc)


def _towards(world: World, node: Node, verb: str, description: Any) -> str:
    """Apply a verb to the nearest visible object that is meant."""
    reach = world.reach(node)
    best: tuple[int, str] | None = None
    for sight in node.sights:
        if any(sight.thing is thing for thing in description.obj_set):
            path = reach.path(sight.cell)
            if path is not None and (best is None or len(path) < best[0]):
                best = (len(path), sight.name)
    return "turn right" if best is None else f"{verb} {best[1]}"


def _put_away(world: World, node: Node) -> str:
    return "drop" if "drop" in world.actions(node) else "turn right"
