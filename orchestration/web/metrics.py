"""What Prometheus reads of the server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Counts of one app, in a registry of its own."""

    def __init__(self, backlog: Callable[[], int], written: Callable[[], int]) -> None:
        self._registry = made = CollectorRegistry()
        self.requests = Counter(
            "twohands_requests", "Requests, by route and status", ["route", "status"], registry=made
        )
        self.seconds = Histogram(
            "twohands_request_seconds", "Seconds of a request", ["route"], registry=made, buckets=SECONDS
        )
        self.answers = Counter("twohands_answers", "Answers that were given", ["variant"], registry=made)
        self.refusals = Counter("twohands_refusals", "Answers that declined", ["variant"], registry=made)
        self.fallbacks = Counter(
            "twohands_fallbacks", "Answers that were an evidence sentence", ["variant", "why"], registry=made
        )
        self.abandoned = Counter("twohands_abandoned", "Streams whose client left before the end", registry=made)
        self.feedback = Counter("twohands_feedback", "Feedback that is on disk", ["feedback"], registry=made)
        self.corrections = Counter("twohands_corrections", "Corrected answers that are on disk", registry=made)
        self.unlogged = Counter("twohands_unlogged", "Exchanges refused since they could not be noted", registry=made)
        self.release = Gauge("twohands_release_info", "What answers", ["variant", "release"], registry=made)
        self._released: dict[str, str] = {}
        self._routes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}  # finding them by labels costs more
        Gauge("twohands_journal_backlog", "Events that wait for the disk", registry=made).set_function(backlog)
        Gauge("twohands_journal_events", "Events on disk since the start", registry=made).set_function(written)

    def answered(self, variant: str, *, refused: bool, fallback: str) -> None:
        """Counts one answer."""
        self.answers.labels(variant).inc()
        if refused:
            self.refusals.labels(variant).inc()
        if fallback:
            self.fallbacks.labels(variant, fallback).inc()

    def said(self, feedback: str, *, corrected: bool) -> None:
        """Counts one feedback."""
        self.feedback.labels(feedback).inc()
        if corrected:
            self.corrections.inc()

    def took(self, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        counts = self._routes.get((route, status))
        if counts is None:
            counts = self._routes[route, status] = (
                self.requests.labels(route, str(status)),
                self.seconds.labels(route),
            )
        counts[0].inc()
        counts[1].observe(seconds)

    def serves(self, variant: str, release: str) -> None:
        """Notes which release answers."""
        former = self._released.get(variant)
        if former == release:
            return
        if former is not None:
            self.release.remove(variant, former)
        self._released[variant] = release
        self.release.labels(variant, release).set(1)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
