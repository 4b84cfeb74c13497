"""Brute force: the risk written out for every pair of examples, and minimised with no use of the theory."""

import numpy as np
import torch
from scipy.optimize import minimize


def risk(dist, P, w):
    """L(P, w) from the moments of Gaussian features, example by example; P and w are float64 torch tensors."""
    return risk_of(dist)(P, w)


def risk_of(dist):
    """The function L(P, w), with all that depends on the prompts alone computed once.

    With x = Sx^1/2 u the prediction is u^T Q m, m = sum_i w_i u_i y_i. Isserlis gives
    E m m^T = sum_ij w_i w_j E[u_i y_i y_j u_j^T] and E[y m^T] = sum_i w_i r_i Sigma.
    """
    half = torch.from_numpy(_sqrt(dist.Sx))
    Sigma = half @ torch.from_numpy(dist.C.copy()) @ half
    eye = torch.eye(dist.d, dtype=torch.float64)
    index = dist.task_index
    R, r = torch.from_numpy(dist.R[np.ix_(index, index)]), torch.from_numpy(dist.r[index])
    others = R - torch.diag(torch.diag(R))
    own = 2 * Sigma + torch.trace(Sigma) * eye + dist.sigma**2 * eye
    M = dist.sigma**2 + torch.trace(Sigma)

    def value(P, w):
        Q = half @ P @ half
        second = torch.einsum("i,j,ij->", w, w, others) * Sigma + (w**2).sum() * own
        return M - 2 * (w @ r) * torch.trace(Q @ Sigma) + torch.trace(Q @ second @ Q.T)

    return value


def minimise(dist, weights, starts=8, seed=0):
    """The smallest risk found by L-BFGS from random starts, over P and weights of that class."""
    rng = np.random.default_rng(seed)
    d, K = dist.d, dist.K
    index, loss = torch.from_numpy(dist.task_index), risk_of(dist)

    def expand(z):
        if weights == "free":
            return z[index]
        if weights == "uniform":
            return torch.ones(dist.n, dtype=torch.float64)
        if weights == "monotone":
            return torch.cumsum(z, 0)[index]
        if weights == "constant-gate":
            return z[0] ** torch.arange(dist.n - 1, -1, -1, dtype=torch.float64)  # P has the scale
        raise ValueError(weights)

    def objective(flat):
        flat = torch.tensor(flat, requires_grad=True)
        value = loss(flat[K:].reshape(d, d), expand(flat[:K]))
        value.backward()
        return value.item(), flat.grad.numpy()

    within = {"monotone": (0, None), "constant-gate": (0, 1)}.get(weights, (None, None))
    bounds = [within] * K + [(None, None)] * (d * d)
    best = np.inf
    for start in range(starts):
        z = rng.random(K) if weights == "monotone" else rng.normal(size=K)
        if weights == "constant-gate":
            z = np.full(K, 1 / (1 + np.exp(-np.linspace(-3.0, 7.0, starts)[start])))
        P = (-1) ** start * (np.eye(d) + 0.3 * rng.normal(size=(d, d))) / dist.n
        found = minimize(
            objective, np.concatenate([z, P.ravel()]), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-11, "maxcor": 50},
        )  # fmt: skip
        best = min(best, found.fun)
    return best


def _sqrt(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
