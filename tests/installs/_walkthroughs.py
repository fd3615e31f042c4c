"""Run by the Python of a fresh installation: play Jericho's walkthroughs, print JSON.

    python _walkthroughs.py EPISODES

The stories are those of `JERICHO_GAMES`. Walkthroughs are of the very files that
Jericho knows. The file of Zork I that may be redistributed is not among them: in seven
of 105 seeds Jericho's walkthrough of Zork I wins it all the same.
"""

from __future__ import annotations

import json
import sys
from itertools import cycle, islice

import jericho

import langchain_agentrm
import langchain_agentrm_jericho
from langchain_agentrm_jericho import JerichoFactory
from langchain_agentrm_jericho.expert import play
from langchain_agentrm_jericho.games import stories

ZORK_SEEDS = (11, 25, 31, 45, 53, 62, 101)
LIMIT = 1000


def walkthrough(name):
    for entry in jericho.defines.BINDINGS_DICT.values():
        if entry["name"] == name:
            return [command for command in entry["walkthrough"].split("/") if command]
    return []


def known():
    """Task and commands of every game at hand that can be won."""
    factory = JerichoFactory(step_limit=LIMIT)
    found = []
    for name, story in stories(None).items():
        if story.walkthrough:
            found.append((factory.task(name, 0), story.walkthrough))
        elif name == "zork1":
            commands = walkthrough(name)
            found += [(factory.task(name, seed), commands) for seed in ZORK_SEEDS]
    return factory, found


def main(episodes):
    factory, found = known()
    shown = [
        play(task, commands, factory.options)
        for task, commands in islice(cycle(found), episodes)
    ]
    return {
        "episodes": len(shown),
        "solved": sum(each.success for each in shown),
        "actions": sum(len(each.steps) for each in shown),
        "files": [langchain_agentrm.__file__, langchain_agentrm_jericho.__file__],
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
