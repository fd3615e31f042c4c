"""The academia tool: a graph of papers and a graph of authors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from langchain_agentrm_tools._kit import (
    CHECK,
    FINISH,
    Function,
    Kit,
    Parameter,
    Result,
)

__all__ = ["Academia", "Net"]

_TEXT = {"type": "string"}
_NODE = (Parameter("node", _TEXT, "title of the paper, or name of the author"),)
_EDGE = (
    Parameter("node1", _TEXT, "one end"),
    Parameter("node2", _TEXT, "the other end"),
)


@dataclass(frozen=True, slots=True)
class Net:
    """A graph whose nodes have names.

    Attributes:
        nodes: Attributes of each node by id.
        edges: For each id, its neighbours' ids in order, with the edge's attributes.
        ids: Node ids by name.
    """

    nodes: Mapping[str, Mapping[str, Any]]
    edges: Mapping[str, Mapping[str, Mapping[str, Any]]]
    ids: Mapping[str, str]

    @property
    def names(self) -> dict[str, str]:
        """Names by node id."""
        return {ident: name for name, ident in self.ids.items()}


class Academia(Kit):
    """Both graphs, each to be loaded by a call before it is used.

    Args:
        papers: Papers; an edge is a citation.
        authors: Authors; an edge lists `collaborative_papers`, by id.
    """

    tool = "academia"
    aliases: ClassVar = {"neighborCheck": "neighbourCheck"}
    functions: ClassVar = (
        Function("loadPaperNet", "load PaperNet: papers, joined by citations"),
        Function("loadAuthorNet", "load AuthorNet: authors, joined by common papers"),
        Function(
            "neighbourCheck",
            "the papers that a paper cites, or the authors an author wrote with",
            (
                Parameter(
                    "graph", {**_TEXT, "enum": ["PaperNet", "AuthorNet"]}, "the graph"
                ),
                *_NODE,
            ),
        ),
        Function("paperNodeCheck", "year, venue, citations, keywords", _NODE),
        Function("authorNodeCheck", "an author's name and organisation", _NODE),
        Function("authorEdgeCheck", "the papers that two authors wrote", _EDGE),
        Function("paperEdgeCheck", "the citation between two papers", _EDGE),
        CHECK,
        FINISH,
    )

    def __init__(self, papers: Net, authors: Net) -> None:
        super().__init__()
        self._nets = {"PaperNet": papers, "AuthorNet": authors}
        self._titles = papers.names
        self._names = {"PaperNet": self._titles, "AuthorNet": authors.names}
        self.state = {"PaperNet": False, "AuthorNet": False}

    def method(self, name: str) -> Callable[..., Result]:
        """Return the function of this name."""
        functions: Mapping[str, Callable[..., Result]] = {
            "loadPaperNet": partial(self._load, "PaperNet"),
            "loadAuthorNet": partial(self._load, "AuthorNet"),
            "neighbourCheck": self._neighbours,
            "paperNodeCheck": partial(self._node, "PaperNet"),
            "authorNodeCheck": partial(self._node, "AuthorNet"),
            "authorEdgeCheck": partial(self._edge, "AuthorNet"),
            "paperEdgeCheck": partial(self._edge, "PaperNet"),
        }
        return functions[name]

    def _load(self, graph: str) -> Result:
        self.state[graph] = True
        return True, f"{graph} is loaded."

    def _neighbours(self, graph: Any, node: Any) -> Result:
        if not isinstance(graph, str) or graph not in self._nets:
            # What the benchmark says where a graph is still a name.
            kind = type(graph).__name__
            return (
                False,
                f"AttributeError('{kind}' object has no attribute 'neighbors')",
            )
        problem = self._missing(graph, node)
        if problem:
            return False, problem
        net, names = self._nets[graph], self._names[graph]
        return True, [names[i] for i in net.edges.get(net.ids[node], {})]

    def _node(self, graph: str, node: Any) -> Result:
        problem = self._missing(graph, node)
        if problem:
            return False, problem
        net = self._nets[graph]
        return True, deepcopy(dict(net.nodes[net.ids[node]]))

    def _edge(self, graph: str, node1: Any, node2: Any) -> Result:
        problem = self._missing(graph, node1) or self._missing(graph, node2)
        if problem:
            return False, problem
        net = self._nets[graph]
        edge = net.edges.get(net.ids[node1], {}).get(net.ids[node2])
        if edge is None:
            return False, f"There is no edge between {node1} and {node2}."
        shown = deepcopy(dict(edge))
        if graph == "AuthorNet":
            shown["collaborative_papers"] = [
                self._titles[i] for i in shown["collaborative_papers"]
            ]
        return True, shown

    def _missing(self, graph: str, node: Any) -> str:
        if not self.state[graph]:
            return f"Please load the {graph} first."
        if isinstance(node, list | dict):
            return f"TypeError(unhashable type: '{type(node).__name__}')"
        if node not in self._nets[graph].ids:
            return f"There is no node named {node} in the {graph}."
        return ""
