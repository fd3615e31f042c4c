"""What a policy is told: in our words, or from AgentRM's published prompt folder."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_agentrm_pddl import _agentboard as agentboard

__all__ = ["instruction"]

_RULES: Mapping[str, str] = {
    "blockworld": """\
A robot arm builds towers of blocks on a table; it holds one block at a time.
pickup BLOCK - take a block from the table; nothing may stand on it
putdown BLOCK - put the block that the arm holds on the table
stack BLOCK ON - put the block that the arm holds on another one that is free on top
unstack BLOCK FROM - take a block, with nothing on it, off the block below
For example: unstack b2 b5""",
    "gripper": """\
A robot with two arms, left and right, carries balls between rooms; an arm holds one.
move FROM TO - go from the room where the robot is to another
pick BALL ROOM ARM - take a ball in the robot's room with a free arm
drop BALL ROOM ARM - put the ball that an arm carries down in the robot's room
For example: pick ball1 rooma left""",
    "barman": """\
A barman with two hands, left and right, fills shot glasses and mixes cocktails, each
of two ingredients, in a shaker. HAND holds the vessel; OTHER is the other, empty hand.
grasp HAND VESSEL - take a vessel from the table
leave HAND VESSEL - put it back on the table
fill-shot SHOT INGREDIENT HAND OTHER DISPENSER - fill a clean, empty shot
refill-shot SHOT INGREDIENT HAND OTHER DISPENSER - fill an empty shot again with what it
was used for
empty-shot HAND SHOT DRINK - pour a shot away
clean-shot SHOT DRINK HAND OTHER - clean an empty shot of what it was used for
pour-shot-to-clean-shaker SHOT INGREDIENT SHAKER HAND LEVEL NEXT - pour a shot into a
clean, empty shaker; its level rises from LEVEL to NEXT
pour-shot-to-used-shaker SHOT INGREDIENT SHAKER HAND LEVEL NEXT - add a shot to a shaker
that was not shaken yet
shake COCKTAIL FIRST SECOND SHAKER HAND OTHER - turn the two ingredients in the shaker
that you hold into the cocktail, parts in the recipe's order
pour-shaker-to-shot DRINK SHOT HAND SHAKER LEVEL LOWER - pour from the shaken shaker
into a clean, empty shot; its level falls
empty-shaker HAND SHAKER COCKTAIL LEVEL EMPTY - pour away what is left after shaking;
the level falls to that of an empty shaker
clean-shaker HAND OTHER SHAKER - clean an empty shaker
For example: fill-shot shot1 ingredient2 left right dispenser2""",
    "tyreworld": """\
You change wheels on the hubs of a car. Tools and spare wheels are in the boot.
open BOOT, close BOOT - open or close it
fetch THING BOOT - take something out of the open boot
put-away THING BOOT - put something that you have into the open boot
loosen NUT HUB, tighten NUT HUB - with the wrench, while the hub is on the ground
jack-up HUB - lift a hub off the ground; the jack stays under it
jack-down HUB - let it down again and get the jack back
undo NUT HUB - with the wrench, take the loose nut off a lifted hub
do-up NUT HUB - with the wrench, put the nut on a lifted hub again; then it is loose
remove-wheel WHEEL HUB - take a wheel off a lifted hub whose nut is off
put-on-wheel WHEEL HUB - put a wheel on a lifted hub without wheel
inflate WHEEL - with the pump; the wheel must be intact
For example: fetch wrench boot""",
}

_COMMON = """\
After each action you read what holds. An action whose conditions do not hold changes
nothing and costs a step.
Answer with one action each time, on a line that begins with "Action:"."""

_AGENTBOARD = f"""\
"{agentboard.CHECK}" lists what is possible now, and "{agentboard.LOOK}" shows
all that holds; each costs a step. Some observations only have what has become true."""


def instruction(domain: str, style: str) -> str:
    """Write role, rules and action grammar of a domain in our own words.

    Args:
        domain: One of the four domains.
        style: `"agentrm"` or `"agentboard"`, which has two actions more.

    Returns:
        The instruction.
    """
    more = [_AGENTBOARD] if style == "agentboard" else []
    return "\n".join([_RULES[domain], *more, _COMMON])
