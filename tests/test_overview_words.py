"""The deployment in its own words: every setting that it speaks of is there, and no secret."""

from __future__ import annotations

import pytest

from orchestration.config import load
from orchestration.overview_words import ROWS, place, words

FULL = """
lake = "s3://u:secret@bucket/twohands"
[sources.handbook]
url = "git+https://me:secret@git.example.org/handbook@main"
metadata = { audience = ["staff", "board"] }
[sources.tickets]
url = "https://example.org/tickets?token=secret"
shards = 4
[index]
engine = "weaviate"
url = "http://127.0.0.1:8080"
[access]
public = ["everybody"]
[base]
model = "some/base"
revision = "0123456789012345678901234567890123456789"
[variants.main]
[variants.api]
alpha = 0.01
require_approval = true
answer = "json"
[decision]
min_examples = 77
cool_down_days = 9
budget = { currency = "USD", per_month = 1234, per_gpu_hour = 3, gpu_hours_per_month = 20 }
[generator]
engine = "openai"
url = "https://u:secret@vllm.example.org/v1"
model = "base"
[automation]
reconcile = "7 1 * * *"
timezone = "Europe/Amsterdam"
[alerts.webhook]
url = "https://chat.example.org/hooks/secret"
[alerts.mail]
host = "mail.example.org"
sender = "a@example.org"
to = ["b@example.org", "c@example.org"]
"""


def settings(folder, text: str):
    (folder / "twohands.toml").write_text(text)
    return load(str(folder / "twohands.toml"))


def test_words_are_those_of_the_settings(tmp_path):
    said = words(settings(tmp_path, FULL))
    for part in (
        "5 slices", "2 variants", "`handbook`", "git.example.org/handbook@main", "`tickets-03`",
        "audience = staff or board",
        "weaviate", "`everybody`", "some/base", "vllm.example.org/v1", "at most 1.0% in 365 days", "a person says yes",
        "| `api` | json |", "at least 77", "9 days", "1,234.00 USD and 20 GPU hours a month", "cost 3.00 USD",
        "`7 1 * * * Europe/Amsterdam`", "chat.example.org", "2 addresses by e-mail", "No golden question guards it",
    ):  # fmt: skip
        assert part in said, part


def test_words_hold_no_secret(tmp_path):
    assert "secret" not in words(settings(tmp_path, FULL))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sample/handbook", "sample/handbook"),
        ("https://u:p@ss@host/a@b", "https://host/a@b"),
        ("git+https://token@host/r@v1#subdirectory=d", "git+https://host/r@v1"),
        ("s3://bucket/docs?key=1", "s3://bucket/docs"),
        ("git@host:team/repository", "git@host:team/repository"),
    ],
)
def test_place_is_a_url_without_what_opens_it(url, shown):
    assert place(url) == shown


def test_words_of_many_slices_are_cut_and_say_so(tmp_path):
    said = words(settings(tmp_path, '[sources.docs]\nurl = "docs"\nshards = 100\n'))
    assert "100 slices" in said
    assert f"... and {100 - ROWS} more" in said
