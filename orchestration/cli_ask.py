"""The command `ask`: an answer with its sources, or one for each question of a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import click

from assets.errors import BadQuestion, EngineError, Retryable
from orchestration.cli_behavior import json_flag
from orchestration.cli_decision import chosen, variant_option
from orchestration.cli_errors import FAILED

if TYPE_CHECKING:
    from assets.serving.answering import Answer, Answering
    from orchestration.cli import Context


@click.command()
@click.argument("question", required=False)
@click.option(
    "--questions",
    type=click.File("rb"),
    metavar="FILE",
    help='JSON lines, {"question": "..."} each; - is standard input. One JSON answer a line.',
)
@variant_option
@click.option("--k", default=None, type=click.IntRange(1, 100), help="Passages that the answer is made from.")
@click.option("--where", multiple=True, metavar="KEY=VALUE", help="Only passages with this slice, title or metadata.")
@click.option(
    "--groups", metavar="A,B", help='Answer as for a member of these groups; "" for nobody in any. Default: all of it.'
)
@json_flag
@click.pass_obj
def ask(
    context: Context,
    question: str | None,
    questions: IO[bytes] | None,
    variant: str,
    k: int | None,
    where: tuple[str, ...],
    groups: str | None,
) -> None:
    """Answer a question from the published passages, by what the variant's release is served from."""
    from assets.serving.answering import Asker
    from orchestration.assembly_answering import answering

    if (question is None) == (questions is None):
        raise click.UsageError("Give either QUESTION or --questions FILE.")
    name, wanted = chosen(context, variant), dict(_pair(text) for text in where)
    named = None if groups is None else frozenset(one.strip() for one in groups.split(",") if one.strip())
    found = answering(context.settings, hand=context.hand, found=context.releases, passages=k)
    told = {"variant": name, "asker": Asker(named), "where": wanted}
    if questions is not None:
        sys.exit(FAILED if _answered(found, questions, told) else 0)
    if context.as_json:
        click.echo(json.dumps(found.answer(question or "", **told).said(), ensure_ascii=False))
        return
    answer = found.answer(question or "", **told)
    click.echo(as_text(answer))
    for problem in found.problems():
        click.echo(f"note: {problem}", err=True)


def as_text(answer: Answer) -> str:
    """The answer, then its sources by number."""
    by_number = {one.n: one for one in answer.passages}
    sources = [f"[{one.n}] {by_number[one.n].title or one.doc_id}  ({one.doc_id})" for one in answer.citations]
    said = [answer.text, *(["", *sources] if sources else [])]
    if answer.fallback:
        said += ["", f"The generator's own answer is not shown: {answer.fallback}."]
    return "\n".join(said)


def _answered(found: Answering, file: Iterable[bytes], told: Mapping[str, Any]) -> bool:
    """Prints an answer, or what is wrong with it, for each line; whether any line was bad. What stands against every
    question (nothing is published, there is no base) ends it."""
    bad = False
    for number, line in _lines(file):
        try:
            said = found.answer(_question(line), **told).said()
        except (BadQuestion, EngineError, Retryable) as error:
            bad, said = True, {"error": f"line {number}: {error}"}
        click.echo(json.dumps(said, ensure_ascii=False))
    return bad


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            yield number, line


def _question(line: bytes) -> str:
    try:
        row = json.loads(line.decode("utf-8"))
        asked = row if isinstance(row, str) else row["question"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadQuestion(
            f"it is no question ({type(error).__name__}): {line[:80]!r}",
            expected='{"question": "..."}, in UTF-8',
            next_step="correct that line",
        ) from error
    if not isinstance(asked, str):
        raise BadQuestion(f"its question is a {type(asked).__name__}", expected='{"question": "..."}')
    return asked


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.BadParameter(f"received {text!r}. Expected KEY=VALUE", param_hint="--where")
    return key, value


COMMANDS = (ask,)
