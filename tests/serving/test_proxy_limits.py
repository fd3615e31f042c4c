"""The proxy's errors, limits and guards, as a client meets them."""

from __future__ import annotations

import json
import logging
import threading
import time

import httpx
import openai
import pytest
from fastapi.responses import RedirectResponse, Response

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.serving._proxy_server import check_exposed
from langchain_agentrm.serving.proxy import ProxySettings, create_app
from tests.serving.proxy_clients import HELLO, connect, post
from tests.serving.proxy_upstream import by_number, error, serving, wait_for

SECRET = "s3cret-token"


def create(client, **options):
    return client.chat.completions.create(
        **{"model": "m", "messages": HELLO, **options}
    )


def metric(url, name, **headers):
    lines = httpx.get(f"{url}/metrics", headers=headers).text.splitlines()
    found = [line for line in lines if line.startswith(f"agentrm_proxy_{name} ")]
    return float(found[0].split()[-1]) if found else 0.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_upstreams_error_stays_as_it_is(proxy, upstream, status, kind, stream):
    headers = {"retry-after": "7", "x-request-id": "r1", "x-other": "no"}
    upstream.fail = lambda body: error(status, "boom", code="c", headers=headers)
    # Longer than by default: a busy machine is slower than 50 ms.
    with connect(proxy(early=5.0)) as client, pytest.raises(kind) as caught:
        create(client, stream=stream)
    reply = caught.value.response
    assert json.loads(reply.content) == json.loads(error(status, "boom", code="c").body)
    assert reply.headers["retry-after"] == "7"
    assert reply.headers["x-request-id"] == "r1"
    assert "x-other" not in reply.headers
    assert len(upstream.bodies) == 1


def test_an_error_that_is_no_json_stays_as_it_is(proxy, upstream):
    page = b"<html>\xff</html>"
    upstream.fail = lambda body: Response(page, 503, media_type="text/html")
    reply = post(proxy())
    assert (reply.status_code, reply.content) == (503, page)
    assert reply.headers["content-type"].startswith("text/html")


def test_a_late_error_travels_in_the_stream(proxy, upstream):
    upstream.latency = 0.3
    upstream.fail = lambda body: error(429, "too many", type="rate")
    url = proxy(early=0.05)
    with connect(url) as client:
        stream = create(client, stream=True)
        assert stream.response.status_code == 200
        with pytest.raises(openai.APIError, match="too many") as caught:
            list(stream)
    assert caught.value.type == "rate"
    wait_for(lambda: metric(url, 'requests_total{status="429"}') == 1)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (lambda body: {**body, "choices": []}, "holds no choices"),
        (lambda body: {**body, "choices": None}, "holds no choices"),
        (lambda body: [], "holds no choices"),
        (lambda body: {**body, "choices": [{"index": 0}]}, "without a message"),
    ],
)
def test_nonsense_from_the_upstream_is_502(proxy, upstream, reply, said):
    upstream.reply = reply
    answer = post(proxy())
    assert answer.status_code == 502
    assert said in answer.json()["error"]["message"]


def test_a_page_or_a_redirect_is_502(proxy, upstream):
    upstream.fail = lambda body: Response("<html/>", media_type="text/html")
    url = proxy()
    assert "is no JSON" in post(url).json()["error"]["message"]
    upstream.fail = lambda body: RedirectResponse("http://127.0.0.1:9/v2")
    reply = post(url)
    assert reply.status_code == 502
    assert "redirects to 'http://127.0.0.1:9/v2'" in reply.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
def test_an_unreachable_upstream_is_502(path):
    app = create_app("http://user:pw@127.0.0.1:9", by_number())
    with serving(app) as url:
        reply = httpx.get(url + path) if path == "/v1/models" else post(url)
    assert reply.status_code == 502
    told = reply.json()["error"]
    assert told["code"] == "upstream_unreachable"
    assert "http://127.0.0.1:9/v1" in told["message"]
    assert "pw" not in reply.text


def test_a_request_has_only_so_long(proxy, upstream):
    upstream.latency = 30
    began = time.monotonic()
    reply = post(proxy(seconds=0.2))
    assert reply.status_code == 504
    assert time.monotonic() - began < 20
    wait_for(lambda: upstream.open == 0)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": 9}, "n"),
        ({"n": "2"}, "n"),
        ({"agentrm": {"n": 9}}, "n"),
        ({"agentrm": {"n": 2}, "n": 3}, "n"),
        ({"agentrm": {"m": 2}}, "agentrm"),
        ({"agentrm": 3}, "agentrm"),
        ({"agentrm": {"return_scores": "yes"}}, "agentrm"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages"),
        ({"tools": "x"}, "tools"),
        ({"stream": 1}, "stream"),
        ({"stream_options": []}, None),
        ({"stream_options": [1]}, "stream_options"),
    ],
)
def test_a_wrong_request_is_refused_before_the_upstream(proxy, upstream, body, param):
    reply = post(proxy(max_n=8), body)
    if param is None:
        assert reply.status_code == 200
        return
    assert reply.status_code == 400
    told = reply.json()["error"]
    assert (told["type"], told["param"]) == ("invalid_request_error", param)
    assert not upstream.bodies


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"x": NaN}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_json_object_is_refused(proxy, content):
    headers = {"content-type": "application/json"}
    reply = post(proxy(), json=None, content=content, headers=headers)
    assert reply.status_code == 400
    assert "The body" in reply.json()["error"]["message"]


def test_another_content_type_is_refused(proxy, upstream):
    reply = post(proxy(), headers={"content-type": "text/plain"})
    assert reply.status_code == 415
    assert not upstream.bodies


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_a_largest_size(proxy, upstream, chunked):
    data = json.dumps({"model": "m", "messages": HELLO, "x": "y" * 5000}).encode()
    headers = {"content-type": "application/json"}
    content = iter([data[:2000], data[2000:]]) if chunked else data
    url = proxy(max_body=4000)
    reply = post(url, json=None, content=content, headers=headers)
    assert reply.status_code == 413
    assert "4000 bytes" in reply.text
    assert not upstream.bodies
    assert post(url).status_code == 200


def test_only_so_many_requests_are_in_work(proxy, upstream):
    upstream.latency = 1.0
    url = proxy(max_concurrency=1)
    first = threading.Thread(target=post, args=(url,))
    first.start()
    wait_for(lambda: upstream.open == 1)
    reply = post(url)
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "1"
    assert metric(url, "in_flight") == 1
    first.join()
    upstream.latency = 0
    assert post(url).status_code == 200


def leave(url, body, upstream):
    """Ask, and go once the upstream is at work."""
    with httpx.Client() as client:
        request = client.build_request(
            "POST",
            f"{url}/v1/chat/completions",
            json={"model": "m", "messages": HELLO, **body},
            extensions={"timeout": {"read": 0.3, "connect": 5, "write": 5, "pool": 5}},
        )
        try:
            reply = client.send(request, stream=True)
            wait_for(lambda: upstream.open > 0)
            reply.close()
        except httpx.ReadTimeout:
            pass


@pytest.mark.parametrize("body", [{}, {"stream": True}])
@pytest.mark.parametrize("takes_n", [True, False])
def test_a_client_that_leaves_stops_the_upstream(proxy, upstream, body, takes_n):
    upstream.takes_n = takes_n
    url = proxy()
    if not takes_n:
        post(url)  # from now on single requests, four at once
    upstream.latency = 20
    leave(url, body, upstream)
    wait_for(lambda: upstream.open == 0)
    assert upstream.left == (1 if takes_n else 4)
    wait_for(lambda: metric(url, "in_flight") == 0)
    assert metric(url, 'requests_total{status="499"}') == 1


def test_a_token_is_asked_for(proxy, upstream):
    url = proxy(token=SECRET)
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": SECRET},
        {"authorization": f"Basic {SECRET}"},
        {"authorization": b"Bearer \xff"},
        {"x-agentrm-token": SECRET},
    ):
        reply = post(url, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert httpx.get(f"{url}/metrics", headers=headers).status_code == 401
        assert httpx.get(f"{url}/v1/models", headers=headers).status_code == 401
    assert not upstream.headers
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    with connect(url, api_key=SECRET) as client:
        assert create(client).choices
    assert "authorization" not in upstream.headers[0]
    assert metric(url, "in_flight", authorization=f"bearer {SECRET}") == 0


def test_the_upstreams_key_is_sent_and_the_clients_is_not(proxy, upstream):
    with connect(proxy(upstream_key="up"), api_key="mine") as client:
        create(client)
        client.models.list()
    assert [h["authorization"] for h in upstream.headers] == ["Bearer up"] * 2


def test_the_clients_key_is_forwarded_only_when_told_so(proxy, upstream):
    url = proxy(forward_authorization=True, upstream_key="up")
    with connect(url, api_key="mine") as client:
        create(client)
    assert upstream.headers[-1]["authorization"] == "Bearer mine"
    post(url)
    assert upstream.headers[-1]["authorization"] == "Bearer up"
    url = proxy(forward_authorization=True, token=SECRET)
    wanted = pytest.raises(openai.AuthenticationError, match="X-AgentRM-Token")
    with connect(url, api_key=SECRET) as client, wanted:
        create(client)
    headers = {"X-AgentRM-Token": SECRET}
    with connect(url, api_key="mine", default_headers=headers) as client:
        create(client)
    assert upstream.headers[-1]["authorization"] == "Bearer mine"
    assert SECRET not in str(upstream.headers)


def test_without_a_token_only_this_machine_may_ask(proxy, upstream):
    url = proxy()
    for host in ("evil.example", "evil.example:80", "10.0.0.1", ""):
        assert post(url, headers={"host": host}).status_code == 403
    for host in ("localhost:9000", "127.0.0.1", "[::1]:80"):
        assert post(url, headers={"host": host}).status_code == 200
    assert httpx.get(f"{url}/healthz", headers={"host": "pod"}).status_code == 200


async def test_an_address_that_is_not_loopback_answers_nobody_without_a_token():
    app = create_app("http://127.0.0.1:9", by_number())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport) as client:
        reply = await client.get("http://10.0.0.1/metrics")
    assert reply.status_code == 403
    assert "AGENTRM_PROXY_TOKEN" in reply.text


def test_secrets_are_in_no_text_and_no_log(proxy, upstream, caplog):
    caplog.set_level(logging.DEBUG)
    settings = ProxySettings(token=SECRET, upstream_key="up-key")
    assert SECRET not in repr(settings)
    assert "up-key" not in repr(settings)
    url = proxy(token=SECRET, upstream_key="up-key")
    upstream.fail = lambda body: error(500, "boom")
    post(url, headers={"authorization": f"Bearer {SECRET}"})
    post(url, headers={"authorization": "Bearer wrong-key"})
    for secret in (SECRET, "up-key", "wrong-key"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"n": 9, "max_n": 8},
        {"seconds": 0},
        {"seconds": float("nan")},
        {"early": -1},
        {"max_body": 0},
        {"on_reward_error": "ignore"},
        {"token": " "},
        {"upstream_key": "schlüssel"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))) as caught:
        ProxySettings(**wrong)
    assert caught.value.remedy
    assert "schlüssel" not in str(caught.value)


def test_an_upstream_that_is_no_address_is_refused():
    for wrong in ("", "127.0.0.1:8000", "ftp://host/v1", "http://"):
        with pytest.raises(ConfigurationError, match="no HTTP address"):
            create_app(wrong, by_number())


def test_listening_beyond_loopback_needs_a_token():
    with pytest.raises(ConfigurationError, match="no token"):
        check_exposed("0.0.0.0", ProxySettings())
    check_exposed("0.0.0.0", ProxySettings(token=SECRET))
    for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost"):
        check_exposed(host, ProxySettings())


def test_figures_are_counted(proxy, upstream):
    upstream.answer = lambda body, i: ["1", "1", "2", ""][i]
    url = proxy()
    post(url)
    post(url, {"n": 0})
    wanted = {
        'requests_total{status="200"}': 1,
        'requests_total{status="400"}': 1,
        "upstream_requests_total": 1,
        'candidates_total{kind="drawn"}': 4,
        'candidates_total{kind="distinct"}': 2,
        'candidates_total{kind="unsound"}': 1,
        'tokens_total{kind="completion"}': 12,
        'tokens_total{kind="prompt"}': 10,
        "request_seconds_count": 2,
        "score_seconds_count": 1,
        'request_seconds_bucket{le="+Inf"}': 2,
        "in_flight": 0,
    }
    assert {name: metric(url, name) for name in wanted} == wanted
    reply = httpx.get(f"{url}/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert reply.text.endswith("\n")


class Bug:
    resolution = 0.0

    @property
    def comparable(self):
        raise ZeroDivisionError("a secret detail")


@pytest.mark.parametrize("early", [0.0, 5.0])
@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_is_an_error_of_the_same_form_and_frees_its_place(
    proxy, upstream, stream, early
):
    url = proxy(Bug(), early=early, max_concurrency=1)
    for _ in range(2):
        with connect(url) as client, pytest.raises(openai.APIError) as caught:
            list(create(client, stream=stream))
        assert "ZeroDivisionError" in caught.value.message
        assert "a secret detail" not in caught.value.message
        wait_for(lambda: metric(url, "in_flight") == 0)
    assert metric(url, 'requests_total{status="500"}') == 2
