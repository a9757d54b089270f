"""BPE with byte fallback and isolated digits, and the chat template with its generation marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<|pad|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
PAD, STOP = SPECIAL[0], SPECIAL[2]
# a leading space is glued to lower-case words and punctuation only, so that a capitalized word is the same tokens
# after a space and at the start of a line, where a copied statement stands
_WORDS = r" ?\p{Ll}+|\p{Lu}\p{Ll}*|\p{L}|\p{N}| ?[^\s\p{L}\p{N}]|\n+|\s"
# Jinja swallows the newline after {% endgeneration %}: it is written as an expression
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role']=='assistant' %}{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=STOP,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def printable(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The texts of single tokens that are printable: what noise draws from."""
    single = [str(tokenizer.decode([i])) for i in range(len(SPECIAL), len(tokenizer))]
    return [s for s in single if s.isprintable() and s.strip() and "\ufffd" not in s]


PROMPT, ANSWER = 1, 2  # kinds of token; 0 is the template's own


class Encoded:
    """Messages -> token ids and kinds, equal to what the chat template renders."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = tokenizer.backend_tokenizer.encode
        self.stop = tokenizer.convert_tokens_to_ids(STOP)
        start = tokenizer.convert_tokens_to_ids(SPECIAL[1])
        self.newline = self.ids("\n")
        self.heads = {role: [start, *self.ids(role), *self.newline] for role in ("system", "user", "assistant")}

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        return self._encode(text, add_special_tokens=False).ids

    def __call__(self, messages: Sequence[dict[str, str]]) -> tuple[list[int], list[int]]:
        """Token ids of a whole chat, and their kinds."""
        ids: list[int] = []
        kinds: list[int] = []
        for message in messages:
            text, head = self.ids(message["content"]), self.heads[message["role"]]
            kind = ANSWER if message["role"] == "assistant" else PROMPT
            ids += [*head, *text, self.stop, *self.newline]
            kinds += [0] * len(head) + [kind] * len(text) + [ANSWER if kind == ANSWER else 0] + [0] * len(self.newline)
        return ids, kinds
