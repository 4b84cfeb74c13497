"""Gates on text: strips and their boundaries, a model built by hand whose gates are known, and a run that goes on."""

import json
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from glalib.attention import gla
from glalib.cli import main
from glalib.reproduce import text_summary, train_text
from glalib.reproduce.characters import CharacterModel
from glalib.reproduce.crossing import AFTER, BINS, LOOK, REACH, contexts, influence, measures, share, strip_shown
from glalib.reproduce.messages import (
    ALPHABET,
    LENGTHS,
    MARKED,
    SPACE,
    Strips,
    Text,
    crossings,
    decode,
    encode,
    messages,
    plain,
)
from glalib.reproduce.text import begin_text, bits, fit_text

room = import_module("glalib.reproduce.text")
DATA = Path(__file__).parents[2] / "chapters" / "data" / "text.json"
LETTERS = {"first": "abcdefg", "second": "hijklmn", "third": "opqrstu"}  # languages without a letter in common
OPEN, CLOSED = 0.9, 0.25  # gates of the model built by hand, at the mark and elsewhere


def words_of(language, count, seed):
    """Made-up words of three to seven letters."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(LETTERS[language]), rng.integers(3, 8))) for _ in range(count)]


WORDS = {language: words_of(language, 400, seed) for seed, language in enumerate(LETTERS)}
STRIPS = Strips(WORDS)


@pytest.fixture
def small(monkeypatch):
    made_up = Text(WORDS, WORDS, "made up", "words of three made-up languages")
    monkeypatch.setattr(room, "messages", lambda: made_up)
    monkeypatch.setattr(room, "RECIPE", room.RECIPE.replace(steps=4, batch=2))
    monkeypatch.setattr(room, "EVALUATION", {"strips": 3, "pieces": 3})
    monkeypatch.setattr(room, "MODELS", (("none", 1), ("scalar", 2)))
    monkeypatch.setattr(room, "T", 40)


def by_hand(gate="scalar", closed=CLOSED):
    """One layer, two heads; gates OPEN, and `closed` at the mark; all scores and all values of the same size.

    Every character has a coordinate of its own and all have one in common, of the same size after normalisation.
    """
    width = len(ALPHABET) + 3
    net = CharacterModel(len(ALPHABET), gate, 1, width, 2)
    layer = net.layers[0]
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.embed.copy_(torch.eye(len(ALPHABET), width))
        net.embed[:, -1] = 3.0
        normed = torch.nn.functional.layer_norm(net.embed, net.embed.shape[1:])
        for W in (layer.W_q, layer.W_k, layer.W_v):
            W[-1] = 1.0
        layer.W_g[MARKED] = (np.log(closed / (1 - closed)) - np.log(9.0)) / (normed[MARKED, MARKED] - normed[0, MARKED])
        layer.b_g.copy_(np.log(9.0) - layer.W_g[MARKED] * normed[0, MARKED])  # OPEN is 9 / 10
        net.W_out.normal_(generator=torch.Generator().manual_seed(0))
    return net


def test_strips_are_segments_with_their_mark():
    """Neighbours differ in language, words are whole, lengths are as said; with a space the same strips but for it."""
    drawn = [STRIPS.draw(8, 400, marked, torch.Generator().manual_seed(0)) for marked in (True, False)]
    assert np.array_equal(np.where(drawn[0] == MARKED, SPACE, drawn[0]), drawn[1])
    for row in drawn[0]:
        whole = decode(row).split("|")[1:-1]
        languages = [next(name for name, each in LETTERS.items() if segment[0] in each) for segment in whole]
        assert all(a != b for a, b in pairwise(languages)) and len(whole) >= 2
        for segment, language in zip(whole, languages, strict=True):
            assert set(segment.split()) <= set(WORDS[language])
            assert LENGTHS[0] <= len(segment) <= LENGTHS[1] + 7
    assert decode(encode("a, b.")) == "a, b."


def test_crossings_end_alike_after_another_language_and_after_their_own():
    other, own = crossings(STRIPS, 30)
    assert other.shape == own.shape == (len(own), 61) and np.array_equal(other[:, 30:], own[:, 30:])
    assert (own[:, 30] == SPACE).all()
    whole = {name: " ".join(each) + " " for name, each in WORDS.items()}
    for one, two in zip(other, own, strict=True):
        ends, before = (next(n for n, each in LETTERS.items() if set(decode(x)) & set(each)) for x in (two, one[:30]))
        assert decode(two) in whole[ends] and decode(one[:30]) in whole[before] and ends != before


def test_what_is_left_of_a_message():
    assert plain("L’œuvre <b>n°</b> %(x)s {y} à ÉTÉ |, ok%s.") == "l'oeuvre n a ete , ok ."


def test_the_messages_of_sphinx_are_there():
    """Characters of the alphabet only, but for the mark; four languages; nothing held out in both parts."""
    pytest.importorskip("sphinx")
    text = messages()
    for part in (text.train, text.test):
        assert all(set("".join(words)) <= set(ALPHABET) - {"|"} for words in part.values())
    sizes = text.describe()["characters"]
    for language, size in sizes["train"].items():
        assert 3 < size / sizes["test"][language] < 5 and size > 10_000
    assert messages() is text


@pytest.mark.parametrize("gate", ["scalar", "key", "none"])
def test_weights_are_products_of_gates(gate):
    """The outputs of a layer, from writes weighted by the later gates: to rounding of float32."""
    net = CharacterModel(len(ALPHABET), gate, 2, 16, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in net.layers:
            if gate != "none":
                layer.W_g.normal_(generator=torch.Generator().manual_seed(1))
        text = torch.from_numpy(STRIPS.draw(3, 20, True, torch.Generator().manual_seed(2)))
        for seen in net.look(net.embed[text])[1]:
            gates = {"none": None, "scalar": seen.g[..., 0], "key": seen.g}[gate]
            o = gla(seen.q, seen.k, seen.v, gates, "key" if gate == "key" else "scalar")
            scores = (seen.decays(11) * seen.k[..., :12, :] * seen.q[..., 11, None, :]).sum(-1)
            assert torch.allclose((scores[..., None] * seen.v[..., :12, :]).sum(-2), o[..., 11, :], atol=1e-5)
            assert torch.allclose(seen.weights(11), scores.abs() * seen.v[..., :12, :].norm(dim=-1), atol=1e-5)
            assert torch.allclose(seen.decays(11)[..., 3, :], seen.g[..., 4:12, :].prod(-2), atol=1e-6)


@pytest.mark.parametrize("gate", ["scalar", "key"])
def test_measures_of_a_model_whose_gates_are_known(gate):
    """All writes are alike, so shares are geometric sums; to the three digits that are kept."""
    net = by_hand(gate)
    found = measures(net, contexts(STRIPS, True, 4))
    one, three = [[OPEN] * 2], 6e-3  # of three digits the last is half of it off
    assert np.allclose(found["gates"]["other"], [[CLOSED] * 2], rtol=three)
    for name in ("own", "removed", "space", "else"):
        assert np.allclose(found["gates"][name], one, rtol=three)
    crossed, within = CLOSED * OPEN**LOOK, OPEN ** (LOOK + 1)
    for name, value in (("other", crossed), ("own", within), ("removed", within)):
        assert np.allclose(found["kept"][name], value, rtol=three)
        assert np.allclose(found["slowest"][name], [[value, 0]], rtol=three, atol=1e-6)
    assert np.allclose(found["slowest"]["fall"], [[within - crossed, 0]], rtol=three, atol=1e-6)
    for i, m in enumerate(AFTER):
        after, before = sum(OPEN**j for j in range(m + 1)), sum(OPEN**j for j in range(REACH))
        for name, factor in (("other", CLOSED), ("own", OPEN)):
            left = factor * OPEN**m * before
            assert np.allclose(found["share"][name][0][i], [left / (left + after), 0], rtol=three, atol=1e-6)
    shown = strip_shown(net, contexts(STRIPS, True, 4), 1)
    assert len(shown["text"]) == len(shown["gates"][0][0]) == len(shown["weights"][0][0])
    at = shown["text"].index("|")
    assert np.allclose(shown["gates"][0][0], np.where(np.arange(len(shown["text"])) == at, CLOSED, OPEN), rtol=three)
    ratio = np.divide(*[shown["weights"][0][1][i] for i in (at - 1, at)])
    assert ratio == pytest.approx(CLOSED, rel=3 * three)


def test_a_gate_of_zero_is_a_reset():
    """With the gate shut at the mark the loss after it is that of the end alone, and nothing before has influence."""
    net = begin_text("scalar", 2, 0)
    with torch.no_grad():
        for layer in net.layers:
            layer.read = shut_at_the_mark(layer)
    kinds = contexts(STRIPS, True, 5)
    for layer in net.layers:
        layer.at = kinds["other"] == MARKED
    pull = influence(net, kinds["other"], REACH + 5)
    assert share(pull, REACH).abs().max() < 1e-6
    with torch.no_grad():
        whole = net.look(net.embed[kinds["other"]])[0][:, REACH:]
        for layer in net.layers:
            layer.at = kinds["fresh"] == MARKED
        assert torch.allclose(whole, net.look(net.embed[kinds["fresh"]])[0], atol=1e-4)


def shut_at_the_mark(layer):
    read = layer.read

    def shut(Z):
        seen = read(Z)
        return type(seen)(seen.q, seen.k, seen.v, seen.g.masked_fill(layer.at[:, None, : Z.shape[1], None], 0.0))

    return shut


def test_influence_by_differences():
    """The norm of a gradient, beside quotients of differences in float64."""
    net = begin_text("scalar", 2, 1).double()
    text = torch.from_numpy(STRIPS.draw(2, 12, True, torch.Generator().manual_seed(3)))
    pull = influence(net, text, 9)
    Z, h = net.embed.detach()[text[:, :10]], 1e-5

    def loss(shift):
        logits = net.look(Z + shift)[0][:, 9].detach()
        return torch.nn.functional.cross_entropy(logits, text[:, 10], reduction="none")

    slopes = []
    for channel in range(Z.shape[-1]):
        shift = torch.zeros_like(Z)
        shift[:, 4, channel] = h
        slopes.append((loss(shift) - loss(-shift)) / (2 * h))
    assert torch.allclose(torch.stack(slopes).norm(dim=0), pull[:, 4], rtol=1e-5)


def test_gates_of_the_first_layer_read_one_character():
    """So without a mark the product across a change of language is the one within a language, to the last digit."""
    found = measures(begin := by_hand(), contexts(STRIPS, False, 6))
    assert set(found["loss"]) == {"other", "own", "fresh"} and begin.layers[0].gate == "scalar"
    net = begin_text("scalar", 1, 0)
    with torch.no_grad():
        net.layers[0].W_g.normal_(generator=torch.Generator().manual_seed(1))
    found = measures(net, contexts(STRIPS, False, 6))
    assert found["kept"]["other"] == found["kept"]["own"] and found["slowest"]["fall"] == [[0.0, 0.0]]


def test_a_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "T", 40)
    plan = room.RECIPE.replace(steps=6, batch=2)

    def trained(file, stop=None):
        net = begin_text("scalar", 1, 0)
        if stop:
            steps = []
            monkeypatch.setattr(room.said, "step", lambda done, _: steps.append(done) or (done == stop and 1 / 0))
        fit_text(net, STRIPS, True, plan, checkpoint=file, every=2)
        return net.state_dict()

    whole, file = trained(None), tmp_path / "run.npz"
    with pytest.raises(ZeroDivisionError):
        trained(file, stop=5)
    monkeypatch.undo()
    monkeypatch.setattr(room, "T", 40)
    again = trained(file)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*which differs in marked"):
        fit_text(begin_text("scalar", 1, 0), STRIPS, False, plan, checkpoint=file)


def test_the_command_trains_and_goes_on(small, tmp_path, capsys, monkeypatch):
    file, folder = tmp_path / "rows.json", tmp_path / "runs"
    words = ["reproduce", "text", "--seeds", "2", "--jobs", "1", "--json", str(file), "--folder", str(folder)]
    assert main(words) == 0
    rows, said = json.loads(file.read_text()), capsys.readouterr().out
    assert text_summary(rows) in said and len(rows) == 8
    places = [(row["gate"], row["layers"], row["marked"], row["seed"]) for row in rows]
    assert places == [(*m, marked, s) for m in (("none", 1), ("scalar", 2)) for marked in (True, False) for s in (0, 1)]
    for row in rows:
        assert {"versions", "provenance", "configuration", "seconds", "text"} <= set(row)
        assert ("removed" in row["loss"]) == row["marked"] and len(row["gap"]["fresh"]) == len(BINS) - 1
        assert (row["gates"] is None) == (row["gate"] == "none")
        assert ("strip" in row) == (row["gate"] == "scalar" and row["seed"] == 0)
    trained = []
    monkeypatch.setattr(room, "fit_text", lambda *a: trained.append(a[0].layers[0].gate) or fit_text(*a))
    next(path for path in folder.glob("*.json") if json.loads(path.read_text())["result"]["layers"] == 2).unlink()
    assert main(words) == 0
    assert trained == ["scalar"] and [row["loss"] for row in json.loads(file.read_text())] == [r["loss"] for r in rows]


def test_a_run_that_breaks_off_is_said(small, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(room, "RECIPE", room.RECIPE.replace(lr=1e20))
    assert main(["reproduce", "text", "--seeds", "1", "--jobs", "1", "--folder", str(tmp_path)]) == 1
    assert "stopped: NonFiniteLoss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: train_text("yes", "scalar", 1, 0), "marked must be one of True, False; got 'yes'"),
        (lambda: train_text(True, "vector", 1, 0), "gate must be one of 'none', 'scalar', 'key'; got 'vector'"),
        (lambda: train_text(True, "scalar", 0, 0), "layers must be a positive integer; got 0"),
        (lambda: train_text(True, "scalar", 1, -1), "seed must be an integer >= 0; got -1"),
        (lambda: train_text(True, "scalar", 1, 0, {"queries": 2}), "recipe must be with keys among steps"),
        (lambda: train_text(True, "scalar", 1, 0, None, {"draws": 2}), "evaluation must be with keys among strips"),
        (lambda: CharacterModel(5, width=10, heads=4), "width must be a multiple of heads, 4; got 10"),
        (lambda: Strips({"a": ["few", "words"]}), "words must be 480 characters or more in each language; got 10 in a"),
        (lambda: contexts(STRIPS, True, 0), "pieces must be a positive integer; got 0"),
        (lambda: bits(by_hand(), STRIPS, True, 0), "strips must be a positive integer; got 0"),
    ],
)
def test_bad_input(small, make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_without_sphinx_the_command_says_so(monkeypatch, capsys, tmp_path):
    rooms = import_module("glalib.reproduce.messages")
    monkeypatch.setattr(rooms, "find_spec", lambda name: None)
    rooms.messages.cache_clear()
    assert main(["reproduce", "text", "--jobs", "1", "--folder", str(tmp_path)]) == 2
    assert "needs sphinx, whose messages are its text" in capsys.readouterr().err


@pytest.mark.parametrize("marked", [True, False])
def test_only_with_marks_is_the_mark_read(marked, monkeypatch):
    """Training moves the vector of a character that occurs, and of no other."""
    monkeypatch.setattr(room, "T", 150)  # more than a segment
    net, start = begin_text("scalar", 1, 0), begin_text("scalar", 1, 0).embed.detach()
    fit_text(net, STRIPS, marked, room.RECIPE.replace(steps=2, batch=2))
    moved = (net.embed.detach() - start).abs().amax(1) > 0
    assert bool(moved[MARKED]) == marked and moved[SPACE] and not moved[ALPHABET.index("z")]


def test_what_is_stored_is_whole():
    """Every model and seed once, one text; without a mark the first layer's gates know nothing of a boundary."""
    rows = json.loads(DATA.read_text(encoding="utf-8"))
    places = {(row["marked"], row["gate"], row["layers"], row["seed"]) for row in rows}
    assert len(rows) == len(places) == 30 and len({row["text"]["digest"] for row in rows}) == 1
    for row in rows:
        assert {"versions", "provenance", "configuration", "seconds", "bits"} <= set(row)
        if not row["marked"] and row["gates"]:
            assert row["slowest"]["fall"][0] == [0.0, 0.0]
            assert row["gates"]["other"][0] == row["gates"]["own"][0] == row["gates"]["space"][0]
        assert ("strip" in row) == ((row["gate"], row["layers"], row["seed"]) == room.SHOWN)
