"""A real server process over real releases: `python -m tests.web.released FOLDER PORT`.

Pointer, watch, answering, journal and HTTP are real. The passages are one, and who speaks says of it what the weights
of the adapter that it was given are called after, word by word, so that the pointer moves in the middle of answers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from assets.ports import Hit, Passage
from assets.ports.generation import Generated, Voice
from tests.serving.models import House
from tests.web.server import Server

LEFT, RIGHT = "The left ferry leaves at seven.", "The right ferry leaves at eight."
SAID = {"left": f"{LEFT} [1]", "right": f"{RIGHT} [1]"}
QUESTION = "When does the left or the right ferry leave?"


class Released(Server):
    """This server."""

    MODULE = "tests.web.released"


def house(folder: Path) -> House:
    """The releases beside a journal's folder, as test and server both see them."""
    from orchestration.engines.lake import FolderLake

    return House(folder.parent / "house", FolderLake(folder.parent / "house" / "lake"))


class Speaker:
    """Says what belongs to the adapter whose folder it is given."""

    def stream(self, chat, voice: Voice) -> Iterator[str | Generated]:
        assert voice.folder is not None
        said = SAID[(voice.folder / "model.safetensors").read_text().split()[-1]]
        for word in said.split(" "):
            time.sleep(0.005)
            yield word + " "
        yield Generated(said)


def main() -> None:
    import uvicorn

    from assets.fingerprints import digest
    from assets.prompting import TEMPLATES
    from assets.serving.answering import Answering, Options
    from assets.serving.forms import Form
    from assets.serving.watching import Watch
    from orchestration.settings_serve import ServeSettings
    from orchestration.web.app import app
    from orchestration.web.journal import Journal
    from tests.fakes import HashEncoder
    from tests.web.fakes import FakeLibrary

    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    text = f"Ferries\n\n{LEFT} {RIGHT}"
    one = Passage("c-ferry", "docs/ferry.md", "docs", "Ferries", ("Ferries",), text, digest([text]))
    watch = Watch(house(folder).releases, base=lambda: "b0", template=TEMPLATES["evidence"])
    answering = Answering(
        lambda questions, *_: ("1-x", [[Hit(one, 1.0)] for _ in questions]),
        HashEncoder(), watch.current, Speaker(), Options({"main": Form()}),
    )  # fmt: skip
    settings = ServeSettings(concurrent=100, questions_per_minute=0)
    made = app(answering, Journal(folder), settings, library=FakeLibrary())
    uvicorn.run(made, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
