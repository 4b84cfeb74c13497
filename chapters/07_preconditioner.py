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
# $s_\pm$. At every stationary point, and for the best $P$ of any weights with $r^\top\omega \ne 0$,
#
# $$
# \kappa(Q) = \kappa(\Sigma)\; \frac{M + \gamma s_-}{M + \gamma s_+} \;\le\; \kappa(\Sigma),
# $$
#
# with equality only if $\kappa(\Sigma) = 1$. It decreases in $\gamma$, and tends to $1$ as $\gamma \to \infty$.
#
# For $C = I$ this is $\kappa(P \Sigma_x) \le \kappa(\Sigma_x)$: $P$ always improves the conditioning. For $\Sigma_x = I$ and $C \ne c I$ it is
# $\kappa(P \Sigma_x) > 1 = \kappa(\Sigma_x)$: $P$ makes it worse, on purpose.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-preconditioner)=
# ```{prf:proof}
# By {prf:ref}`thm-stationary-points` $Q \propto \Sigma (M I + \gamma \Sigma)^{-1}$, with eigenvalues $s_i/(M + \gamma s_i)$. They increase with $s_i$, so
# $\kappa(Q) = \frac{s_+ (M + \gamma s_-)}{s_- (M + \gamma s_+)}$. The factor of $\kappa(\Sigma)$ is at most one, decreases in $\gamma$, and tends to $s_-/s_+$. If
# $C = I$, $\Sigma = \Sigma_x$. If $\Sigma_x = I$, $Q = P$ and the eigenvalues $c_i/(M + \gamma c_i)$ are not all equal.
# ```
# ````

# %% tags=["asserts-prop-preconditioner"]
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting, population_risk

plotting.use_style()


def condition(matrix):
    """The condition number of a matrix with real, positive eigenvalues."""
    eigenvalues = np.linalg.eigvals(matrix).real
    return eigenvalues.max() / eigenvalues.min()


def covariance(rng, d, decades):
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return (basis * 10 ** rng.uniform(-decades, 0, size=d)) @ basis.T


rng = np.random.default_rng(0)
for _ in range(30):
    counts, r = [int(c) for c in 10 ** rng.uniform(0, 3, size=2)], rng.random(2) / 2
    Sx, C = covariance(rng, 5, 2), covariance(rng, 5, 1)
    for given_C in (None, C):
        dist = PromptDistribution(5, counts, r, Sx=Sx, C=given_C, sigma=0.1)
        s, M = dist.signal_spectrum[0], dist.M
        for weights in ("free", "uniform", "monotone"):
            point = optimal_wpgd(dist, weights)
            kappa = s.max() / s.min()
            formula = (
                kappa * (M + point.gamma * s.min()) / (M + point.gamma * s.max())
            )
            # Eigenvalues of products with condition numbers up to 1e3 in P and Sx.
            assert np.isclose(condition(point.P @ dist.Sx), formula, rtol=1e-7)
            assert formula < kappa
    prior = PromptDistribution(5, counts, r, C=C)
    assert condition(optimal_wpgd(prior).P) > 1

# %% [markdown]
# ## Longer prompts, whiter steps
#
# How far does the whitening go? That depends on $\gamma s_-$ against $M$, and $\gamma$ is the optimum's own measure of how many examples agree. For $K$
# independent tasks of $n/K$ examples $\gamma = 1 + n/K$, so $\kappa(P\Sigma_x)$ falls like $1/n$ from $\kappa(\Sigma_x)$ towards $1$. Noise slows it,
# through $M$.
#
# ```{prf:proposition} The limit of long prompts
# :label: prop-whitening-limit
#
# *As derived here.* Let $C = I$, $\Sigma_x$ nonsingular, and let the counts grow so that the smallest non-zero eigenvalue $\lambda_-$ of $R$ tends to infinity.
# Then at every stationary point $1 + \lambda_- \le \gamma \to \infty$, and after the scale $\gamma P \to \Sigma_x^{-1}$ up to a factor: the step becomes that of
# least squares.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-whitening-limit)=
# ```{prf:proof}
# $\gamma - 1 = h_1$ is a weighted mean of eigenvalues $\lambda_i > 0$, so $\gamma \ge 1 + \lambda_-$. And $\gamma (M I + \gamma \Sigma_x)^{-1} = (\frac M\gamma I +
# \Sigma_x)^{-1} \to \Sigma_x^{-1}$.
# ```
# ````

# %% tags=["asserts-prop-whitening-limit"]
Sx = np.diag(np.geomspace(1, 0.01, 6))
for n in (10, 10**3, 10**5, 10**7):
    dist = PromptDistribution(6, (n // 2, n // 2), (0.2, 0.8), Sx=Sx)
    point = optimal_wpgd(dist)
    assert np.isclose(point.gamma, 1 + n / 2, rtol=1e-9)
    distance = np.abs(point.P @ Sx / np.trace(point.P @ Sx) * 6 - np.eye(6)).max()
    # (M / gamma I + Sx)^-1 Sx = I - (M / gamma) / (M / gamma + s): the smallest s decides.
    assert distance < 2 * dist.M / point.gamma / 0.01

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
# A lower condition number is worth what it saves in risk. Compare the best $P$ with the best multiple of the identity, for the same weights:

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
# With $C \neq I$ the title of this page is wrong: here the features are white, and $P$ makes the step worse conditioned. It is right to do so. It knows that the task has most of
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
# dist = PromptDistribution(6, (500, 500), (0.2, 0.8), Sx=Sx)
# point = optimal_wpgd(dist)
# weights = 1 / (dist.M + point.gamma * np.array([0.0, dist.M / point.gamma]))
# assert np.isclose(weights[1] / weights[0], 0.5)
# assert np.allclose(np.diag(point.P) / point.P[0, 0], (dist.M + point.gamma) / (dist.M + point.gamma * np.diag(Sx)))
# ```
# ````
