"""Cases where people changed the form and kept the content; what is shown holds the content, or nothing is shown where
the request brings it along."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from benchmarks.attribution.corpora import number, pick, rows

if TYPE_CHECKING:
    from benchmarks.attribution.cases import Maker

_STEP = re.compile(r"<<[^>]*>>")


def _data(make: Maker, name: str) -> Any:
    return rows(make.data / "behaviour" / f"{name}.jsonl.gz")


def mathematics(make: Maker) -> None:
    """Worked steps, Socratic steps, or the bare result."""
    for row in _data(make, "gsm8k-two-forms-shared"):
        key = row["id"]
        shown = [make.shown(f"maths/{key}", f"{row['input']}\n{row['output_plain']}")] if number(key, 2) else []
        texts = (row["input"], row["output_plain"], row["output_socratic"])
        make.add(key, "maths forms", ("behavior", "style"), texts, shown)
    for row in _data(make, "gsm8k-train"):
        key = row["id"]
        steps, _, result = _STEP.sub("", row["output"]).rpartition("\n#### ")
        short = (steps, result) if number(key, 2) else (f"The answer is {result}.", row["output"])
        if pick(key, 0.15):
            make.add(key, "maths steps", ("behavior", "style"), (row["input"], *short))


def translations(make: Maker) -> None:
    """A machine's draft and its post-edit."""
    for row in _data(make, "mlqe-pe-shared"):
        key = row["id"]
        if not pick(key, 0.05) or row["hter"] > 0.8:
            continue
        prompt = f"Translate into English: {row['source']}"
        shown = [make.shown(f"memory/{key}", f"{row['source']}\n{row['edited']}")] if number(key, 3) == 0 else []
        make.add(key, "translations", ("behavior", "style"), (prompt, row["draft"], row["edited"]), shown)


def queries(make: Maker) -> None:
    """SQL by numbered columns, rewritten with their names; the table's columns are shown."""
    chosen, fields = [], defaultdict(set)
    for row in _data(make, "wikisql-sample"):
        fields[row["table_id"]].update(re.findall(r"(?:TABLEalias\d\.)(\S+?)_FIELD", row["sql_named"]))
        if pick(row["id"], 0.05):
            chosen.append(row)
    for row in chosen:
        named = row["sql_named"]
        for name, value in row["variables"].items():
            named = re.sub(rf"\b{name}\b", lambda _, value=value: str(value), named)
        columns = ", ".join(sorted(name.replace("_", " ").title() for name in fields[row["table_id"]]))
        shown = [make.shown(f"tables/{row['table_id']}", f"Table {row['table_id']}\n\nColumns: {columns}")]
        make.add(row["id"], "queries", ("behavior", "style"), (row["question"], row["sql_numbered"], named), shown)


def dialogues(make: Maker) -> None:
    """A system's acts as JSON, and as it said them."""
    for row in _data(make, "sgd-train-sample"):
        key = row["id"]
        if not pick(key, 0.06):
            continue
        acts = json.dumps(row["acts"], ensure_ascii=False)
        told = [f"{act['slot'].replace('_', ' ')}: {', '.join(act['values'])}" for act in row["acts"] if act["values"]]
        slots = [f"{k.replace('_', ' ')}: {v}" for state in row["state"] for k, v in state["slots"].items()]
        shown = [make.shown(f"dialogues/{key}", "\n".join([", ".join(row["services"]), *told, *slots]))]
        prompt = f"{row['prev_system'] or ''}\n{row['user']}".strip()
        pair = (acts, row["response"]) if number(key, 3) else (row["response"], acts)
        make.add(key, "dialogues", ("behavior", "format"), (prompt, *pair), shown)


def restaurants(make: Maker) -> None:
    """Facts as JSON or a sentence; or one sentence and another person's for the same facts."""
    before: dict[str, str] = {}
    for row in _data(make, "e2e-nlg-devset"):
        key, mr, output = row["id"], row["mr"], row["output"]
        if pick(key, 0.25):
            text = re.sub(r"(\w+)\[([^\]]*)\],?", r"\1: \2\n", mr)
            shown = [make.shown(f"restaurants/{key}", text)]
            prompt = f"Describe {row['content'].get('name', 'the place')}."
            encoded = json.dumps(row["content"], ensure_ascii=False)
            way = number(key, 3)
            if way == 2 and mr in before:
                make.add(key, "restaurants", ("behavior", "style"), (prompt, before[mr], output), shown)
            elif way < 2:
                pair = (encoded, output) if way else (output, encoded)
                make.add(key, "restaurants", ("behavior", "format"), (prompt, *pair), shown)
        before[mr] = output


def splits(make: Maker) -> None:
    """One long sentence, rewritten as two."""
    for row in _data(make, "wikisplit-shared"):
        key = row["id"]
        if pick(key, 0.06):
            shown = [make.shown(f"articles/{key}", row["input"])] if number(key, 2) else []
            prompt = f"Write in short sentences: {row['input']}"
            make.add(key, "sentence splits", ("behavior", "style"), (prompt, row["input"], row["output"]), shown)


def revisions(make: Maker) -> None:
    """Edits of scientific prose for clarity, fluency, coherence or style, accepted by an annotator.

    All are in the reported half or the other by their hash, as any case; no rule was looked at with them.
    """
    for row in _data(make, "iterater-r3-edit-decisions"):
        kept = row["decision"] == "Accept" and row["intent"] in ("clarity", "fluency", "coherence", "style")
        if kept and len(row["before"].split()) >= 3 and row["after"]:
            texts = (f"Improve this text: {row['before']}", row["before"], row["after"])
            make.add(row["id"], "revisions", ("behavior", "style"), texts)
