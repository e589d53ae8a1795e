#!/usr/bin/env python3
"""Writes tests/data/tokenizer_vectors.json: what Hugging Face's tokenizers and Google's sentencepiece make of a
few texts. tests/tokenizer_test.c holds qtop against it.

    pip install tokenizers sentencepiece
    python3 tests/tokenizer_vectors.py >tests/data/tokenizer_vectors.json

It holds, for each pre-tokenizer that GGUF files name, the byte lengths of the words that the steps of the
models' own tokenizer.json make; and small tokenizers, trained here, with the ids that they give.
"""
import base64
import io
import json
import os
import sys

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))

TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "\r\n\n \t\n",
    "Hello, world! It's what we'll say; they'Ve said I'D.",
    "  two  spaces   three\t\ttabs \n\n\n  end  ",
    "numbers 1 12 123 1234 12345 1,234.56 x2y 2024-09-11 \u0663\u0664\u0665\u0666 \u00bd\u2167 1 23",
    "\u00c9t\u00e9 na\u00efve \u017fo 'St 'ſ 'RE \u00df \u0130stanbul cafe\u0301 A\u0301BC camelCaseWord HTTPServer ABC \u01c5x",
    "\u4e2d\u6587\u5b57\u7b26\uff0c\u4f60\u597d\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f\u30ab\u30bf\u30ab\u30ca \ud55c\uad6d\uc5b4 \u4e2dx\u65871\u53e4",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0634\u0643\u0631\u0627\u060c \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "emoji \U0001f600\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f +=<>^~|`$ ~~~ #include <a.h>//x/\n/y",
    "if (a[i] != b) { return -1; }\n\treturn f(x, \"s\\n\");\r\n",
    "a\u00a0b\u2003c\u3000d\u180ee\u0085f\u2028g\x0bh\x00i\x7f",
    "\u2581marked \u2581\u2581 spaces_and__under",
    "IMGIMGABZ <sentinel:3> <0x41> end",
    "The cat sat on the mat and the other cats sat there.",
]

ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN2 = ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+%s" + r"|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*%s"
O200K = CASED % (ENGLISH + "?", ENGLISH + "?") + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
TEKKEN = CASED % ("", "") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
HAN = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*" + TAIL)
CASED_LETTERS = r"\p{Lu}\p{Ll}\p{Lt}"  # the file lists them by ranges
CJK_DEEPSEEK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


def digits():
    return pre_tokenizers.Digits(individual_digits=True)


# By the first of the names in src/tokenizer/pretokenizers.c; the steps are those of a model's tokenizer.json.
NAMED = {
    "gpt-2": [split(GPT2)],
    "llama-bpe": [split(LLAMA3)],
    "dbrx": [split(LLAMA3)],
    "qwen2": [split(QWEN2)],
    "qwen35": [split(ENGLISH + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + TAIL)],
    "gpt-4o": [split(O200K)],
    "tekken": [split(TEKKEN)],
    "starcoder": [digits(), split(GPT2)],
    "falcon": [pre_tokenizers.Split(Regex(r"[\p{P}$+<=>^~|`]+"), "isolated"), split(GPT2), split("[0-9][0-9][0-9]")],
    "default": [split(r"[\p{P}$+<=>^~|]+"), split(GPT2), split(r"\p{N}+"), split("[0-9][0-9][0-9]")],
    "deepseek-coder": [split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK_DEEPSEEK), digits()],
    "deepseek-llm": [split(r"[\r\n]"), split(r"\s?[" + CASED_LETTERS + "]+"),
                     split(r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"),
                     split(CJK_DEEPSEEK), split(r"\p{N}+")],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split(HAN), split(DEEPSEEK3)],
    "bloom": [split(BLOOM)],
    "viking": [split(BLOOM), digits()],
    "bailingmoe": [split(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
                         r"\s+(?!\S)|\s+")],
    "seed-coder": [split(ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + TAIL)],
    "exaone-moe": [split(ENGLISH + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
                         r"|\s*[\r\n]|\s+(?!\S)|\s+")],
    "superbpe": [split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))")],
    "minicpm5": [split(r"\p{N}{1,3}"),
                 split(ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL)],
    "laguna": [split(r"[^\n]+|[\n]+"), split(QWEN2)],
}


def words_of(steps):
    """The byte lengths of the words of each text."""
    sequence = pre_tokenizers.Sequence(steps)
    return [[len(word.encode()) for word, _ in sequence.pre_tokenize_str(text)] for text in TEXTS]


def corpus():
    with open(os.path.join(HERE, "..", "data", "stories-heldout.txt"), encoding="utf-8") as f:
        return f.read(20000).splitlines(keepends=True) + 3 * TEXTS


def ids_of(tokenizer, texts):
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def entry(name, tokenizer):
    return {"name": name, "file": json.loads(tokenizer.to_str()), "ids": ids_of(tokenizer, TEXTS)}


def byte_level(name, expression, **options):
    """Byte-level BPE as the models that use this expression have it."""
    t = Tokenizer(models.BPE(ignore_merges=options.get("ignore_merges", False)))
    prefix = options.get("prefix", False)
    if expression:
        t.pre_tokenizer = pre_tokenizers.Sequence([split(expression), pre_tokenizers.ByteLevel(False, use_regex=False)])
    else:
        t.pre_tokenizer = pre_tokenizers.ByteLevel(prefix)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=256 + options["merges"], show_progress=False,
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens(["<|begin|>", "<|endoftext|>"])
    if options.get("added"):
        t.add_tokens([AddedToken("<0x41>", normalized=False), AddedToken("cat", normalized=False),
                      AddedToken("cats sat", normalized=False)])
    if options.get("bos"):
        t.post_processor = processors.TemplateProcessing(single="<|begin|> $A",
                                                         special_tokens=[("<|begin|>", t.token_to_id("<|begin|>"))])
    return entry(name, t)


def character_level(name, split_words):
    """BPE over characters with bytes to fall back on, as Llama 2 and Mistral have it."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.train_from_iterator([text for text in corpus() if text.isascii()],
                          trainers.BpeTrainer(vocab_size=140, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"],
                                              max_token_length=12))
    file = json.loads(t.to_str())
    vocab = file["model"]["vocab"]
    for byte in range(256):
        vocab["<0x%02X>" % byte] = len(vocab)
    file["model"].update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    if split_words:
        file["normalizer"] = None
        file["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    return entry(name, Tokenizer.from_str(json.dumps(file)))


def sentencepiece_model(name, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line.strip() for line in corpus() if line.isascii() and line.strip()), model_writer=out, model_type="bpe",
        normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=1.0,
        minloglevel=2, user_defined_symbols=["cat", "mat"], **options)
    p = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    return {"name": name, "model": base64.b64encode(out.getvalue()).decode(), "ids": [p.encode(text) for text in TEXTS]}


def main():
    vectors = {
        "texts": TEXTS,
        "words": {name: words_of(steps) for name, steps in NAMED.items()},
        "tokenizers": [
            byte_level("gpt-2", None, merges=30, prefix=True),
            byte_level("llama-3", LLAMA3, merges=70, ignore_merges=True, bos=True, added=True),
            byte_level("qwen2", QWEN2, merges=30),
            character_level("llama-2", False),
            character_level("metaspace", True),
        ],
        "sentencepiece": [
            sentencepiece_model("byte fallback", vocab_size=400, byte_fallback=True),
            sentencepiece_model("unknown", vocab_size=160, byte_fallback=False, add_dummy_prefix=False),
        ],
    }
    json.dump(vectors, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()


main()
