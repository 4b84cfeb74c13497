"""What the package costs beside what it could cost: ratios, measured side by side in one run.

    python benchmarks/speed.py                     everything but the tables: some minutes
    python benchmarks/speed.py --quick             small sizes, few rounds: to see that it runs, not to measure
    python benchmarks/speed.py --only sampling floors
    python benchmarks/speed.py --tables            the authors' table too, on all cores: under an hour
    python benchmarks/speed.py --tables context-gate    the same, by one of the two recipes
    python benchmarks/speed.py --json FILE         also write the numbers, such as chapters/data/speed.json
    python benchmarks/speed.py --only delta --json chapters/data/speed_delta.json

One thread. What is compared takes turns, so that a busy machine slows both; a row is the median of the ratios of all
turns, with the least and the largest. Before two forms are timed, their outputs and gradients are held together.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread, as in the tests

import argparse
import ctypes
import importlib.util
import json
import multiprocessing
import platform
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from tqdm import tqdm

from glalib import GLA, PromptDistribution, gated_delta_rule, gla, gla_readout, optimal_wpgd, reproduce, simulate_risk
from glalib.attention import chunk_length
from glalib.layout import DELIMITED, Layout
from glalib.token_free import token_free_losses
from glalib.training import Recipe, fit, orthogonal_start

WHEELS = ("fla-core==0.6.0", "einops==0.8.2")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def one_thread(keep_memory=True):
    """One thread; and what is freed stays with the process, or (False) goes back to the system at once (glibc).

    Left alone, glibc gives large blocks back at moments of its own, and what is timed is the system clearing pages.
    """
    torch.set_num_threads(1)
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(-1, 2**31 - 1 if keep_memory else 2**16)  # M_TRIM_THRESHOLD
    mallopt(-3, 2**25 if keep_memory else 2**16)  # M_MMAP_THRESHOLD


def seconds(call, number=1):
    began = perf_counter()
    for _ in range(number):
        call()
    return (perf_counter() - began) / number


def side_by_side(calls, quick):
    """Seconds per call in every round, name -> list; the calls take turns, and a fast one fills a turn of its own."""
    turn, rounds = (0.002, 3) if quick else (0.05, 9)
    number = {}
    for name, call in calls.items():
        call()
        number[name] = max(1, min(200, round(turn / min(seconds(call) for _ in range(3)))))
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if number[name] > 1:
                call()  # after the other's turn, memory and caches are not its own
            times[name].append(seconds(call, number[name]))
    return times


def row(times, above, below, target=None, **about):
    """The ratio of seconds `above` / `below` over all rounds; printed, and returned for the file."""
    ratios = [a / b for a, b in zip(times[above], times[below], strict=True)]
    out = about | {
        "ratio": median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "target": target,
        "above_seconds": median(times[above]),
        "below_seconds": median(times[below]),
    }
    text = "  ".join(f"{key} {value}" for key, value in about.items())
    aim = "" if target is None else f"   target {target:g}"
    say(f"  {text}: {above} / {below} = {out['ratio']:.3g} ({out['ratio_min']:.3g} to {out['ratio_max']:.3g}){aim}")
    return out


def say(text):
    tqdm.write(text, file=sys.stderr)


# The yardstick: the recurrence as it is written, token by token, with its full state.


def loop(q, k, v, g, gate, last=False):
    """o_i = S_i q_i with S_i = G_i * S_{i-1} + v_i k_i^T. last: reads the last state alone, with q (B, dk)."""
    G = g[..., None, None] if gate == "scalar" else g[..., None, :]
    S, o = k.new_zeros(len(k), v.shape[-1], k.shape[-1]), []
    for i, (k_i, v_i, G_i) in enumerate(zip(k.unbind(1), v.unbind(1), G.unbind(1), strict=True)):
        S = G_i * S + v_i[:, :, None] * k_i[:, None, :]
        if not last:
            o.append((S @ q[:, i, :, None])[..., 0])
    return (S @ q[..., None])[..., 0] if last else torch.stack(o, 1)


def loop_from_tokens(model, Z, last=False):
    """What a `GLA` of one layer predicts, by projecting every token and running the loop."""
    layer = model.layers[0]
    g = torch.sigmoid(Z @ layer.W_g + layer.b_g)
    g = g[..., 0] if model.gate == "scalar" else g
    q = (Z[:, -1] if last else Z) @ layer.W_q
    o = loop(q, Z @ layer.W_k, Z @ layer.W_v, g, model.gate, last)
    return (o if last else o[:, -1]) @ model.h


def layer_problem(d, n, batch, gate, dtype):
    """A layer with random weights, and tokens for it."""
    generator = torch.Generator().manual_seed(0)
    dist = PromptDistribution(d, (n // 2, n - n // 2), (0.2, 0.8))
    Z = Layout()(dist.sample(batch, generator, dtype=dtype))
    model = GLA(d + 1, gate, gate_bias=4.0, generator=generator, dtype=dtype)
    with torch.no_grad():
        model.layers[0].W_g.normal_(std=d**-0.5, generator=generator)
    return model, Z


def attention_problem(d, n, batch, gate, dtype):
    """q, k, v and gates near one, all of which ask for gradients."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    q, k, v = normal(batch, n, d), normal(batch, n, d), normal(batch, n, d)
    g = torch.sigmoid(4 + normal(batch, n, *(() if gate == "scalar" else (d,))))
    return [x.requires_grad_() for x in (q, k, v, g)]


def forms(name, d, n, batch, gate, dtype=torch.float32):
    """{"loop": call, "ours": call}: each returns its output and all gradients.

    Where only the last output is wanted there is a third, "lean_loop", that leaves out the other tokens' outputs.
    """
    if name == "tokens":
        model, Z = layer_problem(d, n, batch, gate, dtype)
        inputs = list(model.parameters())
        calls = {
            "loop": lambda: loop_from_tokens(model, Z),
            "lean_loop": lambda: loop_from_tokens(model, Z, last=True),
            "ours": lambda: model(Z)[:, 0],
        }
    else:
        inputs = q, k, v, g = attention_problem(d, n, batch, gate, dtype)
        if name == "readout":
            earlier, q_last = (x.detach() for x in (q[:, :-1], q[:, -1]))
            inputs = [q_last.requires_grad_(), k, v, g]
            calls = {
                "loop": lambda: loop(torch.cat([earlier, q_last[:, None]], 1), k, v, g, gate)[:, -1],
                "lean_loop": lambda: loop(q_last, k, v, g, gate, last=True),
                "ours": lambda: gla_readout(q_last, k, v, g, gate),
            }
        else:
            calls = {"loop": lambda: loop(q, k, v, g, gate), "ours": lambda: gla(q, k, v, g, gate, "chunked")}

    def with_gradients(call):
        o = call()
        return [o.detach(), *torch.autograd.grad(o, inputs, torch.ones_like(o))]

    return {which: partial(with_gradients, call) for which, call in calls.items()}


def hold_together(theirs, ours, tolerance):
    """Every output and gradient within `tolerance` of the largest entry of its yardstick."""
    for a, b in zip(theirs, ours, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * a.abs().max()  # false for NaN


SIZES = {False: ((10, 100, 256), (100, 200, 64)), True: ((4, 20, 8), (8, 30, 4))}
TARGETS = {"tokens": (40, 100), "readout": (20, 60), "chunked": (3, 8)}


def forward_backward(quick):
    """Each form against the loop, forward and backward. Outputs and gradients agree in float64 to 1e-8."""
    out = []
    for name, targets in TARGETS.items():
        for gate in ("scalar", "key"):
            for (d, n, batch), target in zip(SIZES[quick], targets, strict=True):
                small = forms(name, d, n, 3, gate, torch.float64)
                for call in small.values():
                    hold_together(small["loop"](), call(), 1e-8)
                times = side_by_side(forms(name, d, n, batch, gate), quick)
                target = None if quick or gate == "key" else target
                about = {"form": name, "gate": gate, "d": d, "n": n, "batch": batch}
                out.append(row(times, "loop", "ours", target, **about, against="loop"))
                if "lean_loop" in times:
                    out.append(row(times, "lean_loop", "ours", **about, against="lean_loop"))
    return out


def resident(field):
    """VmRSS or VmHWM of this process, in megabytes."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def extra_memory(form, which, d, n, batch):
    """Megabytes: the peak of this process's resident memory over where it stood, and the results' share of it.

    To be run in a fresh process, where nothing that was freed before is at hand for use.
    """
    one_thread(keep_memory=False)
    forms(form, 4, 8, 2, "scalar")[which]()  # libraries load, and take what they take
    call = forms(form, d, n, batch, "scalar")[which]
    before = resident("VmRSS")
    CLEAR.write_text("5")  # the high-water mark starts anew
    results = call()
    return resident("VmHWM") - before, sum(x.nbytes for x in results) / 2**20


def in_fresh_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def memory(quick):
    """Peak memory of forward and backward at the last token, over what the arguments take (VmHWM, a process each).

    The gradients of q, k, v and the gates that a caller asks for are part of the peak, and of what any form must
    return; `ratio` compares what is taken beyond them, `ratio_with_results` all.
    """
    if not (STATUS.exists() and CLEAR.exists()):
        say("  skipped: resident memory is read from /proc, as on Linux")
        return None
    d, n, batch = (32, 64, 128) if quick else (100, 200, 256)
    out = []
    for form in ("tokens", "readout"):
        (loop_mb, results), (ours_mb, _) = (
            in_fresh_process(extra_memory, form, which, d, n, batch) for which in ("loop", "ours")
        )
        ratio = (loop_mb - results) / max(ours_mb - results, 0.1)  # the system counts in pages
        say(f"  form {form}  d {d}  n {n}  batch {batch}: loop {loop_mb:.1f} MB, ours {ours_mb:.1f} MB, results "
            f"{results:.1f} MB of either; 1/{ratio:.0f} without them, 1/{loop_mb / ours_mb:.0f} with")  # fmt: skip
        out.append({"form": form, "gate": "scalar", "d": d, "n": n, "batch": batch, "target": None if quick else 100,
                    "ratio": ratio, "ratio_with_results": loop_mb / ours_mb, "loop_mb": loop_mb, "ours_mb": ours_mb,
                    "results_mb": results})  # fmt: skip
    return out


def fla_folder():
    """Where flash-linear-attention's wheel lies unpacked, or None if it could not be downloaded."""
    if given := os.environ.get("GLALIB_FLA"):
        return given
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glalib-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in WHEELS:
        name, version = wheel.replace("-", "_").split("==")
        if not list(folder.glob(f"{name}-{version}-*.whl")):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wheel]
            if subprocess.run(command, capture_output=True).returncode:
                say(f"  skipped: {wheel} could not be downloaded")
                return None
        zipfile.ZipFile(next(folder.glob(f"{name}-{version}-*.whl"))).extractall(folder)
    return str(folder)


def load(folder, op):
    """Its reference functions of an operation; in a process of its own, as einops comes from there too."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"fla_{op}", Path(folder, "fla", "ops", op, "naive.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(quick):
    """flash-linear-attention's own reference functions in torch, from its wheel, against ours, forward and backward."""
    folder = fla_folder()
    return folder and in_fresh_process(_reference, quick, folder)


def _reference(quick, folder):
    one_thread()
    simple, full = load(folder, "simple_gla"), load(folder, "gla")
    theirs = {
        "recurrent, scalar": ("scalar", simple.naive_recurrent_simple_gla),
        "chunked, scalar": ("scalar", simple.naive_chunk_simple_gla),
        "recurrent, key": ("key", full.naive_recurrent_gla),
    }
    out = []
    for d, n, batch in SIZES[quick]:
        for name, (gate, function) in theirs.items():
            inputs = attention_problem(d, n, batch, gate, torch.float32)
            q, k, v, g = inputs

            def call(function=function, q=q, k=k, v=v, g=g):
                """Their layout is [B, T, heads, width], gates are logs, and queries are divided by sqrt(width)."""
                q, k, v, g = (x.unsqueeze(2) for x in (q * q.shape[-1] ** 0.5, k, v, g.log()))
                o, state = function(q, k, v, g, output_final_state=True)
                return o.squeeze(2), state.squeeze(1)

            with torch.no_grad():
                o, S = gla(*(x.double() for x in inputs), gate, "chunked", output_final_state=True)
                their_o, their_S = call()
            # They compute in float32, with logs of gates: 1e-4 allows for that. Their state is key x value.
            hold_together([o, S], [their_o.double(), their_S.mT.double()], 1e-4)

            def gradients(function, inputs=inputs):
                o = function()
                return torch.autograd.grad(o, inputs, torch.ones_like(o))

            last = [q[:, -1].detach().requires_grad_(), k, v, g]  # to them the last output costs as much as all
            times = side_by_side(
                {
                    "theirs": lambda call=call: gradients(lambda: call()[0]),
                    "ours": lambda inputs=inputs, gate=gate: gradients(lambda: gla(*inputs, gate, "chunked")),
                    "readout": lambda last=last, gate=gate: gradients(lambda: gla_readout(*last, gate), last),
                },
                quick,
            )
            about = {"theirs": name, "gate": gate, "d": d, "n": n, "batch": batch}
            out.append(row(times, "theirs", "ours", positions="all", **about))
            out.append(row(times, "theirs", "readout", positions="last", **about))
    return out


def delta(quick):
    """The gated delta rule in chunks against its recurrence, flash-linear-attention's chunks, and a scalar gate."""
    return in_fresh_process(_delta, quick, None if quick else fla_folder())


def _delta(quick, folder):
    one_thread()
    theirs = folder and load(folder, "gated_delta_rule").naive_chunk_gated_delta_rule
    out = []
    for d, n, batch in SIZES[quick]:
        q, k, v, g = attention_problem(d, n, batch, "scalar", torch.float32)
        k = torch.nn.functional.normalize(k.detach(), dim=-1).requires_grad_()
        beta = g.detach().flip(1).requires_grad_()
        inputs = [q, k, v, beta, g]

        def their_chunks(q, k, v, beta, g):
            """Their layout is [B, T, heads, width], gates are logs."""
            q, k, v, beta, g = (x.unsqueeze(2) for x in (q, k, v, beta, g))
            return theirs(q, k, v, g.log(), beta, scale=1.0)[0].squeeze(2)

        def run(function, *more, inputs=inputs):
            o = function(*inputs, *more)
            return [o.detach(), *torch.autograd.grad(o, inputs, torch.ones_like(o))]

        calls = {
            "loop": lambda run=run: run(gated_delta_rule),
            "ours": lambda run=run: run(gated_delta_rule, "chunked"),
        }
        if theirs:
            calls["theirs"] = lambda run=run, function=their_chunks: run(function)
        for call in calls.values():
            hold_together(calls["loop"](), call(), 1e-3)  # float32; in float64 the tests hold them together
        without_steps = [q, k, v, g]
        gate = partial(run, gla, "scalar", "chunked", inputs=without_steps)
        times = side_by_side(calls | {"gate": gate}, quick)
        for against in (name for name in calls if name != "ours"):
            out.append(row(times, against, "ours", form="delta", d=d, n=n, batch=batch, against=against))
        out.append(row(times, "ours", "gate", form="gate", d=d, n=n, batch=batch, against="delta"))
    return out


def single_task_run(seed, steps=300, draws=8000):
    """One task, d = 10, n = 100, every weight free, from a random start: how far above the optimum it ends."""
    dist = PromptDistribution(10, (100,), (1.0,))
    generator = torch.Generator().manual_seed(seed)
    model = GLA(11, "scalar", scale=1 / dist.n, gate_bias=6.0, generator=generator, dtype=torch.float32)
    orthogonal_start(model, generator)
    began = perf_counter()
    fit(model, dist, Recipe(steps=steps, batch=256, queries=16, lr=0.02, seed=seed))
    took = perf_counter() - began
    best = optimal_wpgd(dist)
    assert abs(best.risk / dist.d - (1 - dist.n / (dist.n + dist.d + 1))) < 1e-12
    evaluation = torch.Generator().manual_seed(10**6 + seed)
    estimate = simulate_risk(model, dist, draws, queries=16, generator=evaluation, against=best)
    return {
        "seed": seed,
        "steps": steps,
        "excess": estimate.risk / best.risk - 1,
        "stderr": estimate.stderr / best.risk,
        "seconds": took,
    }


def task(quick):
    """Training to the optimum, ten seeds of ten; the excess is relative to 1 - n / (n + d + 1)."""
    out = []
    for seed in tqdm(range(2 if quick else 10), desc="  single task", unit="seed"):
        out.append(single_task_run(seed, *((40, 200) if quick else ())))
        say("  seed {seed}: {excess:+.3%} +- {stderr:.3%} after {steps} steps, {seconds:.1f} s".format(**out[-1]))
    return out


def sampling(quick):
    """Drawing prompts against raw normal numbers; and a training step on tokens against one without."""
    generator = torch.Generator().manual_seed(0)
    out = {"throughput": [], "token_free": []}
    for d, n, batch in ((4, 20, 8),) if quick else ((10, 100, 256), (100, 200, 64), (100, 1000, 32)):
        dist = PromptDistribution(d, (n // 2, n // 2), (0.2, 0.8))
        raw = torch.empty(batch * (dist.K + 1 + n + 1) * d)  # tasks, the query's among them; features, the query's too
        calls = {
            "raw": lambda raw=raw: raw.normal_(generator=generator),
            "sample": lambda dist=dist, batch=batch: dist.sample(batch, generator, dtype=torch.float32),
        }
        target = None if quick else 0.7
        out["throughput"].append(row(side_by_side(calls, quick), "raw", "sample", target, d=d, n=n, batch=batch))

    for d, n, batch in ((4, 20, 8),) if quick else tuple((100, n, 64) for n in (100, 200, 400, 1000)):
        dist = PromptDistribution(d, (n // 2, n // 2), (0.2, 0.8))
        model = reproduce.start(dist, "gla", 0)
        weights = list(model.parameters())

        def tokens(dist=dist, model=model, batch=batch, weights=weights):
            drawn = dist.sample(batch, generator, 16, torch.float32)
            errors = drawn.y_query - model(DELIMITED(drawn), queries=16)
            torch.autograd.grad(errors.square().mean(), weights)

        def without(dist=dist, model=model, batch=batch, weights=weights):
            losses = token_free_losses(model, dist, batch, generator)
            torch.autograd.grad(losses.mean(), weights)

        # No row for drawing alone: without tokens, what is drawn is no prompt, and the sums that a layer needs are the
        # rest of the work.
        times = side_by_side({"tokens": tokens, "token_free": without}, quick)
        out["token_free"].append(row(times, "tokens", "token_free", d=d, n=n, batch=batch, queries=16))
    return out


def floors(quick):
    """What the machine can do at one thread, and how far from it the forms are."""
    generator = torch.Generator().manual_seed(0)
    size, numbers = (128, 10**4) if quick else (1024, 4 * 10**6)
    a, b = torch.randn(2, size, size, generator=generator)
    source, sink = torch.ones(8 * numbers), torch.empty(8 * numbers)
    raw = torch.empty(numbers)
    calls = {
        "gemm": lambda: a @ b,
        "normal": lambda: raw.normal_(generator=generator),
        "copy": lambda: sink.copy_(source),
    }
    times = {name: median(values) for name, values in side_by_side(calls, quick).items()}
    out = {
        "gemm_gflops": 2e-9 * size**3 / times["gemm"],
        "normal_million_per_second": 1e-6 * numbers / times["normal"],
        "copy_gb_per_second": 2e-9 * source.nbytes / times["copy"],  # read and written
        "rows": [],
    }
    say("  " + ", ".join(f"{name} {value:.4g}" for name, value in out.items() if name != "rows"))
    for d, n, batch in SIZES[True] if quick else (*SIZES[False], (100, 1000, 32)):
        about = {"gate": "scalar", "d": d, "n": n, "batch": batch}
        raw = torch.empty(batch * (n + 1) * d)
        _, Z = layer_problem(d, n, batch, "scalar", torch.float32)
        calls = {
            "layer": forms("tokens", d, n, batch, "scalar")["ours"],
            "readout": forms("readout", d, n, batch, "scalar")["ours"],
            "chunked": forms("chunked", d, n, batch, "scalar")["ours"],
            "draw": lambda raw=raw: raw.normal_(generator=generator),
            "copy": lambda Z=Z: Z.clone(),
        }
        times = side_by_side(calls, quick)
        for form, floor in (("layer", "draw"), ("layer", "copy"), ("readout", "copy"), ("chunked", "copy")):
            out["rows"].append(row(times, form, floor, form=form, floor=floor, **about))
        # Products of a chunk: q k^T and its product with v, T C (dk + dv) each; what it writes and reads, T dk dv each.
        # Times two for a multiplication and an addition, times three for the backward pass.
        flops = 6 * batch * n * 2 * (chunk_length(n, d, d, "scalar") * d + d * d)
        rate = 1e-9 * flops / median(times["chunked"])
        out["rows"].append(about | {"form": "chunked", "floor": "gemm", "ratio": out["gemm_gflops"] / rate,
                                    "gflops": rate})  # fmt: skip
        say(f"  chunked: {rate:.3g} GFLOP/s, {out['gemm_gflops'] / rate:.3g} times below GEMM")
    return out


def tables(quick, recipes=reproduce.RECIPES):
    """The authors' table trained anew, on all cores: seconds, and the largest excess over theory."""
    del quick
    out = {"cores": os.cpu_count()}
    for recipe in recipes:
        began = perf_counter()
        rows = reproduce.table(all_weights=recipe == "all-weights")
        out[f"{recipe}_seconds"] = perf_counter() - began
        out[f"{recipe}_largest_excess"] = max(row["risk"] / row["theory"] - 1 for row in rows)
        say(f"  {recipe}: {out[f'{recipe}_seconds']:.0f} s, excess up to {out[f'{recipe}_largest_excess']:+.2%}")
    return out


PARTS = {f.__name__: f for f in (forward_backward, memory, reference, delta, task, sampling, floors, tables)}


def machine():
    about = {"cpu": reproduce.processor(), "cores": os.cpu_count(), "system": platform.system(), "threads": 1}
    return about | reproduce.versions() | {"code": reproduce.code_fingerprint()}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=PARTS, help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--tables", nargs="*", choices=reproduce.RECIPES, help="time the authors' table too")
    options = parser.parse_args(arguments)
    one_thread()

    names = options.only or [name for name in PARTS if name != "tables" or options.tables is not None]
    parts = PARTS | {"tables": partial(tables, recipes=options.tables or reproduce.RECIPES)}
    result = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "quick": options.quick,
        "load_before": reproduce.load_average(),
    }
    for i, name in enumerate(names, 1):
        say(f"[{i}/{len(names)}] {name}: {PARTS[name].__doc__.splitlines()[0]}")
        if (part := parts[name](options.quick)) is not None:
            result[name] = part
    result["load_after"] = reproduce.load_average()
    say(f"load average before {result['load_before']}, after {result['load_after']}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    main()
