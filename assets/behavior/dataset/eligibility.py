"""Which candidates may teach a manner at all, by what is known of them now.

    source       interaction   verdict now    schema_ok    eligible
    -----------  ------------  -------------  -----------  ----------------------------
    any          deleted                                   no: gone
    correction   there         behavior       any          yes
    correction   there         knowledge      any          no: knowledge
    correction   there         unclear, none  any          no: unclear
    accepted     there         none           not false    yes
    accepted     there         none           false        no: broken_form
    accepted     there         any            any          no: failed_since

What a mart said when candidates were frozen may be outdated: somebody corrects an answer after others accepted it, the
documents' log arrives and a failure turns out to be one of knowledge, a person asks to be forgotten.
"""

from __future__ import annotations

from assets.behavior.dataset.rows import Reason

CORRECTION, ACCEPTED = "correction", "accepted"


def refused(source: str, *, there: bool, verdict: str | None, schema_ok: bool | None) -> Reason | None:
    """Why a candidate may not teach; None where it may. `verdict` is the attribution's, None where nothing failed."""
    if not there:
        return Reason.GONE
    if source == CORRECTION:
        if verdict == "behavior":
            return None
        return Reason.KNOWLEDGE if verdict == "knowledge" else Reason.UNCLEAR
    if verdict is not None:
        return Reason.FAILED_SINCE
    return Reason.BROKEN_FORM if schema_ok is False else None


def event_of(source: str, kind: str | None) -> str:
    """What a row teaches: the kind of failure that was corrected, or `accepted`."""
    return (kind or "other") if source == CORRECTION else ACCEPTED
