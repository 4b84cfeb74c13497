"""Trained layers in the page (assets/live/layer.js): what they compute there is what torch and `glalib` compute."""

import json
from dataclasses import replace
from pathlib import Path

import alone
import numpy as np
import pytest
import torch

from glalib import PromptDistribution, optimal_wpgd, wpgd_step
from glalib.baselines import bayes
from glalib.prompts import Prompts
from glalib.reproduce.live import NAMES, ORDERS, read, tokens_of

DATA = Path(__file__).resolve().parents[2] / "chapters" / "data" / "live_layers.json"
ROWS = json.loads(DATA.read_text(encoding="utf-8"))
FIGURE = "layer"
GIVEN = (ROWS,)
START = {
    "model": "gla",
    "order": "last",
    "swap": "no",
    "delimiter": "kept",
    "mark": 20,
    "which": 28,
    "shift": [0, 0],
    "seed": 22,
}
CLOSE, DIFFERENCES = 1e-9, 1e-5  # of float64 on both sides; of a derivative by differences, whose error is of 1e-6


def layer_of(model, order):
    (row,) = [row for row in ROWS if (row["model"], row["order"]) == (model, order)]
    return read(row).double()


def tensors(prompt):
    """A prompt of the page as one of the package."""
    x, y, query = (torch.tensor(prompt[name], dtype=torch.float64) for name in ("x", "y", "query"))
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    none = torch.zeros(1, 2, x.shape[1], dtype=torch.float64)
    return Prompts(x[None], y[None], query[None, None], nothing, none, none[:, 0], (20, 20))


def laid_out(model, prompts, mark, dropped):
    """Tokens of a prompt whose first block is said to have `mark` examples."""
    Z = tokens_of(model)(replace(prompts, counts=(mark, prompts.x.shape[1] - mark)))
    if dropped and model in ("gla", "gla-vector"):
        Z = torch.cat([Z[:, :mark], Z[:, mark + 1 :]], 1)
    return Z


def drawn(rng, count):
    """Prompts of the page's form, of several scales, and changes to them."""
    out = []
    for _ in range(count):
        x, query, tasks = rng.normal(size=(40, 5)), rng.normal(size=5), rng.normal(size=(2, 5))
        y = np.concatenate([x[:20] @ tasks[0], x[20:] @ tasks[1]])
        y[rng.integers(40)] += rng.normal() * 5
        out.append({"x": x.tolist(), "y": y.tolist(), "query": query.tolist()})
    changes = [(int(rng.choice([20, rng.integers(1, 40)])), bool(rng.integers(2))) for _ in range(count)]
    return [prompt | {"mark": mark, "dropped": dropped} for prompt, (mark, dropped) in zip(out, changes, strict=True)]


def test_every_layer_predicts_what_torch_predicts(page):
    cases = drawn(np.random.default_rng(0), 240)
    script = "([rows, cases]) => rows.map((row) => { const layer = glalib.readLayer(row);"
    script += " return cases.map((p) => glalib.layerPredicts(layer, p, p.mark, p.dropped)); })"
    found = page.evaluate(script, [ROWS, cases])
    assert len(found) == len(NAMES) * len(ORDERS)
    for row, predictions in zip(ROWS, found, strict=True):
        net = read(row).double()
        with torch.no_grad():
            wanted = [net(laid_out(row["model"], tensors(p), p["mark"], p["dropped"])).item() for p in cases]
        assert np.std(wanted) > 0.5
        assert predictions == pytest.approx(wanted, abs=CLOSE), (row["model"], row["order"])


def test_the_weighted_step_and_the_bayes_predictor(page):
    cases = drawn(np.random.default_rng(1), 240)
    script = """([r, sigma, cases]) => {
        const law = { d: 5, counts: [20, 20], r, sigma };
        const best = glalib.free(law);
        return cases.map((p) => [glalib.pointPredicts(law, best, p), glalib.bayesPredicts(law, p)]); }"""
    for r in ((0.2, 0.8), (0.8, 0.2)):
        for sigma in (0.0, 0.7):
            dist = PromptDistribution(5, (20, 20), r, sigma=sigma)
            best = optimal_wpgd(dist)
            found = np.array(page.evaluate(script, [r, sigma, cases]))
            for p, (step, posterior) in zip(cases, found, strict=True):
                prompts = tensors(p)
                wanted = wpgd_step(prompts.x, prompts.y, prompts.x_query, best.P, dist.expand(best.omega)).item()
                assert step == pytest.approx(wanted, abs=CLOSE)
                # By the normal equations, whose condition is below 1e4 for twenty normal vectors in five dimensions.
                assert posterior == pytest.approx(bayes(dist)(prompts).item(), abs=CLOSE)


def weights_by_autograd(model, net, p):
    """x_i^T d/dx d/dy_i f / |x_i|^2, x the query."""
    prompts = tensors(p)
    x = prompts.x[0]
    size = x.norm(dim=1, keepdim=True)
    queries = torch.cat([x / size, -x / size])[None]

    def read_by(y):
        asked = replace(prompts, y=y[None], x_query=queries, y_query=torch.zeros(1, 80, dtype=torch.float64))
        f = net(laid_out(model, asked, p["mark"], p["dropped"]), 80)[0]
        return (f[:40] - f[40:]) / 2

    return (torch.autograd.functional.jacobian(read_by, prompts.y[0]).diagonal() / size[:, 0]).tolist()


def test_effective_weights_are_derivatives(page):
    cases = drawn(np.random.default_rng(2), 3)
    script = "([rows, cases]) => rows.map((row) => { const layer = glalib.readLayer(row);"
    script += " return cases.map((p) => glalib.labelWeights(layer, p, p.mark, p.dropped)); })"
    for row, found in zip(ROWS, page.evaluate(script, [ROWS, cases]), strict=True):
        net = read(row).double()
        for p, omega in zip(cases, found, strict=True):
            wanted = weights_by_autograd(row["model"], net, p)
            assert omega == pytest.approx(wanted, abs=DIFFERENCES * max(map(abs, wanted))), row["model"]


def test_prompts_are_drawn_from_their_law(page):
    """20,000 prompts of one seed each: five standard errors of each mean."""
    script = """(r) => Array.from({ length: 20000 }, (_, seed) => {
        const p = glalib.samplePrompt({ d: 5, counts: [2, 2], r }, seed);
        const dot = (a, b) => a.reduce((total, x, i) => total + x * b[i], 0);
        const told = p.y.map((y, i) => y - dot(p.x[i], p.tasks[i < 2 ? 0 : 1]));
        const asked = p.tasks.map((task) => dot(task, p.query));
        return [...p.x[0], ...p.query, ...p.tasks[1], p.label, ...asked, ...told]; })"""
    found = np.array(page.evaluate(script, [0.2, 0.8]))
    normal, label, asked, told = found[:, :15], found[:, 15], found[:, 16:18], found[:, 18:]
    assert np.abs(told).max() < 1e-12
    ways = 20000**0.5
    assert np.abs(normal.mean(0)).max() < 5 / ways and np.abs(normal.var(0) - 1).max() < 5 * 2**0.5 / ways
    assert np.abs(np.corrcoef(normal.T) - np.eye(15)).max() < 5 / ways
    for mean, products in ((5.0, label**2), (1.0, label * asked[:, 0]), (4.0, label * asked[:, 1])):
        assert abs(products.mean() - mean) < 5 * products.std() / ways


def agrees(page, **changes):
    """What the figure shows against the package, from the prompt that it shows."""
    found = alone.state(page)
    settings, shown = found["settings"], found["shown"]
    assert settings == START | changes
    model, order, back = settings["model"], settings["order"], settings["swap"] == "yes"
    dist, p = ORDERS[order], shown["prompt"]
    change = {"mark": settings["mark"], "dropped": settings["delimiter"] == "dropped"}
    net, prompts, best = layer_of(model, order), tensors(p), optimal_wpgd(dist)
    Z = laid_out(model, prompts, **change)
    actual = PromptDistribution(5, (20, 20), dist.r[::-1] if back else dist.r)
    with torch.no_grad():
        wanted = [
            net(Z).item(),
            wpgd_step(prompts.x, prompts.y, prompts.x_query, best.P, dist.expand(best.omega)).item(),
            bayes(actual)(prompts).item(),
        ]
    assert shown["predictions"] == pytest.approx(wanted, abs=CLOSE)
    wanted = weights_by_autograd(model, net, p | change)
    assert shown["omega"] == pytest.approx(wanted, abs=DIFFERENCES * max(map(abs, wanted)))
    return shown


def test_every_choice_shows_what_the_package_computes(page):
    first = agrees(page)
    for model, name in [
        ("linear", "Linear attention"),
        ("gla-no-delimiters", "Scalar gate, without"),
        ("gla-vector", "Vector gate, with delimiters"),
        ("delta", "Delta rule, with marks"),
        ("gla", "Scalar gate, with delimiters"),
    ]:
        page.get_by_role("radio", name=name).check()
        assert agrees(page, model=model)["prompt"] == first["prompt"]
    page.get_by_role("radio", name="dropped").check()
    dropped = agrees(page, delimiter="dropped")
    # The gate between the tasks is gone, and with it the difference of the tasks' weights.
    ratio = [np.mean(found["omega"][20:]) / np.mean(found["omega"][:20]) for found in (first, dropped)]
    assert ratio[0] > 2.5 and ratio[1] < 1.7
    page.get_by_role("radio", name="kept").check()
    alone.state(page)  # until which the slider is asleep
    page.get_by_role("slider", name="Told of the change").press("PageDown")
    mark = alone.state(page)["settings"]["mark"]
    assert mark < 20
    agrees(page, mark=mark)
    page.get_by_role("radio", name="exchanged").check()
    page.get_by_role("radio", name="first, r").check()
    agrees(page, mark=mark, swap="yes", order="first")


def test_an_example_is_moved_by_keys_mouse_and_finger(page):
    handle = page.locator(".live-handle")
    before = agrees(page)
    handle.press("ArrowUp")
    handle.press("PageUp")
    after = agrees(page, shift=[1, 0.1])
    assert after["prompt"]["y"][27] == pytest.approx(before["prompt"]["y"][27] + 0.1)
    assert after["prompt"]["x"][27][0] == pytest.approx(before["prompt"]["x"][27][0] + 1)
    for by in ("mouse", "finger"):
        old = alone.state(page)["settings"]["shift"]
        alone.dragged(page, handle, 40, -40, by)
        new = alone.state(page)["settings"]["shift"]
        assert new[0] > old[0] + 0.1 and new[1] == pytest.approx(old[1] + 40 / 180 * 16, abs=0.3), by
        agrees(page, shift=new)
    page.get_by_role("slider", name="Example to move").press("Home")
    agrees(page, which=1)  # another is moved from where it was drawn
    page.get_by_role("button", name="Draw a prompt").click()
    assert agrees(page, which=1, seed=23)["prompt"] != before["prompt"]


def test_the_first_example_that_is_moved_moves_the_prediction(page):
    """And the figure says by how much, and where the prediction was."""
    before = agrees(page)
    assert before["before"] == before["predictions"][0] and abs(before["pull"]) > 0.08
    assert "one more on the label of example 28 moves it by −0.09." in page.locator(".live-says").inner_text()
    handle = page.locator(".live-handle")
    for _ in range(10):
        handle.press("ArrowUp")
    after = agrees(page, shift=[0, 1])
    # One more on the label: the scalar gate reads labels, too, but hardly.
    assert after["predictions"][0] - before["predictions"][0] == pytest.approx(before["pull"], abs=1e-9)
    assert after["before"] == pytest.approx(before["predictions"][0], abs=CLOSE)
    assert "before example 28 was moved" in page.locator(".live-says").inner_text()
    assert page.locator("polygon.fill-page.line-4").count() == 1  # where it was


# The plane's frame, the ring, and the number beside it, as [left, right, top, bottom] in pixels.
PLACES = """() => {
    const edges = (e) => { const b = e.getBoundingClientRect(); return [b.left, b.right, b.top, b.bottom]; };
    const svg = document.querySelector("svg");
    const name = [...svg.querySelectorAll("text.clear")].map(edges);
    const frame = edges([...svg.querySelectorAll("rect.fill-page")].at(0));
    const marks = [...svg.querySelectorAll("circle:not(.live-knob), rect:not(.live-reach), polygon")].map(edges);
    return { name, frame, ring: edges(svg.querySelector(".live-knob")), marks };
}"""


def test_a_moved_example_stays_in_the_frame_and_its_number_is_free(page):
    handle = page.locator(".live-handle")
    for seed in (22, 1, 5, 77):
        for which in (28, 25, 1, 40):
            for shift in ("0,0", "99,99", "-99,-99", "99,-99"):
                page.goto(f"/page.html?layer.seed={seed}&layer.which={which}&layer.shift={shift}")
                state, places = alone.state(page), page.evaluate(PLACES)
                x, y = (state["shown"]["prompt"][name][which - 1] for name in ("x", "y"))
                (name,), (left, right, top, bottom) = places["name"], places["frame"]
                middle = [(a + b) / 2 for a, b in zip(places["ring"][::2], places["ring"][1::2], strict=True)]
                assert left - 1 <= middle[0] <= right + 1 and top - 1 <= middle[1] <= bottom + 1
                # What is drawn is what is counted: 3.5 and 8 from the middle, where all that was drawn has room.
                if abs(x[0]) <= 3.5 and max(map(abs, state["shown"]["prompt"]["y"])) <= 8:
                    half = (right - left) / 2, (bottom - top) / 2
                    assert middle[0] == pytest.approx(left + half[0] * (1 + x[0] / 3.5), abs=1)
                    assert middle[1] == pytest.approx(top + half[1] * (1 - y / 8), abs=1)
                assert left <= name[0] and name[1] <= right and top <= name[2] and name[3] <= bottom
                inside = [m for m in places["marks"] if top <= m[2] and m[3] <= bottom and m[1] - m[0] < 30]
                for mark in [*inside, places["ring"]]:
                    over = min(name[1], mark[1]) - max(name[0], mark[0]), min(name[3], mark[3]) - max(name[2], mark[2])
                    assert min(over) <= 3, (seed, which, shift)  # boxes of letters are higher than figures
                if shift == "99,99":  # in the corner, not before it
                    assert right - middle[0] < 20 and middle[1] - top < 3  # a step of 0.1 is as wide as that
                low, high = (float(handle.get_attribute(f"aria-value{end}")) for end in ("min", "max"))
                assert low <= state["settings"]["shift"][0] <= high
    # A key at the edge stays there, and comes back at once.
    page.goto("/page.html?layer.shift=99,0")
    edge = alone.state(page)["settings"]["shift"][0]
    handle.press("ArrowRight")
    handle.press("End")
    assert alone.state(page)["settings"]["shift"] == [edge, 0]
    handle.press("ArrowLeft")
    assert alone.state(page)["settings"]["shift"] == [pytest.approx(edge - 0.1), 0]


def test_what_counts_for_nothing_cannot_be_moved(page):
    told = page.get_by_role("slider", name="Told of the change")
    kept = page.get_by_role("radio", name="kept")
    for name, delimiter, mark in [
        ("Scalar gate, with delimiters", True, True),
        ("Linear attention", False, False),
        ("Delta rule, with marks", False, True),
        ("Scalar gate, without", False, False),
        ("Vector gate, with delimiters", True, True),
    ]:
        page.get_by_role("radio", name=name).check()
        alone.state(page)
        assert (kept.is_enabled(), told.is_enabled()) == (delimiter, mark), name
        assert told.get_attribute("aria-valuetext") == ("after example 20" if mark else "never")
        says = "Nothing tells it where the task changes." in page.locator(".live-says").inner_text()
        assert says != mark, name
    page.get_by_role("radio", name="dropped").check()
    alone.state(page)
    assert told.is_disabled() and kept.is_enabled()
    page.get_by_role("radio", name="Delta rule, with marks").check()  # it has none to drop
    alone.state(page)
    assert told.is_enabled()


def test_the_mean_over_prompts_comes_to_the_risks(page):
    page.emulate_media(reduced_motion="reduce")
    for name, changes in (("Scalar gate, with delimiters", {}), ("Delta rule, with marks", {"model": "delta"})):
        page.get_by_role("radio", name=name).check()
        page.get_by_role("button", name="Draw 500").click()
        page.wait_for_function("document.querySelector('.live').liveState.shown.drawn === 500")
        shown = agrees(page, **changes)
        script = "(seeds) => seeds.map((s) => glalib.samplePrompt({ d: 5, counts: [20, 20], r: [0.2, 0.8] }, s))"
        all_of_them = page.evaluate(script, [22_000 + i for i in range(1, 501)])
        many = Prompts(*(torch.cat(part) for part in zip(*map(parts, all_of_them), strict=True)), (20, 20))
        labels = torch.tensor([p["label"] for p in all_of_them], dtype=torch.float64)
        dist, model = ORDERS["last"], changes.get("model", "gla")
        best = optimal_wpgd(dist)
        with torch.no_grad():
            f = [
                layer_of(model, "last")(tokens_of(model)(many))[:, 0],
                wpgd_step(many.x, many.y, many.x_query, best.P, dist.expand(best.omega))[:, 0],
                bayes(dist)(many)[:, 0],
            ]
        errors = [((each - labels) ** 2 / 5) for each in f]
        assert shown["means"] == pytest.approx([each.mean().item() for each in errors], rel=1e-8)
        for each, level in zip(errors, shown["levels"], strict=True):
            # Five standard errors; and a trained layer may be 2% off the best of its kind.
            assert abs(each.mean() - level) < 5 * each.std() / 500**0.5 + 0.02 * level
    page.get_by_role("radio", name="exchanged").check()
    assert alone.state(page)["shown"]["means"] is None and alone.state(page)["shown"]["levels"][0] is None


def parts(p):
    prompts = tensors(p)
    return prompts.x, prompts.y, prompts.x_query, prompts.y_query, prompts.beta, prompts.beta_query


def test_drawing_can_be_stopped(page):
    page.emulate_media(reduced_motion="no-preference")
    page.get_by_role("button", name="Draw 500").click()
    page.wait_for_function("document.querySelector('.live').liveState.shown.drawn > 0")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Draw 500").wait_for()
    drawn = alone.state(page)["shown"]["drawn"]
    assert 0 < drawn < 500
    page.wait_for_timeout(300)
    assert alone.state(page)["shown"]["drawn"] == drawn


def test_an_address_is_a_prompt(page, context):
    query = "?layer.model=gla-vector&layer.order=first&layer.mark=7&layer.which=3&layer.shift=1.5,-2&layer.seed=77"
    changes = {"model": "gla-vector", "order": "first", "mark": 7, "which": 3, "shift": [1.5, -2], "seed": 77}
    page.goto("/page.html" + query)
    before = agrees(page, **changes)
    page.get_by_role("radio", name="dropped").check()
    page.get_by_role("radio", name="kept").check()
    page.wait_for_timeout(2000)
    again = alone.opened(context, "?" + page.url.partition("?")[2])
    assert agrees(again, **changes) == before
    again.close()
    page.goto("/page.html?layer.model=softmax&layer.mark=-4&layer.which=1e9&layer.shift=99,x&layer.seed=NaN")
    found = alone.state(page)
    assert found["settings"] == START | {"mark": 0, "which": 40}
    assert all(map(np.isfinite, found["shown"]["predictions"]))
    page.goto("/page.html?layer.shift=99,-99&layer.mark=40")
    found = alone.state(page)  # up to the frame
    assert found["settings"] == START | {"shift": found["settings"]["shift"], "mark": 40}
    x, y = (found["shown"]["prompt"][name][27] for name in ("x", "y"))
    assert 3.4 < x[0] <= 3.5 and -8 <= y < -7.9


def test_it_fits_a_phone_and_is_light(page, folder):
    page.set_viewport_size({"width": 360, "height": 800})
    for name in ("Vector gate, with delimiters", "Linear attention"):
        page.get_by_role("radio", name=name).check()
        alone.state(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate(alone.BEYOND) <= 1
        names = page.locator(".live-stage text").all_text_contents()
        for start in (
            "layer 0.",
            "step 0.",
            "Bayes 0.",
            "Gates, from 0 to 1",
            "Mean squared error / d; dashed, by theory",
        ):
            assert any(each.startswith(start) for each in names), start
    assert alone.weight(folder) < alone.WEIGHT


def test_those_who_do_not_see_it_are_told(page):
    assert "42 tokens" in page.locator("svg").get_attribute("aria-label")
    handle = page.locator(".live-handle")
    assert handle.get_attribute("aria-label") == "Feature 1 and label of example 28"
    assert handle.get_attribute("aria-valuetext") == "moved by 0.0, label by 0.0"
    assert page.locator(".live-says").inner_text().startswith("Scalar gate, with delimiters: it predicts ")
