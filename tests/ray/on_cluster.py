"""Runs on a cluster of four Ray nodes, one of them killed, and writes what it saw.

    python tests/ray/on_cluster.py FOLDER

Started by `test_cluster.py` in a process of its own: Ray opens sockets, starts threads
and prints warnings that pytest's rules for the rest of the suite forbid.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from dataclasses import asdict
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.environments import registry
from langchain_agentrm.errors import AgentRMError
from langchain_agentrm.evaluation.runner import Plan, evaluate
from langchain_agentrm.training.backends import LocalBackend, RayBackend
from langchain_agentrm.training.samples import SamplesConfig, extract_samples
from langchain_agentrm.training.trees import STORE_FILE, TreesConfig, build_trees
from tests.ray.parts import (
    Dying,
    Flaky,
    MakeSlow,
    NotedFactory,
    OnGpu,
    last_to_note,
    notes,
)
from tests.training.game import CountFactory, RandomPolicy

NODE = {
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 80 * 2**20,
    "include_dashboard": False,
}


def dump(folder: Path) -> list:
    with sqlite3.connect(folder / STORE_FILE) as db:
        trees = db.execute("select * from trees order by tree_id").fetchall()
        nodes = db.execute("select * from nodes order by tree_id, node_id").fetchall()
    db.close()
    return [trees, nodes]


def samples(trees: Path) -> dict[str, str]:
    """Digests of the samples that the trees give."""
    out = trees.with_name(f"{trees.name}-samples")
    done = extract_samples(SamplesConfig(val_share=0.25), trees, out)
    return done["outputs"]


def killed_node(folder: Path, cluster: Cluster, nodes: list) -> dict:
    """Build trees while a node that plays is killed."""
    folder.mkdir()
    config = TreesConfig(
        env="count", labeller="agentrm", tasks=48, chunk=4, simulations=6
    )
    local, out, log = folder / "local", folder / "ray", folder / "log"
    log.mkdir()
    build_trees(
        config,
        local,
        local,
        factory=CountFactory(),
        make_proposer=RandomPolicy,
        workers=2,
    )
    killed: list[str] = []

    def kill(done, total, **_):
        loads = {node[0] for node in notes(log, "loads").values()}
        if done >= 2 and len(loads) == len(nodes) and not killed:
            # The one that began last is in the middle of its chunk for the longest.
            last = last_to_note(log, "begun")
            (ident,) = notes(log, "loads")[last]
            victim = next(node for node in nodes if node.node_id == ident)
            nodes.remove(victim)
            killed.append(victim.node_id)
            cluster.remove_node(victim, allow_graceful=False)

    manifest = build_trees(
        config,
        out,
        out,
        factory=NotedFactory(folder=log),
        make_proposer=MakeSlow(log),
        backend=RayBackend(),
        progress=kill,
    )
    begun = notes(log, "begun")
    tasks = {task for some in begun.values() for task in some}
    loads = notes(log, "loads")
    return {
        "killed": killed,
        "nodes": sorted({node[0] for node in loads.values()}),
        "loads": [len(some) for some in loads.values()],
        "again": sum(sum(t in some for some in begun.values()) > 1 for t in tasks),
        "trees": manifest["counts"]["trees"],
        "same_store": dump(out) == dump(local),
        "samples": [samples(out), samples(local)],
    }


def babyai(folder: Path) -> dict:
    """The embedded policy on both backends: trees, samples and episodes."""
    folder.mkdir()
    models = embedded_models("babyai")
    config = TreesConfig(env="babyai", tasks=16, chunk=4, simulations=3)
    built = []
    for name, backend in (("local", LocalBackend(1)), ("ray", RayBackend())):
        build_trees(config, models.policy, folder / name, backend=backend)
        built.append(samples(folder / name))
    factory = registry.get("babyai")
    plan = Plan(
        "babyai",
        factory.tasks("test", limit=26),
        ["greedy", "best-of-2"],
        str(models.policy),
        str(models.reward_model),
    )
    runs = []
    for backend in (LocalBackend(1), RayBackend(workers=1)):
        records = [asdict(r) for r in evaluate(plan, backend=backend)]
        for record in records:
            del record["seconds"]
        runs.append(records)
    return {
        "samples": built,
        "same_store": dump(folder / "local") == dump(folder / "ray"),
        "same_episodes": runs[0] == runs[1],
        "episodes": len(runs[0]),
    }


def failures(folder: Path) -> dict:
    """Errors that a retry can help, errors that none can, and workers that die."""
    out = {}
    for retryable in (True, False):
        here = folder / f"flaky-{retryable}"
        here.mkdir(parents=True)
        try:
            found = dict(RayBackend().run(Flaky(here, retryable), [1, 2]))
        except AgentRMError as error:
            found = {"error": type(error).__name__, "text": str(error)}
        tries = {p.name: len(p.read_text()) for p in here.glob("tries-*")}
        out["retryable" if retryable else "final"] = [found, tries]
    try:
        found = dict(RayBackend(retries=2).run(Dying(folder), [0, 1]))
    except AgentRMError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    out["dying"] = [found, len((folder / "deaths").read_text())]
    return out


def room() -> dict:
    """What is refused because no machine has room."""
    out = {}
    for name, backend in {
        "gpus": RayBackend(num_gpus=5),
        "named": RayBackend(resources={"oracle": 1}),
    }.items():
        try:
            dict(backend.run(Flaky(Path(), retryable=False), [1]))
        except AgentRMError as error:
            out[name] = str(error)
    return out


def gpus(cluster: Cluster) -> list:
    """Two pretended GPUs, and two runs that processes could be kept over."""
    node = cluster.add_node(num_cpus=2, num_gpus=2, **NODE)
    backend = RayBackend(num_gpus=1, retries=-1)
    found = [r for _, r in backend.run(OnGpu(), range(24))]
    # One at a time: the GPU may be another than the process had in the first run.
    slow = RayBackend(num_gpus=1, retries=-1, workers=1)
    found += [r for _, r in slow.run(OnGpu(), range(6))]
    cluster.remove_node(node)
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    began = time.monotonic()
    head = {"num_cpus": 0, **NODE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, **NODE) for _ in range(3)]
    report = {}
    seconds = {"start": round(time.monotonic() - began, 1)}
    # Connected once, by the user as it were: the backend uses it and leaves it.
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    try:
        for name, part in {
            "kill": lambda: killed_node(folder / "kill", cluster, nodes),
            "babyai": lambda: babyai(folder / "babyai"),
            "failures": lambda: failures(folder / "failures"),
            "room": room,
            "gpus": lambda: gpus(cluster),
        }.items():
            start = time.monotonic()
            report[name] = part()
            seconds[name] = round(time.monotonic() - start, 1)
            print(name, seconds[name], flush=True)
        report["connected"] = ray.is_initialized()
    finally:
        ray.shutdown()
        cluster.shutdown()
    report["seconds"] = {**seconds, "all": round(time.monotonic() - began, 1)}
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
