"""Monte Carlo: the twin of every closed form, and one evaluation loop for every predictor."""

from __future__ import annotations

import copy
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from tqdm import tqdm

from . import _check
from ._records import Record
from .distribution import PromptDistribution
from .layout import Layout
from .prompts import PARTS, Drawn, Sampler, check_parts
from .risk import WPGD, population_risk
from .wpgd import wpgd_step

Predictor = Callable[[Any], Any]
TAKEN = ("batch", "generator", "queries", "dtype")  # by a sampler, in this order
UNHEEDED = "does not come from its generator"
TOKENS = "a Layout, a callable on what dist.sample returns or None"
BARE = Layout()  # the tokens of a model whose `tokens` were left out, told by identity from a layout that was given


@dataclass(frozen=True)
class Estimate(Record):
    """A simulated risk, its standard error, and the number of prompts behind them."""

    risk: float
    stderr: float
    draws: int

    def __repr__(self) -> str:
        return f"Estimate({self.risk:.6g} +- {self.stderr:.2g}, {self.draws} prompts)"


@torch.no_grad()
def simulate_risk(
    predictor: Any,
    dist: Sampler,
    draws: int = 10_000,
    queries: int = 1,
    batch: int | None = None,
    generator: torch.Generator | None = None,
    tokens: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype = torch.float64,
    progress: bool = False,
    against: WPGD | tuple[ArrayLike, ArrayLike] | None = None,
) -> Estimate:
    """The risk E (y - prediction)^2 by simulation, with its standard error (taken over prompts).

    - predictor: a pair (P, omega) or a `WPGD` record, omega per task or per example;
      or a torch module from tokens Z to predictions (called as module(Z), or module(Z, queries=queries));
      or any callable on what `dist.sample` returns, such as those in `glalib.baselines`, that returns predictions.
      Predictions are floating-point tensors of shape (batch, queries), or (batch,) for one query.
    - dist: a `PromptDistribution`; for modules and callables, any `Sampler`.
    - draws, queries, batch: prompts drawn in all, queries on each, prompts drawn at a time (chosen if None).
    - generator: torch.Generator; the same state gives the same estimate. None: torch's own.
    - tokens: for modules, how prompts become Z: a `Layout`, or another callable on what `dist.sample` returns;
      Layout() if None.
    - dtype: precision of the prompts. A module is given its own precision; one of 16 bits is given tokens rounded to
      it, of prompts in float32, and is held to labels that are not rounded. Errors are squared and summed in float64.
    - progress: show a progress bar.
    - against: a `WPGD` record or a pair (P, omega) to compare with on the same prompts. Its risk is known exactly, so
      the estimate is that risk plus the mean difference: for a predictor close to it, a far smaller standard error.

    Raises ValueError or TypeError for bad arguments, and where predictions have the wrong type or shape or are not
    finite.
    """
    check_sampler(dist)
    _check.dtype("dtype", dtype)
    draws, queries = _check.positive_int("draws", draws), _check.positive_int("queries", queries)
    if draws < 2:
        raise _check.fail("draws", "at least 2, for a standard error", draws)
    batch = chosen_batch(dist, queries) if batch is None else _check.positive_int("batch", batch)
    progress = _check.flag("progress", progress)
    predict, dtype = as_predictor(predictor, dist, queries, tokens, dtype)
    known, compare = (0.0, None) if against is None else _known(against, dist, dtype)
    parts: list[Tensor] = []
    with tqdm(total=draws, disable=not progress, unit="prompt") as bar:
        while (left := draws - sum(map(len, parts))) > 0:
            drawn = draw(dist, min(batch, left), generator, queries, dtype, first=not parts)
            squared = _squared_errors(predict(drawn), drawn)
            if compare is not None:
                squared = squared - _squared_errors(compare(drawn), drawn)
            parts.append(squared.mean(1))
            bar.update(len(squared))
    losses = torch.cat(parts)
    if not losses.isfinite().all():
        raise _check.fail("the predictor's output", "finite", "NaN or infinity")
    return Estimate(known + losses.mean().item(), losses.std().item() / draws**0.5, draws)


def _known(against: Any, dist: Sampler, dtype: torch.dtype) -> tuple[float, Predictor]:
    """The exact risk of what is compared with, and its predictions."""
    pair = (against.P, against.omega) if isinstance(against, WPGD) else against
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"against must be a WPGD record, a (P, omega) pair or None; got {_check.short(against)}")
    dist = _check.instance("dist", dist, PromptDistribution, "a PromptDistribution where `against` is given")
    return population_risk(dist, *pair), as_predictor(tuple(pair), dist, 1, None, dtype)[0]


def _squared_errors(predictions: Any, drawn: Drawn) -> Tensor:
    """(batch, queries), in float64; or a complaint of predictions that are none."""
    what, y = "the predictor's output", drawn.y_query
    predictions = of_queries(what, _check.tensor(what, predictions), y)
    errors: Tensor = y.double() - predictions.to(y.device).double()
    return errors**2


def of_queries(name: str, predictions: Tensor, y: Tensor) -> Tensor:
    """Predictions in the shape of the labels y (batch, queries), or a complaint; for one query (batch,) will do."""
    if predictions.shape not in (y.shape, y.shape[: 1 if y.shape[1] == 1 else 2]):
        raise _check.misshaped(name, f"of shape {tuple(y.shape)}", predictions)
    return predictions.reshape(y.shape)


def check_read_out(name: str, out: Any, y: Tensor) -> None:
    """Complain of what a module returns where it is that of a layer from tokens to tokens, not predictions."""
    hint = "(a layer from tokens to tokens goes into glalib.InContext)"
    if isinstance(out, tuple):
        raise TypeError(f"{name} must be a torch tensor {hint}; got tuple")
    if isinstance(out, Tensor) and out.ndim > y.ndim:
        raise _check.misshaped(name, f"of shape {tuple(y.shape)} {hint}", out)


def check_makes_tokens(tokens: Any) -> None:
    """Complain unless it makes tokens of prompts, or is None."""
    if isinstance(tokens, type) and issubclass(tokens, Layout):
        raise TypeError(f"tokens must be {TOKENS}; got the class {tokens.__name__}: write {tokens.__name__}()")
    if tokens is not None and not callable(tokens):
        raise TypeError(f"tokens must be {TOKENS}; got {type(tokens).__name__}")


def check_sampler(dist: Any) -> None:
    """Complain unless it draws prompts."""
    if isinstance(dist, type) or not callable(getattr(dist, "sample", None)):
        expected = "a PromptDistribution or another object with a method `sample`"
        raise TypeError(f"dist must be {expected}; got {type(dist).__name__}")
    try:
        taken = inspect.signature(dist.sample)
    except (TypeError, ValueError):  # compiled code does not tell
        return
    named = [name for name in taken.parameters if name in TAKEN]
    try:
        taken.bind(*TAKEN)
        fits = named == sorted(named, key=TAKEN.index)
    except TypeError:
        fits = False
    if not fits:
        raise TypeError(f"dist.sample must take ({', '.join(TAKEN)}); got {taken}")


def draw(
    dist: Sampler,
    batch: int,
    generator: torch.Generator | None,
    queries: int,
    dtype: torch.dtype | None,
    first: bool = False,
) -> Drawn:
    """Prompts of any distribution, or a complaint where what it returns are none.

    first: warn of a sampler that left the generator as it was and does not repeat its prompts either.
    """
    what, state = "what dist.sample returns", generator.get_state() if first and generator is not None else None
    drawn = dist.sample(batch, generator, queries, dtype)
    check_parts(what, drawn)
    for name in PARTS:
        part = _check.instance(f"{name} of {what}", getattr(drawn, name), torch.Tensor, "a tensor")
        if part.dtype != (dtype or part.dtype):
            raise _check.fail(f"{name} of {what}", f"of the dtype that it is asked for, {dtype}", part.dtype)
    if drawn.y_query.shape != (batch, queries):
        raise _check.misshaped(f"y_query of {what}", f"of shape {(batch, queries)}", drawn.y_query)
    if state is not None and generator is not None and torch.equal(state, generator.get_state()):
        if not repeats(dist, generator, queries, dtype):
            text = f"what {type(dist).__name__}.sample returns {UNHEEDED}, which it left as it was"
            _warn(f"{text}: the seed given here does not repeat these numbers")
    return drawn


def repeats(
    dist: Sampler, generator: torch.Generator | None, queries: int = 1, dtype: torch.dtype | None = torch.float64
) -> bool:
    """Whether a sampler draws the same prompts twice from one state of a generator, of the kind of this one.

    A copy is asked, and torch's own generator put back, so that nobody's numbers change. True where that cannot be.
    """
    device = "cpu" if generator is None else generator.device
    try:
        asked = copy.deepcopy(dist)
        with torch.random.fork_rng(devices=[]):
            one, two = (asked.sample(2, torch.Generator(device).manual_seed(0), queries, dtype) for _ in range(2))
        return all(torch.equal(getattr(one, name), getattr(two, name)) for name in PARTS)
    except Exception:  # code of one's own may refuse a copy, or two prompts, in any way
        return True


def _warn(text: str) -> None:
    """A warning at the line outside of glalib that led here; in between torch may have frames of its own."""
    names = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(sys._getframe()))
    ours = (name.partition(".")[0] in ("glalib", "torch") for name in names)
    warnings.warn(text, stacklevel=next((level for level, own in enumerate(ours, 1) if not own), 1))


@contextmanager
def telling(note: str) -> Iterator[None]:
    """Errors go on as they are, with a line about where they came from."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


@contextmanager
def asking(tokens: Any, Z: Any) -> Iterator[None]:
    """Errors that a wrong shape of tokens Z may have made go on with a question, where no `tokens` were given."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if tokens is BARE and not isinstance(error, getattr(torch, "OutOfMemoryError", ())):
            made = f"tokens of shape {tuple(Z.shape)}, made by {tokens}"
            error.add_note(f"the model was called on {made}: was tokens= left out?")
        raise


def chosen_batch(dist: object, queries: int) -> int:
    """About 2 million numbers at a time: large enough for speed, small enough for a laptop."""
    if not isinstance(dist, PromptDistribution):  # of unknown size
        return 256
    return max(1, 2_000_000 // ((dist.n + queries) * dist.d))


def query_option(model: torch.nn.Module, queries: int) -> dict[str, int]:
    """How a module is told of that many queries: model(Z) for one, else model(Z, queries=queries)."""
    if queries == 1:
        return {}
    try:
        taken = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # compiled code does not tell
        return {"queries": queries}
    hint = "(or a layer from tokens to tokens, which goes into glalib.InContext)"
    if not any(p.name == "queries" or p.kind is p.VAR_KEYWORD for p in taken):
        raise _check.fail("queries", f"1 for a model whose forward takes no `queries` {hint}", queries)
    return {"queries": queries}


def as_predictor(
    predictor: Any, dist: Sampler, queries: int, tokens: Any, dtype: torch.dtype
) -> tuple[Predictor, torch.dtype]:
    """Any predictor as a callable from what `dist.sample` returns to predictions, and the precision it wants."""
    hint = ""
    if isinstance(predictor, WPGD):
        predictor, hint = (predictor.P, predictor.omega), "; for another sampler give `lambda prompts: best(prompts)`"
    if isinstance(predictor, torch.nn.Module):
        check_makes_tokens(tokens)
        tokens = BARE if tokens is None else tokens
        options = query_option(predictor, queries)
        weights = next(predictor.parameters(), torch.empty(0, dtype=dtype))
        own = weights.dtype

        def predict(drawn: Any) -> Any:
            Z = _check.tensor("what tokens returns", tokens(drawn), finite=False)
            with asking(tokens, Z):
                out = predictor(Z.to(weights.device, own if own.itemsize < 4 else Z.dtype), **options)
            check_read_out("the predictor's output", out, drawn.y_query)
            return out

        return predict, torch.float32 if own.itemsize < 4 else own
    if tokens is not None:
        raise _check.fail("tokens", "None unless the predictor is a torch module", type(tokens).__name__)
    if isinstance(predictor, (tuple, list)) and len(predictor) == 2:
        if not isinstance(dist, PromptDistribution):
            expected = "a PromptDistribution where weights are the predictor"
            raise TypeError(f"dist must be {expected}; got {type(dist).__name__}{hint}")
        P = _check.array("P", predictor[0], (dist.d, dist.d))
        omega = _check.array("omega", predictor[1])
        dist.moments(omega)  # complains about a wrong shape
        omega = dist.expand(omega)
        return lambda drawn: wpgd_step(drawn.x, drawn.y, drawn.x_query, P, omega), dtype
    if callable(predictor):
        return predictor, dtype
    expected = "a (P, omega) pair, a WPGD record, a torch module or a callable on what dist.sample returns"
    raise TypeError(f"predictor must be {expected}; got {type(predictor).__name__}")
