"""Layers in use, each from its own tensors in its own conventions, as settings of `gla` and its neighbours.

Shapes are named by letters: B prompts, T tokens, H heads, K key channels, V value channels, N states of a channel, E
channels of a layer without heads. A log gate is the logarithm of a gate in (0, 1]. `scale` multiplies queries, K^(-1/2)
if None. What stands around the recurrence is outside: projections, convolutions, norms, output gates.

| layer                    | runs on          | gate    | what is special                                          |
|--------------------------|------------------|---------|----------------------------------------------------------|
| linear_attention         | gla              | none    | a normaliser, if asked for                               |
| retnet                   | gla              | scalar  | one constant for each head                               |
| gated_linear_attention   | gla              | key     | log gates                                                |
| hgrn2                    | gla              | key     | keys are 1 - gate                                        |
| mamba                    | gla              | key     | each channel is a head with one value; writes times dt   |
| mamba2                   | gla              | scalar  | heads of a group share B and C; writes times dt          |
| mlstm                    | gla              | scalar  | an input gate; over max(abs(q . n), 1)                   |
| rwkv4                    | gla              | scalar  | each channel is a head; keys are exp(k); over their sum  |
| rwkv5                    | gla              | key     | as rwkv6, with constant gates                            |
| rwkv6                    | gla              | key     | reads the state before the token, and a bonus            |
| h3                       | gla              | key     | shifted keys times values; constant gates, real          |
| s4d                      | gla              | key     | constant gates; keys and queries turn with the place     |
| rg_lru                   | gla              | value   | one key, which is 1; writes times sqrt(1 - gate^2)       |
| deltanet, gated_deltanet | gated_delta_rule | scalar  | erases                                                   |
| kda                      | general_rule     | key     | erases; a gate for each key channel                      |
| rwkv7                    | general_rule     | key     | erases along one vector what it read along another       |

Errors: TypeError or ValueError for wrong types, shapes, dtypes, numbers that are not finite, gates outside [0, 1], or
steps dt below 0; numbers are not looked at while torch traces. Tensors of one call have one dtype and device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad, softplus

from .. import _check
from ..attention import gla
from ..delta.attention import gated_delta_rule
from ..gates import widen
from . import parts
from .recurrence import general_rule


def linear_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, normalise: bool = False) -> Tensor:
    """Linear attention: o (B, T, H, V) from q, k (B, T, H, K) and v (B, T, H, V).

    normalise divides by q . (k_1 + ... + k_t), which positive features keep from zero.
    """
    parts.shapes(q=(q, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"))
    q, k, v = parts.heads_first(parts.scaled(q, scale), k, v)
    if not _check.flag("normalise", normalise):
        return parts.tokens_first(gla(q, k, v))
    o, total = parts.with_total(gla(q, k, parts.and_one(v)))
    return parts.tokens_first(o / total)


def retnet(q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None = None, scale: float | None = None) -> Tensor:
    """RetNet's retention: o (B, T, H, V) from q, k (B, T, H, K), already rotated, and v (B, T, H, V).

    decay: a number in [0, 1] for each head, (H,); RetNet's 1 - 2^(-5 - h), h = 0, 1, ..., if None. Lightning attention,
    as in MiniMax, is decay = exp(-slope) and scale = 1.
    """
    size = parts.shapes(q=(q, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), decay=(decay, "H"))
    if decay is None:
        decay = 1 - 2 ** (-5 - torch.arange(size["H"], dtype=q.dtype, device=q.device))
    _check.unit_interval("decay", decay)
    q, k, v = parts.heads_first(parts.scaled(q, scale), k, v)
    return parts.tokens_first(gla(q, k, v, decay[:, None].expand(-1, size["T"])))


def gated_linear_attention(q: Tensor, k: Tensor, v: Tensor, log_g: Tensor, scale: float | None = None) -> Tensor:
    """GLA: o (B, T, H, V) from q, k, log_g (B, T, H, K) and v (B, T, H, V)."""
    parts.shapes(q=(q, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), log_g=(log_g, "BTHK"))
    q, k, v, gates = parts.heads_first(parts.scaled(q, scale), k, v, parts.exp("log_g", log_g))
    return parts.tokens_first(gla(q, k, v, gates, "key"))


def hgrn2(q: Tensor, f: Tensor, v: Tensor, scale: float = 1.0) -> Tensor:
    """HGRN-2: o (B, T, H, V) from q and forget gates f in [0, 1], (B, T, H, K), and v (B, T, H, V). Keys are 1 - f."""
    parts.shapes(q=(q, "BTHK"), f=(f, "BTHK"), v=(v, "BTHV"))
    _check.unit_interval("f", f)
    q, f, v = parts.heads_first(parts.scaled(q, scale), f, v)
    return parts.tokens_first(gla(q, 1 - f, v, f, "key"))


def mamba(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None) -> Tensor:
    """Mamba's selective scan: y (B, E, T) from u and steps dt >= 0, (B, E, T), A < 0 (E, N), B, C (B, N, T), D (E,).

    Each channel is a head of N key channels and one value: S_t = exp(dt A) S_{t-1} + dt u B, y = C . S + D u.
    """
    parts.shapes(u=(u, "BET"), dt=(dt, "BET"), A=(A, "EN"), B=(B, "BNT"), C=(C, "BNT"), D=(D, "E"))
    parts.steps("dt", dt)
    gates = parts.exp("dt A", dt[..., None] * A[:, None])
    y = gla(C.mT[:, None], B.mT[:, None], (dt * u)[..., None], gates, "key")[..., 0]
    return y if D is None else y + D[:, None] * u


def mamba2(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None) -> Tensor:
    """Mamba-2: y (B, T, H, V) from x (B, T, H, V), steps dt >= 0 (B, T, H), A < 0 (H,), B, C (B, T, G, K), D (H,).

    G groups of H / G heads each share B and C: S_t = exp(dt A) S_{t-1} + dt x B^T, y = S C + D x.
    """
    size = parts.shapes(x=(x, "BTHV"), dt=(dt, "BTH"), A=(A, "H"), B=(B, "BTGK"), C=(C, "BTGK"), D=(D, "H"))
    parts.steps("dt", dt)
    heads, groups = size["H"], size["G"]
    if heads % groups:
        raise _check.fail("B", f"of a number of groups that divides {heads} heads", f"{groups} groups")
    k, q = (z.repeat_interleave(heads // groups, dim=2) for z in (B, C))
    q, k, v, gates = parts.heads_first(q, k, dt[..., None] * x, parts.exp("dt A", dt * A))
    y = parts.tokens_first(gla(q, k, v, gates))
    return y if D is None else y + D[:, None] * x


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, exponential: bool = False) -> Tensor:
    """xLSTM's matrix memory: h (B, H, T, V) from q, k (B, H, T, K), v (B, H, T, V) and i, f (B, H, T).

    i and f are what the gates are made of: exp(i) and sigmoid(f), or exp(f) if `exponential`, which may be above one.
    With n the sum of keys, weighted as the state is, h = S q / max(abs(n . q), 1), where q is scaled by K^(-1/2). S, n
    and the 1 are divided by the largest weight that a token has by then, or 1 if that is larger: the result is the
    same, and nothing overflows.
    """
    parts.shapes(q=(q, "BHTK"), k=(k, "BHTK"), v=(v, "BHTV"), i=(i, "BHT"), f=(f, "BHT"))
    log_g = f if _check.flag("exponential", exponential) else logsigmoid(f)
    before, m = parts.largest(log_g, i, torch.zeros_like(i[..., 0]))
    write, gates = (i - m).exp()[..., None], (log_g + before - m).exp()
    o, total = parts.with_total(gla(parts.scaled(q, None), write * k, parts.and_one(v), gates))
    return o / torch.maximum(total.abs(), (-m).exp()[..., None])


def rwkv4(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """RWKV-4: o (B, T, E) from k, v (B, T, E), a decay exp(-exp(w)) and a bonus u for each channel, (E,).

    o_t = (S_{t-1} + exp(u + k_t) v_t) / (n_{t-1} + exp(u + k_t)), where S sums exp(k) v with the decay, and n exp(k).
    Both are divided by the largest of their terms: the result is the same, and nothing overflows.
    """
    size = parts.shapes(k=(k, "BTE"), v=(v, "BTE"), w=(w, "E"), u=(u, "E"))
    k, values = k.mT, parts.and_one(v.mT[..., None])  # each channel a head, with the values v and 1
    log_g = (-w.exp())[:, None].expand(-1, size["T"])
    before, m = parts.largest(log_g, k, torch.full_like(k[..., 0], -torch.inf))
    own = u[:, None] + k
    most = torch.maximum(before, own.detach())
    one = torch.ones_like(values[..., :1])
    state = parts.before(one, one, (k - m).exp()[..., None] * values, (log_g + before - m).exp())
    o = (before - most).exp()[..., None] * state + (own - most).exp()[..., None] * values
    return (o[..., 0] / o[..., 1]).mT


def rwkv5(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, scale: float = 1.0) -> Tensor:
    """RWKV-5: as `rwkv6`, with a log gate for each channel, w (H, K), that no token moves."""
    parts.shapes(r=(r, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), w=(w, "HK"), u=(u, "HK"))
    return rwkv6(r, k, v, w.expand_as(k), u, scale)


def rwkv6(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, scale: float = 1.0) -> Tensor:
    """RWKV-6: o (B, T, H, V) from r, k, log gates w (B, T, H, K), v (B, T, H, V) and a bonus u (H, K).

    o_t = (S_{t-1} + v_t (u k_t)^T) r_t: it reads the state before the token, and the token by the bonus.
    """
    parts.shapes(r=(r, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), w=(w, "BTHK"), u=(u, "HK"))
    q, k, v, gates = parts.heads_first(parts.scaled(r, scale), k, v, parts.exp("w", w))
    bonus = (q * k * u[:, None]).sum(-1, keepdim=True)
    return parts.tokens_first(parts.before(q, k, v, gates, "key") + bonus * v)


def h3(
    q: Tensor, k: Tensor, v: Tensor, shift: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None
) -> Tensor:
    """H3: o (B, T, E) from q, k, v (B, T, E), a filter shift (E, L) and a state space A, B, C (E, N), D (E,).

    With k' = sum_j shift_j k_{t-j} and z = k' v, o = q (C . S + D z), S_t = A S_{t-1} + B z_t. A is real, in [0, 1],
    and each channel is a head with one key and one value. Where A is complex, C . S + D z is `s4d`.
    """
    space = {"A": (A, "EN"), "B": (B, "EN"), "C": (C, "EN"), "D": (D, "E")}
    size = parts.shapes(q=(q, "BTE"), k=(k, "BTE"), v=(v, "BTE"), shift=(shift, "EL"), **space)
    _check.unit_interval("A", A)
    taps = shift.flip(-1)[:, None]
    moved = torch.nn.functional.conv1d(pad(k.mT, (size["L"] - 1, 0)), taps, groups=size["E"]).mT
    z = moved * v
    C, B, A = (x[:, None].expand(-1, size["T"], -1) for x in (C, B, A))  # each channel a head, with one value
    y = gla(C, B, z.mT[..., None], A, "key")[..., 0].mT
    return q * (y if D is None else y + D * z)


def s4d(u: Tensor, dt: Tensor, A_real: Tensor, A_imag: Tensor, C: Tensor, D: Tensor | None = None) -> Tensor:
    """S4D: y (B, E, T) from u (B, E, T), steps dt >= 0 (E,), A_real < 0, A_imag (E, N), C (E, N, 2) and D (E,).

    With A = A_real + i A_imag and C complex, its parts in the last axis: y = 2 Re(C . S) + D u,
    S_t = exp(dt A) S_{t-1} + (exp(dt A) - 1) / A u_t. Each channel is a head of one value and 2 N key channels, with
    gates exp(dt A_real): keys and queries turn by dt A_imag a token, as rotated ones do, and keys have length one.
    """
    space = {"A_real": (A_real, "EN"), "A_imag": (A_imag, "EN"), "C": (C, "EN2"), "D": (D, "E")}
    size = parts.shapes(u=(u, "BET"), dt=(dt, "E"), **space)
    parts.steps("dt", dt)
    if _check.look(lambda: A_real.detach().amax().item() >= 0):
        raise _check.fail("A_real", "below 0", f"values up to {A_real.detach().max():.3g}")
    gates = (dt[:, None] * A_real).exp().repeat_interleave(2, -1)[:, None].expand(-1, size["T"], -1)
    A, C = torch.complex(widen(A_real), widen(A_imag)), torch.view_as_complex(widen(C).contiguous())
    step = widen(dt)[:, None] * A
    angles = step.imag[:, None] * torch.arange(size["T"], device=u.device)[:, None]  # (E, T, N)
    turned = torch.polar(torch.ones_like(angles), angles)
    read = 2 * torch.expm1(step) / A * C
    q, k = (torch.view_as_real(x).flatten(-2).to(u.dtype) for x in (read[:, None] * turned, turned))
    y = gla(q, k, u[..., None], gates, "key")[..., 0]
    return y if D is None else y + D[:, None] * u


def rg_lru(x: Tensor, r: Tensor, i: Tensor, Lambda: Tensor) -> Tensor:
    """The RG-LRU of Griffin: h (B, T, E) from x, gates r and i in [0, 1], (B, T, E), and Lambda (E,).

    The gate is g = exp(-8 softplus(Lambda) r), and h_t = g h_{t-1} + sqrt(1 - g^2) i x; the first x has no root.
    """
    parts.shapes(x=(x, "BTE"), r=(r, "BTE"), i=(i, "BTE"), Lambda=(Lambda, "E"))
    _check.unit_interval("r", r)
    _check.unit_interval("i", i)
    log_g = -8 * softplus(Lambda) * r
    rest = -torch.expm1(2 * log_g[:, 1:])
    write = pad(rest.clamp(min=torch.finfo(x.dtype).tiny).sqrt(), (0, 0, 1, 0), value=1.0)  # a root of 0 has no slope
    one = torch.ones_like(x[..., :1])
    return gla(one, one, write * i * x, log_g.exp(), "value")


def deltanet(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, scale: float | None = None) -> Tensor:
    """DeltaNet: o (B, T, H, V) from q, k (B, T, H, K), v (B, T, H, V) and steps beta (B, T, H). Keys as they are.

    Steps may be up to 2, or of any size and sign. DeltaProduct is this on a prompt where each token stands as many
    times in a row as it takes steps, read at its last; its gate counts at the first, in `gated_deltanet`.
    """
    parts.shapes(q=(q, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), beta=(beta, "BTH"))
    q, k, v, beta = parts.heads_first(parts.scaled(q, scale), k, v, beta)
    return parts.tokens_first(gated_delta_rule(q, k, v, beta))


def gated_deltanet(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_g: Tensor, scale: float | None = None) -> Tensor:
    """Gated DeltaNet: as `deltanet`, with log gates log_g (B, T, H)."""
    parts.shapes(q=(q, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), beta=(beta, "BTH"), log_g=(log_g, "BTH"))
    q, k, v, beta, gates = parts.heads_first(parts.scaled(q, scale), k, v, beta, parts.exp("log_g", log_g))
    return parts.tokens_first(gated_delta_rule(q, k, v, beta, gates))


def kda(q: Tensor, k: Tensor, v: Tensor, log_g: Tensor, beta: Tensor, scale: float | None = None) -> Tensor:
    """Kimi delta attention: as `gated_deltanet`, with a log gate for each key channel, log_g (B, T, H, K). Slow."""
    parts.shapes(q=(q, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), log_g=(log_g, "BTHK"), beta=(beta, "BTH"))
    q, k, v, step, g = parts.heads_first(parts.scaled(q, scale), k, v, beta[..., None], parts.exp("log_g", log_g))
    return parts.tokens_first(general_rule(q, k, step * v, g, step * g * k, k))


def rwkv7(r: Tensor, w: Tensor, k: Tensor, v: Tensor, kk: Tensor, a: Tensor, scale: float = 1.0) -> Tensor:
    """RWKV-7: o (B, T, H, V) from r, log gates w, k, kk and a (B, T, H, K), v (B, T, H, V). Slow.

    S_t = S_{t-1} (diag(exp(w)) - kk (a kk)^T) + v k^T: what it holds along kk, of length one, is taken off along a kk,
    with a in [0, 1]. What a layer hands over as k is its key times 1 + (a - 1) c, with a number c for each channel.
    """
    parts.shapes(r=(r, "BTHK"), w=(w, "BTHK"), k=(k, "BTHK"), v=(v, "BTHV"), kk=(kk, "BTHK"), a=(a, "BTHK"))
    q, k, v, g, read, erased = parts.heads_first(parts.scaled(r, scale), k, v, parts.exp("w", w), kk, a * kk)
    return parts.tokens_first(general_rule(q, k, v, g, read, erased))
