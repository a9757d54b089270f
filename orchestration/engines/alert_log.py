"""Alerts into the log of the process that sends them."""

from __future__ import annotations

import logging

from assets.ports.alerts import Alert

LOGGER = "twohands.alerts"


class LogSink:
    """A line of the logger `twohands.alerts`, at the level ERROR."""

    name = "log"

    def send(self, alert: Alert) -> None:
        """Logs it, on one line: whatever a message holds, it forges no other one."""
        logging.getLogger(LOGGER).error("%s", " | ".join(alert.text().splitlines()))

    def check(self) -> str:
        """There is nothing that could be wrong."""
        return f"the logger {LOGGER}"
