#!/usr/bin/env python3
"""Prints the entries of the grids of kernels/grids.c, sixteen a row, from the tables of the gguf package.

    python3 -m venv venv && venv/bin/pip install numpy gguf && venv/bin/python grids.py

An entry is a number whose digits to base 4 (grids of 8 codes, printed in base 16) or to base 8 (of 4) are the places of
its codes among the values of the grid, the first code's lowest.
"""
import numpy as np
from gguf import quants

GRIDS = ["IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_S"]


def main():
    for name in GRIDS:
        kind = getattr(quants, name)
        kind.init_grid()
        count, length = kind.grid_shape
        places = np.searchsorted(kind.grid_map, kind.grid.reshape(count, length))
        base, form = (4, "04x") if length == 8 else (8, "04o")
        entries = (places * base ** np.arange(length)).sum(axis=1)
        print(f"/* {name}: {count} */")
        for row in entries.reshape(-1, 16):
            print("    R(" + ", ".join(format(n, form) for n in row) + "),")


if __name__ == "__main__":
    main()
