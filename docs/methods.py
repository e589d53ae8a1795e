#!/usr/bin/env python3
"""Prints docs/methods.md: method x bits x granularity on the built-in model and on stories260K.

    python3 docs/methods.py build/qtop [MODEL TOKENIZER TEXT] > docs/methods.md
    python3 docs/methods.py build/qtop --textbook [MODEL TEXT]     only the first table, of any model

MODEL of docs/methods.md is stories260K.bin of llama2.c, TOKENIZER its tok512.bin and TEXT what it is evaluated on;
without them the last table is left out.
Every figure comes from qtop eval and inspect with --json; methods calibrate on 8192 tokens that the model writes.
"""
import json
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent

SCHEMES = [
    "stored",
    "int8", "int8/int8", "int8/int8:smoothquant", "int8/int8:gptq", "int8/int8.static", "int8/int8.static.kl",
    "fp8e4m3", "fp8e4m3/fp8e4m3", "fp8e4m3/fp8e4m3.static:tensor", "fp8e5m2/fp8e5m2",
    "int4:channel", "int4:channel:clip", "int4:channel:awq", "int4:channel:gptq", "int4:channel:clip+gptq",
    "int4", "int4:clip", "int4:awq(clip=0)", "int4:awq", "int4:gptq", "int4:awq+gptq",
    "int4:g32:asym", "int4:g32:asym:awq", "int4:g32:asym:gptq", "int4:g32:asym:awq+gptq",
]
OUTLIERS = ["int8/int8", "int8/int8:smoothquant", "int8/int8:smoothquant(alpha=search)", "int8/int8:llmint8",
            "int8/int8.static", "int8/int8.static:smoothquant", "fp8e4m3/fp8e4m3", "int4", "int4:awq",
            "int4:gptq", "int4:awq+gptq"]

# What a textbook says of large models: the increase of perplexity over fp16, at least and at most.
TEXTBOOK = [
    ("INT8, PTQ", 0, 0.1, "int8"), ("INT8, PTQ, activations too", 0, 0.1, "int8/int8"),
    ("INT8, QAT", 0, 0.05, "int8:qat"), ("INT4, rounded to nearest", None, None, "int4"),
    ("INT4, GPTQ", 0.1, 0.5, "int4:gptq"), ("INT4, AWQ", 0.05, 0.2, "int4:awq"), ("INT4, QAT", None, None, "int4:qat"),
]


def run(program, *words):
    done = subprocess.run([program, *words], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(program, model, text, scheme):
    words = ["--json", "-s", scheme, *model]
    quality = run(program, "eval", "--text", text, *words)[0]
    layers = run(program, "inspect", *words)
    linear = [l for l in layers if l["name"].startswith("blk.") and l["rows"] > 1]
    bits = 8 * sum(l["bytes"] for l in linear) / sum(l["rows"] * l["cols"] for l in linear)
    size = sum(l["bytes"] for l in layers)
    more = 100 * (quality["perplexity"] / quality["perplexity_reference"] - 1)
    return (f"| `{scheme}` | {bits:.2f} | {size / 1e6:.2f} | {quality['kl_divergence']:.5f} "
            f"± {quality['kl_stderr']:.5f} | {quality['perplexity']:.6g} | {more:+.4g} % |")


def verdict(increase, least, most):
    if most is None:
        return "none"
    place = "below" if increase < least else "above" if increase > most else "inside"
    return (f"< {most:g}" if least == 0 else f"{least:g} to {most:g}") + f": {place}"


def textbook(program, title, model, text):
    """The textbook's table, as it is here."""
    def quality(scheme):
        return run(program, "eval", "--text", text, "--json", "-s", scheme, *model)[0]
    before = quality("fp16")["perplexity"]
    print(f"\n## {title}\n\nPerplexity in fp16: {before:.5f}. The bands are what a textbook gives for large language "
          "models.\n")
    print("| method | scheme | increase over fp16 | in per cent | the textbook's band | KL divergence |")
    print("|---|---|---|---|---|---|")
    for name, least, most, scheme in TEXTBOOK:
        q = quality(scheme)
        more = q["perplexity"] - before
        print(f"| {name} | `{scheme}` | {more:+.5f} | {100 * more / before:+.3f} % | {verdict(more, least, most)} "
              f"| {q['kl_divergence']:.5f} ± {q['kl_stderr']:.5f} |", flush=True)


def table(program, title, model, text, schemes):
    print(f"\n## {title}\n")
    print("| scheme | bits/weight | size, MB | KL divergence | perplexity | against stored |")
    print("|---|---|---|---|---|---|")
    for scheme in schemes:
        print(row(program, model, text, scheme), flush=True)


def main():
    program = str(Path(sys.argv[1]).resolve())
    builtin = [str(TOP / "data/stories.bin")]
    held_out = str(TOP / "data/stories-heldout.txt")
    if sys.argv[2:3] == ["--textbook"]:
        model, text = sys.argv[3:5] if len(sys.argv) == 5 else (builtin[0], held_out)
        textbook(program, f"The textbook's table: {Path(model).name}", [model], text)
        return
    print("# Methods compared\n\nMade by `docs/methods.py`; schemes are written as on the command line, and the man page "
          "defines the numbers.")
    textbook(program, "The textbook's table, of the built-in model", builtin, held_out)
    table(program, "The built-in model, held-out stories", builtin, held_out, SCHEMES)
    table(program, "The same with outliers: `--inject-outliers 6:200`", ["--inject-outliers", "6:200", *builtin],
          held_out, OUTLIERS)
    if len(sys.argv) == 5:
        model, tokenizer, text = sys.argv[2:]
        table(program, Path(model).stem, ["-z", tokenizer, model], text, SCHEMES)


main()
