"""Passages and a question -> evidence statements -> prompt: the one template of datasets, evaluation and serving."""

from assets.prompting.evidence import Embed, Evidence, Passage, VectorCache, evidence, passage, support
from assets.prompting.sentences import sentences, statements
from assets.prompting.templates import CITATION, REFUSAL, TEMPLATES, Template, plain_answer

__all__ = [
    "CITATION",
    "REFUSAL",
    "TEMPLATES",
    "Embed",
    "Evidence",
    "Passage",
    "Template",
    "VectorCache",
    "evidence",
    "passage",
    "plain_answer",
    "sentences",
    "statements",
    "support",
]
