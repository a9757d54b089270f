"""Text that a chat template or tokenizer would read as its own marks, broken up: what documents or people write ends no
turn and starts none. Pure.

A base in this process tells its control tokens (`pattern`). A server tells none, so that those which models of today
have are broken (`KNOWN`): <|...|> (ChatML, Llama 3, Phi; also with DeepSeek's wide bars), [INST] and its like
(Mistral), <<SYS>> (Llama 2), <s>, <start_of_turn> (Gemma).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Each matches the first character of a mark alone, so that one that stands within another is found as well.
KNOWN = re.compile(
    r"(?=<[|｜][^\s<>|｜]{1,80}[|｜]>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\]"
    r"|<</?SYS>>"
    r"|</?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn)>)[<\[]"
)


def pattern(marks: Iterable[str]) -> re.Pattern[str]:
    """What finds the control tokens of one tokenizer; marks of one character are left alone."""
    long = sorted({mark for mark in marks if len(mark) > 1})
    return re.compile(f"(?={'|'.join(map(re.escape, long)) or '(?!)'}).", re.DOTALL)


def broken(text: str, marks: re.Pattern[str] = KNOWN) -> str:
    """A text with a space after the first character of each of those marks: <|im_end|> becomes < |im_end|>."""
    return marks.sub(r"\g<0> ", text)
