"""The functions of the sheet tool, as a policy reads them."""

from __future__ import annotations

from langchain_agentrm_tools._kit import Function, Parameter

__all__ = ["FUNCTIONS", "OPERATORS"]

OPERATORS = ("SUM", "AVERAGE", "COUNT", "MAX", "MIN", "MINUS", "PRODUCT")
"""Functions of a formula."""

_TEXT, _INT = {"type": "string"}, {"type": "integer"}
_TABLE = {"type": "array", "items": {"type": "array", "items": {}}}
_PLACES = {"type": "array", "items": _TEXT}
_NAME = (Parameter("name", _TEXT, "name of the sheet"),)
_WHERE = Parameter("position", _TEXT, "the cell, such as B2")
_START = Parameter("start_position", _TEXT, "one corner, such as B2")
_END = Parameter("end_position", _TEXT, "the other corner")
_RANGE = (
    Parameter(_START.name, _TEXT, _START.about, required=False),
    Parameter(_END.name, _TEXT, _END.about, required=False),
    Parameter("position_list", _PLACES, "or the cells one by one", required=False),
)
_OPERATOR = Parameter(
    "operator", {**_TEXT, "enum": list(OPERATORS)}, "what is computed"
)
_UPDATE = "put into a cell what a formula over other cells gives"

FUNCTIONS = (
    Function("open_sheet", "open a sheet", _NAME),
    Function("del_sheet", "delete a sheet", _NAME),
    Function(
        "freeze_data",
        "keep the first rows or columns in sight",
        (
            Parameter("dimension", _TEXT, "rows or columns"),
            Parameter("num", _INT, "how many"),
        ),
    ),
    Function(
        "get_A1_annotation",
        "name the cell in a row and column, from 1",
        (Parameter("row", _INT, "row"), Parameter("col", _INT, "column")),
    ),
    Function(
        "insert_cols",
        "insert columns",
        (
            Parameter("values_list", _TABLE, "the columns' values"),
            Parameter("col_idx", _INT, "before which column, from 1"),
        ),
    ),
    Function(
        "insert_rows",
        "insert rows",
        (
            Parameter("values_list", _TABLE, "the rows' values"),
            Parameter("row_idx", _INT, "before which row, from 1"),
        ),
    ),
    Function(
        "delete_batch_data",
        "delete rows or columns",
        (
            Parameter("dimension", _TEXT, "row or col"),
            Parameter("index_list", {"type": "array", "items": _INT}, "from 1"),
        ),
    ),
    Function(
        "update_cell",
        "set a cell",
        (_WHERE, Parameter("value", {}, "the value")),
    ),
    Function(
        "update_cell_by_formula",
        _UPDATE,
        (
            *_RANGE,
            Parameter("result_position", _TEXT, "the cell to set"),
            _OPERATOR,
        ),
    ),
    Function(
        "update_range",
        "set the cells of a range",
        (_START, _END, Parameter("values_list", _TABLE, "its rows")),
    ),
    Function(
        "sort_sheet_by_col",
        "sort all rows but the frozen ones by a column",
        (
            Parameter("col_num", _INT, "the column, from 1"),
            Parameter("order", _TEXT, "asc or des"),
        ),
    ),
    Function("merge_cells", "merge the cells of a range", (_START, _END)),
    Function(
        "update_note",
        "write a note to a cell",
        (_WHERE, Parameter("content", _TEXT, "the note")),
    ),
    Function("get_all_values", "show the sheet"),
    Function("get_range_values", "show a range", (_START, _END)),
    Function("get_cell_value", "show a cell", (_WHERE,)),
    Function(
        "get_value_by_formula",
        "show what a formula over cells gives",
        (*_RANGE, _OPERATOR),
    ),
    Function(
        "filter_cells",
        "find the cells with exactly this content",
        (
            Parameter("query", _TEXT, "the content"),
            Parameter("in_row", _INT, "only in this row", required=False),
            Parameter("in_column", _INT, "only in this column", required=False),
        ),
    ),
    Function("get_note", "show a cell's note", (_WHERE,)),
    Function("finish", "end the task"),
)
