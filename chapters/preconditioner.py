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
# Is $P$ a preconditioner in earnest: does it lower a condition number, and what is that worth?
#
# The first reviewer of the paper asked this. The authors said yes, and gave the reason in words. Here is the number. For plain least
# squares, one step of gradient descent with preconditioner $P$ multiplies the mean error by $I - P \Sigma_x$, if $P$ has the right scale. So look at
# the condition number of $P \Sigma_x$, here its largest absolute eigenvalue over its smallest. Without $P$ it is that of the features,
# $\kappa(\Sigma_x)$.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-conditioning", "caption": "The best $P$ whitens as the prompt grows. Condition number of the step against the length of the prompt: features with condition number 100, two independent tasks. Noise delays the whitening."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting, population_risk

plotting.use_style()
Sx = np.diag(np.geomspace(1, 0.01, 6))  # the features of most cells below


def condition(matrix):
    """Largest over smallest absolute eigenvalue, for a matrix with real eigenvalues."""
    eigenvalues = np.abs(np.linalg.eigvals(matrix))
    return eigenvalues.max() / eigenvalues.min()


def two_tasks(n, sigma=0.0, **covariances):
    return PromptDistribution(
        6, (int(n) // 2,) * 2, (0.2, 0.8), sigma=sigma, **covariances
    )


lengths = np.unique(2 * (np.geomspace(2, 1e6, 60) // 2).astype(int))
noises = (0.0, 1.0, 10.0)
curves = {
    sigma: [
        condition(optimal_wpgd(two_tasks(n, sigma, Sx=Sx)).P @ Sx) for n in lengths
    ]
    for sigma in noises
}

fig, ax = plt.subplots(figsize=(6.4, 3.5))
ax.loglog(lengths, np.full(len(lengths), 100), **plotting.STYLES["predict zero"])
ax.text(1e6, 110, "no preconditioner", ha="right", va="bottom")
places = ((8, -6, -6), (700, 6, 4), (3e4, 6, 4))
for k, (sigma, (place, *offset)) in enumerate(zip(noises, places, strict=True)):
    style = {"color": plotting.TASKS[k], "linestyle": ("-", "--", "-.")[k]}
    ax.loglog(lengths, curves[sigma], linewidth=2.2, **style)
    ax.annotate(
        rf"$\sigma = {sigma:g}$",
        (place, np.interp(place, lengths, curves[sigma])),
        textcoords="offset points",
        xytext=offset,
        ha="left" if offset[0] > 0 else "right",
        va="bottom" if offset[1] > 0 else "top",
        color=plotting.TASKS[k],
    )
_ = ax.set(
    xlabel="examples in the prompt, $n$",
    ylabel=r"$\kappa(P\,\Sigma_x)$",
    ylim=(0.8, 200),
)

# %% tags=["remove-input"]
plotting.FigureData(
    "conditioning",
    {"n": lengths} | {f"sigma_{s:g}": c for s, c in curves.items()},
    figure=fig,
    Sx="diag, geometric from 1 to 0.01",
    d=6,
    r="0.2, 0.8",
    seed="none",
)


# %% [markdown]
# ## Better conditioned, always
#
# ```{symbols}
# P Sx C Sigma M gamma Q kappa omega r R lambda K h
# ```
#
# ```{prf:proposition} What the preconditioner does
# :label: prop-preconditioner
#
# **With white tasks the best $P$ improves the conditioning, unless the features are white already.**
#
# *Eq. (15) of the paper and the first reviewer's question, as derived here.* Let $\Sigma$ be nonsingular, with extreme eigenvalues
# $s_\pm$, and $r \neq 0$. At every non-trivial stationary point, and more generally for the best $P$ of any weights with
# $r^\top\omega \ne 0$, the ratio of the largest to the smallest absolute eigenvalue of $Q = \Sigma_x^{1/2} P\, \Sigma_x^{1/2}$ is
#
# $$
# \kappa(Q) = \kappa(\Sigma)\; \frac{M + \gamma s_-}{M + \gamma s_+} \;\le\; \kappa(\Sigma),
# $$
#
# with equality if and only if $\kappa(\Sigma) = 1$. Its excess over one is
# $\kappa(Q) - 1 = \bigl(\kappa(\Sigma) - 1\bigr) \frac{M}{M + \gamma s_+}$, which falls in $\gamma$ and tends to zero.
#
# For $C = I$ this is $\kappa(P \Sigma_x) \le \kappa(\Sigma_x)$. For $\Sigma_x = I$ and $C$ no multiple of it,
# $\kappa(P \Sigma_x) > 1 = \kappa(\Sigma_x)$: $P$ makes it worse, on purpose.
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
#
# As code, the formula is two lines:


# %%
def formula(dist, gamma):
    s, M = dist.signal_spectrum[0], dist.M
    return s.max() / s.min() * (M + gamma * s.min()) / (M + gamma * s.max())


dist = two_tasks(1000, Sx=Sx)
best = optimal_wpgd(dist)
assert np.isclose(condition(best.P @ Sx), formula(dist, best.gamma), rtol=1e-11)


# %% tags=["check", "asserts-prop-preconditioner"]
def covariance(rng, d, decades):
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return (basis * 10 ** rng.uniform(-decades, 0, size=d)) @ basis.T


rng, worst, tried = np.random.default_rng(0), 0.0, 0
for _ in range(30):
    counts = [int(c) for c in 10 ** rng.uniform(0, 3, size=2)]
    r = rng.uniform(-0.7, 0.7, size=2)
    features, C = covariance(rng, 5, 2), covariance(rng, 5, 1)
    for given_C in (None, C):
        drawn = PromptDistribution(5, counts, r, Sx=features, C=given_C, sigma=0.1)
        s, M = drawn.signal_spectrum[0], drawn.M
        kappa = s.max() / s.min()
        for weights in ("free", "uniform", "monotone", rng.normal(size=2)):
            point = optimal_wpgd(drawn, weights)
            step = condition(point.P @ features)
            # Eigenvalues of products with condition numbers up to a few thousand.
            assert np.isclose(step, formula(drawn, point.gamma), rtol=1e-11)
            assert step < kappa
            excess = (kappa - 1) * M / (M + point.gamma * s.max())
            assert np.isclose(step - 1, excess, rtol=1e-9)
            worst = max(worst, abs(step / formula(drawn, point.gamma) - 1))
            tried += 1
    prior = PromptDistribution(5, counts, r, C=C)
    point = optimal_wpgd(prior)
    assert np.isclose(condition(point.P), formula(prior, point.gamma), rtol=1e-11)
    assert condition(point.P) > 1 + 1e-6  # worse than the white features' own
print(f"{tried} random predictors: the formula holds to {worst:.0e}, none worsens")

# %% [markdown]
# ## Longer prompts, whiter steps
#
# How far does the whitening go? That depends on how $\gamma s_-$ compares with $M$, and $\gamma$ is the optimum's own measure of how many
# examples agree. For $K$ independent tasks of $n/K$ examples each, $\gamma = 1 + n/K$. So for long prompts the excess of $\kappa(P\Sigma_x)$ over one
# falls like $1/n$. Noise delays it, through $M$.
#
# ```{prf:proposition} The limit of long prompts
# :label: prop-whitening-limit
#
# **In long prompts $P$ tends to Newton's: up to scale, the inverse of the true covariance.**
#
# *As derived here.* Let $C = I$, $\Sigma_x$ nonsingular, $r \neq 0$, and let the counts grow so that the smallest non-zero eigenvalue
# $\lambda_-$ of $R$ tends to infinity. Then at every non-trivial stationary point $1 + \lambda_- \le \gamma \to \infty$, and $P$, scaled as
# $(M I + \gamma \Sigma_x)^{-1}$, has $\gamma P \to \Sigma_x^{-1}$.
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

# %% tags=["check", "asserts-prop-whitening-limit"]
for n in (10**4, 10**6, 10**8):
    for counts, R in (((n, n), None), ((n, 9 * n), [[1, 0.5], [0.5, 1]])):
        long = PromptDistribution(6, counts, (0.2, 0.8), R=R, Sx=Sx)
        point, lam = optimal_wpgd(long), long.task_spectrum[0]
        assert point.gamma >= (1 + lam.min()) * (1 - 1e-12)
        P = np.linalg.inv(long.M * np.eye(6) + point.gamma * Sx)
        assert np.allclose(point.P / point.P[0, 0], P / P[0, 0], rtol=1e-9)
        # gamma P Sx = I - M (M + gamma Sx)^-1: the smallest eigenvalue decides.
        distance = np.abs(point.gamma * P @ Sx - np.eye(6)).max()
        assert distance <= long.M / (long.M + point.gamma * 0.01) * (1 + 1e-9)
        assert distance < 1e4 / n
print(
    f"at {n:.0e} examples a task, gamma P Sx is the identity within {distance:.0e}"
)

# %% [markdown]
# ## What it is worth
#
# A lower condition number is worth only what it saves in risk. Compare the best $P$ with the best multiple of the identity. The weights
# are the same, and best for both: for two independent tasks of equal size they are proportional to $r$ whatever $P$ is.

# %%
from scipy.optimize import minimize_scalar


def best_multiple(dist, omega):
    """The least risk of P = c I with these weights."""

    def risk(log_c):
        return population_risk(dist, np.exp(log_c) * np.eye(dist.d), omega)

    return minimize_scalar(risk, bounds=(-15, 5), method="bounded").fun


plain = best_multiple(dist, best.omega)
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
# **Tasks that prefer some directions.** With $C \neq I$ the preconditioner need not improve the conditioning. Here the features are
# white, and $P$ makes the step worse conditioned. It is right to do so: tasks are longer in some directions, and $P$ moves
# further there. Use a multiple of the identity instead, and the risk is higher.

# %%
C = np.diag(np.geomspace(1, 0.01, 6))
prior = two_tasks(20, C=C)
informed = optimal_wpgd(prior)
assert condition(informed.P) > 10
assert best_multiple(prior, informed.omega) > informed.risk + 0.01 * prior.M

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: half-way
# :label: ex-half-way
#
# For $C = I$, in which directions of the features does $P$ whiten, and which does it leave alone? Find the eigenvalue at which it is
# half-way.
# ```
#
# ```{answer} ex-half-way
# asks: The eigenvalue of the features at which it is half-way, as a function of M and gamma.
# value: "lambda M, gamma: M / gamma"
# at: [{M: 10, gamma: 5}, {M: 2, gamma: 50}, {M: 3, gamma: 2}]
# wrong:
# - value: "lambda M, gamma: M / (2 * gamma)"
#   says: There the entry of P is two thirds of what it is at zero.
# - value: "lambda M, gamma: 2 * M / gamma"
#   says: There the entry of P is a third of what it is at zero.
# - value: "lambda M, gamma: gamma / M"
#   says: The terms of the sum are M and gamma times the eigenvalue. When are they equal?
# - value: "lambda M, gamma: M / (gamma - 1)"
#   says: That is with the eigenvalue of R. The formula has gamma, which is one more.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# In the eigenbasis of $\Sigma_x$ the entries of $P$ are proportional to $1/(M + \gamma s)$. When does each term of the sum win?
# ```
#
# ````{solution} ex-half-way
# :class: dropdown
#
# $1/(M + \gamma s)$ is constant where $\gamma s \ll M$, and $\propto 1/s$, which whitens, where $\gamma s \gg M$. Half-way is $s = M/\gamma$: there
# the entry of $P$ is half of what it would be at $s = 0$.
#
# ```python
# others = np.geomspace(1, 0.1, 4)
# half_way = others.sum() / 500  # M / gamma, as gamma = 501 and M is the sum of all
# point = optimal_wpgd(two_tasks(1000, Sx=np.diag([*others, half_way, 1e-9])))
# assert np.isclose(point.P[4, 4] / point.P[5, 5], 0.5, rtol=1e-6)
# ```
# ````
#
# ```{exercise} Compute: the price of noise
# :label: ex-price-of-noise
#
# Features with condition number 100, as above, $\sigma = 1$. How many examples does it take until the step's condition number is below 2?
# ```
#
# ```{answer} ex-price-of-noise
# asks: From which number of examples on?
# value: needed
# wrong:
# - value: 2 * (98 * np.trace(Sx) - 1)
#   says: The noise is part of M.
# - value: 98 * (1 + np.trace(Sx)) - 1
#   says: That is for one task. There are two, and gamma sees the examples of one.
# - value: 2 * (48.5 * (1 + np.trace(Sx)) - 1)
#   says: There the excess is two. A condition number of two has an excess of one.
# minutes: 7
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Solve the formula for $\gamma$: the excess over one is $99\, M / (M + \gamma s_+)$. Then use $\gamma = 1 + n/2$.
# ```
#
# ````{solution} ex-price-of-noise
# :class: dropdown
#
# The excess is below one when $\gamma s_+ > 98\, M$. With $s_+ = 1$ this is $n > 2\,(98\,M - 1)$, where $M = 1 + \tr \Sigma_x$.
#
# ```python
# needed = 2 * (98 * (1 + np.trace(Sx)) - 1)
# below, above = (
#     two_tasks(2 * n, 1.0, Sx=Sx) for n in (needed // 2, needed // 2 + 1)
# )
# assert (
#     condition(optimal_wpgd(below).P @ Sx)
#     > 2
#     > condition(optimal_wpgd(above).P @ Sx)
# )
# ```
# ````
#
# ```{exercise} Explore: what repetition does
# :label: ex-repetition
#
# Correlate the two tasks: let $R_{12}$ go from $0$ to $0.9$. Does the best $P$ whiten more, or less? Try $r = (0.4, 0.4)$ and then
# $r = (0.1, 0.4)$, and look at the weights too.
# ```
#
# ```{answer} ex-repetition
# asks: Whitening as the two tasks become more alike.
# choices:
# - text: more for both
#   says: That is so while weights have one sign. Look at the first weight for 0.1 and 0.4.
# - text: less for both
#   says: Tasks that are alike agree over more examples, and gamma grows. What may weights of two signs do to it?
# - text: less for equal relevances, more for 0.1 and 0.4
#   says: Compute gamma for both, and the product of the weights.
# - text: more for equal relevances, less for 0.1 and 0.4
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# All that $P$ sees of the tasks is $\gamma = 1 + \omega^\top R\, \omega / \|\omega\|^2$. What does it do where the weights have two signs?
# ```
#
# ````{solution} ex-repetition
# :class: dropdown
#
# With $r = (0.4, 0.4)$ it whitens more: correlated tasks agree over more examples, and $\gamma$ grows. With $r = (0.1, 0.4)$ it whitens
# less: the best weights subtract the first task to cancel what the two share, and then fewer examples agree.
#
# ```python
# def seen(r):
#     for c in (0.0, 0.5, 0.9):
#         tasks = PromptDistribution(6, (500, 500), r, R=[[1, c], [c, 1]], Sx=Sx)
#         point = optimal_wpgd(tasks)
#         yield condition(point.P @ Sx), point.omega[0] * point.omega[1]
#
#
# alike, unlike = list(seen((0.4, 0.4))), list(seen((0.1, 0.4)))
# assert alike[0][0] > alike[1][0] > alike[2][0]
# assert unlike[0][0] < unlike[1][0] < unlike[2][0] and unlike[2][1] < 0
# ```
# ````
