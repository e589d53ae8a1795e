#!/usr/bin/env python3
"""Prints the tables of docs/types.md: what each type of blocks, and each named mix of them, makes of a model.

    python3 docs/types.py build/qtop MODEL.gguf [--llama DIR] [--types q4_k,q5_k_m,...] [--methods imatrix,gptq]
                          [--tune MB,MB,...] [--text FILE ...] [--tokens N] [--threads N]

MODEL holds float weights. DIR has llama-quantize and llama-imatrix; without it the columns of llama.cpp are left out.
Both sides are given the same text to calibrate on: the built-in mixed one. Each file is evaluated with MODEL as the
reference, in windows of 256 tokens, on texts of several kinds, of which none is that text.
A type stands for the matrices within blocks, embeddings and head as in MODEL; a mix for the whole file. With --tune
`qtop tune` searches a mix for each size, which is compared with the best of llama.cpp's at most as large.
"""
import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CALIBRATION = TOP / "data" / "mixed-calibration.txt"
TYPES = ["q8_0", "q6_k", "q5_k", "q4_k", "iq4_xs", "iq4_nl", "q4_1", "q4_0", "q3_k", "q2_k"]
MIXES = {"q2_k_s", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m"}
# What llama-quantize makes of a whole file, to compare with what is tuned.
RIVALS = ["q2_k", "iq3_xxs", "iq3_s", "q3_k_m", "iq4_xs", "q4_0", "q4_k_s", "q4_k_m", "q5_k_m", "q6_k", "q8_0"]

# Where Debian has texts of other kinds than prose: a licence, a reference, a header, a program.
TEXTS = [
    ("licence", "/usr/share/common-licenses/GPL-3", 0),
    ("reference", "/usr/share/perl/5.36/pod/perldiag.pod", 1300),
    ("header", "/usr/include/stdlib.h", 2000),
    ("program", "/usr/lib/python3.11/argparse.py", 4000),
    ("mixed", TOP / "data" / "mixed-quality.txt", 0),
]
BYTES = 9000 # of each text


def texts_of(folder, given):
    """Files with the beginnings of the texts, by what to call them."""
    found = {}
    for name, path, skip in [(Path(p).stem, p, 0) for p in given] or TEXTS:
        if not Path(path).exists():
            print(f"types.py: {path} is not there: left out", file=sys.stderr)
            continue
        found[name] = Path(folder) / f"{name}.txt"
        found[name].write_bytes(Path(path).read_bytes()[skip:skip + BYTES])
    return found


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(*words):
    """Seconds of processor that a command took: what else the machine does matters little."""
    begin = processor_seconds()
    done = subprocess.run([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"types.py: {words[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return processor_seconds() - begin


def divergences(a, path, texts):
    """KL divergence of a file from the model on each text."""
    out = []
    for text in texts.values():
        done = subprocess.run([a.qtop, "eval", path, "--reference", a.model, "--text", text, "-n", str(a.tokens), "-w",
                               "256", "-t", str(a.threads), "--json"], capture_output=True, text=True, check=True)
        out.append(json.loads(done.stdout.splitlines()[0])["kl_divergence"])
    return out


def theirs(a, name, folder, imatrix, texts, whole):
    path = Path(folder) / "theirs.gguf"
    keep = [] if whole else ["--pure", "--token-embedding-type", "f16", "--output-tensor-type", "f16"]
    seconds = timed(a.llama / "llama-quantize", "--imatrix", imatrix, *keep, a.model, path, name.upper(), a.threads)
    found = divergences(a, path, texts), seconds, path.stat().st_size
    path.unlink()
    return found


def ours(a, schemes, folder, texts):
    path = Path(folder) / "ours.gguf"
    seconds = timed(a.qtop, "export", a.model, *schemes, "--calibration", CALIBRATION, "-o", path, "-t", a.threads)
    found = divergences(a, path, texts), seconds, path.stat().st_size
    path.unlink()
    return found


def tuned(a, megabytes, folder, texts):
    """A file of the recipe that was found, and the seconds of the search."""
    recipe = Path(folder) / "recipe.json"
    seconds = timed(a.qtop, "tune", a.model, "--max-size", f"{megabytes}M", "--for", "gguf", "--calibration",
                    CALIBRATION, "-o", recipe, "-t", a.threads)
    kl, _, size = ours(a, ["-r", recipe], folder, texts)
    return kl, seconds, size


def mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values))


def print_row(name, maker, found, peer):
    kl, seconds, size = found
    ratio = f"{mean(kl) / mean(peer[0]):.2f}" if peer else ""
    worst = f"{max(k / p for k, p in zip(kl, peer[0])):.2f}" if peer else ""
    figures = " | ".join(f"{k:.4f}" for k in kl)
    print(f"| {name} | {maker} | {size / 1e6:.1f} | {seconds:.0f} | {figures} | {mean(kl):.4f} | {ratio} | {worst} |",
          flush=True)


def print_head(texts):
    print("| type | made by | MB | processor s | " + " | ".join(texts) + " | geometric mean | ratio | worst text |")
    print("|---|---|---|---|" + "---|" * (len(texts) + 3))


def print_types(a, folder, imatrix, texts):
    print_head(texts)
    for name in a.types.split(","):
        peer = theirs(a, name, folder, imatrix, texts, name in MIXES) if a.llama else None
        if peer:
            print_row(name, "llama-quantize, imatrix", peer, None)
        for method in a.methods.split(","):
            print_row(name, f"qtop, {method}", ours(a, ["-s", f"{name}:{method}"], folder, texts), peer)


def print_tuned(a, folder, imatrix, texts):
    print_head(texts)
    rivals = {name: theirs(a, name, folder, imatrix, texts, True) for name in RIVALS} if a.llama else {}
    for name, found in rivals.items():
        print_row(name, "llama-quantize, imatrix", found, None)
    for megabytes in a.tune.split(","):
        within = [found for found in rivals.values() if found[2] <= float(megabytes) * 1e6]
        peer = min(within, key=lambda found: mean(found[0])) if within else None
        print_row("tuned", "qtop tune", tuned(a, megabytes, folder, texts), peer)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("qtop", type=os.path.abspath)
    parser.add_argument("model")
    parser.add_argument("--llama", type=Path)
    parser.add_argument("--types", default=",".join(TYPES + sorted(MIXES)))
    parser.add_argument("--methods", default="imatrix,gptq")
    parser.add_argument("--tune", default="")
    parser.add_argument("--text", nargs="*", default=[])
    parser.add_argument("--tokens", type=int, default=768)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts = texts_of(folder, a.text)
        imatrix = Path(folder) / "imatrix.gguf"
        if a.llama:
            timed(a.llama / "llama-imatrix", "-m", a.model, "-f", CALIBRATION, "-o", imatrix, "-t", a.threads, "-c",
                  "512")
        if a.types:
            print_types(a, folder, imatrix, texts)
        if a.tune:
            print_tuned(a, folder, imatrix, texts)


main()
