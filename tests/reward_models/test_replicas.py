from __future__ import annotations

import threading

import pytest

from langchain_agentrm.errors import ConfigurationError, is_retryable
from langchain_agentrm.reward_models._remote import replicas as _replicas
from langchain_agentrm.reward_models._remote.replicas import AllDownError, Replicas

URLS = ["http://a:1", "http://b:1", "http://c:1"]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Replicas:
    return Replicas(URLS, clock=clock)


def down(pool: Replicas, url: str, key: str = "k") -> None:
    others = {r.url for r in pool.all} - {url}
    choice = pool.choose(key, others)
    assert choice.replica.url == url
    pool.failed(choice, f"{url} broke", gone=True)


def test_a_key_stays_and_keys_spread(pool: Replicas) -> None:
    homes = {key: pool.home(key) for key in map(str, range(300))}
    assert all(pool.choose(k).replica.url == url for k, url in homes.items())
    counts = [list(homes.values()).count(url) for url in URLS]
    assert min(counts) > 60
    # The same in another process, whatever the order the servers are named in.
    assert homes == {k: Replicas(URLS[::-1]).home(k) for k in homes}


def test_a_lost_server_moves_only_its_own_keys(pool: Replicas) -> None:
    before = {key: pool.home(key) for key in map(str, range(100))}
    down(pool, "http://b:1")
    after = {key: pool.home(key) for key in before}
    assert {k for k in before if before[k] != after[k]} == {
        k for k, url in before.items() if url == "http://b:1"
    }
    assert "http://b:1" not in after.values()


def test_rest_doubles_up_to_its_bound(pool: Replicas, clock: Clock) -> None:
    rests = []
    only = Replicas(["http://a:1"], clock=clock)
    for _ in range(9):
        choice = only.choose("k")
        only.failed(choice, "broke", gone=True)
        rests.append(only.next_try())
        clock.now += rests[-1]
    for rest, most in zip(rests, [1, 2, 4, 8, 16, 30, 30, 30, 30], strict=True):
        assert 0.8 * most <= rest <= most


def test_what_rested_is_probed_and_then_up_again(pool: Replicas, clock: Clock) -> None:
    only = Replicas(["http://a:1"], clock=clock)
    first = only.choose("k")
    assert not first.probe
    only.failed(first, "broke", gone=True)
    with pytest.raises(AllDownError):
        only.choose("k")
    clock.now += 1.0
    again = only.choose("k")
    assert again.probe
    only.succeeded(again)
    assert not only.choose("k").probe
    # And the next fall starts from the first rest.
    only.failed(only.choose("k"), "broke", gone=True)
    assert only.next_try() <= _replicas.FIRST_REST


def test_all_down_says_who_why_and_when(pool: Replicas) -> None:
    for url in URLS:
        down(pool, url)
    with pytest.raises(AllDownError) as caught:
        pool.choose("k")
    text = str(caught.value)
    assert is_retryable(caught.value)
    assert 0 < caught.value.wait <= 1
    for url in URLS:
        assert f"{url}, next try in " in text
        assert f"{url} broke" in text


def test_late_news_changes_nothing(pool: Replicas, clock: Clock) -> None:
    only = Replicas(["http://a:1"], clock=clock)
    stale = [only.choose("k") for _ in range(3)]
    for choice in stale:
        only.failed(choice, "broke", gone=True)
    assert only.next_try() <= 1
    clock.now += 1
    back = only.choose("k")
    only.succeeded(back)
    only.failed(stale[0], "an old failure", gone=True)
    assert only.next_try() == 0


def test_a_busy_server_is_spared_but_not_down(pool: Replicas, clock: Clock) -> None:
    key = "k"
    home = pool.choose(key)
    pool.spare(home, 5)
    assert pool.choose(key).replica is not home.replica
    assert pool.home(key) == home.replica.url
    clock.now += 6
    assert pool.choose(key).replica is home.replica
    only = Replicas(["http://a:1"], clock=clock)
    only.spare(only.choose("k"), 5)
    assert only.choose("k").replica.url == "http://a:1"


def test_tried_servers_come_last(pool: Replicas) -> None:
    seen: list[str] = []
    for _ in URLS:
        seen.append(pool.choose("k", seen).replica.url)
    assert sorted(seen) == URLS
    assert not pool.elsewhere(seen)
    assert pool.elsewhere(seen[:2])
    assert pool.choose("k", seen).replica.url == seen[0]


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://h:8000", "http://h:8000"),
        ("http://h:8000/", "http://h:8000"),
        ("http://h:8000/v1", "http://h:8000"),
        ("https://h/rm/v1/", "https://h/rm"),
    ],
)
def test_addresses(url: str, base: str) -> None:
    assert Replicas([url]).all[0].url == base


def test_a_password_in_an_address_is_not_shown() -> None:
    replica = Replicas(["http://me:secret@h:1"]).all[0]
    assert "secret" in replica.url
    assert "secret" not in replica.shown
    assert replica.shown == "http://h:1"


@pytest.mark.parametrize("url", ["", "h:8000", "ftp://h", "http://", "localhost"])
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ConfigurationError, match="http://host:port"):
        Replicas([url])


def test_none_or_twice() -> None:
    with pytest.raises(ConfigurationError, match="base_urls"):
        Replicas([])
    with pytest.raises(ConfigurationError, match="more than once"):
        Replicas(["http://h:1", "http://h:1/v1"])


def test_threads(pool: Replicas) -> None:
    faults: list[BaseException] = []

    def use(n: int) -> None:
        try:
            for i in range(200):
                choice = pool.choose(f"{n}-{i}")
                (pool.failed(choice, "x", gone=True) if i % 50 == 0 else None)
                pool.succeeded(choice)
        except AllDownError:
            return
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
