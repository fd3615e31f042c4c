"""Generated goals that change something: to-do lists and sheets."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from langchain_agentrm_tools._cells import address, shown
from langchain_agentrm_tools._label import Ask, Goal
from langchain_agentrm_tools._words import GOODS

__all__ = ["SHEET", "TODO", "draw_projects", "draw_table"]

Projects = Sequence[Mapping[str, Any]]
Table = list[list[str]]

_PROJECTS: Mapping[str, Sequence[str]] = {
    "Garden": ("Mow the lawn", "Plant the tulips", "Repair the fence", "Prune roses"),
    "Thesis": ("Draft chapter two", "Check references", "Print copies", "Plot results"),
    "Household": ("Clean the oven", "Pay the rent", "Fix the tap", "Wash curtains"),
    "Choir": ("Learn the alto part", "Book the hall", "Copy scores", "Call soloists"),
    "Fitness": ("Run ten kilometres", "Swim laps", "Stretch", "Lift weights"),
    "Travel plans": ("Book flights", "Renew passport", "Pack bags", "Change money"),
    "Volunteering": ("Sort donations", "Drive the van", "Cook soup", "Train helpers"),
    "Workshop": ("Sharpen chisels", "Glue the chair", "Order oak", "Sand the table"),
}
_PLACES = ("Library", "Town hall", "Room 204", "Riverside", "Main square", "Annex")
_KINDS = ("Home", "Office", "Garden", "Kitchen")


def draw_projects(rng: random.Random, today: str) -> Projects:
    """Draw two projects of three tasks, each due on a day of its own."""
    days = rng.sample(range(1, 40), 6)
    first = date.fromisoformat(today)
    out = []
    for name in rng.sample(sorted(_PROJECTS), 2):
        tasks = []
        for content in rng.sample(_PROJECTS[name], 3):
            place = rng.choice(_PLACES)
            tasks.append(
                {
                    "content": content,
                    "description": f"- Place: {place}\n- Bring: {rng.choice(GOODS)}",
                    "due_date": (first + timedelta(days=days.pop())).isoformat(),
                    "duration": rng.randrange(1, 13) * 15,
                    "duration_unit": "minute",
                    "priority": rng.randrange(1, 5),
                }
            )
        out.append({"name": name, "is_favorite": False, "tasks": tasks})
    return out


def _project(ask: Ask, name: str) -> str:
    found = ask("get_projects")
    return str(next(p["id"] for p in found if p["name"] == name))


def _task(ask: Ask, project: str, content: str) -> str:
    found = ask("get_tasks", project_id=_project(ask, project))
    return str(next(t["id"] for t in found if t["content"] == content))


def _one(rng: random.Random, projects: Projects) -> tuple[str, Mapping[str, Any]]:
    project = rng.choice(projects)
    return project["name"], rng.choice(project["tasks"])


def _ask_place(rng: random.Random, projects: Projects) -> Goal:
    name, task = _one(rng, projects)

    def solve(ask: Ask) -> Any:
        ident = _task(ask, name, task["content"])
        text = ask("get_task_description", task_id=ident)["description"]
        return text.split("Place: ")[1].split("\n")[0]

    text = (
        f'Where does the task "{task["content"]}" of the project "{name}" take place? '
        "Answer with the place as its description names it."
    )
    return Goal(text, solve)


def _ask_first(rng: random.Random, projects: Projects) -> Goal:
    name = rng.choice(projects)["name"]

    def solve(ask: Ask) -> Any:
        found = ask("get_tasks", project_id=_project(ask, name))
        return min(found, key=lambda t: t["due_date"])["content"]

    text = (
        f'Which task of the project "{name}" is due first? Answer with the task as it '
        "is written there."
    )
    return Goal(text, solve)


def _ask_longest(rng: random.Random, projects: Projects) -> Goal:
    name = rng.choice(projects)["name"]

    def solve(ask: Ask) -> Any:
        found = ask("get_tasks", project_id=_project(ask, name))
        return sum(
            int(ask("get_task_duration", task_id=t["id"])["duration"].split("(")[0])
            for t in found
        )

    text = (
        f'How many minutes do all tasks of the project "{name}" take together? Answer '
        "with the number."
    )
    return Goal(text, solve, hard=True)


def _complete(rng: random.Random, projects: Projects) -> Goal:
    name, task = _one(rng, projects)

    def solve(ask: Ask) -> None:
        ask("complete_task", task_id=_task(ask, name, task["content"]))

    text = f'Please mark the task "{task["content"]}" of the project "{name}" as done.'
    return Goal(text, solve)


def _delete(rng: random.Random, projects: Projects) -> Goal:
    name = rng.choice(projects)["name"]

    def solve(ask: Ask) -> None:
        found = ask("get_tasks", project_id=_project(ask, name))
        last = max(found, key=lambda t: t["due_date"])
        ask("delete_task", task_id=last["id"])

    text = f'Please delete the task of the project "{name}" that is due last.'
    return Goal(text, solve, hard=True)


def _postpone(rng: random.Random, projects: Projects) -> Goal:
    name, task = _one(rng, projects)
    days = rng.randrange(2, 8)
    due = date.fromisoformat(task["due_date"]) + timedelta(days=days)

    def solve(ask: Ask) -> None:
        ident = _task(ask, name, task["content"])
        ask("update_task", task_id=ident, due_date=due.isoformat())

    text = (
        f'Please put off the task "{task["content"]}" of the project "{name}" by '
        f"{days} days."
    )
    return Goal(text, solve)


def _favourite(rng: random.Random, projects: Projects) -> Goal:
    name = rng.choice(projects)["name"]

    def solve(ask: Ask) -> None:
        ask("update_project", project_id=_project(ask, name), is_favorite="True")

    return Goal(f'Please make the project "{name}" one of my favourites.', solve)


TODO: tuple[Callable[[random.Random, Projects], Goal], ...] = (
    _ask_place,
    _complete,
    _ask_first,
    _delete,
    _ask_longest,
    _postpone,
    _favourite,
)


# Sheets: Item, Kind, Price, Stock.


def draw_table(rng: random.Random) -> Table:
    """Draw a table of goods with a line of headings."""
    goods = rng.sample(GOODS, rng.randrange(4, 8))
    prices = rng.sample(range(3, 160), len(goods))
    return [
        ["Item", "Kind", "Price", "Stock"],
        *(
            [g, rng.choice(_KINDS), str(p), str(rng.randrange(0, 90))]
            for g, p in zip(goods, prices, strict=True)
        ),
    ]


def _row(table: Table, item: str) -> int:
    return next(i for i, row in enumerate(table) if row[0] == item)


def _set_price(rng: random.Random, sheet: str, table: Table) -> Goal:
    items = rng.sample([row[0] for row in table[1:]], 2)
    prices = [rng.randrange(200, 900), rng.randrange(200, 900)]

    def solve(ask: Ask) -> None:
        seen = ask("get_all_values")
        for item, price in zip(items, prices, strict=True):
            ask("update_cell", position=address(_row(seen, item), 2), value=price)

    text = (
        f'"{sheet}" lists goods. Please set the price of {items[0]} to {prices[0]} and '
        f"that of {items[1]} to {prices[1]}."
    )
    return Goal(text, solve)


def _sort(rng: random.Random, sheet: str, table: Table) -> Goal:
    del table
    order, word = rng.choice((("asc", "lowest"), ("des", "highest")))

    def solve(ask: Ask) -> None:
        ask("freeze_data", dimension="rows", num=1)
        ask("sort_sheet_by_col", col_num=3, order=order)

    text = (
        f'"{sheet}" lists goods. Please sort them by price, the {word} first; the line '
        "of headings stays on top."
    )
    return Goal(text, solve)


def _drop(rng: random.Random, sheet: str, table: Table) -> Goal:
    stocks = sorted({int(row[3]) for row in table[1:]})
    bound = stocks[len(stocks) // 2] if len(stocks) > 1 else stocks[0] + 1
    del rng

    def solve(ask: Ask) -> None:
        seen = ask("get_all_values")
        lines = [i + 1 for i, r in enumerate(seen) if i and int(r[3]) < bound]
        ask("delete_batch_data", dimension="row", index_list=lines)

    text = (
        f'"{sheet}" lists goods. Please delete the rows of all goods of which fewer '
        f"than {bound} are in stock."
    )
    return Goal(text, solve, hard=True)


def _value(rng: random.Random, sheet: str, table: Table) -> Goal:
    del rng, table

    def solve(ask: Ask) -> None:
        seen = ask("get_all_values")
        ask(
            "insert_cols",
            values_list=[["Value"] + [""] * (len(seen) - 1)],
            col_idx=2,
        )
        for i in range(1, len(seen)):
            ask(
                "update_cell_by_formula",
                operator="PRODUCT",
                position_list=[address(i, 3), address(i, 4)],
                result_position=address(i, 1),
            )

    text = (
        f'"{sheet}" lists goods. Please insert a column with the heading "Value" '
        "behind the first one: price times stock of each."
    )
    return Goal(text, solve, hard=True)


def _total(rng: random.Random, sheet: str, table: Table) -> Goal:
    column, name = rng.choice(((2, "Price"), (3, "Stock")))
    operator, word = rng.choice((("SUM", "Total"), ("MAX", "Most"), ("MIN", "Least")))
    del table

    def solve(ask: Ask) -> None:
        seen = ask("get_all_values")
        line = [word, "", "", ""]
        ask("insert_rows", values_list=[line], row_idx=2)
        ask(
            "update_cell_by_formula",
            operator=operator,
            start_position=address(2, column),
            end_position=address(len(seen), column),
            result_position=address(1, column),
        )

    text = (
        f'"{sheet}" lists goods. Please insert a row right below the headings with '
        f'"{word}" in the first column and the {operator} of the column '
        f'"{name}" in that column.'
    )
    return Goal(text, solve, hard=True)


def _restock(rng: random.Random, sheet: str, table: Table) -> Goal:
    item = rng.choice(table[1:])[0]
    more = rng.randrange(5, 60)

    def solve(ask: Ask) -> None:
        seen = ask("get_all_values")
        at = _row(seen, item)
        total = int(ask("get_cell_value", position=address(at, 3))) + more
        ask("update_cell", position=address(at, 3), value=shown(total))

    text = (
        f'"{sheet}" lists goods. {more} more of {item} came in; please change its '
        "stock."
    )
    return Goal(text, solve)


SHEET: tuple[Callable[[random.Random, str, Table], Goal], ...] = (
    _set_price,
    _sort,
    _drop,
    _value,
    _total,
    _restock,
)
