"""The table of rows that a layer in use has settled says the same twice, and what is known of some layers."""

from book.api import layers_table

ROWS = ("first", "1, 2", "3", "6, 7", "8, 10")


def settled():
    _, _, *lines = (line.strip("|").split("|") for line in layers_table("settled"))
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}


def test_what_is_left_are_the_rows_without_a_yes():
    for name, (*cells, left) in settled().items():
        blank = [row for row, cell in zip(ROWS, cells, strict=True) if not cell or cell.startswith("no")]
        assert left == (", ".join(blank) or "none"), name


def test_layers_of_which_it_is_known():
    left = {name: cells[-1] for name, cells in settled().items()}
    assert left["Linear attention"] == ", ".join(ROWS)
    assert left["Mamba-2"] == "8, 10" and left["DeltaNet"] == "1, 2, 6, 7"
    assert {name for name, rows in left.items() if rows == "none"} == {"Gated DeltaNet", "KDA"}
    assert left["RWKV-5"] == "1, 2, 3, 8, 10" and left["S4D"] == ", ".join(ROWS).replace(", 6, 7", "")


def test_a_gate_that_stays_above_a_number_is_not_shut_at_a_mark():
    """RWKV-7's is above exp(-exp(-1/2)) at any token; a floor that is learned may come down."""
    cells = {name: row[1] for name, row in settled().items()}
    assert cells["RWKV-7"].startswith("not shut") and settled()["RWKV-7"][-1] == "1, 2"
    assert cells["HGRN-2"] == "if its floor is low" and "1, 2" not in settled()["HGRN-2"][-1]
    assert cells["GLA"] == cells["Mamba-2"] == cells["KDA"] == "yes"
