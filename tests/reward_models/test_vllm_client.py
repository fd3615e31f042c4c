from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import SecretStr
from transformers import AutoModelForSequenceClassification

from langchain_agentrm.errors import (
    CheckpointError,
    ConfigurationError,
    RewardModelError,
    is_retryable,
)
from langchain_agentrm.reward_models import AgentRM
from langchain_agentrm.reward_models._remote import client as _pooling_client
from langchain_agentrm.reward_models._remote import replicas as _replicas
from langchain_agentrm.reward_models._remote.tokens import load_tokens
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.reward_models.vllm import VLLMRewardModel
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import Trajectory, Turn, render
from langchain_agentrm.types import Batch, Score, Usage
from tests.servers.pooling_server import Fault, PoolingServer, by_sum, pooling

Model = Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_checkpoint(tmp_path_factory.mktemp("rm"), "reward")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pooling_client, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(_replicas, "FIRST_REST", 0.05)
    monkeypatch.delenv("AGENTRM_RM_API_KEY", raising=False)


@pytest.fixture
def server(folder: Path) -> Iterator[PoolingServer]:
    with pooling() as one:
        speak_like(one, folder)
        yield one


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> Any:
    """Score by threads or by an event loop; every fault is tested both ways."""

    def score(model: VLLMRewardModel, trajectories: list[Trajectory]) -> Batch[Score]:
        if request.param == "sync":
            return model.score(trajectories)
        return asyncio.run(model.ascore(trajectories))

    return score


def speak_like(server: PoolingServer, folder: Path) -> None:
    tokens = load_tokens(folder)

    def template(body: dict[str, Any]) -> list[int]:
        prompt = body.get("add_generation_prompt", True)
        return list(tokens.chat(body["messages"], generation_prompt=prompt))

    server.does.template = template


def client(server: PoolingServer | list[PoolingServer], folder: Path, **options: Any):
    options.setdefault("timeout", 2.0)
    if isinstance(server, list):
        return VLLMRewardModel(
            base_urls=[s.url for s in server], tokenizer=folder, **options
        )
    return VLLMRewardModel(server.url, tokenizer=folder, **options)


def step(count: int = 4, group: str = "g", search: str = "s") -> list[Trajectory]:
    return [
        Trajectory(
            turns=(
                Turn("a wall", "turn left"),
                Turn("a red ball", f"take {i} {group}"),
            ),
            goal=f"go to the red ball, {search}",
            search_id=search,
            group=group,
        )
        for i in range(count)
    ]


def ids_of(folder: Path, trajectory: Trajectory) -> list[int]:
    return list(load_tokens(folder).chat(render(trajectory), generation_prompt=False))


def expected(folder: Path, trajectories: list[Trajectory]) -> list[float]:
    return by_sum([ids_of(folder, t) for t in trajectories])


def values(batch: Batch[Score]) -> list[float | None]:
    return [s.value for s in batch.items]


# What every backend does, and equality with the model in process.


@pytest.fixture(scope="module")
def in_process(folder: Path) -> AgentRM:
    return AgentRM(folder, device="cpu", keep_prefix=False)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


@pytest.fixture
def real(server: PoolingServer, plain: Any) -> PoolingServer:
    """A server that runs the tiny checkpoint itself."""
    lock = threading.Lock()

    def score(texts: list[list[int]]) -> list[float]:
        with lock, torch.inference_mode():
            return [float(plain(torch.tensor([ids])).logits[0, 0]) for ids in texts]

    server.does.score = score
    return server


class TestConformance(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, real: PoolingServer, folder: Path) -> Iterator[RewardModel]:
        with client(real, folder) as model:
            assert isinstance(model, RewardModel)
            yield model


class TestSmallRequests(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, real: PoolingServer, folder: Path) -> Iterator[RewardModel]:
        with client(real, folder, request_tokens=300) as model:
            yield model


class TestTwoServers(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, real: PoolingServer, folder: Path) -> Iterator[RewardModel]:
        with pooling() as other:
            other.does = real.does
            with client([real, other], folder) as model:
                yield model


def test_parity_with_the_model_in_process(
    real: PoolingServer, folder: Path, in_process: AgentRM, way: Any
) -> None:
    asked = [t for n in range(5) for t in step(4, f"g{n}")]
    past = tuple(Turn(f"wall number {i}", f"turn {i}") for i in range(40))
    asked += [Trajectory(turns=(*past, Turn("a ball", a)), goal="go") for a in "ab"]
    with client(real, folder) as model:
        there = way(model, asked)
    here = in_process.score(asked)
    assert max(values(here)) - min(values(here)) > 1e-2  # type: ignore[type-var, operator]
    assert values(there) == pytest.approx(values(here), abs=1e-4)
    assert here.items[-1].signals["dropped_turns"] > 0
    assert [s.signals for s in there.items] == [s.signals for s in here.items]
    assert there.usage.input_tokens == here.usage.input_tokens
    assert there.usage.requests == 1


def test_one_request_a_step_in_raw_base64(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    asked = [*step(3), *step(3), *step(2, "other")]
    with client(server, folder) as model:
        way(model, step(1, "first"))
        assert way(model, []) == Batch([])
        before = len(server.pooled)
        batch = way(model, asked)
    assert values(batch) == pytest.approx(expected(folder, asked), abs=1e-5)
    assert len(server.pooled) == before + 1
    body = server.pooled[-1]
    assert body["use_activation"] is False
    assert body["encoding_format"] == "base64"
    assert body["model"] == "rm"
    distinct = [ids_of(folder, t) for t in [*step(3), *step(2, "other")]]
    assert body["input"] == distinct
    assert batch.usage == Usage(requests=1, input_tokens=sum(map(len, distinct)))
    assert model.max_length == 512


def test_groups_are_parted_only_when_they_must(
    server: PoolingServer, folder: Path
) -> None:
    asked = [t for g in "abc" for t in step(3, g)]
    length = len(ids_of(folder, asked[0]))
    with client(server, folder, request_tokens=7 * length, verify=False) as model:
        batch = model.score(asked)
        assert sorted(len(b["input"]) for b in server.pooled) == [3, 6]
        assert batch.usage.requests == 2
    server.pooled.clear()
    with client(server, folder, request_tokens=2 * length, verify=False) as model:
        again = model.score(asked)
        sent = [b["input"] for b in server.pooled]
        assert sorted(map(len, sent)) == [1, 1, 1, 2, 2, 2]
    assert values(batch) == values(again)


def test_too_long_is_never_sent(server: PoolingServer, folder: Path, way: Any) -> None:
    long = Trajectory(turns=(Turn("a ball", "go " * 400),), goal="go")
    with client(server, folder) as model:
        fine, bad = way(model, [step(1)[0], long]).items
        assert fine.ok
        assert "the limit is 512" in str(bad.error)
        assert all(len(i) <= 512 for b in server.pooled for i in b["input"])
        # Nothing was asked, so that no server failed: an error each, no exception.
        assert way(model, [long]).items[0].error == bad.error


def test_a_shorter_limit_is_kept(server: PoolingServer, folder: Path) -> None:
    past = tuple(Turn(f"wall {i}", f"turn {i}") for i in range(30))
    with client(server, folder, max_length=200) as model:
        assert model.score([Trajectory(turns=past, goal="go")]).items[0].ok
        assert model.max_length == 200
    assert max(len(i) for b in server.pooled for i in b["input"]) <= 200


# Faults of one answer.


@pytest.mark.parametrize("kind", ["nan", "null"])
def test_nan_is_one_candidates_error(
    server: PoolingServer, folder: Path, way: Any, kind: str
) -> None:
    asked = step(4)
    with client(server, folder) as model:
        way(model, asked)
        server.does.faults = [Fault(kind), Fault(kind)]
        bad, *fine = way(model, asked).items
    assert [s.value for s in fine] == pytest.approx(expected(folder, asked)[1:])
    assert bad.error == "the reward model returned nan"


def test_nan_is_asked_for_once_more(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    asked = step(4)
    with client(server, folder) as model:
        way(model, asked)
        before = len(server.pooled)
        server.does.faults = [Fault("nan")]
        batch = way(model, asked)
        assert [len(b["input"]) for b in server.pooled[before:]] == [4, 1]
    assert values(batch) == pytest.approx(expected(folder, asked))
    assert batch.usage.requests == 2


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("html"), "not JSON"),
        (Fault("count"), "3 scores"),
        (Fault("index"), "4 scores numbered"),
        (Fault("wide"), "2 numbers a text"),
        (Fault("text"), "not base64"),
        (Fault("status", 401), "AGENTRM_RM_API_KEY"),
        (Fault("status", 403), "answered 403"),
        (Fault("status", 404), "--runner pooling"),
    ],
    ids=lambda x: f"{x.kind}{x.status}" if isinstance(x, Fault) else "",
)
def test_what_a_retry_cannot_cure(
    server: PoolingServer, folder: Path, way: Any, fault: Fault, says: str
) -> None:
    with client(server, folder) as model:
        way(model, step(4))
        before = len(server.pooled)
        server.does.faults = [fault]
        with pytest.raises(RewardModelError, match=says) as caught:
            way(model, step(4))
        assert not is_retryable(caught.value)
        assert server.url in str(caught.value)
        assert len(server.pooled) == before + 1
        assert all(s.ok for s in way(model, step(4)).items)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", 429, {"retry-after": "0"}),
        Fault("status", 408),
        Fault("status", 500),
        Fault("status", 502),
        Fault("status", 503),
        Fault("status", 504),
        Fault("hang"),
        Fault("drip"),
        Fault("reset"),
        Fault("cut"),
    ],
    ids=lambda f: f"{f.kind}{f.status}",
)
def test_what_a_retry_cures(
    server: PoolingServer, folder: Path, way: Any, fault: Fault
) -> None:
    asked = step(4)
    with client(server, folder, timeout=0.4) as model:
        way(model, asked)
        before = len(server.pooled)
        server.does.faults = [fault]
        batch = way(model, asked)
    assert values(batch) == pytest.approx(expected(folder, asked), abs=1e-5)
    scoring = [b for b in server.pooled[before:] if len(b["input"]) == 4]
    assert batch.usage.requests == 2
    assert len(scoring) >= 2


def test_retries_end(server: PoolingServer, folder: Path, way: Any) -> None:
    with client(server, folder, retries=2) as model:
        way(model, step(1))
        before = len(server.pooled)
        server.does.fault_if = lambda body: Fault("status", 500)
        with pytest.raises(RewardModelError, match="fault 500") as caught:
            way(model, step(4))
    assert is_retryable(caught.value)
    assert len(server.pooled) == before + 3


def test_retry_after_is_honoured(server: PoolingServer, folder: Path, way: Any) -> None:
    with client(server, folder) as model:
        way(model, step(1))
        server.does.faults = [Fault("status", 429, {"retry-after": "0.4"})]
        began = time.monotonic()
        assert all(s.ok for s in way(model, step(2)).items)
    assert 0.4 <= time.monotonic() - began < 20


def test_finished_requests_are_kept(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    asked = [*step(3, "a"), *step(3, "b")]
    size = 3 * len(ids_of(folder, asked[0]))
    bad = ids_of(folder, asked[4])
    with client(server, folder, request_tokens=size, retries=1) as model:
        way(model, step(1))
        server.does.fault_if = lambda body: (
            Fault("status", 500) if bad in body["input"] else None
        )
        batch = way(model, asked)
    assert values(batch)[:3] == pytest.approx(expected(folder, asked)[:3], abs=1e-5)
    assert all("fault 500" in str(s.error) for s in batch.items[3:])
    assert batch.usage.requests == 3
    # What was lost is not counted as read.
    assert batch.usage.input_tokens == size


def test_the_text_that_fails_a_request_is_found(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    asked = step(7)
    bad = ids_of(folder, asked[4])
    with client(server, folder) as model:
        way(model, step(1))
        server.does.fault_if = lambda body: (
            Fault("status", 400) if bad in body["input"] else None
        )
        batch = way(model, asked)
    assert [i for i, s in enumerate(batch.items) if not s.ok] == [4]
    assert "fault 400" in str(batch.items[4].error)
    assert batch.usage.requests == 7


def test_token_budget(server: PoolingServer, folder: Path, way: Any) -> None:
    asked = [*step(2, "a"), *step(2, "b")]
    size = 2 * len(ids_of(folder, asked[0]))
    options = {"request_tokens": size, "token_budget": size + 5, "max_concurrency": 1}
    with client(server, folder, **options) as model:
        batch = way(model, asked)
        assert sorted(s.ok for s in batch.items) == [False, False, True, True]
        assert model.tokens_sent == size
        rest = way(model, asked)
    for score in rest.items:
        assert f"token_budget={size + 5}" in str(score.error)
    assert rest.usage == Usage()


# Several servers.


@pytest.fixture
def pair(folder: Path) -> Iterator[list[PoolingServer]]:
    with pooling() as a, pooling() as b:
        for one in (a, b):
            speak_like(one, folder)
        yield [a, b]


def test_a_search_stays_where_its_prefix_is(
    pair: list[PoolingServer], folder: Path, way: Any
) -> None:
    searches = [f"search {i}" for i in range(12)]
    with client(pair, folder) as model:
        where = {}
        for name in searches:
            for server in pair:
                server.pooled.clear()
            for group in "abc":
                batch = way(model, step(2, group, name))
                assert all(s.ok for s in batch.items)
            used = [s for s in pair if any(len(b["input"]) == 2 for b in s.pooled)]
            assert len(used) == 1
            where[name] = used[0]
        assert len(set(map(id, where.values()))) == 2
        # All of them in one call: one request a server.
        for server in pair:
            server.pooled.clear()
        batch = way(model, [t for name in searches for t in step(2, "z", name)])
        assert batch.usage.requests == 2
        for server in pair:
            (body,) = server.pooled
            assert 0 < len(body["input"]) < 24


def test_another_server_takes_over(
    pair: list[PoolingServer], folder: Path, way: Any
) -> None:
    asked = [t for i in range(8) for t in step(2, "g", f"search {i}")]
    with client(pair, folder) as model:
        way(model, asked)
        pair[0].stop()
        began = time.monotonic()
        batch = way(model, asked)
        took = time.monotonic() - began
    assert values(batch) == pytest.approx(expected(folder, asked), abs=1e-5)
    # At once: waiting is for those who have nowhere else to go.
    assert took < 10


def test_a_server_is_probed_before_it_comes_back(
    pair: list[PoolingServer], folder: Path, way: Any
) -> None:
    asked = [t for i in range(8) for t in step(2, "g", f"search {i}")]
    with client(pair, folder) as model:
        way(model, asked)
        first, second = pair
        first.does.healthy = False
        first.does.faults = [Fault("reset")]
        assert all(s.ok for s in way(model, asked).items)
        time.sleep(0.06)
        first.pooled.clear()
        first.paths.clear()
        assert all(s.ok for s in way(model, asked).items)
        assert first.paths == ["/health"]
        assert not first.pooled
        first.does.healthy = True
        second.pooled.clear()
        time.sleep(0.11)
        assert all(s.ok for s in way(model, asked).items)
        assert first.pooled
        assert second.pooled


def test_all_down_fails_at_once_and_says_when(
    pair: list[PoolingServer], folder: Path, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client(pair, folder, retries=1) as model:
        way(model, step(2))
        for server in pair:
            server.stop()
        monkeypatch.setattr(_replicas, "FIRST_REST", 20.0)
        monkeypatch.setattr(_pooling_client.PoolingClient, "_rules", quick_rules)
        with pytest.raises(RewardModelError):
            way(model, step(2))
        began = time.monotonic()
        with pytest.raises(
            RewardModelError, match="All 2 reward servers are down"
        ) as e:
            way(model, step(2))
        assert time.monotonic() - began < 10
    assert is_retryable(e.value)
    for server in pair:
        assert server.url in str(e.value)
    assert "next try in" in str(e.value)
    assert "Refused" in str(e.value)


def quick_rules(self: Any, tried: set[str]) -> Any:
    rules = _RULES(self, tried)
    rules.wait = lambda state: 0.0
    return rules


_RULES = _pooling_client.PoolingClient._rules


def test_a_server_that_starts_late_is_waited_for(folder: Path, way: Any) -> None:
    with pooling() as gone:
        port = gone.port
    started = threading.Event()

    def later() -> None:
        time.sleep(0.1)
        late = PoolingServer(port)
        speak_like(late, folder)
        late.start()
        started.wait(10)
        late.stop()

    thread = threading.Thread(target=later)
    thread.start()
    try:
        url = f"http://127.0.0.1:{port}"
        with VLLMRewardModel(url, tokenizer=folder, retries=6) as model:
            assert all(s.ok for s in way(model, step(2)).items)
    finally:
        started.set()
        thread.join()


def test_never_reached(folder: Path, way: Any) -> None:
    with pooling() as gone:
        url = gone.url
    with (
        VLLMRewardModel(url, tokenizer=folder, retries=1) as model,
        pytest.raises(RewardModelError, match="Refused") as caught,
    ):
        way(model, step(1))
    assert is_retryable(caught.value)
    assert url in str(caught.value)


def test_a_server_that_came_back_as_another_is_left_out(
    pair: list[PoolingServer], folder: Path, way: Any
) -> None:
    asked = [t for i in range(8) for t in step(2, "g", f"search {i}")]
    with client(pair, folder) as model:
        way(model, asked)
        pair[0].does.faults = [Fault("reset")]
        pair[0].does.models = [{"id": "policy", "max_model_len": 512}]
        way(model, asked)
        time.sleep(0.06)
        pair[0].pooled.clear()
        with pytest.warns(UserWarning, match="is left out"):
            batch = way(model, asked)
        assert values(batch) == pytest.approx(expected(folder, asked), abs=1e-5)
        assert not pair[0].pooled


# What is checked when a server is met.


def test_it_is_met_once(server: PoolingServer, folder: Path, way: Any) -> None:
    with client(server, folder) as model:
        assert not server.paths
        for _ in range(3):
            way(model, step(2))
    assert server.paths.count("/v1/models") == 1
    assert server.paths.count("/tokenize") == 1


def test_another_template(server: PoolingServer, folder: Path, way: Any) -> None:
    ours = server.does.template
    assert ours is not None
    server.does.template = lambda body: [9, *ours(body)]
    with (
        client(server, folder) as model,
        pytest.raises(CheckpointError, match=r"token 0 is 9 .* there and 1") as caught,
    ):
        way(model, step(2))
    assert "'<|user|>'" in str(caught.value)
    assert not server.pooled
    server.does.template = lambda body: ours(body)[:-1]
    with (
        client(server, folder) as model,
        pytest.raises(CheckpointError, match="is the end there and 3"),
    ):
        way(model, step(2))


def test_no_tokenize_is_only_warned_of(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    server.does.template = None
    with client(server, folder) as model:
        with pytest.warns(UserWarning, match="does not tokenize"):
            assert all(s.ok for s in way(model, step(2)).items)
        assert all(s.ok for s in way(model, step(2)).items)


def test_honest_models_with_small_scores(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    server.does.score = lambda texts: [0.3 + v / 30 for v in by_sum(texts)]
    assert all(0 < v < 1 for v in server.does.score([[1], [400], [990]]))
    with client(server, folder) as model:
        assert all(s.ok for s in way(model, step(2)).items)


def test_scores_that_are_always_squashed(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    server.does.switch = None
    with (
        client(server, folder) as model,
        pytest.raises(CheckpointError, match="sigmoid"),
    ):
        way(model, step(2))
    with client(server, folder, verify=False) as model:
        assert all(0 <= s.value <= 1 for s in way(model, step(2)).items)


def test_a_model_without_activation(
    server: PoolingServer, folder: Path, tmp_path: Path, way: Any
) -> None:
    server.does.activates = False
    with client(server, folder) as model:
        assert all(s.ok for s in way(model, step(2)).items)
    # Trained on returns: all scores in [0, 1], rightly.
    server.does.score = lambda texts: [0.3 + v / 30 for v in by_sum(texts)]
    other = write_mini_checkpoint(tmp_path / "rm", "reward")
    config = (other / "config.json").read_text()
    (other / "config.json").write_text(
        config.replace("{", '{"problem_type": "regression",', 1)
    )
    with client(server, other) as model:
        assert all(s.ok for s in way(model, step(2)).items)
    # Without a config nobody can say; it is not refused.
    (other / "config.json").unlink()
    with client(server, other) as model, pytest.warns(UserWarning, match="sigmoid"):
        assert all(s.ok for s in way(model, step(2)).items)


def test_the_options_older_name(server: PoolingServer, folder: Path, way: Any) -> None:
    server.does.switch = "activation"
    asked = step(3)
    with client(server, folder) as model:
        batch = way(model, asked)
    assert values(batch) == pytest.approx(expected(folder, asked), abs=1e-5)


def test_probes_that_are_not_finite(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    server.does.score = lambda texts: [math.nan for _ in texts]
    with (
        client(server, folder) as model,
        pytest.raises(CheckpointError, match="trained head"),
    ):
        way(model, step(2))


def test_a_server_that_adds_tokens(
    server: PoolingServer, folder: Path, way: Any
) -> None:
    server.does.extra_tokens = 4
    with client(server, folder) as model, pytest.raises(CheckpointError, match="read "):
        way(model, step(2))


def test_which_model(server: PoolingServer, folder: Path, way: Any) -> None:
    server.does.models = [
        {"id": "rm", "max_model_len": 300, "parent": None},
        {"id": "adapter", "max_model_len": None, "parent": "rm"},
    ]
    with client(server, folder) as model:
        way(model, step(1))
        assert model.max_length == 300
        assert server.pooled[-1]["model"] == "rm"
    with client(server, folder, model="adapter") as model:
        way(model, step(1))
        assert model.max_length == 300
        assert server.pooled[-1]["model"] == "adapter"
    server.does.models.append({"id": "policy", "max_model_len": 300})
    with (
        client(server, folder) as model,
        pytest.raises(ConfigurationError, match="'adapter', 'policy', 'rm'"),
    ):
        way(model, step(1))
    with (
        client(server, folder, model="rn") as model,
        pytest.raises(ConfigurationError, match="no model 'rn'"),
    ):
        way(model, step(1))


def test_nothing_is_asked_that_was_told(server: PoolingServer, folder: Path) -> None:
    options = {"model": "rm", "max_length": 300, "verify": False}
    with client(server, folder, **options) as model:
        assert model.score(step(1)).items[0].ok
    assert set(server.paths) == {"/pooling"}


# Keys, options, clients.


def test_the_key_is_sent_and_never_shown(
    server: PoolingServer,
    folder: Path,
    way: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.does.key = "sesame-7"
    with client(server, folder) as model, pytest.raises(RewardModelError) as caught:
        way(model, step(1))
    assert "AGENTRM_RM_API_KEY" in str(caught.value)
    server.keys.clear()
    for given in ("sesame-7", SecretStr("sesame-7\n")):
        with client(server, folder, api_key=given) as model:
            assert way(model, step(1)).items[0].ok
            assert "sesame" not in repr(model) + str(vars(model)) + str(
                vars(model._edges)
            )
    monkeypatch.setenv("AGENTRM_RM_API_KEY", "sesame-7")
    with client(server, folder) as model:
        assert way(model, step(1)).items[0].ok
        server.does.fault_if = lambda body: Fault("echo")
        with pytest.raises(RewardModelError) as caught:
            way(model, step(1))
    assert set(server.keys) == {"Bearer sesame-7"}
    assert "bad header Bearer ***" in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "sesame" not in caplog.text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"base_urls": ["http://h:1"]}, "Exactly one"),
        ({"api_key": "two words"}, "characters"),
        ({"api_key": "schlüssel"}, "characters"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": math.nan}, "timeout=nan"),
        ({"retries": -1}, "retries=-1"),
        ({"request_tokens": 0}, "request_tokens=0"),
        ({"token_budget": 0}, "token_budget=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"resolution": -1}, "resolution=-1"),
    ],
)
def test_options_that_cannot_work(
    folder: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        VLLMRewardModel("http://127.0.0.1:1", tokenizer=folder, **options)
    assert "schlüssel" not in str(caught.value)


def test_urls_as_one_text(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="one text"):
        VLLMRewardModel(base_urls="http://h:1", tokenizer=folder)


def test_tokenizers_that_do_not_work(tmp_path: Path) -> None:
    bare = write_mini_checkpoint(tmp_path / "a", "reward", broken="no_tokenizer")
    with pytest.raises(CheckpointError, match="tokenizer="):
        VLLMRewardModel("http://127.0.0.1:1", tokenizer=bare)
    old = write_mini_checkpoint(tmp_path / "b", "reward", broken="other_serializer")
    with pytest.raises(CheckpointError, match="agentrm-v0"):
        VLLMRewardModel("http://127.0.0.1:1", tokenizer=old)


def test_threads_and_loops_at_once(server: PoolingServer, folder: Path) -> None:
    asked = {n: step(3, f"g{n}", f"s{n}") for n in range(8)}
    found: dict[int, list[float | None]] = {}

    def run(n: int, model: VLLMRewardModel) -> None:
        if n % 2:
            found[n] = values(model.score(asked[n]))
            return

        async def both() -> None:
            async with model:
                one, two = await asyncio.gather(
                    model.ascore(asked[n]), model.ascore(asked[n])
                )
            assert values(one) == values(two)
            found[n] = values(one)

        asyncio.run(both())

    model = client(server, folder)
    threads = [threading.Thread(target=run, args=(n, model)) for n in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model.close()
    for n, trajectories in asked.items():
        assert found[n] == pytest.approx(expected(folder, trajectories), abs=1e-5)


async def test_connections_are_kept_inside_async_with(
    server: PoolingServer, folder: Path
) -> None:
    model = client(server, folder)
    async with model, model:
        await model.ascore(step(1))
        opened = set(server._sockets)
        await model.ascore(step(2))
        assert set(server._sockets) == opened
        assert opened
        # One that is left elsewhere takes nothing from those who stay.
        async with model:
            pass
        await model.ascore(step(2))
        assert set(server._sockets) == opened
    # Left twice, closed once; it works again afterwards.
    assert (await model.ascore(step(1))).items[0].ok
    await model.aclose()


async def test_a_cancelled_call_ends(server: PoolingServer, folder: Path) -> None:
    model = client(server, folder, timeout=30)
    await model.ascore(step(1))
    server.does.fault_if = lambda body: Fault("hang")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await model.ascore(step(2))
    assert time.monotonic() - began < 20
    server.does.fault_if = lambda body: None
    assert (await model.ascore(step(1))).items[0].ok
    model.close()


def test_closing_twice_and_going_on(server: PoolingServer, folder: Path) -> None:
    model = client(server, folder)
    first = model.score(step(2))
    model.close()
    model.close()
    assert values(model.score(step(2))) == values(first)
    model.close()
