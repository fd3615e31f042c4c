"""AgentBoard's short forms, for those who use its labels, examples or prompts.

One table serves all four domains there, so that a blockworld arm holds a block in the
words of barman. Blanks at the end and odd orders are AgentBoard's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from langchain_agentrm_pddl._strips import Atom, State, Step

__all__ = [
    "CHECK",
    "LOOK",
    "REFUSED",
    "UNKNOWN",
    "WON",
    "atom_text",
    "changes_only",
    "goal_text",
    "state_text",
    "step_text",
]

CHECK = "check valid actions"
LOOK = "look around"
WON = " The goal is satisfied."
UNKNOWN = (
    "The action is not valid and therefore takes no effect. Please check valid actions."
)
REFUSED = (
    "The action is not valid and therefore takes no effect. Please remember to satisfy "
    "the restriction of actions. You can also check valid actions."
)

_CHANGES = frozenset({"barman", "tyreworld"})

_FORMS: Mapping[str, str] = {
    # Blockworld
    "on": "{} is on {}.",
    "clear": "The {} is clear.",
    "arm-empty": "Your arm is empty.",
    "on-table": "{} is on the table.",
    "putdown": "Putdown {}.",
    "stack": "Stack {} on {}.",
    "pickup": "Pickup {}.",
    "unstack": "Unstack {} from {}.",
    # Gripper
    "ball": "{} is a ball. ",
    "gripper": "{} is a gripper. ",
    "at-robby": "Robby is at {}. ",
    "at": "{} is at {}. ",
    "free": "{} is free. ",
    "carry": "{} is carrying {}. ",
    "move": "Move from {} to {}. ",
    "pick": "Pick up {} at {} with arm {}. ",
    # Tyreworld
    "isopen": "{} is open.",
    "closed": "{} is closed.",
    "have": "You have {}.",
    "in": "{} is in {}.",
    "loose": "The nut {} on the hub {} is loose.",
    "tight": "The nut {} on the hub {} is tight.",
    "unlocked": "{} is unlocked.",
    "on-ground": "Hub {} is on the ground.",
    "not-on-ground": "Hub {} is not on the ground.",
    "inflated": "Wheel {} is inflated.",
    "not-inflated": "Wheel {} is not inflated.",
    "fastened": "Hub {} is fastened.",
    "unfastened": "Hub {} is unfastened.",
    "intact": "Wheel {} is intact.",
    "open": "Open {}.",
    "close": "Close {}.",
    "fetch": "Fetch {} from {}.",
    "put-away": "Put-away {} in {}.",
    "loosen": "Loosen the nut {} on the hub {}.",
    "tighten": "Tighten the nut {} on the hub {}.",
    "jack-up": "jack-up the hub {}.",
    "jack-down": "Jack-down the hub {}.",
    "undo": "Undo the fastening of the nut {} on the hub {}.",
    "do-up": "Do-up the nut {} on the hub {}.",
    "remove-wheel": "Remove-wheel {} from the hub {}.",
    "put-on-wheel": "put-on-wheel {} on the hub {}.",
    "inflate": "Inflate the wheel {}.",
    # Barman
    "ontable": "{} is on the table. ",
    "holding": "You are holding {}. ",
    "empty": "{} is empty. ",
    "contains": "{} contains {}. ",
    "clean": "{} is clean. ",
    "used": "Pour {} from a shot glass to a used shaker {}",
    "dispenses": "{} dispenses {}. ",
    "shaker-empty-level": "{} is at empty level {}. ",
    "shaker-level": "{} is at level {}. ",
    "next": "level {} is next to level {}. ",
    "unshaked": "{} is unshaked. ",
    "shaked": "{} is shaked. ",
    "cocktail-part1": "{} part1 ingredient is {}. ",
    "cocktail-part2": "{} part2 ingredient is {}. ",
    "grasp": "{} grasp {}. ",
    "leave": "{} leave {}. ",
    "fill-shot": "fill-shot glass {} with {} with {} and {} holding {}. ",
    "refill-shot": "refill-shot {} with {} with {} and {} holding {}. ",
    "empty-shot": "use hand {} to empty-shot glass {} with beverage {}. ",
    "clean-shot": "clean-shot glass {} with {} with hand {} holding shot glass and "
    "{}. ",
    "pour-shot-to-clean-shaker": "pour-shot-to-clean-shaker from a shot glass {} with "
    "{} to a clean shaker {} with hand {} from level {} to level {}",
    "pour-shot-to-used-shaker": "pour-shot-to-used-shaker from a shot glass {} with "
    "{} to a used shaker {} with hand {} from level {} to level {}",
    "empty-shaker": "use hand {} to empty-shaker {} with ingredient {} from level {} "
    "to level {}.",
    "clean-shaker": "use hand {} and hand {} to clean-shaker {}",
    "shake": "shake a cocktail {} with ingredient {} and ingredient {} in a shaker {} "
    "with hand {} and hand {}",
    "pour-shaker-to-shot": "pour-shaker-to-shot to a shot glass {} the ingredient {} "
    "with hand {} from shaker {} from level {} to level {}",
}


def changes_only(domain: str) -> bool:
    """Whether an observation of this domain only has what has become true."""
    return domain in _CHANGES


def atom_text(atom: Atom) -> str:
    """Write an atom."""
    return _write(atom[0], atom[1:])


def step_text(step: Step) -> str:
    """Write an action as AgentBoard lists it."""
    return _write(step.operator, step.things)


def goal_text(goal: Iterable[Atom]) -> str:
    """Write a goal."""
    conditions = ", ".join(sorted(map(atom_text, goal)))
    return f"The goal is to satisfy the following conditions: {conditions}"


def state_text(state: State) -> str:
    """Write atoms, sorted by their text."""
    return " ".join(sorted(atom_text(atom).capitalize() for atom in state))


def _write(name: str, things: tuple[str, ...]) -> str:
    form = _FORMS.get(name)
    return " ".join((name, *things)) if form is None else form.format(*things)
