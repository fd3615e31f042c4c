"""Which BabyAI levels are used for what, and which seeds belong to which split."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ALL",
    "BOARD",
    "BOARD_DEMONSTRATION_SEEDS",
    "BOARD_SPLIT_SEEDS",
    "DEMONSTRATION_SEEDS",
    "DEV",
    "HELD_IN",
    "HELD_OUT",
    "SPLIT_SEEDS",
]

HELD_IN: tuple[str, ...] = (
    "GoToLocal",
    "PickupLoc",
    "PutNextLocal",
    "GoToObjDoor",
    "OpenDoorColor",
    "OpenDoorsOrderN4",
)
"""Levels that demonstrations and reward-model training may use."""

HELD_OUT: tuple[str, ...] = (
    "PickupDist",
    "ActionObjDoor",
    "OpenDoorLoc",
    "OneRoomS8",
    "PutNextS6N3",
    "OpenTwoDoors",
)
"""Levels that only a test may use."""

DEV: tuple[str, ...] = (
    "GoToRedBlueBall",
    "GoToDoor",
    "PutNextS5N2",
    "PutNextS6N3Carrying",
    "OpenDoor",
    "OpenRedBlueDoors",
)
"""Levels for choosing a checkpoint: neither trained on nor tested on.

Each asks for what some held-in or held-out level asks for, and the expert solves most
of their tasks. `PickupDistDebug` is not among them: it is `PickupDist` under another
name.
"""

_OTHERS: tuple[str, ...] = (
    "GoToRedBallGrey",
    "GoToRedBall",
    "GoToRedBallNoDists",
    "GoToObj",
    "GoToObjS4",
    "GoToObjS6",
    "GoToLocalS5N2",
    "GoToLocalS6N2",
    "GoToLocalS6N3",
    "GoToLocalS6N4",
    "GoToLocalS7N4",
    "GoToLocalS7N5",
    "GoToLocalS8N2",
    "GoToLocalS8N3",
    "GoToLocalS8N4",
    "GoToLocalS8N5",
    "GoToLocalS8N6",
    "GoToLocalS8N7",
    "GoTo",
    "GoToOpen",
    "GoToObjMaze",
    "GoToObjMazeOpen",
    "GoToObjMazeS4R2",
    "GoToObjMazeS4",
    "GoToObjMazeS5",
    "GoToObjMazeS6",
    "GoToObjMazeS7",
    "GoToImpUnlock",
    "GoToSeq",
    "GoToSeqS5R2",
    "Open",
    "OpenRedDoor",
    "OpenDoorDebug",
    "OpenRedBlueDoorsDebug",
    "OpenDoorsOrderN2",
    "OpenDoorsOrderN2Debug",
    "OpenDoorsOrderN4Debug",
    "Pickup",
    "UnblockPickup",
    "PickupDistDebug",
    "PutNextLocalS5N3",
    "PutNextLocalS6N4",
    "PutNextS4N1",
    "PutNextS5N1",
    "PutNextS7N4",
    "PutNextS5N2Carrying",
    "PutNextS7N4Carrying",
    "Unlock",
    "FindObjS5",
    "FindObjS6",
    "FindObjS7",
    "OneRoomS12",
    "OneRoomS16",
    "OneRoomS20",
    "MoveTwoAcrossS5N2",
    "MoveTwoAcrossS8N9",
    "Synth",
    "SynthS5R2",
    "SynthLoc",
    "SynthSeq",
    "MiniBossLevel",
    "BossLevel",
    "BossLevelNoUnlock",
)
# Left out are the levels of which the expert solved none of 40 tasks. They need a
# locked door or a box opened, for which this game has no action, or more exploring than
# the expert does.

ALL: tuple[str, ...] = HELD_IN + HELD_OUT + DEV + _OTHERS
"""Every level of which the expert solves some tasks."""

SPLIT_SEEDS: Mapping[str, range] = {
    "train": range(100_000, 105_000),
    "dev": range(300_000, 305_000),
    "test": range(400_000, 405_000),
}

DEMONSTRATION_SEEDS = range(5_000)
"""Seeds for imitation, in no split."""

BOARD: tuple[str, ...] = (
    "GoToRedBallGrey",
    "GoToRedBall",
    "GoToRedBallNoDists",
    "GoToObjS6",
    "GoToLocalS8N7",
    "GoToObjMazeS7",
    "GoToImpUnlock",
    "GoToSeqS5R2",
    "GoToRedBlueBall",
    "GoToDoor",
    "GoToObjDoor",
    "Open",
    "OpenRedDoor",
    "OpenDoorLoc",
    "OpenRedBlueDoorsDebug",
    "OpenDoorsOrderN4Debug",
    "Pickup",
    "UnblockPickup",
    "PickupLoc",
    "PickupDistDebug",
    "PickupAbove",
    "Unlock",
    "UnlockLocalDist",
    "UnlockPickupDist",
    "BlockedUnlockPickup",
    "UnlockToUnlock",
    "FindObjS7",
    "KeyCorridorS6R3",
)
"""AgentBoard's levels, in the order of its label file."""

BOARD_SPLIT_SEEDS: Mapping[str, range] = {**SPLIT_SEEDS, "test": range(1234, 1238)}
"""Seeds in AgentBoard's game; its own are the test split."""

BOARD_DEMONSTRATION_SEEDS = range(10_000, 15_000)
"""Seeds for imitation in AgentBoard's game, in no split."""
