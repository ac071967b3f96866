"""Small files of an electrochemical probe, written by hand."""

CYCLE = [0.0, 0.1, 0.2, 0.1, 0.0]


def rows(potentials=CYCLE, ys=(0.0, 4.0, 8.0), xs=(0.0, 0.5)):
    """Lines whose current tells place and number: 1000 row + 100 column + number of the point."""
    return [
        (x, y, 2.0 + row, potential, 1000 * row + 100 * column + number)
        for row, y in enumerate(ys) for column, x in enumerate(xs) for number, potential in enumerate(potentials)
    ]  # fmt: skip


def written(folder, lines, header="x (um), y (um), z (nm), potential (V), current (pA)", parted=", ", end="\n"):
    path = folder / "hopping.txt"
    text = "\n".join(["# hopping scan", header, *(parted.join(map(str, line)) for line in lines)])
    path.write_text(text + end, encoding="utf-8")
    return path
