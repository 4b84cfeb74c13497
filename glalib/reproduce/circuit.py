"""What of a trained layer reaches a prediction, so that all that a page says of the layer can be computed from a row.

The prediction of one layer depends on its matrices through two things only: what a value passes on, w = W_v psi, and
how a query scores a token, A = W_q W_k^T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.linalg import block_diag

from .._check import Array
from ..distribution import PromptDistribution
from ..gates import widen
from ..layout import DELIMITED
from ..model import GLA
from ..spectra import psd_root

Circuit = dict[str, Any]


@torch.no_grad()
def circuit(net: GLA) -> Circuit:
    """All that the prediction of one layer depends on, and how large its matrices are.

    value (width,): what a value passes on of each coordinate of its token, W_v psi times the scale. scores
    (width, width): W_q W_k^T, rows for the query's coordinates. rows: lengths of the rows of W_q, W_k and W_v.
    W_g (width,) and b_g: None without a gate.
    """
    layer = net.layers[0]
    W_q, W_k, W_v = (W.double() for W in layer.matrices())
    rows = {name: W.norm(dim=1).tolist() for name, W in (("W_q", W_q), ("W_k", W_k), ("W_v", W_v))}
    gate = (None, None) if layer.W_g is None or layer.b_g is None else (layer.W_g[:, 0].tolist(), layer.b_g.item())
    value = net.scale * W_v @ widen(net.h).double()
    out = {"value": value.tolist(), "scores": (W_q @ W_k.mT).tolist(), "rows": rows, "W_g": gate[0], "b_g": gate[1]}
    return {key: rounded(each) for key, each in out.items()}


def rounded(value: Any) -> Any:
    """Floats to six digits, in dicts and lists too: what is stored of numbers that are known less exactly."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def layer_of(kept: Circuit, dist: PromptDistribution) -> GLA:
    """A layer in float64 that predicts as the one of this circuit: W_k = I, W_q the scores, one value channel."""
    width, kind = len(kept["value"]), dict[str, Any](dtype=torch.float64)
    gate: Any = None if kept["W_g"] is None else "scalar"
    net = GLA(width, gate, value_width=1, context_width=width - dist.d - 1, **kind)
    layer = net.layers[0]
    with torch.no_grad():
        net.h.fill_(1.0)
        layer.W_q.copy_(torch.tensor(kept["scores"], **kind))
        layer.W_k.copy_(torch.eye(width, **kind))
        layer.W_v.copy_(torch.tensor(kept["value"], **kind)[:, None])
        if layer.W_g is not None and layer.b_g is not None:
            layer.W_g.copy_(torch.tensor(kept["W_g"], **kind)[:, None])
            layer.b_g.fill_(kept["b_g"])
    return net


def step_inside(kept: Circuit, d: int) -> Array:
    """P (d, d) of the weighted step inside: w_y A_xx, and what labels in keys add, A_xy w_x^T."""
    w, A = np.array(kept["value"]), np.array(kept["scores"])
    P: Array = w[d] * A[:d, :d] + np.outer(A[:d, d], w[:d])
    return P


def visible(kept: Circuit, dist: PromptDistribution) -> tuple[Array, Array]:
    """w and A as prompts see them, in units of the root mean square of what a token shows.

    w (d + 1 + K,): features, label, then the context of each block. A: rows for the query's features and its context,
    columns as of w. Without context coordinates neither has entries for it. The squares of w sum to the mean square of
    a value w . z_i over the examples, those of A to that of a score.
    """
    w, A, d = np.array(kept["value"]), np.array(kept["scores"]), dist.d
    vectors = DELIMITED.vectors(dist.K)[:, : len(w) - d - 1]
    shares = np.sqrt(np.array(dist.counts) / dist.n)[:, None]
    examples, query = (vectors[: dist.K] * shares, vectors[-1:]) if vectors.size else (vectors[:0],) * 2
    root = psd_root(dist.Sx)
    tokens = block_diag(root, [[dist.M**0.5]], examples.T)
    asked = np.delete(np.asarray(block_diag(root, [[0.0]], query.T)), d, axis=1)
    return w @ tokens, asked.T @ A @ tokens
