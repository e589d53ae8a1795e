#!/usr/bin/env python3
"""Writes tests/data/added_vectors.json: what Hugging Face's tokenizers make of texts with added tokens, for every
combination of their flags and several ways to normalize and to put a space in front. tests/tokenizer_test.c holds
qtop against it.

    pip install tokenizers
    python3 tests/added_vectors.py >tests/data/added_vectors.json
"""
import json
import sys

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

TEXTS = [
    "",
    "   <tool>   ",
    "a <tool> b",
    "<tool><tool>a",
    "  <tool>  <tool>\n",
    "cat a cat, catcat cat_1",
    "\u00a0cat\u3000a \u00e9cat",
    "to  tool   ab",
    "cafe\u0301 \ufb01 \u00e9 \u2460",
]
MARK = "\u2581"
PREPEND = {"type": "Prepend", "prepend": MARK}
MARKS = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
FLAGS = ["lstrip", "rstrip", "single_word", "normalized"]


def model(alphabet, merges, **options):
    vocab = {}
    for piece in alphabet + ["".join(m) for m in merges]:
        vocab.setdefault(piece, len(vocab))
    return {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": None, "fuse_unk": False,
            "byte_fallback": False, **options}


def characters():
    merges = [[MARK, "a"], ["a", "b"], ["t", "o"], ["o", "l"], ["to", "ol"], [MARK, "t"], [MARK, MARK],
              ["c", "a"], ["a", MARK]]
    return model(["<unk>"] + list(MARK + "abctolfie,1_\u00e9"), merges, unk_token="<unk>", fuse_unk=True)


def byte_level():
    merges = [["\u0120", "a"], ["a", "b"], ["t", "o"], ["o", "l"], ["to", "ol"], ["\u0120", "t"], ["\u0120", "\u0120"],
              ["c", "a"], ["\u00c3", "\u00a9"]]
    return model(sorted(ByteLevel.alphabet()), merges)


def metaspace(scheme, split=True):
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split}


def bytes_of(prefix, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


MODELS = {"characters": characters(), "bytes": byte_level()}
FRAMES = [  # model, normalizer, pre-tokenizer
    ("characters", {"type": "Sequence", "normalizers": [PREPEND, MARKS]}, None),
    ("characters", None, metaspace("first")),
    ("characters", {"type": "NFC"}, metaspace("always", False)),
    ("characters", MARKS, metaspace("never")),
    ("bytes", None, bytes_of(True)),
    ("bytes", {"type": "NFKC"}, bytes_of(False)),
]


# content, special, whether it takes the flags of the case
TOKENS = [("<tool>", False, True), ("cat", False, True), ("<t", True, False), ("  ", False, False)]


def added(bits, first):
    return [{"id": first + i, "content": text, "special": special,
             **{flag: takes and bool(bits >> k & 1) for k, flag in enumerate(FLAGS)}}
            for i, (text, special, takes) in enumerate(TOKENS)]


def ids_of(frame, bits):
    name, normalizer, pre = frame
    file = {"version": "1.0", "truncation": None, "padding": None, "normalizer": normalizer, "pre_tokenizer": pre,
            "post_processor": None, "decoder": None, "added_tokens": added(bits, len(MODELS[name]["vocab"])),
            "model": MODELS[name]}
    t = Tokenizer.from_str(json.dumps(file))
    t.encode_special_tokens = True  # a text that spells a special token is that text
    return [t.encode(text, add_special_tokens=False).ids for text in TEXTS]


def main():
    frames = [{"model": f[0], "normalizer": f[1], "pre_tokenizer": f[2],
               "ids": [ids_of(f, bits) for bits in range(1 << len(FLAGS))]} for f in FRAMES]  # by the bits of FLAGS
    json.dump({"texts": TEXTS, "flags": FLAGS, "tokens": TOKENS, "models": MODELS, "frames": frames}, sys.stdout,
              ensure_ascii=False, separators=(",", ":"))
    print()


main()
