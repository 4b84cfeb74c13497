# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   settles: whether $P$ lowers a condition number (Eq. (15))
# ---

# %% [markdown]
# # What the preconditioner does
#
# **Where we are.** The first reviewer asked whether $P$ is a preconditioner in earnest: does it lower a condition number? The
# authors said yes, and gave the reason in words. Here is the number.
#
# ```{symbols}
# P Sx C Sigma M gamma
# ```
#
# What matters to gradient descent is the matrix of its step. On plain least squares with features of covariance $\Sigma_x$, a step
# with preconditioner $P$ multiplies the error by $I - P \Sigma_x$ (in the mean, up to scale). So the condition number to look at is
# that of $P \Sigma_x$, which has the eigenvalues of $Q = \Sigma_x^{1/2} P\, \Sigma_x^{1/2}$; without $P$ it is $\kappa(\Sigma_x)$.
#
# ```{prf:proposition} What the preconditioner does
# :label: prop-preconditioner
#
# *Eq. (15) of the paper and the first reviewer's question, as derived here.* Let $\Sigma$ be nonsingular, with extreme eigenvalues
# $s_\pm$, and $r \neq 0$. At every non-trivial stationary point, and more generally for the best $P$ of any weights with
# $r^\top\omega \ne 0$, the ratio of the largest to the smallest absolute eigenvalue of $Q$ is
#
# $$
# \kappa(Q) = \kappa(\Sigma)\; \frac{M + \gamma s_-}{M + \gamma s_+} \;\le\; \kappa(\Sigma),
# $$
#
# with equality just if $\kappa(\Sigma) = 1$. Its excess over one is
# $\kappa(Q) - 1 = \bigl(\kappa(\Sigma) - 1\bigr) \frac{M}{M + \gamma s_+}$, which falls in $\gamma$ and tends to zero.
#
# For $C = I$ this is $\kappa(P \Sigma_x) \le \kappa(\Sigma_x)$: $P$ never worsens the conditioning, and improves it
# unless $\Sigma_x$ is a multiple of the identity. For $\Sigma_x = I$ and $C$ no multiple of it, $\kappa(P \Sigma_x) > 1 =
# \kappa(\Sigma_x)$: $P$ makes it worse, on purpose.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-preconditioner)=
# ```{prf:proof}
# By {prf:ref}`thm-stationary-points` $Q \propto \Sigma (M I + \gamma \Sigma)^{-1}$, with eigenvalues $s_i/(M + \gamma s_i)$. They increase with $s_i$, so
# $\kappa(Q) = \frac{s_+ (M + \gamma s_-)}{s_- (M + \gamma s_+)}$. Subtract one:
# $\frac{s_+ (M + \gamma s_-) - s_- (M + \gamma s_+)}{s_- (M + \gamma s_+)} = \frac{M (s_+ - s_-)}{s_- (M + \gamma s_+)}$. If $C = I$,
# $\Sigma = \Sigma_x$. If $\Sigma_x = I$, $Q = P$, and its eigenvalues are proportional to $c_i/(M + \gamma c_i)$, where the eigenvalues $c_i$ of $C$
# are not all equal.
# ```
# ````

# %% tags=["asserts-prop-preconditioner"]
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting, population_risk

plotting.use_style()


def condition(matrix):
    """Largest over smallest absolute eigenvalue, for a matrix with real eigenvalues."""
    eigenvalues = np.abs(np.linalg.eigvals(matrix))
    return eigenvalues.max() / eigenvalues.min()


def covariance(rng, d, decades):
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return (basis * 10 ** rng.uniform(-decades, 0, size=d)) @ basis.T


def formula(dist, gamma):
    s, M = dist.signal_spectrum[0], dist.M
    return s.max() / s.min() * (M + gamma * s.min()) / (M + gamma * s.max())


rng = np.random.default_rng(0)
for _ in range(30):
    counts = [int(c) for c in 10 ** rng.uniform(0, 3, size=2)]
    r = rng.uniform(-0.7, 0.7, size=2)
    Sx, C = covariance(rng, 5, 2), covariance(rng, 5, 1)
    for given_C in (None, C):
        dist = PromptDistribution(5, counts, r, Sx=Sx, C=given_C, sigma=0.1)
        kappa = dist.signal_spectrum[0].max() / dist.signal_spectrum[0].min()
        for weights in ("free", "uniform", "monotone", rng.normal(size=2)):
            point = optimal_wpgd(dist, weights)
            step = condition(point.P @ dist.Sx)
            # Eigenvalues of products with condition numbers up to a few thousand.
            assert np.isclose(step, formula(dist, point.gamma), rtol=1e-11)
            assert step < kappa
            excess = (
                (kappa - 1)
                * dist.M
                / (dist.M + point.gamma * dist.signal_spectrum[0].max())
            )
            assert np.isclose(step - 1, excess, rtol=1e-9)
    prior = PromptDistribution(5, counts, r, C=C)
    point = optimal_wpgd(prior)
    assert np.isclose(condition(point.P), formula(prior, point.gamma), rtol=1e-11)
    assert (
        condition(point.P) > 1 + 1e-6
    )  # worse than the features' own, which is one

# %% [markdown]
# ## Longer prompts, whiter steps
#
# How far does the whitening go? That depends on $\gamma s_-$ against $M$, and $\gamma$ is the optimum's own measure of how many examples agree. For $K$
# independent tasks of $n/K$ examples $\gamma = 1 + n/K$, so the excess of $\kappa(P\Sigma_x)$ over one falls, in the end like $1/n$. Noise
# slows it, through $M$.
#
# ```{prf:proposition} The limit of long prompts
# :label: prop-whitening-limit
#
# *As derived here.* Let $C = I$, $\Sigma_x$ nonsingular, $r \neq 0$, and let the counts grow so that the smallest non-zero eigenvalue
# $\lambda_-$ of $R$ tends to infinity. Then at every non-trivial stationary point $1 + \lambda_- \le \gamma \to \infty$, and $P$, scaled as
# $(M I + \gamma \Sigma_x)^{-1}$, has $\gamma P \to \Sigma_x^{-1}$: Newton's step, with the true covariance in place of the sample's.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-whitening-limit)=
# ```{prf:proof}
# $\gamma - 1 = h_1$ is a weighted mean of eigenvalues $\lambda_i > 0$, so $\gamma \ge 1 + \lambda_-$. (It tends to infinity if all counts do: $\lambda_-$ is at
# least the smallest count times the smallest non-zero eigenvalue of the $K \times K$ correlations.) And $\gamma (M I + \gamma \Sigma_x)^{-1} = (\frac M\gamma I +
# \Sigma_x)^{-1} \to \Sigma_x^{-1}$.
# ```
# ````

# %% tags=["asserts-prop-whitening-limit"]
Sx = np.diag(np.geomspace(1, 0.01, 6))
for n in (10**4, 10**6, 10**8):
    for counts, R in (((n, n), None), ((n, 9 * n), [[1, 0.5], [0.5, 1]])):
        dist = PromptDistribution(6, counts, (0.2, 0.8), R=R, Sx=Sx)
        point, lam = optimal_wpgd(dist), dist.task_spectrum[0]
        assert point.gamma >= (1 + lam.min()) * (1 - 1e-12)
        P = np.linalg.inv(dist.M * np.eye(6) + point.gamma * Sx)
        assert np.allclose(point.P / point.P[0, 0], P / P[0, 0], rtol=1e-9)
        # gamma P Sx = I - M (M + gamma Sx)^-1: the smallest eigenvalue decides.
        distance = np.abs(point.gamma * P @ Sx - np.eye(6)).max()
        assert distance <= dist.M / (dist.M + point.gamma * 0.01) * (1 + 1e-9)
        assert distance < 1e4 / n

# %% [markdown]
# ## The picture

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-conditioning", "caption": "Condition number of the step against the length of the prompt, features with condition number 100, two independent tasks. The best P whitens as the prompt grows; noise delays it."}}
import matplotlib.pyplot as plt

lengths = np.unique(2 * (np.geomspace(2, 1e6, 60) // 2).astype(int))
noises = (0.0, 1.0, 10.0)
curves = {}
for sigma in noises:
    curves[sigma] = []
    for n in lengths:
        dist = PromptDistribution(
            6, (int(n) // 2,) * 2, (0.2, 0.8), Sx=Sx, sigma=sigma
        )
        curves[sigma].append(condition(optimal_wpgd(dist).P @ Sx))

fig, ax = plt.subplots(figsize=(6.4, 3.5))
ax.axhline(100, **plotting.STYLES["predict zero"], label="no preconditioner")
for k, sigma in enumerate(noises):
    style = {
        "color": plotting.TASKS[k],
        "linestyle": ("-", "--", "-.")[k],
        "linewidth": 2.2,
    }
    ax.loglog(
        lengths, curves[sigma], label=rf"best $P$, $\sigma = {sigma:g}$", **style
    )
ax.set(xlabel="examples in the prompt, $n$", ylabel=r"$\kappa(P\,\Sigma_x)$")
_ = ax.legend()

# %% tags=["remove-input"]
plotting.FigureData(
    "conditioning",
    {"n": lengths} | {f"sigma_{s:g}": c for s, c in curves.items()},
    Sx="diag, geometric from 1 to 0.01",
    d=6,
    r="0.2, 0.8",
    seed="none",
)

# %% [markdown]
# ## What it is worth
#
# A lower condition number is worth what it saves in risk. Compare the best $P$ with the best multiple of the identity. The weights are the same, and best for
# both: for two independent tasks of equal size they are proportional to $r$ whatever $P$ is.

# %%
from scipy.optimize import minimize_scalar

dist = PromptDistribution(6, (500, 500), (0.2, 0.8), Sx=Sx)
best = optimal_wpgd(dist)


def risk_of_multiple(log_c):
    return population_risk(dist, np.exp(log_c) * np.eye(6), best.omega)


plain = minimize_scalar(risk_of_multiple, bounds=(-15, 5), method="bounded").fun
assert plain > best.risk + 0.01 * dist.M

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("plain", float(plain / dist.M), display=False)
glue("preconditioned", float(best.risk / dist.M), display=False)

# %% [markdown]
# At a thousand examples the identity leaves {glue:text}`plain:.3f` of the label's variance, the best $P$ {glue:text}`preconditioned:.3f`.
#
# ## Break it
#
# With $C \neq I$ the preconditioner need not improve the conditioning. Here the features are white, and $P$ makes the step worse conditioned. It is right to do so. It knows that the task has most of
# its length in some directions, and moves there more. Take the prior away, use the identity, and the risk is higher.

# %%
C = np.diag(np.geomspace(1, 0.01, 6))
dist = PromptDistribution(6, (10, 10), (0.2, 0.8), C=C)
best = optimal_wpgd(dist)
assert condition(best.P) > 10
plain = minimize_scalar(risk_of_multiple, bounds=(-15, 5), method="bounded").fun
assert plain > best.risk + 0.01 * dist.M

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-half-way
#
# For $C = I$, which eigenvalues of the features does $P$ whiten and which does it leave alone? Find the eigenvalue at which it is half-way.
# ```
#
# ````{solution} ex-half-way
# :class: dropdown
#
# $P$ has eigenvalues proportional to $1/(M + \gamma s)$: constant where $\gamma s \ll M$, and $\propto 1/s$, which whitens, where $\gamma s \gg M$. Half-way is $s = M/\gamma$: there $P$ is half of what it
# is at $s = 0$.
#
# ```python
# others = np.geomspace(1, 0.1, 4)
# half_way = others.sum() / 500  # M / gamma, as gamma = 501 and M is the sum of all
# Sx = np.diag([*others, half_way, 1e-9])
# point = optimal_wpgd(PromptDistribution(6, (500, 500), (0.2, 0.8), Sx=Sx))
# assert np.isclose(point.P[4, 4] / point.P[5, 5], 0.5, rtol=1e-6)
# ```
# ````
