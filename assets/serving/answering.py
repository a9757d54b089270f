"""From a question to an answer with citations: retrieve, show, generate, check, stamp.

    question --checked--> passages that the asker may see --evidence--> prompt of the released template
             --released base + adapter--> text --checked against what was shown--> answer, or the best evidence sentence

What the generator is not asked: where no passage may be seen, or (with the template of evidence statements) the best
statement's support is "none", the answer is a refusal. What passages say is data: it is shown in the prompt, and no
decision here is made of it. `Answering` may be used by several threads at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from assets import prompting
from assets.errors import BadQuestion, NothingPublished, TwohandsError
from assets.ports import Encoder, Hit
from assets.ports.generation import Generated, Speaker, Voice
from assets.prompting import REFUSAL, Evidence, Template, VectorCache
from assets.prompting.evidence import SUPPORT
from assets.serving import checking
from assets.serving.answers import Answer, Asker, Citation, Shown, Usage
from assets.serving.checking import Checked, Text
from assets.serving.forms import Form
from assets.serving.questions import Access, checked, filters
from assets.serving.watching import Current

__all__ = ["Answer", "Answering", "Asker", "Citation", "Options", "Shown"]

STATEMENTS = 3  # of evidence in a prompt, as datasets and evaluations have them
UNSUPPORTED = SUPPORT[0][1]  # the word for evidence that is none

# (questions, k, where, allowed) -> the version that was searched, "" where none is published, and hits by question
Retrieve = Callable[[Sequence[str], int, Mapping[str, str], Mapping[str, Collection[str]]], tuple[str, list[list[Hit]]]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the deployment decides: passages of an answer, characters of a question, who may read what, and the form
    of each variant's answers."""

    variants: Mapping[str, Form]
    passages: int = 5
    max_characters: int = 4_000
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, slots=True)
class _Case:
    """A question with all that its answer is made from. `numbers` are those of the passages in the prompt."""

    question: str
    variant: str
    current: Current
    index: str
    passages: tuple[Shown, ...]
    evidence: tuple[Evidence, ...]
    numbers: tuple[int, ...]
    retrieved: float

    @property
    def hopeless(self) -> bool:
        """Whether nothing that is shown supports any answer."""
        if not self.numbers:
            return True
        return self.current.template.shows == "evidence" and self.evidence[0].support == UNSUPPORTED


class Answering:
    """Answers of every variant, over injected engines.

    `retrieve` searches the published index, `current` says what a variant is served from, `speaker` generates.
    """

    def __init__(
        self,
        retrieve: Retrieve,
        encoder: Encoder,
        current: Callable[[str], Current],
        speaker: Speaker,
        options: Options,
    ) -> None:
        self._retrieve, self._encoder, self._current = retrieve, encoder, current
        self._speaker, self._options = speaker, options
        self._vectors, self._lock = VectorCache(encoder.encode), Lock()

    def variants(self) -> list[str]:
        """The variants that answer."""
        return list(self._options.variants)

    def problems(self) -> list[str]:
        """What a person should look at; empty where all is well. Nothing is generated for it."""
        found: list[str] = []
        for variant in self.variants():
            try:
                current = self._current(variant)
                found += [f"{variant}: {problem}" for problem in current.problems]
            except TwohandsError as error:
                found.append(f"{variant}: {error}")
        try:
            published = self._retrieve([], 1, {}, {})[0]
            return found if published else [*found, str(_unpublished())]
        except TwohandsError as error:
            return [*found, str(error)]

    def answer(
        self,
        question: str,
        *,
        variant: str = "main",
        asker: Asker,
        where: Mapping[str, str] = {},
        passages: int | None = None,
    ) -> Answer:
        """The answer as a whole; errors as those of `stream`."""
        answer: Answer | None = None
        for piece in self.stream(question, variant=variant, asker=asker, where=where, passages=passages):
            answer = piece if isinstance(piece, Answer) else answer
        assert answer is not None  # noqa: S101 - the last piece of every stream
        return answer

    def stream(
        self,
        question: str,
        *,
        variant: str = "main",
        asker: Asker,
        where: Mapping[str, str] = {},
        passages: int | None = None,
    ) -> Iterator[str | Answer]:
        """Pieces of text as they are generated, and last the Answer, whose text is what holds. JSON comes in one piece:
        half an object is of no use, and its frame is written last.

        Before the first piece is asked for: BadQuestion for a question or variant that cannot be, NothingPublished
        where there is no index, and what retrieval raises. While generating: what the generator raises.
        """
        case = self._case(question, variant, asker, where, passages or self._options.passages)
        return self._told(case)

    # ------------------------------------------------------------------------------------------------ what is shown

    def _case(self, question: str, variant: str, asker: Asker, where: Mapping[str, str], k: int) -> _Case:
        if variant not in self._options.variants:
            raise BadQuestion(
                f"no variant is called {variant!r:.80}",
                expected=f"one of {', '.join(self.variants())}",
                next_step="name one of them, or add it to twohands.toml",
            )
        asked = checked(question, self._options.max_characters)
        current, began = self._current(variant), time.perf_counter()
        index, (hits,) = self._retrieve([asked], k, filters(where), self._options.access.allowed(asker))
        if not index:
            raise _unpublished()
        bodies = [prompting.passage(n, hit.passage.headings, hit.passage.text) for n, hit in enumerate(hits, 1)]
        shown = tuple(_shown(body, hit) for body, hit in zip(bodies, hits, strict=True))
        evidence = self._evidence(asked, bodies)
        numbers = [one.number for one in (evidence if current.template.shows == "evidence" else bodies)]
        taken = time.perf_counter() - began
        return _Case(asked, variant, current, index, shown, evidence, tuple(dict.fromkeys(numbers)), taken)

    def _evidence(self, question: str, bodies: Sequence[prompting.Passage]) -> tuple[Evidence, ...]:
        def embed(texts: Sequence[str]) -> np.ndarray:
            with self._lock:  # the cache is of one thread at a time
                return self._vectors(texts)

        encoder = self._encoder
        return tuple(prompting.evidence(question, bodies, embed, STATEMENTS, embed_question=encoder.encode_queries))

    # ------------------------------------------------------------------------------------------------ what is said

    def _told(self, case: _Case) -> Iterator[str | Answer]:
        began = time.perf_counter()
        seconds = {"retrieve": case.retrieved, "first": 0.0, "generate": 0.0}
        if case.hopeless:
            answer = self._answer(case, self._declined(case), seconds, Usage())
            yield answer.text
            yield answer
            return
        whole = Generated("")
        for piece in self._speaker.stream(self._chat(case), _voice(case)):
            if isinstance(piece, Generated):
                whole = piece
                continue
            seconds["first"] = seconds["first"] or time.perf_counter() - began
            if self._options.variants[case.variant].kind == "text":
                yield piece
        seconds["generate"] = time.perf_counter() - began
        usage = None if whole.prompt is None else Usage(whole.prompt, whole.tokens)
        yield self._answer(case, self._judged(case, whole), seconds, usage)

    def _chat(self, case: _Case) -> list[dict[str, str]]:
        template: Template = case.current.template
        if template.shows == "evidence":
            return template.messages(case.question, case.evidence)
        bodies = [prompting.Passage(one.n, one.heading, _body(one)) for one in case.passages]
        return template.messages(case.question, bodies)

    def _judged(self, case: _Case, whole: Generated) -> Checked:
        by_number = {one.n: one for one in case.passages}
        shown = {n: Text(by_number[n].text, by_number[n].doc_id) for n in case.numbers}
        form = self._options.variants[case.variant]
        return checking.checked(whole.text, case.question, shown, form, case.current.usual, ended=whole.ended)

    def _declined(self, case: _Case) -> Checked:
        return Checked(self._options.variants[case.variant].refusal(REFUSAL), refused=True)

    def _answer(self, case: _Case, found: Checked, seconds: Mapping[str, float], usage: Usage | None) -> Answer:
        fallback = found.problem
        if fallback and (not case.evidence or case.evidence[0].support == UNSUPPORTED):
            found, fallback = self._declined(case), ""
        elif fallback:
            best = case.evidence[0]
            form = self._options.variants[case.variant]
            found = Checked(form.quote(best.sentence, best.number), cited=(best.number,))
        by_number = {one.n: one for one in case.passages}
        cited = [by_number[number] for number in found.cited]
        return Answer(
            text=found.text,
            refused=found.refused,
            fallback=fallback,
            citations=tuple(Citation(one.n, one.doc_id, one.chunk_id) for one in cited),
            evidence=case.evidence,
            passages=case.passages,
            release_id=case.current.release_id,
            stamp={
                "release": case.current.release_id,
                "index": case.index,
                "adapter": case.current.adapter,
                "prompt": case.current.prompt,
                "encoder": self._encoder.fingerprint,
                "base": case.current.base,
                "variant": case.variant,
            },
            seconds=dict(seconds),
            usage=usage,
        )


def _voice(case: _Case) -> Voice:
    return Voice(case.variant, case.current.adapter, case.current.folder)


def _shown(body: prompting.Passage, hit: Hit) -> Shown:
    one = hit.passage
    metadata = dict(one.metadata)
    return Shown(
        body.number, one.chunk_id, one.doc_id, one.title, body.heading, one.text, one.text_sha, hit.score, metadata
    )


def _body(one: Shown) -> str:
    return one.text.removeprefix(one.heading).lstrip("\n") if one.heading else one.text


def _unpublished() -> NothingPublished:
    return NothingPublished(
        "there is no index to answer from: nothing is published yet, or it was deleted",
        expected="a published index",
        next_step="run `twohands sync`, or materialize knowledge/index",
    )
