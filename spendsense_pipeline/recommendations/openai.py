"""The one place that speaks to a language model: the official SDK, its answers and its failures in our words.

Importing this module loads the SDK (half a second), so it is imported where a request is about to be sent. What does
not belong here: what is asked (``prompts.py``), whether to ask again (``generation.py``).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import openai
from openai.types.chat import ChatCompletion

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.recommendations.generation import Answer, Unanswered, Writer

ADDRESS: Final = "https://api.openai.com/v1"
LONGEST_BODY: Final = 1_000_000
"""Bytes of a response that are read; the longest honest one has a twentieth."""
_SAID_AT_MOST: Final = 200

_STOPPING: Final = {
    401: "the API key is refused",
    403: "the API key may not do this",
    404: "there is no such model or address",
}
"""Answers that every other request would get as well."""


class _TooLarge(Exception):
    pass


class _Capped(httpx2.AsyncByteStream):
    """A body that is refused where it goes on beyond `LONGEST_BODY`, whatever length it announced."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in self.body:
            read += len(part)
            if read > LONGEST_BODY:
                raise _TooLarge(f"the response is longer than {LONGEST_BODY:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self.body.aclose()


async def _bound(response: Any) -> None:
    """Refuse a compressed body, for a small one may unpack to gigabytes, and read no further than the cap."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _TooLarge("the response is compressed, which was not asked for")
    response.stream = _Capped(response.stream)


@asynccontextmanager
async def opened(api_key: str | None, base_url: str | None, seconds: float) -> AsyncIterator[Writer]:
    """A writer that sends each request once and gives it ``seconds``, answer and all.

    A server of one's own may need no key; without either, SpendSenseError ``no_key``.

    The SDK's own retries are off: each request counts against a budget, and how long a server asked us to wait is
    everybody's business, not that of one request.
    """
    if api_key is None and base_url is None:
        raise SpendSenseError("OPENAI_API_KEY is not set", code="no_key")
    api_key = api_key or "none"
    async with openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url or ADDRESS,
        timeout=seconds,
        max_retries=0,
        default_headers={"Accept-Encoding": "identity"},
        # Prompts go to the server that was named, not to where it points.
        http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [_bound]}, follow_redirects=False),
    ) as client:

        async def write(request: Mapping[str, Any]) -> Answer:
            try:
                async with asyncio.timeout(seconds):  # the SDK's own is between two bytes; a server may trickle
                    completion = await client.chat.completions.create(**request)
            except _TooLarge as error:
                raise Unanswered("too_large", str(error), again=True, dead=True, paid=True) from error
            except openai.APIStatusError as error:
                raise _status(error, api_key) from error
            except (openai.APITimeoutError, TimeoutError) as error:
                raise Unanswered(
                    "timeout", f"no answer within {seconds:g} s", again=True, dead=True, paid=True
                ) from error
            except openai.APIConnectionError as error:
                cause = type(error.__cause__).__name__
                raise Unanswered("connection", f"no connection ({cause})", again=True, dead=True, paid=True) from error
            except (openai.OpenAIError, ValueError) as error:  # what the SDK cannot make sense of
                raise Unanswered(
                    "malformed_response", "the response is no JSON", again=True, dead=True, paid=True
                ) from error
            return _answer(completion)

        yield write


def _answer(completion: Any) -> Answer:
    """The first choice. The SDK does not validate: a server that speaks something else shows here."""
    if not isinstance(completion, ChatCompletion):
        raise Unanswered("malformed_response", "the response is no chat completion", again=True, dead=True, paid=True)
    usage, choices = completion.usage, completion.choices
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    text, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
    return Answer(
        text=text if isinstance(text, str) else None,
        refusal=refusal if isinstance(refusal, str) and refusal else None,
        finish=getattr(choice, "finish_reason", None),
        model=completion.model if isinstance(completion.model, str) else None,
        sent=_count(getattr(usage, "prompt_tokens", None)),
        received=_count(getattr(usage, "completion_tokens", None)),
    )


def _count(tokens: Any) -> int | None:
    return tokens if isinstance(tokens, int) and tokens >= 0 else None


def _status(error: openai.APIStatusError, api_key: str) -> Unanswered:
    """A 3xx, 4xx or 5xx in our words; servers repeat the key in some of them."""
    status = error.status_code
    said = " ".join(str(error.message).replace(api_key, "***").split())[:_SAID_AT_MOST]
    if status in _STOPPING:
        return Unanswered(f"http_{status}", f"{_STOPPING[status]}: {said}", stops=True)
    if error.code == "insufficient_quota":
        return Unanswered("quota", f"the account has no quota left: {said}", stops=True)
    if status == 429:
        return Unanswered("rate_limit", f"too many requests: {said}", again=True, wait=_wait(error))
    again = status in (408, 409) or status >= 500
    return Unanswered(f"http_{status}", said, again=again, wait=_wait(error), dead=True)


def _wait(error: openai.APIStatusError) -> float | None:
    """Seconds that the server asks us to wait, None where it does not say."""
    headers = error.response.headers
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[header]) * unit
        except (KeyError, ValueError):
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:  # the other form that HTTP allows: a moment, which is read against the server's own clock
        until, sent = (parsedate_to_datetime(headers[header]) for header in ("retry-after", "date"))
        return max(0.0, (until - sent).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None
