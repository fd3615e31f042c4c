"""What a policy is told, in our own words."""

from __future__ import annotations

__all__ = ["instruction"]

_ACTIONS = (
    ("look around", "describe the room"),
    ("look at OBJ", "describe a thing closely"),
    ("look in OBJ", "see what a container holds"),
    ("read OBJ", "read a note or book"),
    ("inventory", "see what you hold"),
    ("task", "read your task again"),
    ("go to PLACE", "walk to a room beside this one"),
    ("open OBJ", "open a door or container"),
    ("close OBJ", "close it"),
    ("pick up OBJ", "take it into your inventory"),
    ("put down OBJ", "leave it in this room"),
    ("move OBJ to OBJ", "put a thing into or onto another"),
    ("pour OBJ into OBJ", "empty a liquid into a container"),
    ("dunk OBJ into OBJ", "dip a container into a liquid"),
    ("mix OBJ", "let the contents of a container react"),
    ("use OBJ on OBJ", "apply a tool, such as a thermometer, to a thing"),
    ("activate OBJ", "switch a device on"),
    ("deactivate OBJ", "switch it off"),
    ("eat OBJ", "eat food"),
    ("flush OBJ", "flush a toilet"),
    ("focus on OBJ", "say that this thing is what the task asks for"),
    ("wait", "let ten moments pass"),
    ("wait1", "let one moment pass"),
)
_CIRCUIT = (
    ("connect OBJ to OBJ", "join two ends of electrical parts"),
    ("disconnect OBJ", "undo its connections"),
)
_TELEPORT = ("teleport to PLACE", "be in any room at once")
_REMEDY = "Give AgentRM's eval_agent/prompt folder."


def instruction(step_limit: int, *, teleport: bool, circuit: bool) -> str:
    """Write role, rules and action grammar.

    Args:
        step_limit: Actions per episode.
        teleport: Whether the agent can be in any room at once.
        circuit: Whether electrical parts can be connected.

    Returns:
        The instruction, in our own words.
    """
    actions = list(_ACTIONS)
    if teleport:
        actions.insert(7, _TELEPORT)
    if circuit:
        actions += _CIRCUIT
    listed = "\n".join(f"{action} - {what}" for action, what in actions)
    return (
        "You are in a house with a workshop, a greenhouse and other rooms, and have an "
        "experiment to carry out.\n"
        "After each of your actions you read what happened. If an action could mean "
        "more than one thing you get a numbered list; answer with a number of it.\n"
        "Focus only on what the task tells you to: a wrong focus ends it.\n"
        f"You have {step_limit} actions. Answer with one action each time, on a line "
        'that begins with "Action:", perhaps after a line of thought.\n'
        f"The actions, with OBJ for a thing and PLACE for a room:\n{listed}"
    )
