from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_agentrm.errors import (
    CheckpointError,
    ConfigurationError,
    RewardModelError,
)
from langchain_agentrm.reward_models._implicit import client as _implicit_client
from langchain_agentrm.reward_models.implicit import ImplicitRewardModel
from langchain_agentrm.reward_models.implicit_served import ServedImplicitRewardModel
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.trajectory import Trajectory, Turn
from tests.servers.completions_server import CompletionsServer, Faults, completions

Pair = tuple[CompletionsServer, CompletionsServer]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return (
        write_mini_checkpoint(tmp_path_factory.mktemp("policy"), seed=1),
        write_mini_checkpoint(tmp_path_factory.mktemp("reference"), seed=2),
    )


@pytest.fixture(scope="module")
def servers(folders: tuple[Path, Path]) -> Iterator[Pair]:
    with completions(folders[0]) as one, completions(folders[1]) as other:
        yield one, other


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    yield servers
    for server in servers:
        server.faults = Faults()
        server.requests.clear()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_implicit_client, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(
        "langchain_agentrm.reward_models._remote.replicas.FIRST_REST", 0.01
    )


@pytest.fixture
def connect(pair: Pair, folders: tuple[Path, Path]):
    made: list[ServedImplicitRewardModel] = []

    def make(**options) -> ServedImplicitRewardModel:
        urls = options.pop("urls", [server.url for server in pair])
        made.append(ServedImplicitRewardModel(*urls, tokenizer=folders[0], **options))
        return made[-1]

    yield make
    for model in made:
        model.close()


@pytest.fixture(scope="module")
def local(folders: tuple[Path, Path]) -> ImplicitRewardModel:
    return ImplicitRewardModel(*folders, device="cpu")


def path(*actions: str) -> Trajectory:
    turns = tuple(Turn(f"you see wall number {i}", a) for i, a in enumerate(actions))
    return Trajectory(turns=turns, goal="go to the red ball")


BATCH = [path("go", "turn left", a) for a in ("stop", "go on", "look up", "wait")]


class TestServed(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, connect) -> ServedImplicitRewardModel:
        return connect()


class TestEcho(RewardModelConformance):
    @pytest.fixture
    def reward_model(self, connect, pair: Pair) -> ServedImplicitRewardModel:
        for server in pair:
            server.faults.forms = ("echo",)
        return connect(read="min", request_tokens=300)


@pytest.mark.parametrize("form", ["prompt_logprobs", "echo"])
@pytest.mark.parametrize("strict", [False, True])
def test_equals_in_process(connect, pair, local, form: str, strict: bool) -> None:
    for server in pair:
        server.faults.forms = (form,)
        server.faults.strict = strict
    local.forget()
    expected = local.score(BATCH)
    model = connect()
    got = model.score(BATCH)
    for one, other in zip(got.items, expected.items, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
        assert one.signals == pytest.approx(dict(other.signals), abs=1e-5)
    assert model.max_length == (511 if form == "prompt_logprobs" else 512)
    assert got.usage.input_tokens == expected.usage.input_tokens
    assert got.usage.requests == 2
    assert asyncio.run(connect().ascore(BATCH)).items == got.items


def test_forms_may_differ(connect, pair, local) -> None:
    pair[0].faults.forms = ("echo",)
    got = connect().score(BATCH).items
    expected = local.score(BATCH).items
    assert [s.value for s in got] == pytest.approx(
        [s.value for s in expected], abs=1e-5
    )


def test_past_the_context_equals_in_process(connect, folders) -> None:
    trajectory = path(*(f"go to {i}" for i in range(12)))
    near = ImplicitRewardModel(*folders, device="cpu", max_length=160)
    expected = near.score([trajectory]).items[0]
    score = connect(max_length=160).score([trajectory]).items[0]
    assert expected.signals["dropped_turns"] >= 4
    assert score.value == pytest.approx(expected.value, abs=1e-5)
    assert score.signals == pytest.approx(dict(expected.signals), abs=1e-5)


def test_a_known_step_is_not_asked_again(connect, pair) -> None:
    model = connect()
    first = model.score(BATCH)
    count = [len(server.completions) for server in pair]
    again = model.score(BATCH[::-1])
    assert again.items == first.items[::-1]
    assert again.usage.requests == 0
    assert [len(server.completions) for server in pair] == count
    model.forget()
    assert model.score(BATCH).usage == first.usage


@pytest.mark.parametrize("strict", [False, True])
def test_a_server_that_gives_none_is_refused(connect, pair, strict: bool) -> None:
    pair[1].faults.forms = ()
    pair[1].faults.strict = strict
    said = "unknown option 'echo'" if strict else "no token_logprobs"
    with pytest.raises(
        ConfigurationError, match=r"reference's server .* gives no prompt log-prob"
    ) as caught:
        connect().score(BATCH)
    assert said in str(caught.value)
    assert "vLLM" in str(caught.value)


def test_a_server_that_adds_a_token_is_refused(connect, pair) -> None:
    pair[0].faults.adds_bos = True
    with pytest.raises(ConfigurationError, match=r"of \d+ tokens where \d+ were sent"):
        connect().score(BATCH)


def test_a_server_of_other_tokens_is_refused(connect, pair, monkeypatch) -> None:
    plain = pair[1]._tokenizer.chat_template
    other = plain.replace("<|user|>{{", "<|user|> {{")
    monkeypatch.setattr(pair[1]._tokenizer, "chat_template", other)
    with pytest.raises(CheckpointError):
        connect().score(BATCH)


def test_a_server_that_cannot_tokenize_is_said(connect, pair) -> None:
    pair[1].faults.tokenizes = False
    with pytest.warns(UserWarning, match="does not tokenize conversations"):
        assert connect().score(BATCH).items[0].ok


def test_models_are_named(connect, pair) -> None:
    for server in pair:
        server.faults.models = ("base", "tuned")
    with pytest.raises(ConfigurationError, match=r"it is policy_model="):
        connect(reference_model="base").score(BATCH)
    one = pair[0].url
    model = connect(urls=(one, one), policy_model="tuned", reference_model="base")
    values = [s.value for s in model.score(BATCH).items]
    assert values == [0.0] * 4
    assert {body["model"] for body in pair[0].completions} == {"base", "tuned"}
    with pytest.raises(ConfigurationError, match="are both 'base'"):
        connect(urls=(one, one), policy_model="base", reference_model="base")


def test_no_stated_limit(connect, pair) -> None:
    pair[0].faults.limit = None
    with pytest.raises(ConfigurationError, match="does not say how long"):
        connect().score(BATCH)
    assert connect(max_length=400).score(BATCH).items[0].ok


def marked(ids: list[int]) -> bool:
    return 4 + sorted_alphabet().index("~") in ids


def sorted_alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


MIXED = [path("go", a) for a in ("left", "~ oh", "right", "up")]


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("side", [0, 1])
def test_a_refused_text_costs_only_its_candidate(
    connect, pair, local, status: int, side: int
) -> None:
    pair[side].faults.fail_if = lambda ids: status if marked(ids) else None
    items = connect(retries=1).score(MIXED).items
    assert [s.ok for s in items] == [True, False, True, True]
    name = ("policy", "reference")[side]
    assert f"the {name} failed" in (items[1].error or "")
    assert "this text is not for me" in (items[1].error or "")
    expected = [s.value for s in local.score(MIXED).items]
    assert [s.value for s in items if s.ok] == pytest.approx(
        [expected[0], *expected[2:]], abs=1e-5
    )


def test_a_refused_text_alone_is_an_error_and_no_exception(connect, pair) -> None:
    pair[0].faults.fail_if = lambda ids: 400 if marked(ids) else None
    assert "not for me" in (connect().score([MIXED[1]]).items[0].error or "")


@pytest.mark.parametrize("forms", [("echo",), ("prompt_logprobs",)])
def test_nan_costs_only_its_candidate(connect, pair, forms) -> None:
    pair[0].faults.nan_if = marked
    pair[0].faults.forms = forms
    items = connect().score(MIXED).items
    assert [s.ok for s in items] == [True, False, True, True]
    assert items[1].error == "turn 2 of 2: its log-ratio is nan"


def test_passing_failures_are_retried(connect, pair) -> None:
    model = connect()
    assert model.score([path("go")]).items[0].ok
    pair[0].faults.fail = [503, 429]
    pair[1].faults.fail = [500]
    batch = model.score(BATCH)
    assert all(score.ok for score in batch.items)
    assert batch.usage.requests > 2


def test_a_server_that_is_down_is_an_error_that_says_so(connect, pair) -> None:
    model = connect(retries=1)
    assert model.score([path("go")]).items[0].ok
    pair[1].faults.down = True
    with pytest.raises(
        RewardModelError, match="No trajectory of 4 has a score"
    ) as info:
        model.score(BATCH)
    assert info.value.retryable
    known = model.score([path("go"), *BATCH]).items
    assert [s.ok for s in known] == [True, False, False, False, False]
    pair[1].faults.down = False
    deadline = asyncio.run(_until_ok(model))
    assert deadline


async def _until_ok(model: ServedImplicitRewardModel) -> bool:
    for _ in range(50):
        try:
            return all(s.ok for s in (await model.ascore(BATCH)).items)
        except RewardModelError:
            await asyncio.sleep(0.1)
    return False


def test_a_second_server_takes_over(connect, pair, folders) -> None:
    with completions(folders[0]) as spare:
        model = connect(urls=([pair[0].url, spare.url], pair[1].url))
        assert model.score([path("go")]).items[0].ok
        pair[0].faults.down = True
        assert all(s.ok for s in model.score(BATCH).items)
        assert spare.completions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -1.0}, r"beta=-1\.0"),
        ({"read": "sum"}, "read='sum'"),
        ({"timeout": 0}, "timeout=0"),
        ({"retries": -1}, "retries=-1"),
        ({"resolution": math.nan}, "resolution=nan"),
        ({"urls": ("localhost:1", "http://127.0.0.1:2")}, "is not the address"),
    ],
)
def test_wrong_options(connect, options, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        connect(**options)


async def test_held_connections(connect) -> None:
    async with connect() as model:
        both = await asyncio.gather(model.ascore(BATCH), model.ascore(BATCH))
    assert both[0].items == both[1].items
