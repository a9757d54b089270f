"""Write demo logs over the sample handbook: one .jsonl file a day, as docs/interactions.md describes them.

    python sample/make_interactions.py --days 60 --until 2026-10-31
    python sample/make_interactions.py --shift format --day 40 --out logs
    python sample/make_interactions.py --correct 2026-10-14      # what a person does who corrects a day's file

The same arguments give the same bytes. The folder remembers its arguments (.made-by.json): other arguments are refused
without --force, and files that this script did not write are never touched.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import interactions_handbook
from interactions_draws import API, Plan, files

HERE = Path(__file__).resolve().parent
NOTE = ".made-by.json"  # a dot: no reader of the landing folder takes it for a log
FLIPPED, ADDED = 3, "-added"


class Refused(Exception):
    """What cannot be done, and what to do instead: the text is shown as it is."""


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code: 0 done, 1 refused, 2 wrong usage."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.correct is not None:
            said = correct(args.out, args.correct)
        else:
            said = generate(_plan(parser, args), args.out, force=args.force)
    except (Refused, interactions_handbook.BadFact) as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{args.out} cannot be written ({error.strerror or error}). Name another folder with --out.\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


def generate(plan: Plan, out: Path, *, force: bool = False) -> str:
    """Writes the files that are not there yet, or differ; returns a summary of one line."""
    arguments = {name: str(value) for name, value in asdict(plan).items()}
    before = _note(out)
    if before and before["arguments"] != arguments and not force:
        changed = ", ".join(sorted(name for name in arguments if before["arguments"].get(name) != arguments[name]))
        raise Refused(f"{out} has logs of other arguments ({changed}). Use --force to replace them, or another --out.")
    known = set(before["files"]) if before else set()
    planned = {f"{plan.day(number)}.jsonl" for number in range(1, plan.days + 1)}
    strangers = sorted(name for name in planned - known if (out / name).exists())
    if strangers and not force:
        raise Refused(f"{out / strangers[0]} was not written by this script. Use another --out, or --force.")
    world = interactions_handbook.load()
    out.mkdir(parents=True, exist_ok=True)
    _write(out / NOTE, {"arguments": arguments, "files": sorted(planned | known)})
    written, counts = 0, Counter()
    for number, (day, events) in enumerate(files(plan, world), start=1):
        written += _write_file(out / f"{day}.jsonl", _lines(events))
        counts.update(kind for event in events for kind in _kinds(event))
        _progress(number, plan.days)
    for name in sorted(known - planned):
        (out / name).unlink(missing_ok=True)
    _write(out / NOTE, {"arguments": arguments, "files": sorted(planned)})
    lost = f"; {world.lost} questions left out, their passages are not in the handbook" if world.lost else ""
    return (
        f"{out}: {plan.days} days up to {plan.until}, {counts['events']:,} events, "
        f"{counts['labelled'] / max(counts['events'], 1):.0%} labelled, "
        f"{counts['failed'] / max(counts['labelled'], 1):.0%} of these failed, {counts['deleted']} deleted; "
        f"{written} files written{lost}"
    )


def correct(out: Path, day: str) -> str:
    """Rewrites one day's file as a person would: some ratings turned, one event removed, one added.

    Doing it twice changes nothing; generating again with the former arguments takes it back.
    """
    note = _note(out)
    name = f"{day}.jsonl"
    if not note or name not in note["files"] or not (out / name).exists():
        raise Refused(
            f"{out / name} is no log of this script. Name a day that has one (YYYY-MM-DD), or generate first."
        )
    events = _read(out / name)
    if any(event["id"].endswith(ADDED) for event in events):
        return f"{name} is corrected already: nothing to do"
    later = {event["id"] for other in _after(out, note["files"], name) for event in _read(other)}
    own = [event for event in events if event["occurred_at"].startswith(day) and event["id"] not in later]
    whole = [event for event in own if event.get("variant") != API]
    liked = [event for event in whole if event.get("feedback") == "up" and "corrected_response" not in event][:FLIPPED]
    silent = [event for event in whole if not {"feedback", "corrected_response", "deleted"} & event.keys()]
    if not liked or len(silent) < 2:
        raise Refused(f"{name} has too few events to correct. Choose another day, or a larger --per-day.")
    for event in liked:
        points = "\n".join(f"- {part.strip().rstrip('.')}" for part in event["response"].split(". "))
        event |= {"received_at": _later(event), "feedback": "down", "corrected_response": points}
    removed, model = silent[0], silent[1]
    added = model | {"id": f"{model['id']}{ADDED}", "received_at": _later(model), "feedback": "up"}
    _write_file(out / name, _lines([*(event for event in events if event is not removed), added]))
    return f"{name}: {len(liked)} ratings turned to down, {removed['id']} removed, {added['id']} added"


def _after(out: Path, names: list[str], name: str) -> list[Path]:
    """The files in which another version of the day's events may stand."""
    return [out / other for other in names if other > name and (out / other).exists()][:7]


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _later(event: dict[str, Any]) -> str:
    """A correction is received after what it corrects."""
    received = datetime.strptime(event["received_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return f"{received + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"


def _kinds(event: dict[str, Any]) -> list[str]:
    if event.get("deleted"):
        return ["deleted"]
    corrected = event.get("corrected_response")
    kinds = ["events"]
    if event.get("feedback") in ("up", "down") or corrected is not None:
        kinds.append("labelled")
    if event.get("feedback") == "down" or (corrected is not None and corrected != event["response"]):
        kinds.append("failed")
    return kinds


def _lines(events: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n" for event in events).encode()


def _write_file(file: Path, data: bytes) -> bool:
    """Writes it unless it is the same; True where it was written."""
    if file.exists() and hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(data).digest():
        return False
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(file)
    return True


def _write(file: Path, value: dict[str, Any]) -> None:
    _write_file(file, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def _note(out: Path) -> dict[str, Any] | None:
    try:
        return json.loads((out / NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Refused(f"{out / NOTE} cannot be read ({error}). Delete it together with the logs beside it.") from error


def _progress(done: int, days: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rday {done} of {days}{'' if done < days else chr(10)}")
        sys.stderr.flush()


def _plan(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Plan:
    until = args.until or datetime.now(UTC).date() - timedelta(days=1)
    counts = (
        ("--days", args.days, 1, 3_650), ("--per-day", args.per_day, 1, 100_000), ("--api", args.api, 0, 100_000)
    )  # fmt: skip
    for name, value, lowest, highest in counts:
        if not lowest <= value <= highest:
            parser.error(f"{name}: received {value}, expected {lowest} to {highest}")
    if args.shift == "none" and args.day is not None:
        parser.error("--day: says when a shift begins, so it needs --shift format or --shift style")
    start = (args.day if args.day is not None else args.days * 2 // 3) if args.shift != "none" else 0
    if args.shift != "none" and not 1 <= start <= args.days:
        parser.error(f"--day: received {start}, expected 1 to {args.days} (--days)")
    return Plan(args.days, until, args.per_day, args.seed, args.shift, start, args.topics, args.api)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Write demo interaction logs over the sample handbook.")
    add = parser.add_argument
    add("--days", type=int, default=60, metavar="N", help="how many days (60)")
    add("--until", type=date.fromisoformat, metavar="YYYY-MM-DD", help="the last day (yesterday, UTC)")
    add("--per-day", type=int, default=80, metavar="N", help="interactions a day, on average over a week (80)")
    add("--api", type=int, default=0, metavar="N", help="as many a day of the variant api, which programs ask (0)")
    add("--seed", type=int, default=7, metavar="N", help="another seed gives other logs (7)")
    add("--shift", choices=("none", "format", "style"), default="none", help="what people begin to want otherwise")
    add("--day", type=int, metavar="N", help="the day, from 1, on which the shift begins (after two thirds)")
    add("--topics", choices=("on", "off", "mixed"), default="on", help="whether events name their topic (on)")
    add(
        "--out",
        type=Path,
        default=HERE / "interactions",
        metavar="DIR",
        help="the landing folder (sample/interactions)",
    )
    add("--force", action="store_true", help="replace logs of other arguments")
    add("--correct", metavar="YYYY-MM-DD", help="correct that day's file, as a person would, and do nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(main())
