"""LangChain's standard suites: the wrapper passes what the plain policy passes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_agentrm.chat_models import ChatAgentRM
from langchain_agentrm.reward_models import FunctionRewardModel
from tests.servers.standard_server import running_standard

pytestmark = [
    # The client's own: it says them with the plain policy too.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1:UserWarning"),
]

_NOBODY = "http://127.0.0.1:1/v1"
_where = {"url": _NOBODY}


@pytest.fixture(scope="module", autouse=True)
def _server():
    with running_standard() as server:
        _where["url"] = server.url
        yield
        _where["url"] = _NOBODY


# No connection is left for the next test's event loop.
_NONE_KEPT = httpx.Limits(max_keepalive_connections=0)
_SYNC = httpx.Client(trust_env=False, limits=_NONE_KEPT)
_ASYNC = httpx.AsyncClient(trust_env=False, limits=_NONE_KEPT)


def _plain(**kwargs: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "api_key": "x",
        "base_url": _where["url"],
        "stream_usage": True,
        "http_client": _SYNC,
        "http_async_client": _ASYNC,
        **kwargs,
    }


def _longest(trajectories):
    return [float(len(t.turns[-1].action)) for t in trajectories]


class Chosen(ChatAgentRM):
    """The suites pass the policy's own options; they make the policy."""

    def __init__(self, **kwargs: Any) -> None:
        own = {k: kwargs.pop(k) for k in ("n", "policy", "reward_model") if k in kwargs}
        own.setdefault("reward_model", FunctionRewardModel(_longest))
        if "policy" not in own:
            own["policy"] = ChatOpenAI(**_plain(**kwargs))
        super().__init__(**own)


class _OnLoopback:
    @property
    def supports_json_mode(self):
        return True

    @property
    def model_override_value(self):
        return "m2"


class TestUnitPlain(_OnLoopback, ChatModelUnitTests):
    """The control: what the server and the client themselves pass."""

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return _plain()

    @pytest.mark.xfail(reason="compares with a snapshot of langchain-openai's own")
    def test_serdes(self, *args):
        super().test_serdes(*args)


class TestUnit(_OnLoopback, ChatModelUnitTests):
    @property
    def chat_model_class(self):
        return Chosen

    @property
    def chat_model_params(self):
        return {"n": 3}


class TestIntegrationPlain(_OnLoopback, ChatModelIntegrationTests):
    """The control: what the server and the client themselves pass."""

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return _plain()


class TestIntegration(_OnLoopback, ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return Chosen

    @property
    def chat_model_params(self):
        return {"n": 3}


class TestIntegrationPassingThrough(TestIntegration):
    """With n=1 everything is the policy's."""

    @property
    def chat_model_params(self):
        return {"n": 1}
