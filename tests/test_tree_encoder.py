"""Shared beginnings encoded once: the values of whole texts, at the least cost."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from transformers import LlamaConfig, LlamaModel  # noqa: E402

from langchain_agentrm._tree_encoder import TooLongError, TreeEncoder  # noqa: E402

BAD = 49  # the token whose embedding a test spoils
TOKEN_BYTES = 2 * 2 * 8 * 4 * 2  # keys and values, heads, dim, float32, layers


@pytest.fixture(scope="module")
def body():
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return LlamaModel(config).eval()


@pytest.fixture(params=["sdpa", "eager"])
def kernel(request, body):
    body.set_attn_implementation(request.param)
    yield request.param
    body.set_attn_implementation("sdpa")


def encoder(body, *, max_bytes=1 << 26, chunk_tokens=512) -> TreeEncoder:
    return TreeEncoder(
        body,
        lambda hidden, ids: torch.stack([hidden.sum(-1), ids.float()], dim=-1),
        torch.device("cpu"),
        torch.float32,
        max_bytes=max_bytes,
        chunk_tokens=chunk_tokens,
    )


def whole(body, text) -> torch.Tensor:
    hidden = body(input_ids=torch.tensor([text]), use_cache=False).last_hidden_state[0]
    return torch.stack([hidden.sum(-1), torch.tensor(text).float()], dim=-1)


def check(body, tree, texts) -> None:
    with torch.inference_mode():
        got = tree.run(texts, [range(len(text)) for text in texts])
        for text, values in zip(texts, got, strict=True):
            torch.testing.assert_close(values, whole(body, text), atol=2e-5, rtol=0)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 40), st.lists(st.integers(0, 2), min_size=1, max_size=9)
            ),
            min_size=1,
            max_size=6,
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([6, 64, 512]),
    st.sampled_from([0, 90 * TOKEN_BYTES, 1 << 26]),
)
def test_equals_whole_texts_at_every_token(body, calls, chunk, room) -> None:
    tree = encoder(body, max_bytes=room or 70 * TOKEN_BYTES, chunk_tokens=chunk)
    base = [1, 0, 2] * 14
    for call in calls:
        check(body, tree, [[*base[:cut], *tail] for cut, tail in call])


def test_both_kernels(body, kernel) -> None:
    tree = encoder(body)
    start = [n % 47 for n in range(90)]
    check(body, tree, [[*start, k, 7, k] for k in range(5)])
    check(body, tree, [[*start, 2, 7, 2, 9, 9, k] for k in range(5)])


def test_every_distinct_token_is_encoded_once(body) -> None:
    tree = encoder(body)
    start = [n % 47 for n in range(100)]
    texts = [[*start, k, k, k] for k in range(20)]
    with torch.inference_mode():
        tree.run(texts)
        assert tree.encoded == 100 + 20 * 3
        tree.run(texts)
        assert tree.encoded == 100 + 20 * 3
        tree.run([[*texts[4], 1, 2]])
        assert tree.encoded == 100 + 20 * 3 + 2
    assert tree.tokens == 162
    assert tree.bytes == 162 * TOKEN_BYTES


def test_stays_within_its_bytes(body) -> None:
    room = 120
    tree = encoder(body, max_bytes=room * TOKEN_BYTES)
    with torch.inference_mode():
        tree.run([[1, 2, 3]])
        for k in range(30):
            texts = [[k, *range(20, 40), n] for n in range(3)]
            check(body, tree, texts)
            assert tree.tokens <= room


def test_a_text_longer_than_the_pool_is_named(body) -> None:
    tree = encoder(body, max_bytes=20 * TOKEN_BYTES)
    with torch.inference_mode():
        tree.run([[1, 2, 3]])
        with pytest.raises(TooLongError):
            tree.run([[5] * 40])
    check(body, tree, [[1, 2, 3, 4], [7, 8]])


def test_a_failed_pass_leaves_the_tree_as_it_was(body, monkeypatch) -> None:
    calls = []

    def failing(**kwargs):
        calls.append(kwargs["input_ids"].shape)
        if len(calls) == 3:
            msg = "broken"
            raise ValueError(msg)
        return body(**kwargs)

    tree = encoder(failing)
    texts = [[*range(40), *range(40), k, 3] for k in range(4)]
    with torch.inference_mode():
        tree.run([[9, 9]])
        with pytest.raises(ValueError, match="broken"):
            tree.run(texts)
    check(body, tree, texts)
    assert tree.tokens == 2 + 80 + 8


def test_memory_that_does_not_do_is_asked_for_less(body) -> None:
    def small(**kwargs):
        if kwargs["input_ids"].numel() > 128:
            raise torch.OutOfMemoryError
        return body(**kwargs)

    tree = encoder(small)
    check(body, tree, [[n % 47 for n in range(400)], [1, 2, 3]])
    assert tree.chunk_tokens <= 128


def test_memory_that_never_does_is_an_error(body) -> None:
    def none(**_):
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError), torch.inference_mode():
        encoder(none).run([[1, 2, 3]])


def test_a_value_that_is_not_finite_is_not_kept(body) -> None:
    tree = encoder(body)
    start = list(range(30))
    with torch.inference_mode():
        kept = body.embed_tokens.weight[BAD].clone()
        body.embed_tokens.weight[BAD] = float("nan")
        try:
            values = tree.run([[*start, BAD], [*start, 2]])
            assert values[0].isnan().any()
        finally:
            body.embed_tokens.weight[BAD] = kept
    check(body, tree, [[*start, BAD], [*start, 2]])


def test_nothing_asked(body) -> None:
    assert encoder(body).run([]) == []
