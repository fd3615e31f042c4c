"""The drivers of conversations: where HTTP is spoken, by threads and by event loops."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from langchain_agentrm.errors import AgentRMError
from langchain_agentrm.reward_models._remote.http import (
    Call,
    Conversation,
    Effect,
    Reply,
    ServerFailureError,
    Sleep,
    Work,
)

__all__ = ["Edges"]

T = TypeVar("T")


class Edges:
    """The two places where bytes leave: one for threads, one for event loops.

    The thread side keeps one client. A connection must not outlive its event loop, so
    the loop side opens a client for each call, unless `held` keeps one for the loop.
    """

    def __init__(
        self,
        *,
        key: SecretStr | None,
        seconds: float,
        connect_seconds: float,
        connections: int,
    ) -> None:
        """Keep the options; nothing is opened yet."""
        self._key = key
        self._seconds = seconds
        self._connect = connect_seconds
        self._limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections
        )
        self._connections = connections
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._client: httpx.Client | None = None
        self._held: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, int]
        ] = weakref.WeakKeyDictionary()

    def run(self, conversation: Conversation[T]) -> T:
        """Carry on a conversation in this thread."""
        answer: Any = None
        failure: AgentRMError | None = None
        while True:
            try:
                effect = (
                    conversation.throw(failure)
                    if failure
                    else conversation.send(answer)
                )
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer, failure = None, None
            try:
                answer = self._do(effect)
            except AgentRMError as error:
                failure = error

    async def arun(self, conversation: Conversation[T]) -> T:
        """Carry on a conversation in the running event loop."""
        async with self._async_client() as client:
            return await self._arun(conversation, client)

    async def hold(self) -> None:
        """Keep the running loop's connections until `release`, counted."""
        loop = asyncio.get_running_loop()
        with self._lock:
            client, users = self._held.get(loop, (None, 0))
        client = client or self._new_async_client()
        with self._lock:
            self._held[loop] = (client, users + 1)

    async def release(self) -> None:
        """Undo one `hold` in the running loop; the last one closes."""
        loop = asyncio.get_running_loop()
        with self._lock:
            client, users = self._held.pop(loop, (None, 0))
            if client is not None and users > 1:
                self._held[loop] = (client, users - 1)
                return
        if client is not None:
            await client.aclose()

    def close(self) -> None:
        """Close the thread side; a later call opens it again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def redacted(self, text: str) -> str:
        """Take the key out of a text that others wrote."""
        key = self._key.get_secret_value() if self._key else ""
        return text.replace(key, "***") if key else text

    def _do(self, effect: Effect) -> Any:
        if isinstance(effect, Call):
            return self._call(effect)
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        if isinstance(effect, Work):
            return effect.function()
        several = effect.conversations
        if len(several) < 2:  # noqa: PLR2004
            return [self.run(one) for one in several]
        with ThreadPoolExecutor(min(len(several), self._connections)) as threads:
            return list(threads.map(self.run, several))

    async def _arun(
        self, conversation: Conversation[T], client: httpx.AsyncClient
    ) -> T:
        answer: Any = None
        failure: AgentRMError | None = None
        while True:
            try:
                effect = (
                    conversation.throw(failure)
                    if failure
                    else conversation.send(answer)
                )
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer, failure = None, None
            try:
                answer = await self._ado(effect, client)
            except AgentRMError as error:
                failure = error

    async def _ado(self, effect: Effect, client: httpx.AsyncClient) -> Any:
        if isinstance(effect, Call):
            return await self._acall(effect, client)
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, Work):
            return await asyncio.to_thread(effect.function)
        tasks = [
            asyncio.ensure_future(self._arun(one, client))
            for one in effect.conversations
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, call: Call) -> Reply:
        client = self._sync_client()
        end = time.monotonic() + (call.seconds or self._seconds)
        content = bytearray()
        try:
            with client.stream(**self._request(call)) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    _on_time(end)
                return self._reply(call, response, bytes(content))
        except httpx.RequestError as error:
            raise self._unanswered(call, error) from error

    async def _acall(self, call: Call, client: httpx.AsyncClient) -> Reply:
        end = time.monotonic() + (call.seconds or self._seconds)
        content = bytearray()
        try:
            async with client.stream(**self._request(call)) as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    _on_time(end)
                return self._reply(call, response, bytes(content))
        except httpx.RequestError as error:
            raise self._unanswered(call, error) from error

    def _reply(self, call: Call, response: httpx.Response, content: bytes) -> Reply:
        key = self._key.get_secret_value().encode() if self._key else b""
        if key and response.is_error:
            # Some servers quote the header that they refuse.
            content = content.replace(key, b"***")
        after = response.headers.get("retry-after")
        return Reply(call, response.status_code, after, content)

    def _request(self, call: Call) -> dict[str, Any]:
        seconds = call.seconds or self._seconds
        return {
            "method": "GET" if call.body is None else "POST",
            "url": call.url,
            "json": call.body,
            # A call waits for a free connection as long as it takes: those that hold
            # one have time limits of their own.
            "timeout": httpx.Timeout(
                seconds, connect=min(self._connect, seconds), pool=None
            ),
        }

    def _unanswered(self, call: Call, error: httpx.RequestError) -> ServerFailureError:
        late = isinstance(error, httpx.TimeoutException)
        unsent = isinstance(
            error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol
        )
        broken = isinstance(error, httpx.DecodingError | httpx.UnsupportedProtocol)
        root = _root(error)
        what = self.redacted(f"{type(root).__name__}: {root}".rstrip(": "))
        if late and not unsent:
            what += f" after {call.seconds or self._seconds:g} s"
        return ServerFailureError(
            f"{call.shown} gave no answer ({what}).",
            remedy="Check that the server is up and reachable"
            + (", or raise timeout=." if late else "."),
            retryable=not broken,
            lost=not broken,
            unsent=unsent,
        )

    def _options(self) -> dict[str, Any]:
        with self._lock:
            if self._tls is None:
                self._tls = httpx.create_ssl_context()
        headers = {}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return {"headers": headers, "limits": self._limits, "verify": self._tls}

    def _sync_client(self) -> httpx.Client:
        options = self._options()
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(**options)
                weakref.finalize(self, self._client.close)
            return self._client

    def _new_async_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(**self._options())

    @asynccontextmanager
    async def _async_client(self) -> AsyncIterator[httpx.AsyncClient]:
        with self._lock:
            held, _ = self._held.get(asyncio.get_running_loop(), (None, 0))
        if held is not None:
            yield held
            return
        async with self._new_async_client() as client:
            yield client


def _root(error: BaseException) -> BaseException:
    # Event loops wrap "connection refused" in "all connection attempts failed". Causes
    # can form a ring.
    for _ in range(8):
        cause = error.__cause__ or error.__context__
        if not isinstance(cause, Exception):
            break
        error = cause
    return error


def _on_time(end: float) -> None:
    # httpx limits each read; a server that drips bytes would keep a call for ever.
    if time.monotonic() > end:
        msg = "the answer did not end in time"
        raise httpx.ReadTimeout(msg)
