"""Writing by a language model: each situation is asked about once, and its answer held to the library's rules.

The writer, the clock, the sleep and the dice are passed in; nothing here knows a provider or a database. What comes
back is a ``Generation`` for every situation, with the templates that may be used and, in words, all that was wrong.
Nothing is raised for what a model or its server does: a situation without templates is served by the library.
What does not belong here: what is asked (``prompts.py``), sending it (``openai.py``), keeping it (``governance``).
"""

import asyncio
import datetime as dt
import functools
import json
import re
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import pandas as pd
from pydantic import ValidationError

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.recommendations.guardrails import normalized
from spendsense_pipeline.recommendations.identity import template_hash
from spendsense_pipeline.recommendations.library import TEMPLATE_COLUMNS
from spendsense_pipeline.recommendations.prompts import (
    MOST_TOKENS,
    PIECES,
    AnsweredPiece,
    AnsweredPieces,
    Prompt,
    Rejected,
    Situation,
    asked_again,
    fingerprint,
    request,
    with_rejected,
)
from spendsense_pipeline.recommendations.quality import faults_of_reading
from spendsense_pipeline.recommendations.slots import SLOT
from spendsense_pipeline.recommendations.templates import check_template

REQUESTS_AT_MOST: Final = 4
"""Requests for one situation in one run, whatever goes wrong."""
ENOUGH: Final = 2
"""Templates with which a situation is not asked again: as many pieces as a customer is drafted at least."""
FIRST_WAIT: Final = 0.5
LONGEST_BACKOFF: Final = 8.0
"""Seconds before a request is repeated, doubling, where the server does not say."""
LONGEST_WAIT: Final = 60.0
"""Seconds that a server may ask us to wait; whoever wants more gets no more requests in this run."""
DEAD_AFTER: Final = 20
"""Requests in a row that failed on the way, of whatever situation, after which nobody is asked any more."""
KEPT_EVERY: Final = 25
"""Generations after which what was paid for is kept, so that a killed run loses little."""
LONGEST_ANSWER: Final = 50_000
"""Characters of an answer that are read at all; the longest honest one has a fifth."""
TOLD: Final = 12
TOLD_LENGTH: Final = 300
"""Problems of one answer, and characters of each, that are kept and told to the model."""


@functools.cache
def known_models() -> Mapping[str, Mapping[str, Any]]:
    """The models of ``data/models.toml``: ``sent``, ``received`` (US dollars a million tokens), maybe ``retires``."""
    text = resources.files("spendsense_pipeline.recommendations").joinpath("data/models.toml").read_text("utf-8")
    return tomllib.loads(text)


def may_be_asked(model: str, prices: tuple[float, float] | None, most_requests: int | None, today: dt.date) -> None:
    """Raise SpendSenseError for a model that answers no more (``retired_model``), or of which nobody knows what it
    costs and nobody said how often it may be asked (``unknown_price``)."""
    retires = known_models().get(model, {}).get("retires")
    if retires is not None and retires <= today:
        raise SpendSenseError(
            f"{model} answers no more since {retires}; name another with SPENDSENSE_OPENAI_MODEL", code="retired_model"
        )
    if prices is None and most_requests is None:
        raise SpendSenseError(
            f"what {model} costs is not known: set SPENDSENSE_OPENAI_PRICES, or with SPENDSENSE_MODEL_BUDGET_REQUESTS "
            "how many requests a run may make",
            code="unknown_price",
        )


@dataclass(frozen=True)
class Answer:
    """What came back for one request. ``sent`` and ``received`` are tokens, None where the server does not count."""

    text: str | None
    refusal: str | None = None
    finish: str | None = None
    model: str | None = None
    sent: int | None = None
    received: int | None = None


class Unanswered(Exception):
    """A request that got no answer. ``code`` is a stable word, the message for whoever reads the run's log.

    ``again``: the same request may fare better; ``wait``: seconds that the server asks for. ``stops``: no other
    request would fare better either. ``dead``: a sign that nobody is there. ``paid``: it may have cost all the same.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        again: bool = False,
        wait: float | None = None,
        stops: bool = False,
        dead: bool = False,
        paid: bool = False,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.again, self.wait, self.stops, self.dead, self.paid = code, again, wait, stops, dead, paid


Writer = Callable[[Mapping[str, Any]], Awaitable[Answer]]
"""Sends a request once; raises ``Unanswered``."""


@dataclass(frozen=True)
class Template:
    """One piece that passed: text with slots, and the facts it asserts."""

    topic: str
    title: str
    content: str
    facts: tuple[str, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that it shows, in order of appearance."""
        return tuple(dict.fromkeys(SLOT.findall(f"{self.title}\n{self.content}")))

    @property
    def hash(self) -> str:
        """What an operator approves."""
        return template_hash(self.title, self.content, self.facts)


@dataclass(frozen=True)
class Generation:
    """What became of one situation: its templates, or why there are none, and what it took.

    ``cost`` in US dollars, None where the model's prices are not known. ``latency_ms`` is the time spent inside
    requests, without waiting in between. ``sent`` and ``received`` are the tokens that the server counted.
    """

    situation: Situation
    fingerprint: str
    prompt_version: str
    model: str
    templates: tuple[Template, ...] = ()
    problems: tuple[str, ...] = ()
    requests: int = 0
    sent: int = 0
    received: int = 0
    cost: float | None = None
    latency_ms: float = 0.0

    @property
    def written(self) -> bool:
        """Whether the situation has a template; if not, the library serves it and the next run asks again."""
        return bool(self.templates)


@dataclass
class Budget:
    """What one run may spend. A request is let through only if its worst case fits, so nothing is overspent.

    ``prices``: US dollars for a million tokens sent and received; without them cost is unknown and not limited.
    """

    requests: int
    tokens: int
    cost: float
    prices: tuple[float, float] | None
    spent_requests: int = 0
    spent_tokens: int = 0
    spent_cost: float = 0.0
    _held: int = 0
    _settled: asyncio.Condition = field(default_factory=asyncio.Condition)

    def price(self, sent: int, received: int) -> float | None:
        """US dollars for these tokens, None where no price is known."""
        if self.prices is None:
            return None
        return (sent * self.prices[0] + received * self.prices[1]) / 1_000_000

    async def exhausted_by(self, asked: Mapping[str, Any]) -> str | None:
        """Hold the worst case of a request, or say which limit it would break. Waits for what may be given back."""
        tokens, cost = self._worst(asked)
        async with self._settled:
            while (limit := self._limit(tokens, cost)) and self._held:
                await self._settled.wait()
            if limit:
                return limit
            self._held += 1
            self.spent_requests += 1
            self.spent_tokens += tokens
            self.spent_cost += cost
            return None

    async def settle(self, asked: Mapping[str, Any], sent: int | None, received: int | None) -> None:
        """Give back what a request did not take. Where nobody counted, its worst case stays spent."""
        tokens, cost = self._worst(asked)
        async with self._settled:
            self._held -= 1
            if sent is not None and received is not None:
                self.spent_tokens += sent + received - tokens
                self.spent_cost += (self.price(sent, received) or 0.0) - cost
            self._settled.notify_all()

    async def give_back(self, asked: Mapping[str, Any]) -> None:
        """Settle a request that was granted and never sent."""
        self.spent_requests -= 1
        await self.settle(asked, 0, 0)

    def _limit(self, tokens: int, cost: float) -> str | None:
        if self.spent_requests + 1 > self.requests:
            return f"the budget of {self.requests:,} requests a run is used up"
        if self.spent_tokens + tokens > self.tokens:
            return f"the budget of {self.tokens:,} tokens a run is used up"
        if self.spent_cost + cost > self.cost:
            return f"the budget of ${self.cost:g} a run is used up"
        return None

    def _worst(self, asked: Mapping[str, Any]) -> tuple[int, float]:
        sent = len(json.dumps(asked)) // 3  # English has four characters to a token
        return sent + MOST_TOKENS, self.price(sent, MOST_TOKENS) or 0.0


@dataclass
class Generator:
    """One run's writing. ``stopped`` says why nobody is asked any more, None while all is well.

    ``clock`` gives seconds, ``dice`` numbers from 0 to 1. ``keep`` is called with what was paid for, some at a time,
    in a thread; ``progress`` after each situation with how many are done. ``rejected``: by persona or insight, what
    operators rejected before.
    """

    writer: Writer
    prompts: Mapping[str, Prompt]
    model: str
    budget: Budget
    in_flight: int
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    dice: Callable[[], float]
    keep: Callable[[Sequence[Generation]], None]
    progress: Callable[[int, int], None]
    rejected: Mapping[str, Sequence[Rejected]] = field(default_factory=dict)
    stopped: str | None = None
    _resume_at: float = float("-inf")
    _failed_in_a_row: int = 0

    async def write(self, situations: Sequence[Situation]) -> list[Generation]:
        """A generation for each situation, in their order; at most ``in_flight`` requests at any moment."""
        finished: dict[str, Generation] = {}
        unkept: list[Generation] = []
        waiting = iter(situations)

        async def work() -> None:
            for situation in waiting:
                generation = finished[situation.key] = await self._one(situation)
                if generation.requests:
                    unkept.append(generation)
                if len(unkept) >= KEPT_EVERY:
                    some, unkept[:] = list(unkept), []
                    await asyncio.to_thread(self.keep, some)
                self.progress(len(finished), len(situations))

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self.in_flight, len(situations))):
                    workers.create_task(work())
        finally:
            if unkept:
                self.keep(unkept)
        return [finished[situation.key] for situation in situations]

    async def _one(self, situation: Situation) -> Generation:
        prompt = self.prompts[situation.about]
        plain = request(situation, prompt, self.model)
        first = asked = with_rejected(plain, self.rejected.get(situation.about, ()))
        found: dict[str, Template] = {}
        problems: list[str] = []
        requests = sent = received = 0
        model, took = self.model, 0.0
        while requests < REQUESTS_AT_MOST and len(found) < ENOUGH:
            if closed := await self._closed(asked):
                problems.append(f"not asked: {closed}")
                break
            requests += 1
            started = self.clock()
            try:
                answer = await self.writer(asked)
            except Unanswered as failure:
                took += self.clock() - started
                await self.budget.settle(asked, *((None, None) if failure.paid else (0, 0)))
                problems.append(str(failure))
                if not self._goes_on(failure):
                    break
                if requests < REQUESTS_AT_MOST:
                    await self._back_off(failure, requests)
                continue
            took += self.clock() - started
            await self.budget.settle(asked, answer.sent, answer.received)
            self._failed_in_a_row = 0
            sent, received = sent + (answer.sent or 0), received + (answer.received or 0)
            model = answer.model or model
            templates, wrong = read(answer, situation)
            found |= {template.hash: template for template in templates}
            problems += wrong
            if answer.refusal or answer.finish == "content_filter":  # the same words would be refused again
                break
            asked = asked_again(first, answer.text, wrong)
        return Generation(
            situation=situation,
            fingerprint=fingerprint(plain),
            prompt_version=prompt.version,
            model=model,
            templates=tuple(found.values())[:PIECES],
            problems=tuple(dict.fromkeys(problem[:TOLD_LENGTH] for problem in problems)),
            requests=requests,
            sent=sent,
            received=received,
            cost=self.budget.price(sent, received),
            latency_ms=took * 1000,
        )

    async def _closed(self, asked: Mapping[str, Any]) -> str | None:
        """Wait until a request may go out, and hold its worst case; or why none may any more."""
        while self.stopped is None and (left := self._resume_at - self.clock()) > 0:
            await self.sleep(left)
        if self.stopped is not None:
            return self.stopped
        if limit := await self.budget.exhausted_by(asked):
            self.stopped = self.stopped or limit
        elif self.stopped is not None:  # by another worker, while this one waited: what it was granted, others wait for
            await self.budget.give_back(asked)
        return self.stopped

    def _goes_on(self, failure: Unanswered) -> bool:
        """Whether the request may be repeated; remembers what the failure means for all the others."""
        if failure.stops:
            self.stopped = self.stopped or str(failure)
        if failure.dead:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= DEAD_AFTER:
                self.stopped = self.stopped or f"{DEAD_AFTER} requests in a row failed, the last with {failure}"
        if failure.wait is not None:
            if failure.wait > LONGEST_WAIT:
                self.stopped = self.stopped or f"the server asks to wait {failure.wait:,.0f} s ({failure.code})"
            self._resume_at = max(self._resume_at, self.clock() + failure.wait)
        return failure.again and self.stopped is None

    async def _back_off(self, failure: Unanswered, requests: int) -> None:
        if failure.wait is None:
            longest = min(FIRST_WAIT * 2 ** (requests - 1), LONGEST_BACKOFF)
            await self.sleep(longest * (1 - self.dice() / 4))


def read(answer: Answer, situation: Situation) -> tuple[list[Template], list[str]]:
    """The templates of an answer that may be used in the situation, and all that is wrong with the rest.

    Spelling is forgiven (curly quotes, spaces, ``{{slot}}``), nothing else is.
    """
    if answer.refusal:
        return [], [f"refusal: {normalized(answer.refusal[:LONGEST_ANSWER])}"]
    if answer.finish == "length":
        return [], ["truncated: the answer broke off; shorter pieces fit"]
    if answer.finish == "content_filter":
        return [], ["content_filter: the provider withheld the answer"]
    if not answer.text:
        return [], ["empty_answer: there is no text"]
    if len(answer.text) > LONGEST_ANSWER:
        return [], [f"too_long: the answer has {len(answer.text):,} characters, at most {LONGEST_ANSWER:,} are read"]
    try:
        pieces = AnsweredPieces.model_validate_json(answer.text).pieces
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        code = "malformed_json" if fault["type"] == "json_invalid" else "wrong_schema"
        where = ".".join(str(part) for part in fault["loc"])
        return [], [f"{code}: {where}: {fault['msg']}" if where else f"{code}: {fault['msg']}"]
    if not pieces:
        return [], ["empty_list: there is no piece"]
    found, wrong = [], []
    for piece in pieces:
        template = _tidied(piece)
        problems = faults(template, situation)
        wrong += [f"{problem} (in {template.title[:60]!r})" for problem in problems]
        if not problems:
            found.append(template)
    return found, wrong[:TOLD]


def faults(template: Template, situation: Situation) -> list[str]:
    """Why a template may not be used in the situation, each as ``code: field: what``; empty when it may."""
    found = check_template(
        situation.about,
        template.title,
        template.content,
        template.facts,
        template.slots,
        holds=situation.facts,
        available=situation.slots,
    )
    if found:  # only what can be rendered is read as a customer would
        return [f"{problem.code}: {problem.field}: {problem.message}" for problem in found]
    return faults_of_reading(template.content)


_SLOT_AS_TYPED: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_DASH: Final = re.compile(r"\s*[\u2013\u2014]\s*")


def _tidied(piece: AnsweredPiece) -> Template:
    paragraphs = [_line(paragraph) for paragraph in re.split(r"\r?\n\s*\n", piece.content)]
    return Template(
        topic=_line(piece.topic)[:60],
        title=_line(piece.title),
        content="\n\n".join(paragraph for paragraph in paragraphs if paragraph),
        facts=tuple(dict.fromkeys(fact.strip() for fact in piece.facts)),
    )


def _line(text: str) -> str:
    return _SLOT_AS_TYPED.sub(r"{{ \1 }}", normalized(_DASH.sub(" - ", text)))


def with_generated(library: pd.DataFrame, generations: Iterable[Generation], as_of: dt.date) -> pd.DataFrame:
    """The day's templates with what the model wrote, which comes before the library's pieces of its situation.

    ``library`` as from ``library.education_templates``. The library stays behind it, so that customers who have seen
    all of a situation's pieces get something else; where a generation has no template, it is all there is. Nobody has
    read a model's texts for what they do (``tags``): they are taken to do what is said of its persona, and what any
    piece of the library does that tells the insight.
    """
    rows: list[dict[str, Any]] = []
    does = library.groupby("situation")["tags"].agg(
        lambda lists: sorted({tag for one in lists for tag in json.loads(one)})
    )
    for one in generations:
        about, key = one.situation.about, one.situation.key
        for rank, template in enumerate(one.templates, start=1):
            rows.append(
                {
                    "as_of": as_of,
                    "situation": key,
                    "persona": about if about in PERSONAS else None,
                    "template_id": f"{about}/openai-{template.hash[:12]}",
                    "rank": rank,
                    "title": template.title,
                    "content": template.content,
                    "facts": json.dumps(template.facts),
                    "slots": json.dumps(template.slots),
                    "tags": json.dumps(PERSONAS[about].tags if about in PERSONAS else does.get(key, [])),
                    "template_hash": template.hash,
                    "generator": "openai",
                    "model": one.model,
                    "prompt_version": one.prompt_version,
                    "generation_ms": one.latency_ms,
                }
            )
    if not rows:
        return library
    written = pd.DataFrame(rows, columns=TEMPLATE_COLUMNS).astype(library.dtypes.to_dict())
    before = written.groupby("situation").size()
    later = library.assign(rank=library["rank"] + library["situation"].map(before).fillna(0).astype("Int64"))
    return pd.concat([written, later]).sort_values(["situation", "rank"], ignore_index=True)
