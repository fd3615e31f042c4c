"""Run by the Python of a fresh installation: play the expert's episodes, print JSON.

    python _episodes.py NAME EPISODES OPTIONS

NAME is an installed environment, OPTIONS a JSON object for its factory, `{}` for none.
"""

from __future__ import annotations

import json
import sys

import langchain_agentrm
from langchain_agentrm.environments import registry


def play(name, episodes, options):
    factory = registry.get(name)
    if options:
        factory = type(factory)(**options)
    tasks = factory.tasks("test", limit=episodes)
    shown = [factory.demonstrate(task) for task in tasks]
    return {
        "episodes": len(shown),
        "solved": sum(each is not None and each.success for each in shown),
        "actions": sum(len(each.steps) for each in shown if each is not None),
        "files": [
            langchain_agentrm.__file__,
            sys.modules[type(factory).__module__].__file__,
        ],
    }


if __name__ == "__main__":
    print(json.dumps(play(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))))
