"""Both hands in one run, without a browser: `make demo`. Takes minutes on two cores and reaches no network.

    python sample/demo.py                         # in .demo/, which the next run replaces
    python sample/demo.py --per-day 100           # smaller logs: quicker, and the gate may refuse what they teach

Nothing but its own folder is written. Exit code 0 where everything turned out as told, 1 where something did not
(what it was is printed), 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
UNTIL = date(2026, 11, 27)  # the same logs and the same days of evidence whenever it is run
if TYPE_CHECKING:
    from demo_story import Story


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    args.folder = args.folder.resolve()
    import demo_world

    demo_world.offline()
    from demo_story import Story

    from assets.errors import TwohandsError

    began, said = time.monotonic(), []

    def say(line: str) -> None:
        said.append(line)
        print(line, flush=True)

    try:
        say(f"Twohands, its story on the sample. All of it is in {args.folder}; what runs print is in runs.log there.")
        settings = demo_world.make(
            args.folder, args.config, args.per_day, args.day, args.days, str(args.until), still=True
        )
        story = Story(demo_world.World(args.folder, settings), say, args.days, args.day)
        story.tell()
        _end(story, args.folder, time.monotonic() - began)
    except (demo_world.Refused, TwohandsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    (args.folder / "story.txt").write_text("\n".join(said) + "\n", encoding="utf-8")
    return 1 if story.untrue else 0


def _end(story: Story, folder: Path, seconds: float) -> None:
    """The summary of one screen, and the figure."""
    from demo_figure import figure

    world, say = story.world, story.say
    records = world.decision.store.records("main")
    (folder / "demo.png").write_bytes(figure(story.events, records, story.marks))
    used, money = world.spent()
    say("\nSummary")
    for name, line in story.lines:
        say(f"  {name:<8} {line}")
    say(f"  verdicts: {', '.join(f'{action} ({day})' for day, action in dict.fromkeys(story.verdicts))}")
    say(
        f"  fine-tunes asked for: {world.requests()}; index versions: {story.events[-1].version if story.events else 0}"
    )
    currency = world.settings.decision.budget.currency
    say(f"  {seconds:.0f} s in all; the ledger holds {used:.1f} s of devices and {money:.2f} {currency}")
    say(f"  figure: {folder / 'demo.png'}; look around with: twohands --config {folder / 'twohands.toml'} status")
    for what in story.untrue:
        say(f"  NOT AS TOLD: {what}")
    say("Everything turned out as told." if not story.untrue else "The story did not turn out as told (exit code 1).")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Both hands in one run, on the sample.")
    add = parser.add_argument
    add("--folder", type=Path, default=HERE.parent / ".demo", metavar="DIR", help="where all of it goes (.demo)")
    add("--config", type=Path, default=HERE.parent / "twohands.toml", metavar="FILE", help="settings (twohands.toml)")
    add("--days", type=int, default=60, metavar="N", help="days of logs (60)")
    add("--day", type=int, default=40, metavar="N", help="the day, from 1, on which the shift begins (40)")
    add("--per-day", type=int, default=400, metavar="N", help="interactions a day (400)")
    add(
        "--until",
        type=date.fromisoformat,
        default=UNTIL,
        metavar="YYYY-MM-DD",
        help=f"the last day of the logs ({UNTIL})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
