"""One search as one self-contained HTML page: no script, nothing loaded."""

from __future__ import annotations

from html import escape

from langchain_agentrm.trace.tree import Tree, TreeNode

__all__ = ["to_html"]

_STYLE = """
:root{--ink:#1d2430;--dim:#6b7585;--line:#d9dee6;--keep:#1f6feb;--win:#1a7f37;
--bad:#b42318}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:74rem;
margin:2rem auto;padding:0 1.5rem;background:#fff}
h1{font-size:1.35rem;margin:0 0 .25rem}
.meta{color:var(--dim);margin:.1rem 0}
.goal{background:#f5f7fa;border-left:3px solid var(--keep);padding:.6rem .9rem;
margin:1rem 0;white-space:pre-wrap}
.legend{display:flex;gap:1.4rem;color:var(--dim);font-size:.85rem;margin:.8rem 0 1rem}
ul{list-style:none;margin:0;padding-left:1.4rem;border-left:1px solid var(--line)}
ul.top{padding-left:0;border:0}
li{margin:.15rem 0}
details>summary{cursor:pointer;list-style:none}
.row{display:inline-flex;gap:.7rem;align-items:center;padding:.1rem .5rem;
border-radius:6px}
.score{font-variant-numeric:tabular-nums;min-width:3.6rem;text-align:right;color:var(--dim)}
.bar{display:inline-block;width:5rem;height:.5rem;background:#edf0f4;border-radius:3px;
overflow:hidden}
.bar i{display:block;height:100%;background:#9aa7b8}
.dropped .act{color:var(--dim)}
.kept .act{font-weight:600}.kept .bar i{background:var(--keep)}
.win>.row,.win>details>summary>.row{background:#e9f7ee}
.win .bar i{background:var(--win)}
.tag{font-size:.75rem;border:1px solid var(--line);border-radius:4px;padding:0 .35rem;
color:var(--dim)}
.ok{color:var(--win);border-color:var(--win)}.no{color:var(--bad);border-color:var(--bad)}
.obs{color:var(--dim);font-size:.85rem;margin:.1rem 0 .3rem 5rem;white-space:pre-wrap}
"""


def to_html(tree: Tree, *, title: str = "AgentRM search") -> str:
    """Draw a search: candidates, scores, what was kept, what happened.

    Args:
        tree: The search.
        title: The page's title.

    Returns:
        A complete page.
    """
    task = f"{tree.task['env']} / {tree.task['id']}" if tree.task else "conversation"
    result = tree.result
    outcome = "success" if result.get("success") else "no success"
    score = result.get("score")
    value = f", value {score:.3f}" if isinstance(score, float) else ""
    totals = result.get("totals") or {}
    spent = (
        f"{totals.get('requests', 0)} requests, "
        f"{totals.get('policy_tokens', 0)} policy tokens, "
        f"{totals.get('reward_tokens', 0)} reward-model tokens"
    )
    tops = "".join(_node(n, tree) for n in tree.roots)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<style>{_STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p class="meta">{escape(task)} &middot; ended: {escape(tree.ended)} &middot;
{outcome}{value} &middot; {result.get("steps", 0)} steps &middot; {spent}</p>
<div class="goal">{escape(tree.goal)}\n{escape(tree.observation)}</div>
<div class="legend"><span>bar and number: the reward model's score, given before the
action ran</span><span><b>bold</b>: kept</span><span>grey: dropped, never run</span>
<span>green: the chosen path</span></div>
<ul class="top">{tops}</ul>
</body></html>
"""


def _node(node: TreeNode, tree: Tree) -> str:
    kind = "kept" if node.kept else "dropped"
    if node.id in tree.winner:
        kind += " win"
    width = 0 if node.score is None else max(0.0, min(1.0, node.score)) * 100
    score = "&ndash;" if node.score is None else f"{node.score:.3f}"
    tags = f'<span class="tag">{node.votes} votes</span>' if node.votes > 1 else ""
    if node.error:
        tags += f'<span class="tag no">{escape(node.error)}</span>'
    if node.done:
        mark = "ok" if node.success else "no"
        tags += (
            f'<span class="tag {mark}">{"solved" if node.success else "over"}</span>'
        )
    row = (
        f'<span class="row"><span class="score">{score}</span>'
        f'<span class="bar"><i style="width:{width:.0f}%"></i></span>'
        f'<span class="act">{escape(node.action)}</span>{tags}</span>'
    )
    if not node.ran:
        return f'<li class="{kind}">{row}</li>'
    seen = f'<div class="obs">{escape(node.observation)}</div>'
    below = "".join(_node(c, tree) for c in node.children)
    inner = f"<ul>{below}</ul>" if below else ""
    opened = " open" if node.id in tree.winner or node.step < 3 else ""  # noqa: PLR2004
    return (
        f'<li class="{kind}"><details{opened}><summary>{row}</summary>'
        f"{seen}{inner}</details></li>"
    )
