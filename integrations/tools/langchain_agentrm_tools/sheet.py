"""The sheet tool: tables of texts, changed by position, row, column and formula."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from langchain_agentrm_tools._cells import (
    address,
    cell,
    evaluate,
    number,
    shown,
    spread,
)
from langchain_agentrm_tools._kit import Kit, Result
from langchain_agentrm_tools._sheet_functions import FUNCTIONS, OPERATORS

__all__ = ["Sheets"]

_NOT_A1 = (
    "In the sheet formula, you should use A1 notation to display all positions in the "
    "sheet and you can use get_A1_annotation(row, col) to get its A1 address."
)
_NOT_A1_RANGE = _NOT_A1.replace("all positions", "the start and end cell address")
_WHOLE = "Warning: You cannot {} whole sheet at once, please try other functions"
_PLAIN = re.compile(r"[A-Z][0-9]+")
_LARGEST = 1000


class Sheets(Kit):
    """A workbook in memory; one sheet is open at a time.

    Args:
        tables: Rows of texts by name of the sheet.
    """

    tool = "sheet"
    functions: ClassVar = FUNCTIONS

    def __init__(self, tables: Mapping[str, Sequence[Sequence[str]]]) -> None:
        super().__init__()
        self.state = {
            "open": None,
            "sheets": {
                name: {
                    "rows": [[str(x) for x in row] for row in rows],
                    "merged": [],
                    "notes": {},
                    "frozen": 0,
                    "id": i,
                }
                for i, (name, rows) in enumerate(tables.items())
            },
        }

    def unknown(self, name: str) -> str:
        """Answer a call of a function that there is not, with all that there are."""
        return (
            f"{super().unknown(name)} Please choose another valid action from "
            f"{self.names()}"
        )

    def method(self, name: str) -> Callable[..., Result]:
        """Return the function of this name; what it raises is its answer."""
        work = self.values if name == "finish" else getattr(self, f"_{name}")

        def safely(**arguments: Any) -> Result:
            if name != "open_sheet" and self.state["open"] is None:
                return False, "Please open a sheet before operating it"
            try:
                result = work(**arguments)
            except Exception as error:  # noqa: BLE001 - the benchmark catches all
                kind = type(error).__name__
                text = f"{error}" if isinstance(error, KeyError) else repr(str(error))
                return False, f"{kind}({text})"
            return result if isinstance(result, tuple) else (True, result)

        return safely

    def open(self, name: str | None) -> None:
        """Open a sheet without logging it, as a task does before it starts."""
        if name in self.state["sheets"]:
            self.state["open"] = name

    def values(self) -> list[list[str]]:
        """Show the used part of the open sheet; merged cells show their first one's.

        Raises:
            IndexError: If the sheet is empty.
        """
        sheet = self._sheet
        rows = _trimmed(sheet["rows"])
        if not rows:
            msg = "list index out of range"
            raise IndexError(msg)
        return self._part(range(len(rows)), range(len(rows[0])))

    @property
    def _sheet(self) -> dict[str, Any]:
        name = self.state["open"]
        if name not in self.state["sheets"]:
            msg = f"Unable to parse range: {name}"
            raise LookupError(msg)
        sheet: dict[str, Any] = self.state["sheets"][name]
        return sheet

    def _part(self, rows: Iterable[int], columns: Iterable[int]) -> list[list[str]]:
        sheet, wanted = self._sheet, list(columns)
        return [[_at(sheet, i, j) for j in wanted] for i in rows]

    def _set(self, row: int, column: int, text: str) -> None:
        if max(row, column) >= _LARGEST:
            msg = f"Range exceeds grid limits. Max rows: {_LARGEST}"
            raise LookupError(msg)
        rows: list[list[str]] = self._sheet["rows"]
        width = max([column + 1, *map(len, rows)])
        rows += [[] for _ in range(row + 1 - len(rows))]
        for line in rows:
            line.extend([""] * (width - len(line)))
        rows[row][column] = text

    # The functions, by name.

    def _open_sheet(self, name: Any) -> Any:
        if name not in self.state["sheets"]:
            return False, f"WorksheetNotFound({name!r})"
        self.state["open"] = name
        return True, f"<Worksheet {name!r} id:{self.state['sheets'][name]['id']}>"

    def _del_sheet(self, name: Any) -> Any:
        if self.state["sheets"].pop(name, None) is None:
            return False, f"WorksheetNotFound({name!r})"
        return True, f"You have deleted sheet {name} successfully"

    def _freeze_data(self, dimension: Any, num: Any) -> Any:
        count = int(num)
        if not 0 <= count < _LARGEST:
            return False, f"Invalid value at 'num': {count}"
        if dimension not in {"rows", "columns"}:
            return False, repr("Error: the dimension should be one of the rows/columns")
        if dimension == "rows":
            self._sheet["frozen"] = count
        return True, f"You have successfully freeze the {dimension} {count}"

    def _get_A1_annotation(self, row: Any, col: Any) -> str:  # noqa: N802
        at = int(row) - 1, int(col) - 1
        if min(at) < 0:
            msg = f"({row}, {col})"
            raise LookupError(msg)
        return address(*at)

    def _insert_cols(self, values_list: Any, col_idx: Any) -> Any:
        columns = _table(values_list)
        rows = self._sheet["rows"]
        width = len(self.values()[0])
        at = int(col_idx) - 1
        if not 0 <= at <= max(width, 1):
            return False, f"Invalid value at 'col_idx': {col_idx}"
        height = max([len(rows), *map(len, columns)])
        rows += [[""] * width for _ in range(height - len(rows))]
        for i, line in enumerate(rows):
            line.extend([""] * (width - len(line)))
            line[at:at] = [c[i] if i < len(c) else "" for c in columns]
        return self.values()

    def _insert_rows(self, values_list: Any, row_idx: Any) -> Any:
        lines = _table(values_list)
        rows = self._sheet["rows"]
        at = int(row_idx) - 1
        if not 0 <= at <= len(rows):
            return False, f"Invalid value at 'row_idx': {row_idx}"
        rows[at:at] = lines
        width = max(map(len, rows))
        for line in rows:
            line.extend([""] * (width - len(line)))
        return self.values()

    def _delete_batch_data(self, dimension: Any, index_list: Any) -> Any:
        indices = sorted((int(i) for i in index_list), reverse=True)
        rows = self.values()
        if dimension not in {"row", "col"}:
            return False, repr("Wrong dimension, please choose from row/col")
        whole = (
            len(indices) >= len(rows) - 1
            if dimension == "row"
            else len(indices) == len(rows[0])
        )
        if whole:
            return False, repr(_WHOLE.format("delete"))
        lines = self._sheet["rows"]
        for i in indices:
            for line in [lines] if dimension == "row" else lines:
                if 1 <= i <= len(line):
                    del line[i - 1]
        return self.values()

    def _update_cell(self, position: Any, value: Any) -> Any:
        self._set(*cell(position), shown(value))
        return self.values()

    def _update_cell_by_formula(
        self,
        operator: Any,
        result_position: Any,
        start_position: Any = None,
        end_position: Any = None,
        position_list: Any = None,
    ) -> Any:
        ok, result = self._formula(
            operator, start_position, end_position, position_list, [result_position]
        )
        if not ok:
            return False, result
        self._set(*cell(result_position), result)
        return self.values()

    def _update_range(
        self, start_position: Any, end_position: Any, values_list: Any
    ) -> Any:
        rows = self.values()
        last = address(len(rows) - 1, len(rows[0]) - 1)
        if start_position == "A1" and end_position == last:
            return False, repr(_WHOLE.format("update"))
        lines = _table(values_list)
        rows_in, columns_in = spread(start_position, end_position)
        if len(lines) > len(rows_in) or max(map(len, lines)) > len(columns_in):
            return False, (
                "APIError(Requested writing within range "
                f"[{start_position}:{end_position}], but tried writing outside)"
            )
        for i, line in zip(rows_in, lines, strict=False):
            for j, text in zip(columns_in, line, strict=False):
                self._set(i, j, text)
        return self.values()

    def _sort_sheet_by_col(self, col_num: Any, order: Any) -> Any:
        if order not in {"asc", "des"}:
            msg = "Either 'asc' or 'des' should be specified as sort order."
            raise ValueError(msg)
        column = int(col_num) - 1
        sheet = self._sheet
        if not 0 <= column < len(sheet["rows"][0]):
            msg = f"Column {col_num} is outside of the sheet"
            raise LookupError(msg)
        # As the service sorts: numbers before texts, empty cells always last.
        free = sheet["rows"][sheet["frozen"] :]
        filled = [r for r in free if r[column] != ""]
        empty = [r for r in free if r[column] == ""]
        filled.sort(key=lambda r: _order(r[column]), reverse=order == "des")
        sheet["rows"][sheet["frozen"] :] = filled + empty
        return self.values()

    def _merge_cells(self, start_position: Any, end_position: Any) -> Any:
        rows, columns = spread(start_position, end_position)
        self._set(rows[-1], columns[-1], _at(self._sheet, rows[-1], columns[-1]))
        first = _at(self._sheet, rows[0], columns[0])
        for i in rows:
            for j in columns:
                self._set(i, j, "")
        self._set(rows[0], columns[0], first)
        self._sheet["merged"].append(
            (rows[0], rows[-1], columns[0], columns[-1]),
        )
        return self.values()

    def _update_note(self, position: Any, content: Any) -> Any:
        cell(position)
        if not isinstance(content, str):
            msg = "Only string allowed as content for a note."
            raise TypeError(msg)
        self._sheet["notes"][str(position).upper()] = content
        return f"Updated! the {position}'s note is {content}"

    def _get_all_values(self) -> Any:
        return self.values()

    def _get_range_values(self, start_position: Any, end_position: Any) -> Any:
        rows, columns = spread(start_position, end_position)
        height, width = len(self._sheet["rows"]), len(self.values()[0])
        return _trimmed(
            self._part(
                range(rows[0], min(rows.stop, height)),
                range(columns[0], min(columns.stop, width)),
            )
        )

    def _get_cell_value(self, position: Any) -> Any:
        row, column = cell(position)
        rows = self._sheet["rows"]
        text = rows[row][column] if row < len(rows) and column < len(rows[row]) else ""
        return text or None

    def _get_value_by_formula(
        self,
        operator: Any,
        start_position: Any = None,
        end_position: Any = None,
        position_list: Any = None,
    ) -> Any:
        return self._formula(operator, start_position, end_position, position_list, [])

    def _filter_cells(
        self, query: Any, in_row: Any = None, in_column: Any = None
    ) -> Any:
        row = None if in_row is None else int(in_row) - 1
        column = None if in_column is None else int(in_column) - 1
        return [
            address(i, j)
            for i, line in enumerate(self._sheet["rows"])
            for j, text in enumerate(line)
            if text == str(query) and row in {None, i} and column in {None, j}
        ]

    def _get_note(self, position: Any) -> Any:
        cell(position)
        return self._sheet["notes"].get(str(position).upper(), "")

    def _formula(
        self, operator: Any, start: Any, end: Any, places: Any, more: list[Any]
    ) -> tuple[bool, str]:
        if operator not in OPERATORS:
            names = ", ".join(f'"{name}"' for name in OPERATORS)
            return False, repr(f"the operator should be one of the [{names}]")
        if places is None:
            start = "B1" if start is None else start
            end = "D2" if end is None else end
            if not all(_plain(p) for p in (start, end, *more)):
                return False, repr(_NOT_A1 if more else _NOT_A1_RANGE)
            rows, columns = spread(start, end)
            if len(rows) * len(columns) > _LARGEST**2:
                return False, "#REF!"
            cells = [(i, j) for i in rows for j in columns]
            if operator == "MINUS":
                return True, "#N/A"
        else:
            if not all(_plain(p) for p in (*places, *more)):
                return False, repr(_NOT_A1)
            cells = [cell(p) for p in places]
        rows = self._sheet["rows"]
        texts = [
            rows[i][j] if i < len(rows) and j < len(rows[i]) else "" for i, j in cells
        ]
        return True, evaluate(operator, texts)


def _plain(position: Any) -> bool:
    return isinstance(position, str) and bool(_PLAIN.fullmatch(position))


def _table(values: Any) -> list[list[str]]:
    """Write a list of lists as cells show it."""
    if not (isinstance(values, list) and all(isinstance(v, list) for v in values)):
        msg = "The values_list needs to be a 2D list, please check your parameter"
        raise ValueError(msg)
    if not values:
        msg = "max() arg is an empty sequence"
        raise ValueError(msg)
    return [[shown(v) for v in row] for row in values]


def _at(sheet: Mapping[str, Any], row: int, column: int) -> str:
    for top, bottom, left, right in sheet["merged"]:
        if top <= row <= bottom and left <= column <= right:
            row, column = top, left
    rows = sheet["rows"]
    text = rows[row][column] if row < len(rows) and column < len(rows[row]) else ""
    return str(text)


def _trimmed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Leave out empty rows below and empty columns to the right."""
    height = max((i + 1 for i, row in enumerate(rows) if any(row)), default=0)
    width = max((j + 1 for row in rows for j, x in enumerate(row) if x), default=0)
    return [[*row[:width], *[""] * (width - len(row[:width]))] for row in rows[:height]]


def _order(text: str) -> tuple[int, float, str]:
    value = number(text)
    return (1, 0.0, text.casefold()) if value is None else (0, value, "")
