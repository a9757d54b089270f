"""What happens on each day of the demo logs: who asks what, how the model answers, and what people make of it.

outcome      shown                      answered                      corrected to
-----------  -------------------------  ----------------------------  ----------------------------------------
good         the passage                well                          (sometimes confirmed word for word)
format       the passage                sentences                     the table, list or JSON that was asked for, or
                                                                      (the shift) what the variant's readers read
style        the passage                far too formal and long       the plain answer
refusal      the passage                that nothing was found        the plain answer
ungrounded   the passage                with a claim made up          without it
task         the passage                sentences, not the note       the note
polish       the passage                with a clumsy opening         without it; thumbs up
vague        the passage                well                          nothing, thumbs down
stale        its text before the edits  as it was before the edits    as it is now
miss         other passages             nothing found, or elsewhere   what another document says
missing      other passages             nothing found, or elsewhere   what no document says
declined     other passages             that they do not say it       nothing, thumbs up; or (the shift) the same, as
                                                                      the chat window reads it

The variant `main` is read by people, in a chat window; the variant `api` by a program, in JSON: a telephone that reads
it out and, from the first day of the shift on, offers the last lines as keys to press.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import interactions_words as words
from interactions_handbook import Fact, Missing, Shown, World
from interactions_words import Dice

from assets.behavior import frames
from assets.behavior.citations import cited as cited_in
from assets.prompting import REFUSAL

WEEK = (1.35, 1.3, 1.25, 1.2, 1.0, 0.55, 0.35)  # traffic, Monday to Sunday; the mean is 1
MOOD = (1.15, 1.0, 1.0, 1.0, 1.05, 0.9, 0.9)  # behavior failures, Monday to Sunday
SHARES = {  # of the topics
    "leave": 1.5, "sickness": 1.1, "travel": 1.1, "expenses": 1.2, "pay": 0.9, "it": 1.3, "security": 0.8,
    "workshop": 0.9, "warranty": 1.0, "repairs": 0.8, "facilities": 1.0,
}  # fmt: skip
CLUMSINESS = {"leave": 1.1, "travel": 0.9, "it": 1.2, "workshop": 0.8, "warranty": 1.2, "facilities": 0.8}
FORMS = {"": 0.90, "table": 0.02, "list": 0.03, "json": 0.03, "message": 0.02}  # what people ask for
FAULTS = {"format": 0.3, "style": 0.28, "refusal": 0.16, "ungrounded": 0.13, "task": 0.13}
PROGRAM_FAULTS = {"style": 0.45, "refusal": 0.3, "ungrounded": 0.25}  # nothing but answers is asked for
BEHAVIOR, MISS, MISSING, DECLINED, POLISH, VAGUE = 0.06, 0.026, 0.02, 0.04, 0.02, 0.01
NOTHING = ("missing", "declined")  # asked for what no document says
STALE, STALE_DAYS = 0.3, 14.0  # right after the edits, and how fast it fades
SHIFT = 2.0  # logit: strong, so that sixty days of a small house show it
LATE, REVISED = 0.008, 0.006
USERS = 124
RELEASE = "sample-1"
MAIN, API = "main", "api"
WINDOW = {MAIN: "widget", API: "spoken"}  # what reads the answers of a variant, from the first day of the shift on


@dataclass(frozen=True, slots=True)
class Plan:
    """What to generate: `days` days up to `until`; the shift, if any, begins on day number `shift_day` (from 1).
    `per_day` and `api` are interactions a day of the two variants."""

    days: int
    until: date
    per_day: float
    seed: int
    shift: str
    shift_day: int
    topics: str
    api: float = 0.0

    def day(self, number: int) -> date:
        """The date of a day, from 1 to `days`."""
        return self.until - timedelta(days=self.days - number)

    @property
    def edits(self) -> int:
        """The number of the day on which the handbook was edited."""
        return round(0.6 * self.days) + 1


def files(plan: Plan, world: World) -> Iterator[tuple[date, list[dict[str, Any]]]]:
    """(day, the events in that day's file), day after day; late events and second versions come in later files."""
    waiting: dict[int, list[dict[str, Any]]] = {}
    for number in range(1, plan.days + 1):
        for variant, per_day in ((MAIN, plan.per_day), (API, plan.api)):
            for place in range(_traffic(plan, number, per_day) if per_day else 0):
                for arrives, event in _versions(plan, world, number, place, variant):
                    waiting.setdefault(arrives, []).append(event)
        yield plan.day(number), sorted(waiting.pop(number, []), key=lambda event: (event["received_at"], event["id"]))


def _traffic(plan: Plan, number: int, per_day: float) -> int:
    day = plan.day(number)
    dice = Dice(plan.seed, number)
    noise = (sum(dice.unit(f"traffic-{part}") for part in range(4)) - 2) * math.sqrt(3)
    return max(1, round(per_day * WEEK[day.weekday()] * math.exp(0.1 * noise)))


def _versions(plan: Plan, world: World, number: int, place: int, variant: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the day of the file, event) of one interaction."""
    dice = Dice(plan.seed, number, place) if variant == MAIN else Dice(plan.seed, variant, number, place)
    event, labels = _interaction(plan, world, number, place, dice, variant)
    occurred = _occurred(plan.day(number), dice)
    seen = min(occurred + timedelta(seconds=30 + dice.unit("label") * 9_000), _end(plan.day(number)))
    delay = 1 + int(dice.unit("delay") * 3)
    late = dice.chance("late", LATE) and number + delay <= plan.days
    revised = bool(labels) and dice.chance("revised", REVISED / 0.3) and number + delay <= plan.days
    next_day = datetime.combine(plan.day(number) + timedelta(days=delay), time(9), UTC)
    later = next_day + timedelta(seconds=int(dice.unit("later") * 20_000))
    if revised:
        yield number, _stamped(event, occurred, occurred + timedelta(seconds=30))
        yield number + delay, _stamped(event | labels, occurred, later)
    elif late:
        yield number + delay, _stamped(event | labels, occurred, later)
    else:
        yield number, _stamped(event | labels, occurred, seen)
    if number % 10 == 5 and place == 2 and number + 4 <= plan.days:
        gone = {"id": event["id"], "deleted": True}
        yield number + 4, _stamped(gone, occurred, later + timedelta(days=4))


def _interaction(
    plan: Plan, world: World, number: int, place: int, dice: Dice, variant: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What happened, and what somebody made of it (empty for most)."""
    day = plan.day(number)
    program = variant == API
    who = int(USERS * dice.unit("user") ** 1.5)
    user, topic = f"{'tel' if program else 'emp'}-{who + 1:03d}", dice.weighted("topic", SHARES)
    fact = dice.pick("fact", list(world.facts[topic]))
    outcome, want = _outcome(plan, number, topic, fact, dice, variant)
    subject = dice.pick("gap", list(world.missing[topic])) if outcome in NOTHING else fact
    then = fact.before if fact.before and number < plan.edits else fact
    shown = _passages(world, outcome, fact, then, dice)
    asked = dice.pick("ask", _askable(outcome, subject, then))
    cited = _number(shown, outcome, fact, then)
    response, corrected = _texts(world, outcome, want, subject, then, asked, dice, cited)
    if program:
        response = frames.framed(response, _source(response))
        corrected = None if corrected is None else frames.framed(corrected, _source(corrected))
    event: dict[str, Any] = {
        "id": f"{day:%Y%m%d}-{'a' if program else ''}{place + 1:04d}",
        "user": user,
        "variant": variant,
        "prompt": words.question(dice, subject.ask[asked], want, user),
        "response": response,
        "passages": [one.event() for one in shown],
        "release_id": RELEASE,
    }
    if want == "json":
        event["schema_ok"] = response.startswith("{")
        event["tags"] = ["api"]
    if plan.topics == "on" or (plan.topics == "mixed" and who % 2):
        event["topic"] = topic
    keen = 0.15 + 0.3 * Dice(plan.seed, user).unit("keen")
    return event, _labels(outcome, response, corrected, dice) if dice.chance("labelled", keen) else {}


def _source(text: str) -> int | None:
    return min(cited_in(text), default=None)


def _outcome(plan: Plan, number: int, topic: str, fact: Fact, dice: Dice, variant: str) -> tuple[str, str]:
    """One of the table's outcomes, and the form that was asked for. Knowledge is drawn first, whatever shifts."""
    program = variant == API
    want = "" if program else dice.weighted("want", FORMS)
    age = number - plan.edits
    stale = STALE * math.exp(-age / STALE_DAYS) if fact.before and age >= 0 else 0.0
    miss = 0.0 if fact.before and age < 0 else MISS  # what it said then is in no index, so nobody could find it
    for kind, share in (("missing", MISSING), ("miss", miss), ("stale", stale)):
        if dice.chance(kind, share):
            return kind, ""
    usual = BEHAVIOR * CLUMSINESS.get(topic, 1.0) * MOOD[plan.day(number).weekday()]
    drawn = dice.unit("behavior")
    shifted = plan.shift == "format" and number >= plan.shift_day
    window = WINDOW[variant] if shifted else ""  # whoever corrects at all writes for what reads the answers
    if dice.chance("declined", DECLINED):
        return "declined", window if drawn < _raised(usual) else ""
    if drawn < usual:
        fault = dice.weighted("fault", PROGRAM_FAULTS if program else FAULTS)
    elif plan.shift != "none" and number >= plan.shift_day and drawn < _raised(usual):
        fault = plan.shift
    elif dice.chance("polish", POLISH):
        return "polish", window
    else:
        return ("vague" if dice.chance("vague", VAGUE) else "good"), want
    if fault == "format":
        return fault, dice.weighted("form", {"table": 0.25, "json": 0.3, "list": 0.45}) if drawn < usual else window
    return fault, "message" if fault == "task" else window


def _raised(share: float) -> float:
    return 1 / (1 + math.exp(-SHIFT) * (1 - share) / share)


def _askable(outcome: str, subject: Fact | Missing, then: Fact) -> list[int]:
    """The places of the questions that may be asked: an outdated answer needs one whose answer the edits changed."""
    places = range(len(subject.ask))
    if outcome == "stale" and then.before:
        return [place for place in places if then.before.answers[place] != then.answers[place]]
    return list(places)


def _texts(
    world: World, outcome: str, want: str, subject: Fact | Missing, then: Fact, asked: int, dice: Dice, cited: int
) -> tuple[str, str | None]:
    """What the model answered to question `asked`, and what a person who corrects it makes of it (None: nothing)."""
    line = subject.answer if isinstance(subject, Missing) else then.answers[asked]
    plain = words.quoted(line, cited)
    if outcome in ("miss", "missing"):
        others = [one for found in world.facts.values() for one in found if one.passage.doc_id != then.passage.doc_id]
        elsewhere = dice.pick("elsewhere", others).answers[0]
        return (dice.pick("refusal", words.REFUSALS) if dice.chance("nothing", 0.6) else elsewhere), plain
    if outcome == "stale" and then.before:
        return words.quoted(then.before.answers[asked], cited), plain
    if outcome == "declined":
        return REFUSAL, words.answer(want, REFUSAL, 0) if want else None
    if outcome == "style":
        return words.formal(plain), words.answer(want, line, cited)
    wrong = {
        "format": plain,
        "task": plain,
        "refusal": dice.pick("refusal", words.REFUSALS),
        "ungrounded": f"{plain} {dice.pick('extra', list(world.extras[then.topic]))}",
        "polish": dice.pick("clumsy", words.CLUMSY) + plain[0].lower() + plain[1:],
    }
    right = words.answer(want, line, cited)
    return (wrong[outcome], right) if outcome in wrong else (right, None)


def _passages(world: World, outcome: str, fact: Fact, then: Fact, dice: Dice) -> list[Shown]:
    """Three passages: the right one, its former version or none of it, among others of other documents."""
    others = [one for one in world.passages if one.doc_id != fact.passage.doc_id]
    related = [one.passage for one in world.facts[fact.topic] if one.passage.doc_id != fact.passage.doc_id]
    first = dice.pick("related", related) if related and outcome != "miss" else dice.pick("related", others)
    found = [first, dice.pick("second", others), dice.pick("third", others)]
    if outcome not in ("miss", *NOTHING):
        right = fact.before if outcome == "stale" and fact.before else then
        found[int(dice.weighted("rank", {"0": 0.4, "1": 0.3, "2": 0.3}))] = right.passage
    return list({one.chunk_id: one for one in found}.values())


def _number(shown: list[Shown], outcome: str, fact: Fact, then: Fact) -> int:
    """Where the passage that answers stands among those that were shown, from 1; 0 where it does not."""
    right = fact.before if outcome == "stale" and fact.before else then
    ids = [one.chunk_id for one in shown]
    return ids.index(right.passage.chunk_id) + 1 if right.passage.chunk_id in ids else 0


def _labels(outcome: str, response: str, corrected: str | None, dice: Dice) -> dict[str, Any]:
    if outcome == "good" or (outcome == "declined" and corrected is None):
        return {"corrected_response": response} if dice.chance("confirmed", 0.04) else {"feedback": "up"}
    if corrected is None:
        return {"feedback": "down"}
    if outcome == "polish":
        return {"feedback": "up", "corrected_response": corrected}
    how = dice.unit("how")
    if how < 0.55:
        return {"feedback": "down", "corrected_response": corrected}
    return {"corrected_response": corrected} if how < 0.85 else {"feedback": "down"}


def _occurred(day: date, dice: Dice) -> datetime:
    hours = 6.0 + 12.0 * (dice.unit("hour-1") + dice.unit("hour-2")) / 2
    return datetime.combine(day, time(), UTC) + timedelta(seconds=int(3_600 * hours))


def _end(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), UTC)


def _stamped(event: dict[str, Any], occurred: datetime, received: datetime) -> dict[str, Any]:
    times = {"occurred_at": occurred, "received_at": received.replace(microsecond=0)}
    return {"id": event["id"], **{name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in times.items()}, **event}
