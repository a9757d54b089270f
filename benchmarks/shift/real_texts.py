"""Real prompts, answers and corrections, put through our own attribution and form code once and kept.

Each source gives texts in two forms with the same content: `old`, which the model writes, and `new`, which people come
to want. A failure of manner is the old form corrected to the new one, what it says being shown; a failure of knowledge
is the old form with a value of a superseded (or never synced) document in it, corrected to the true one.

source        topics            old form             new form
------------  ----------------  -------------------  --------------------
restaurants   the food served   facts as JSON        a sentence
sentences     length            one long sentence    two
maths         number of steps   worked steps         Socratic steps
queries       kind of question  numbered columns     named columns
dialogues     domain            acts as JSON         what was said
translations  language          a machine's draft    its post-edit (light before the change, heavy after it)
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from assets.behavior.attribution import VERSION, Case, Shown, attribute
from assets.fingerprints import digest, sha256_text
from benchmarks.attribution.cases import NOW
from benchmarks.attribution.corpora import Log, number, rows

POOL = 600  # texts of a source
HEAVY, LIGHT = 0.4, 0.3  # edit rates of translations
MANNER, CHANGED, CONTENT = "manner", "changed", "content"
TYPES = (MANNER, CHANGED, CONTENT)
FILES = {
    "restaurants": "e2e-nlg-devset",
    "sentences": "wikisplit-shared",
    "maths": "gsm8k-two-forms-shared",
    "queries": "wikisql-sample",
    "dialogues": "sgd-train-sample",
    "translations": "mlqe-pe-shared",
}
_NUMBER = re.compile(r"(?<![\d.,])\d{2,}(?![\d.,]*\d)")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")


class Text(NamedTuple):
    """One text in two forms. `request` asks for it without naming its values; `document` holds its content."""

    key: str
    topic: str
    prompt: str
    request: str
    old: str
    new: str
    document: str
    values: dict[str, str]  # facts that may be superseded, and what kind of fact each is
    pools: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """Failures of one type as the marts would see them, one row a text."""

    topic: np.ndarray
    knowledge: np.ndarray
    behavior: np.ndarray
    edit: np.ndarray
    refusal: np.ndarray
    format: np.ndarray


@dataclass(frozen=True)
class Source:
    """Topics with their shares; characters of answers by topic; failures by type."""

    topics: tuple[str, ...]
    length: tuple[np.ndarray, ...]
    pools: dict[str, Pool]


def load(name: str, data: Path) -> Source:
    """The attributed texts of one source, from the temporary folder where they were made before."""
    path = data / "behaviour" / f"{FILES[name]}.jsonl.gz"
    known = digest([VERSION, str(POOL), str(path.stat().st_size), Path(__file__).read_text(encoding="utf-8")])
    kept = Path(tempfile.gettempdir()) / "twohands-bench-shift" / f"{name}-{known[:16]}.npz"
    if not kept.exists():
        _attributed(name, path, kept)
    with np.load(kept, allow_pickle=False) as found:
        topics = tuple(found["topics"].tolist())
        pools = {kind: Pool(*(found[f"{kind} {part}"] for part in Pool.__annotations__)) for kind in TYPES}
        length = tuple(found["length"][found["length_topic"] == place] for place in range(len(topics)))
    return Source(topics, length, pools)


def _attributed(name: str, path: Path, kept: Path) -> None:
    texts = list(_TEXTS[name](path))
    topics = sorted({text.topic for text in texts})
    found: dict[str, np.ndarray] = {
        "topics": np.array(topics),
        "length": np.array([len(text.old) for text in texts]),
        "length_topic": np.array([topics.index(text.topic) for text in texts]),
    }
    for kind, table in _verdicts(name, texts).items():
        table["topic"] = np.array([topics.index(topic) for topic in table["topic"]])
        found |= {f"{kind} {part}": np.array(table[part]) for part in Pool.__annotations__}
    kept.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".npz", delete=False) as file:
        np.savez(file, **found)  # type: ignore[arg-type]
    Path(file.name).replace(kept)


def _verdicts(name: str, texts: list[Text]) -> dict[str, dict]:
    from orchestration.engines.corpus_history import LakeHistory
    from orchestration.engines.lake import FolderLake

    log, cases = Log(), []
    usual: dict[str, list[str]] = {}
    for text in texts:
        for value, kind in text.values.items():
            usual.setdefault(kind, []).append(value)
    for text in texts:
        if CONTENT in text.pools:
            case = _stale(text, usual, log)
            cases += [(CONTENT, text, case)] if case else []
        else:
            log.add(f"{name}/{text.key}", [text.document])
            shown = Shown(f"{name}/{text.key}", sha256_text(text.document), text.document)
            case = Case(text.prompt, text.old, text.new, (shown,))
            cases += [(kind, text, case) for kind in text.pools]
    tables: dict[str, dict] = {kind: {part: [] for part in Pool.__annotations__} for kind in TYPES}
    with tempfile.TemporaryDirectory() as folder:
        lake = FolderLake(Path(folder))
        log.write(lake)
        corpus = LakeHistory(lake).as_of(NOW)
        for kind, text, case in cases:
            verdict, table = attribute(case, corpus), tables[kind]
            table["topic"].append(text.topic)
            table["knowledge"].append(verdict.verdict == "knowledge")
            table["behavior"].append(verdict.verdict == "behavior")
            table["edit"].append(verdict.edit)
            table["refusal"].append(verdict.produced_refusal != verdict.corrected_refusal)
            table["format"].append(verdict.produced_format != verdict.corrected_format)
    return tables


def _stale(text: Text, usual: dict[str, list[str]], log: Log) -> Case | None:
    """The answer from a document that has changed since, or whose newer state nobody wrote down yet.

    One value of the text, or two, are replaced by what other texts have in that place.
    """
    old, document, left = text.old, text.document, 1 + number(text.key + " values", 2)
    for value, kind in text.values.items():
        others = [other for other in usual[kind] if other not in text.old and value not in other]
        if left and others and value not in text.request and value in old and value in document:
            wrong = others[number(text.key + value, len(others))]
            old, document, left = old.replace(value, wrong), document.replace(value, wrong), left - 1
    if old == text.old:
        return None
    doc_id = f"stale/{text.key}"
    log.add(doc_id, [document])
    if number(text.key + " written", 2):
        log.add(doc_id, [text.document], NOW - timedelta(days=1))
    return Case(text.request, old, text.old, (Shown(doc_id, sha256_text(document), document),))


def _pools(key: str) -> tuple[str, ...]:
    return (CONTENT,) if number(key + " pool", 5) < 2 else (MANNER, CHANGED)


def _values(*texts: str) -> dict[str, str]:
    """Numbers, and names within a sentence, that stand in all of the texts."""
    found = set.intersection(*(set(_NUMBER.findall(text)) | set(_NAME.findall(text)) for text in texts))
    return {value: f"number of {len(value)}" if value[0].isdigit() else "name" for value in sorted(found)}


def _some(path: Path) -> Iterator[dict]:
    """A fixed part of the rows, in their order."""
    every = list(rows(path))
    for row in every:
        if number(f"some {row['id']}", len(every)) < 2 * POOL:
            yield row


def _restaurants(path: Path) -> Iterator[Text]:
    for row in _some(path):
        facts = re.sub(r"(\w+)\[([^\]]*)\],?", r"\1: \2\n", row["mr"])
        ask = f"Describe {row['content'].get('name', 'the place')}."
        values = {value: key for key, value in row["content"].items() if key not in ("name", "familyFriendly")}
        topic = row["content"].get("food", "no food")
        old = json.dumps(row["content"], ensure_ascii=False)
        yield Text(row["id"], topic, ask, ask, old, row["output"], facts, values, _pools(row["id"]))


def _sentences(path: Path) -> Iterator[Text]:
    for row in _some(path):
        old, new = row["input"], row["output"]
        words = len(old.split())
        topic = "short" if words < 25 else "middle" if words < 32 else "long" if words < 40 else "very long"
        request = f"What does passage {row['id']} say?"
        yield Text(
            row["id"],
            topic,
            f"Write in short sentences: {old}",
            request,
            old,
            new,
            old,
            _values(old),
            _pools(row["id"]),
        )


def _maths(path: Path) -> Iterator[Text]:
    for row in _some(path):
        old, asked = row["output_plain"], row["input"]
        question = re.split(r"(?<=[.!?])\s+", asked.strip())[-1]
        topic = f"{min(old.count(chr(10)), 6)} steps"
        values = _values(asked, old)
        yield Text(
            row["id"], topic, asked, question, old, row["output_socratic"], f"{asked}\n{old}", values, _pools(row["id"])
        )


def _queries(path: Path) -> Iterator[Text]:
    every = list(_some(path))
    for row in every:
        named = row["sql_named"]
        for name, value in row["variables"].items():
            named = re.sub(rf"\b{name}\b", lambda _, value=value: str(value), named)
        fields = sorted(set(re.findall(r"(?:TABLEalias\d\.)(\S+?)_FIELD", named)))
        values = {str(value): "value" for value in row["variables"].values() if len(str(value)) > 2}
        request = row["question"]
        for value in values:
            request = re.sub(re.escape(value), "the usual one", request, flags=re.IGNORECASE)
        columns = ", ".join(name.replace("_", " ").title() for name in fields)
        document = f"Table {row['table_id']}\n\nColumns: {columns}\nUsual values: {', '.join(values)}"
        first = row["question"].split()[0].lower()
        topic = first if first in ("what", "how", "who", "which", "when", "name") else "other"
        yield Text(
            row["id"], topic, row["question"], request, row["sql_numbered"], named, document, values, _pools(row["id"])
        )


def _dialogues(path: Path) -> Iterator[Text]:
    for row in _some(path):
        told = [f"{act['slot'].replace('_', ' ')}: {', '.join(act['values'])}" for act in row["acts"] if act["values"]]
        slots = [f"{k.replace('_', ' ')}: {v}" for state in row["state"] for k, v in state["slots"].items()]
        document = "\n".join([", ".join(row["services"]), *told, *slots])
        prompt = f"{row['prev_system'] or ''}\n{row['user']}".strip()
        values = {value: act["slot"] for act in row["acts"] for value in act["values"] if len(value) > 2}
        topic = row["domains"][0] if row["domains"] else "none"
        old = json.dumps(row["acts"], ensure_ascii=False)
        yield Text(row["id"], topic, prompt, prompt, old, row["response"], document, values, _pools(row["id"]))


def _translations(path: Path) -> Iterator[Text]:
    for row in _some(path):
        key, old, new = row["id"], row["draft"], row["edited"]
        pools = _pools(key)
        if CONTENT not in pools:
            rate = row["hter"]
            pools = (MANNER,) if 0 < rate < LIGHT else (CHANGED,) if HEAVY <= rate <= 0.8 else ()
        if pools and old != new:
            document = f"{row['source']}\n{new}"
            prompt, request = f"Translate into English: {row['source']}", f"What does segment {key} say?"
            yield Text(key, row["lang"], prompt, request, old, new, document, _values(old, new), pools)


_TEXTS: dict[str, Callable[[Path], Iterator[Text]]] = {
    "restaurants": _restaurants,
    "sentences": _sentences,
    "maths": _maths,
    "queries": _queries,
    "dialogues": _dialogues,
    "translations": _translations,
}
