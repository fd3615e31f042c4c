"""A policy behind a model server answers as the same checkpoint in this process."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_agentrm import create_beam_search, create_best_of_n
from langchain_agentrm.errors import CheckpointError, PolicyError, UnknownTaskError
from langchain_agentrm.sampling import ChatProposer
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from langchain_agentrm.types import ProposalRequest
from tests.servers.transformers_serve import CannotServeError, transformers_serve

pytestmark = pytest.mark.serve

for _name in ("torch", "transformers", "fastapi", "uvicorn", "accelerate"):
    pytest.importorskip(_name)
babyai = pytest.importorskip("langchain_agentrm_babyai")

STATES = 20
TOKENS = 24


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The embedded policy; where it was not built, random weights of the same kind."""
    from langchain_agentrm.embedded import embedded_models
    from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint

    try:
        return embedded_models("babyai").policy
    except (CheckpointError, UnknownTaskError):
        folder = tmp_path_factory.mktemp("policy")
        return write_mini_checkpoint(folder, context=4096)


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    try:
        with transformers_serve(checkpoint, tmp_path_factory.mktemp("serve")) as up:
            yield up
    except CannotServeError as error:
        pytest.skip(f"transformers serve does not start here: {error}")


@pytest.fixture(scope="module")
def local(checkpoint):
    from langchain_agentrm.chat_models import ChatLocal

    return ChatLocal(
        path=str(checkpoint), temperature=0, max_tokens=TOKENS, device="cpu"
    )


@pytest.fixture
def remote(server):
    return server.chat(temperature=0, max_tokens=TOKENS)


def _states():
    """States of several levels and depths, reached by actions that the game lists."""
    factory = babyai.factory
    tasks = factory.tasks("dev", factory.types("held_in"), STATES)
    for number, task in enumerate(tasks):
        env = factory.make()
        start = env.reset(task)
        messages = [
            SystemMessage(start.instruction),
            HumanMessage(f"{start.goal}\n{start.observation}"),
        ]
        for _ in range(number % 4):
            action = env.actions()[number % len(env.actions())]
            transition = env.step(action)
            messages += [AIMessage(action), HumanMessage(transition.observation)]
            if transition.done:
                break
        yield env, messages


def test_greedy_actions_are_equal(local, remote):
    answers = []
    for env, messages in _states():
        here, there = local.invoke(messages), remote.invoke(messages)
        assert there.text == here.text
        assert env.parse(there) == env.parse(here)
        used, known = there.usage_metadata, here.usage_metadata
        assert used["input_tokens"] == known["input_tokens"]
        answers.append(here.text)
    assert len(answers) == STATES
    # Equal answers everywhere would also come of a server that ignores the prompt.
    assert len(set(answers)) > 1


def test_a_greedy_episode_is_equal(local, remote):
    factory = babyai.factory
    task = factory.tasks("dev", factory.types("held_in"), 3)[2]
    reward_model = ScriptedRewardModel(lambda trajectory: 0.0)

    def episode(policy):
        graph = create_best_of_n(
            policy, reward_model, factory, n=1, max_steps=6, include_greedy=True
        ).compile()
        out = graph.invoke({"task": task})
        return out["result"], [str(m.text) for m in out["messages"]]

    here, said_here = episode(local)
    there, said_there = episode(remote)
    assert there["actions"] == here["actions"]
    assert len(there["actions"]) >= 1
    assert (there["success"], there["ended"]) == (here["success"], here["ended"])
    assert said_there == said_here


def test_a_search_goes_on_where_the_server_ignores_n(server):
    factory = babyai.factory
    task = factory.tasks("dev", factory.types("held_in"), 1)[0]
    policy = server.chat(temperature=1.0, max_tokens=TOKENS)
    proposer = ChatProposer(policy, max_concurrency=2)
    graph = create_beam_search(
        proposer,
        ScriptedRewardModel(lambda trajectory: float(len(trajectory.turns[-1].action))),
        factory,
        beam_width=2,
        expansions=2,
        max_steps=2,
        seed=1,
    ).compile()
    result = graph.invoke({"task": task})["result"]
    assert 1 <= result["steps"] <= 2
    assert len(result["actions"]) >= 1
    assert result["fallbacks"] == []
    # One request showed that `n` is not read; the draws were then asked for singly.
    assert result["totals"]["requests"] >= 4
    assert "'n'" in server.log


def test_every_draw_arrives_and_its_tokens_are_counted(server):
    policy = server.chat(temperature=1.0, max_tokens=4)
    _env, messages = next(iter(_states()))
    request = ProposalRequest("root", messages, n=3, seed=5)
    batch = ChatProposer(policy, max_concurrency=1).propose([request])
    assert sum(c.votes for c in batch.items[0]) == 3
    assert batch.usage.requests == 3
    one = policy.invoke(messages).usage_metadata
    assert batch.usage.input_tokens == 3 * one["input_tokens"]
    assert 3 <= batch.usage.output_tokens <= 3 * 4


async def test_async_draws_arrive_too(server):
    policy = server.chat(temperature=1.0, max_tokens=4)
    _env, messages = next(iter(_states()))
    requests = [ProposalRequest(f"s{i}", messages, n=2, seed=i) for i in range(2)]
    batch = await ChatProposer(policy, max_concurrency=2).apropose(requests)
    assert [sum(c.votes for c in items) for items in batch.items] == [2, 2]


def test_what_the_server_refuses_is_an_error_that_no_retry_repeats(server):
    policy = server.chat(extra_body={"best_of": 3}, max_tokens=4)
    request = ProposalRequest("root", [HumanMessage("hi")], n=2, seed=0)
    with pytest.raises(PolicyError, match="status 422") as caught:
        ChatProposer(policy).propose([request])
    assert not caught.value.retryable
