"""`twohands dev` serves the ask page too, and starts it again when it dies. Nobody asks here: the UI's tests count."""

from __future__ import annotations

import os
import signal
import urllib.request

import psutil
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(600)


def serving(server) -> list[psutil.Process]:
    """The processes that are `twohands serve` on this port."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "orchestration" in words and words[-3:] == ["serve", "--port", str(server.ask_port)]:
            found.append(process)
    return found


def healthy(server) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ask_port}/healthz", timeout=5) as answer:
        return answer.status == 200


def test_ask_page_stands_beside_the_ui_and_comes_back(page, server):
    server.wait(lambda: healthy(server), 120, "the ask page")
    page.goto(f"http://127.0.0.1:{server.ask_port}/")
    expect(page.get_by_label("Your question")).to_be_visible()
    expect(page.locator("footer")).to_have_text("Release base")
    [one] = [process for process in serving(server) if not process.children()]
    os.kill(one.pid, signal.SIGKILL)
    server.wait(lambda: any(p.pid != one.pid and not p.children() for p in serving(server)), 60, "another server")
    server.wait(lambda: healthy(server), 120, "the ask page again")
    page.reload()
    expect(page.locator("footer")).to_have_text("Release base")
