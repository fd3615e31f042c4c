"""The to-do tool: projects and tasks that can be changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

from langchain_agentrm_tools._kit import (
    CHECK,
    FINISH,
    Function,
    Kit,
    Parameter,
    Result,
)

__all__ = ["Todo"]

_TEXT = {"type": "string"}
_PROJECT = Parameter("project_id", _TEXT, "the project's id")
_TASK = Parameter("task_id", _TEXT, "the task's id")
_PROJECT_FIELDS = ("id", "order", "color", "name", "is_favorite")
_TASK_FIELDS = ("id", "order", "content", "is_completed", "priority", "due_date")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Todo(Kit):
    """Projects with tasks, as a to-do service keeps them.

    Args:
        projects: Projects `{name, is_favorite, tasks}` with tasks `{content,
            description, due_date, duration, duration_unit, priority}`.
        config: `current_date` and `current_location`.
        first_id: Id of the first project; the others count on.
    """

    tool = "todo"
    functions: ClassVar = (
        Function("get_user_current_date", "today's date"),
        Function("get_user_current_location", "the city where the user is"),
        Function("get_projects", "list the projects"),
        Function(
            "update_project",
            "mark a project as a favourite, or not",
            (_PROJECT, Parameter("is_favorite", _TEXT, "True or False")),
        ),
        Function("get_tasks", "list a project's open tasks", (_PROJECT,)),
        Function("get_task_description", "a task's description", (_TASK,)),
        Function("get_task_duration", "how long a task takes", (_TASK,)),
        Function("complete_task", "mark a task as done", (_TASK,)),
        Function(
            "update_task",
            "change the day on which a task is due",
            (_TASK, Parameter("due_date", _TEXT, "the day, YYYY-MM-DD")),
        ),
        Function("delete_task", "delete a task", (_TASK,)),
        CHECK,
        FINISH,
    )

    def __init__(
        self,
        projects: Sequence[Mapping[str, Any]],
        config: Mapping[str, str],
        first_id: int = 2_300_000_001,
    ) -> None:
        super().__init__()
        self._config = config
        self.state = {"projects": {}, "tasks": {}}
        for i, project in enumerate(projects):
            ident = str(first_id + i)
            self.state["projects"][ident] = {
                "id": ident,
                "order": i + 1,
                "color": "charcoal",
                "name": project["name"],
                "is_favorite": project["is_favorite"],
            }
            for j, task in enumerate(project["tasks"]):
                number = str(first_id + 5_000_000 + 100 * i + j)
                self.state["tasks"][number] = {
                    "id": number,
                    "order": j + 1,
                    "is_completed": False,
                    "project": ident,
                    **task,
                }

    def method(self, name: str) -> Callable[..., Result]:
        """Return the function of this name."""
        functions: Mapping[str, Callable[..., Result]] = {
            "get_user_current_date": lambda: (True, self._config["current_date"]),
            "get_user_current_location": lambda: (
                True,
                self._config["current_location"],
            ),
            "get_projects": lambda: (True, self._projects()),
            "update_project": self._update_project,
            "get_tasks": self._tasks,
            "get_task_description": self._description,
            "get_task_duration": self._duration,
            "complete_task": self._complete,
            "update_task": self._update_task,
            "delete_task": self._delete,
        }
        return functions[name]

    def clean(self, result: Any) -> Any:
        """Leave out ids, which the service draws anew for each account."""
        if isinstance(result, list):
            for item in result:
                if isinstance(item, dict):
                    item.pop("id")
        elif isinstance(result, dict):
            result.pop("id", None)
            for part in ("task", "project"):
                if part in result:
                    result[part].pop("id")
        return result

    def final(self) -> dict[str, Any]:
        """Projects and open tasks without ids, as a label's answer has them."""
        projects = self._projects()
        tasks = [t for p in projects for t in self._tasks(p["id"])[1]]
        return {"projects": self.clean(projects), "tasks": self.clean(tasks)}

    def _projects(self) -> list[dict[str, Any]]:
        return [
            {f: project[f] for f in _PROJECT_FIELDS}
            for project in self.state["projects"].values()
        ]

    def _update_project(self, project_id: Any, is_favorite: Any) -> Result:
        project = self.state["projects"].get(str(project_id))
        if project is None:
            return False, "Project not found"
        word = str(is_favorite).strip().casefold()
        if word not in {"true", "false", "1", "0"}:
            return False, "Invalid argument value"
        project["is_favorite"] = word in {"true", "1"}
        shown = {f: project[f] for f in _PROJECT_FIELDS}
        return True, {"message": "Update the project successfully.", "project": shown}

    def _tasks(self, project_id: Any) -> tuple[bool, Any]:
        if str(project_id) not in self.state["projects"]:
            return False, "Project not found"
        return True, [
            _shown(task)
            for task in self.state["tasks"].values()
            if task["project"] == str(project_id) and not task["is_completed"]
        ]

    def _description(self, task_id: Any) -> Result:
        task = self.state["tasks"].get(str(task_id))
        if task is None:
            return False, "Task not found"
        return True, {f: task[f] for f in ("id", "content", "description")}

    def _duration(self, task_id: Any) -> Result:
        task = self.state["tasks"].get(str(task_id))
        if task is None:
            return False, "Task not found"
        return True, {
            "id": task["id"],
            "content": task["content"],
            "duration": f"{task['duration']}({task['duration_unit']})",
        }

    def _complete(self, task_id: Any) -> Result:
        task = self.state["tasks"].get(str(task_id))
        if task is None:
            return False, f"Task {task_id} is not exists."
        shown = _shown(task)
        shown.pop("is_completed")
        task["is_completed"] = True
        return True, {"message": "Complete task successfully.", "task": shown}

    def _update_task(self, task_id: Any, due_date: Any) -> Result:
        task = self.state["tasks"].get(str(task_id))
        if task is None:
            return False, "Task not found"
        if not (isinstance(due_date, str) and _is_day(due_date)):
            return False, "Invalid date format"
        task["due_date"] = due_date
        return True, {
            "message": "Update the task successfully",
            "task": _shown(task),
        }

    def _delete(self, task_id: Any) -> Result:
        task = self.state["tasks"].pop(str(task_id), None)
        if task is None:
            return False, f"Task {task_id} is not exists."
        return True, {"message": "Delete the task successfully.", "task": _shown(task)}


def _shown(task: Mapping[str, Any]) -> dict[str, Any]:
    return {f: task[f] for f in _TASK_FIELDS}


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
