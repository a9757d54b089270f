"""A parser process whose files do what their names say. Run as `program` of a ParserPool."""

import os
import signal
import sys
import time

from assets.knowledge.parsing_worker import main
from assets.ports import Document, Reason, Refusal


def read(path: str, data: bytes) -> Document | Refusal:
    """Obeys the path."""
    act = path.split("-")[0]
    if act == "sleep":
        time.sleep(60)
    elif act == "spin":
        while True:
            pass
    elif act == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif act == "exit":
        os._exit(3)
    elif act == "allocate":
        return Document(text=str(len(bytearray(10 << 30))), title="never")
    elif act == "noise":
        sys.stdout.write("noise on stdout" * 1000)
        sys.stdout.flush()
        os.write(1, b"more" * 1000)
    elif act == "refuse":
        return Refusal(Reason.NO_TEXT, "no words")
    elif act == "large":
        return Document(text="é" * (8 << 20), title="large")
    return Document(
        text=data.decode(), title=path, date=None, links=("/é",),
        metadata={"pid": str(os.getpid()), "environment": ",".join(sorted(os.environ))},
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:], read)
