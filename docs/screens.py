#!/usr/bin/env python3
"""Puts the dumps that `make screens` prints in the place of the older ones: `make screens | python3 docs/screens.py`.

A dump called Layers replaces the first block of text after the heading "## Layers" of docs/screens.md, and the one after
"**Layers**" of README.md where there is one; Editor is the second block of Layers.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PART_OF = {"Editor": ("Layers", 1)}  # the heading, and which of its blocks


def dumps(text):
    parts = re.split(r"^---- (.+)$", text, flags=re.M)
    return {name: body.strip("\n") for name, body in zip(parts[1::2], parts[2::2])}


def replace(text, heading, number, dump):
    at = re.search(heading, text, flags=re.M)
    if not at:
        return text, False
    end = re.search(r"^(## |\*\*[A-Z])", text[at.end():], flags=re.M)
    end = at.end() + end.start() if end else len(text)
    blocks = list(re.finditer(r"^```\n.*?^```$", text[at.end():end], flags=re.M | re.S))
    if len(blocks) <= number:
        return text, False
    begin, stop = (at.end() + x for x in blocks[number].span())
    return text[:begin] + "```\n" + dump + "\n```" + text[stop:], True


def main():
    found = dumps(sys.stdin.read())
    for path, heading in (("docs/screens.md", r"^## {}$"), ("README.md", r"^\*\*{}\*\*")):
        text = (ROOT / path).read_text()
        for name, dump in found.items():
            title, number = PART_OF.get(name, (name, 0))
            text, done = replace(text, heading.format(re.escape(title)), number, dump)
            if not done and path.startswith("docs"):
                sys.exit(f"{path}: no place for {name}")
        (ROOT / path).write_text(text)


main()
