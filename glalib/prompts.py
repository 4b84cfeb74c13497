"""Definitions 1 and 2: the distribution of multitask prompts, and its sampler."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from . import _check
from .spectra import EPS, eigh, is_diagonal, psd_root, svd

if TYPE_CHECKING:
    import torch


MOST_NUMBERS = 2**40  # in one batch: four terabytes and more


@dataclass(frozen=True, repr=False)
class Prompts:
    """A batch of prompts, as drawn by `PromptDistribution.sample`.

    Shapes: x (batch, n, d), y (batch, n), x_query (batch, queries, d), y_query (batch, queries);
    beta (batch, K, d) holds the tasks of the blocks, beta_query (batch, d) the query's own. counts (K,), the examples
    of each block, tells what is made of them where the blocks end; None for prompts of unknown origin.
    """

    x: torch.Tensor
    y: torch.Tensor
    x_query: torch.Tensor
    y_query: torch.Tensor
    beta: torch.Tensor
    beta_query: torch.Tensor
    counts: tuple[int, ...] | None = None

    def __len__(self) -> int:
        """The number of prompts."""
        return len(self.x)

    def __getitem__(self, index: int | slice) -> Prompts:
        """One prompt or a slice of them: a batch again, also of one."""
        if not isinstance(index, slice):
            i, batch = _check.integer("index", index, expected="an integer or a slice"), len(self)
            if not -batch <= i < batch:  # what ends a loop over prompts
                raise IndexError(f"index must be from {-batch} to {batch - 1}; got {i}")
            index = slice(i % batch, i % batch + 1)
        return self._each(lambda part: part[index])

    def to(self, *args, **kwargs) -> Prompts:
        """The same prompts on another device or in another floating-point dtype: arguments of `torch.Tensor.to`."""
        out = self._each(lambda part: part.to(*args, **kwargs))
        check_prompts(out)
        return out

    def _each(self, change) -> Prompts:
        return replace(self, **{f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "counts"})

    def __repr__(self):
        (batch, n, d), queries = self.x.shape, self.x_query.shape[1]
        return f"Prompts(batch={batch}, n={n}, d={d}, queries={queries}, dtype={self.x.dtype})"


@dataclass(frozen=True, eq=False, repr=False)
class PromptDistribution:
    """A prompt mixes n = n_1 + ... + n_K examples of K correlated tasks; the query has a task of its own.

    Definition 1 (correlated tasks): beta_1, ..., beta_K and beta (the query's) are jointly Gaussian with mean zero,

        E[beta_k beta_l^T] = R_kl C,    E[beta_k beta^T] = r_k C,    R_kk = 1.

    Definition 2 (multitask prompt): an example of task k is a pair (x, y) with

        x ~ N(0, Sx),    y = x^T beta_k + sigma e,    e ~ N(0, 1),

    and so is the query, with beta. The n_k examples of task k stand together: first block 1, then block 2, and so on.

    Arguments, all of them attributes too, with arrays in place of None:

    - d: feature dimension.
    - counts (K,): n_1, ..., n_K, examples per task; counts = (1,) * n gives every example its own task.
    - r (K,): correlation of each task with the query's task.
    - R (K, K): correlation of the tasks with each other; the identity if None.
    - sigma: standard deviation of the label noise.
    - Sx (d, d): covariance of the features; the identity if None, (d,): its diagonal. It may be singular.
    - C (d, d): covariance of a task vector; the identity if None, (d,): its diagonal. It may be singular.

    Further attributes: n and K, and M (alias label_variance) = sigma^2 + tr(Sx C), the variance of a label.

    It is a value: it cannot be changed (`replace` makes another), and two of equal arguments are equal, with one hash.

    The entries of a diagonal covariance are its eigenvalues, exactly, however small. Of other matrices, eigenvalues
    that rounding cannot tell from zero (below d eps times the largest; eps = 2.2e-16) count as zero.

    Raises ValueError or TypeError, naming the argument, where [[R, r], [r^T, 1]] or a covariance is not symmetric
    and positive semidefinite (its edge is accepted within rounding), where tr(Sx C) = 0, and for bad shapes or values.

    Paper: Definitions 1 and 2, in block form; general C is this book's addition.
    """

    d: int
    counts: tuple[int, ...]
    r: np.ndarray
    R: np.ndarray | None = None
    sigma: float = 0.0
    Sx: np.ndarray | None = None
    C: np.ndarray | None = None

    def __post_init__(self):
        def put(**values):  # the one place where something is written
            self.__dict__.update(values)

        put(d=_check.positive_int("d", self.d), counts=_counts(self.counts))
        put(K=len(self.counts), n=sum(self.counts))
        put(r=_frozen(_check.array("r", self.r, (self.K,))))
        put(R=_frozen(np.eye(self.K) if self.R is None else _correlation("R", self.R, self.K)))
        put(sigma=_check.real("sigma", self.sigma, low=0.0, expected="a finite number >= 0") + 0.0)
        for name in ("Sx", "C"):
            value = getattr(self, name)
            put(**{name: _frozen(np.eye(self.d) if value is None else _covariance(name, value, self.d))})
        put(_plain=tuple(np.array_equal(value, np.eye(self.d)) for value in (self.Sx, self.C)))
        self._check_correlations()
        put(r=_frozen(self._in_range(self.r)))

        with np.errstate(over="ignore"):  # complained of below
            signal = float(np.sum(self.Sx * self.C))  # tr(Sx C), both symmetric
            rounding = self.d * EPS * float(np.abs(self.Sx).max()) * float(np.abs(self.C).max())
        if signal <= (0.0 if is_diagonal(self.Sx) and is_diagonal(self.C) else rounding):
            raise _check.fail("Sx and C", "such that labels carry a signal, tr(Sx C) > 0", f"tr(Sx C) = {signal:g}")
        put(M=self.sigma * self.sigma + signal)
        # The closed forms square such numbers, and divide by them.
        if not (signal > 1e-140 and self.M < 1e140):
            raise _check.fail(
                "Sx, C and sigma",
                "of a scale that float64 can square, tr(Sx C) > 1e-140 and sigma^2 + tr(Sx C) < 1e140",
                f"tr(Sx C) = {signal:g}, sigma = {self.sigma:g}",
            )

    def replace(self, **changes) -> PromptDistribution:
        """The same distribution with some arguments changed, as in `dist.replace(sigma=1.0)`.

        Identities stay identities, of the new size where d or counts change.
        """
        for name in changes:
            _check.option("the name of a change", name, tuple(self.__dataclass_fields__))
        identities = {"Sx": self._plain[0], "C": self._plain[1], "R": is_diagonal(self.R)}
        return replace(self, **{name: None for name, is_one in identities.items() if is_one} | changes)

    @cached_property
    def _key(self):
        return self.d, self.counts, self.sigma, *(value.tobytes() for value in (self.r, self.R, self.Sx, self.C))

    def __eq__(self, other):
        return self._key == other._key if isinstance(other, PromptDistribution) else NotImplemented

    def __hash__(self):
        return hash(self._key)

    def __reduce__(self):  # read-only arrays stay so through pickle and copy
        return type(self), tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def _check_correlations(self):
        """Refuse what is not positive semidefinite, and an r outside the range of R."""
        independent = is_diagonal(self.R)
        if independent:  # eigenvalues 1 and 1 +- |r|
            lowest, scale = 1 - np.linalg.norm(self.r), 1.0
        else:
            eigenvalues = np.linalg.eigvalsh(self._joint())
            lowest, scale = eigenvalues[0], eigenvalues[-1]
        if lowest < -16 * EPS * (self.K + 1) * scale:
            raise _check.fail(
                "R and r",
                "such that [[R, r], [r^T, 1]] is positive semidefinite" + independent * ", that is |r| <= 1",
                f"a matrix with smallest eigenvalue {lowest:.3g}",
            )
        # Along an eigenvector with eigenvalue lambda, r is at most sqrt(lambda); eigenvalues below K eps count as zero.
        outside = np.linalg.norm(self.r - self._in_range(self.r))
        if outside > np.sqrt(self.K * EPS):
            expected = "such that r lies in the range of R"
            raise _check.fail("R and r", expected, f"an r with a part of length {outside:.3g} outside")

    def _in_range(self, r):
        """r without what rounding put outside the range of R. A second time it changes nothing."""
        values, vectors = self._spectrum_R
        kernel = vectors[:, values == 0]
        outside = kernel @ (kernel.T @ r)
        return r - outside if np.linalg.norm(outside) > 8 * self.K * EPS else r

    def _joint(self):
        return np.block([[self.R, self.r[:, None]], [self.r[None, :], np.ones((1, 1))]])

    @cached_property
    def _spectrum_R(self):
        """Eigenvalues, exact zeros where rounding cannot tell, and eigenvectors of R."""
        return eigh(self.R)

    @property
    def label_variance(self):
        """M = sigma^2 + tr(Sx C): the variance of a label, and the risk of predicting zero."""
        return self.M

    def __repr__(self):
        counts = ", ".join(map(str, self.counts[:6])) + (", ..." if self.K > 6 else "")
        r = ", ".join(f"{value:g}" for value in self.r[:6]) + (", ..." if self.K > 6 else "")
        return f"PromptDistribution(d={self.d}, n={self.n}, counts=({counts}), r=({r}), sigma={self.sigma:g})"

    # The two spectra on which all closed forms stand.

    @cached_property
    def task_spectrum(self):
        """Eigenvalues lambda (K,) of D R D, D = diag(sqrt(counts)), and a = E^T D r (K,), E its eigenvectors.

        The non-zero eigenvalues are those of the n x n correlation matrix of the examples.
        Eigenvalues that rounding cannot tell from zero are zero, and so is a there.
        """
        counts = np.array(self.counts, dtype=np.float64)
        root, (values, vectors) = np.sqrt(counts), self._spectrum_R
        if is_diagonal(self.R):
            return _frozen(counts), _frozen(root * self.r)
        if counts.min() == counts.max():
            lam, a = counts[0] * values, vectors.T @ (root * self.r)
        else:
            # D R D = G^T G: the squares of G's singular values, and a = V^T G^T z with R^1/2 z = r. So small
            # eigenvalues keep their digits beside large ones, and a its small entries.
            live = values > 0
            half = np.sqrt(values)
            z = np.divide(vectors.T @ self.r, half, out=np.zeros(self.K), where=live)
            U, singular, _ = svd(half[:, None] * vectors.T * root, scales=root, rank=np.count_nonzero(live))
            lam, a = singular**2, singular * (U.T @ z)
        return _frozen(lam), _frozen(np.where(lam > 0, a, 0.0))

    @cached_property
    def signal_spectrum(self):
        """Eigenvalues s (d,) of Sigma = Sx^1/2 C Sx^1/2, and a matrix B (d, d) that goes with them.

        C (M I + gamma Sx C)^-1 = B diag(1 / (M + gamma s)) B^T. Where Sx is singular this holds on its range, and B
        stays inside it. Eigenvalues that rounding cannot tell from zero are zero.
        """
        values, vectors = eigh(self.Sx)
        if self._plain[1]:
            return _frozen(values), _frozen(vectors * (values > 0))
        values_C, vectors_C = eigh(self.C)
        if is_diagonal(self.Sx) and is_diagonal(self.C):
            return _frozen(values * values_C), _frozen(np.diag(np.sqrt(values_C) * (values > 0)))
        half_Sx, half_C = (vectors * np.sqrt(values)) @ vectors.T, (vectors_C * np.sqrt(values_C)) @ vectors_C.T
        rank = min(np.count_nonzero(values), np.count_nonzero(values_C))
        diagonal = next((v for v, S in ((values, self.Sx), (values_C, self.C)) if is_diagonal(S)), None)
        if diagonal is None:  # the product's rounding is at the scale of its factors
            U, singular, _ = svd(half_C @ half_Sx, scales=(1.0,), rank=rank)
            floor = self.d * EPS * np.sqrt(values.max() * values_C.max())
            singular = np.where(singular > floor, singular, 0.0)
        else:  # one factor is known at all its scales, and so is the product
            U, singular, _ = svd(half_C @ half_Sx, scales=np.sqrt(diagonal[diagonal > 0]), rank=rank)
        live = vectors[:, values > 0]
        return _frozen(singular**2), _frozen(live @ (live.T @ half_C @ U))

    # Weights: one per task, or one per example.

    @property
    def task_index(self):
        """(n,): the task (0, ..., K-1) of every example. A new array each time: torch warns of read-only ones."""
        return np.repeat(np.arange(self.K), self.counts)

    def expand(self, omega):
        """Weights per example, (..., n), from weights per task, (..., K), or per example. NumPy or torch."""
        omega = _check.array_or_tensor("omega", omega)
        if not omega.shape or omega.shape[-1] not in (self.K, self.n):
            expected = f"of shape (..., {self.K}), per task, or (..., {self.n}), per example"
            raise _check.fail("omega", expected, f"shape {tuple(omega.shape)}")
        return omega if omega.shape[-1] == self.n else omega[..., self.task_index]

    def moments(self, omega):
        """(r^T w, |w|^2, w^T R w), the three numbers through which weights enter the risk.

        omega (K,) or (n,): per task or per example; the moments are those of the n weights.
        """
        sums, square = self.block_sums(omega)
        return float(self.r @ sums), square, max(0.0, float(sums @ self.R @ sums))

    def block_sums(self, omega):
        """The sums of the n weights over each block, (K,), and |w|^2. omega (K,) or (n,): per task or per example."""
        omega = _check.array("omega", omega)
        counts = np.array(self.counts, dtype=np.float64)
        if omega.shape not in ((self.K,), (self.n,)):
            expected = f"of shape ({self.K},), per task, or ({self.n},), per example"
            raise _check.fail("omega", expected, f"shape {omega.shape}")
        # The sums are at most n max|omega|, and their squares must be numbers too.
        largest = np.abs(omega).max()
        if largest * self.n > 1e150:
            raise _check.fail("omega", "such that n max|omega| is at most 1e150", f"max|omega| = {largest:.3g}")
        if omega.shape == (self.K,):
            return counts * omega, float(counts @ omega**2)
        return np.add.reduceat(omega, np.cumsum((0, *self.counts[:-1]))), float(omega @ omega)

    # Prompts. Torch is imported here only, so that the closed forms run without it.

    def sample(self, batch, generator=None, queries=1, dtype=None):
        """Draw `batch` prompts: a record `Prompts` of torch tensors.

        - generator: torch.Generator; the same state gives the same prompts. None: torch's own.
        - queries: queries per prompt; they share the prompt's query task and are independent otherwise.
        - dtype: torch dtype; torch's default if None.
        """
        import torch

        batch, queries = _check.positive_int("batch", batch), _check.positive_int("queries", queries)
        _check.generator(generator)
        _check.dtype("dtype", dtype)
        if (numbers := batch * (self.n + self.K + 1 + queries) * self.d) > MOST_NUMBERS:
            expected = f"such that batch (n + K + 1 + queries) d is at most {MOST_NUMBERS:.2g}, as many as memory holds"
            raise _check.fail("batch, queries and counts", expected, f"{numbers:.3g}")

        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=dtype)

        dtype = dtype or torch.get_default_dtype()
        if 100 * np.sqrt(self.M) > torch.finfo(dtype).max:
            spread = f"{np.sqrt(self.M):.3g}, the standard deviation of a label"
            raise _check.fail("dtype", f"of a range a hundred times {spread}", f"{dtype}")

        def constant(array, name="the root of [[R, r], [r^T, 1]]"):
            return _check.cast(name, torch.tensor(array), dtype)

        mix, half_Sx, half_C = self.factors
        tasks = constant(mix) @ normal(batch, self.K + 1, self.d)
        x, x_query = normal(batch, self.n, self.d), normal(batch, queries, self.d)
        if half_C is not None:
            tasks = tasks @ constant(half_C, "the root of C")
        if half_Sx is not None:
            root = constant(half_Sx, "the root of Sx")
            x, x_query = x @ root, x_query @ root
        beta, beta_query = tasks[:, :-1], tasks[:, -1]

        def labels(x, task):  # a row times x^T, 2 to 8 times as fast as x times a column
            return (task[:, None, :] @ x.mT)[:, 0]

        if self.K == self.n:
            y = (x * beta).sum(-1)
        else:  # block by block, so that no task vector is copied once per example
            y = torch.cat([labels(*block) for block in zip(x.split(self.counts, 1), beta.unbind(1), strict=True)], 1)
        y_query = labels(x_query, beta_query)
        if self.sigma > 0:
            y = y + self.sigma * normal(*y.shape)
            y_query = y_query + self.sigma * normal(*y_query.shape)
        return Prompts(x, y, x_query, y_query, beta, beta_query, self.counts)

    @cached_property
    def factors(self):
        """Square roots for the sampler: of [[R, r], [r^T, 1]], of Sx and of C; None stands for the identity."""
        half_Sx = None if self._plain[0] else psd_root(self.Sx)
        half_C = None if self._plain[1] else psd_root(self.C)
        return psd_root(self._joint()), half_Sx, half_C


def check_prompts(value, dist: PromptDistribution | None = None) -> None:
    """Complain unless `value` is a `Prompts` record; of that distribution, as far as its shapes tell."""
    _check.instance("prompts", value, Prompts, "a Prompts record from sample()")
    x = _check.tensor("prompts.x", value.x, 3)
    _check.tensor("prompts.x_query", value.x_query, 3)
    (batch, n, d), queries = x.shape, value.x_query.shape[1]
    shapes = {"x_query": (batch, queries, d), "y": (batch, n), "y_query": (batch, queries), "beta_query": (batch, d)}
    shapes["beta"] = (batch, *_check.tensor("prompts.beta", value.beta, 3).shape[1:2], d)
    for name, shape in shapes.items():
        part = _check.tensor(f"prompts.{name}", getattr(value, name), len(shape))
        if part.shape != shape or part.dtype != x.dtype:
            raise _check.fail(
                f"prompts.{name}", f"of shape {shape} and {x.dtype}", f"shape {tuple(part.shape)}, {part.dtype}"
            )
    if dist is not None and (*value.x.shape[1:], value.beta.shape[1]) != (dist.n, dist.d, dist.K):
        expected = f"of this distribution, n={dist.n}, d={dist.d} and K={dist.K}"
        raise _check.fail("prompts", expected, f"{value!r} with K={value.beta.shape[1]}")
    if dist is not None and value.counts not in (None, dist.counts):
        raise _check.fail(
            "prompts", f"of this distribution, with counts {_check.short(dist.counts)}", _check.short(value.counts)
        )


def _counts(counts):
    try:
        if isinstance(counts, (set, frozenset, dict, bytes, bytearray)):  # no order, equal counts lost, or characters
            raise TypeError
        counts = tuple(counts)
    except TypeError:
        raise TypeError(f"counts must be a sequence of positive integers; got {counts!r}") from None
    if not counts:
        raise _check.fail("counts", "a non-empty sequence of positive integers", "()")
    return tuple(_check.positive_int(f"counts[{k}]", value) for k, value in enumerate(counts))


def _symmetric(name, value, size):
    value = _check.array(name, value, (size, size))
    skew = np.abs(value - value.T).max()
    if skew > 1e-12 * np.abs(value).max():
        raise _check.fail(name, "symmetric", f"a matrix whose entries differ from its transpose's by up to {skew:.3g}")
    return np.where(value == value.T, value, value / 2 + value.T / 2)  # halves of the least numbers are zero


def _correlation(name, value, size):
    value = _symmetric(name, value, size)
    if np.abs(np.diag(value) - 1).max() > 1e-12:
        raise _check.fail(name, "a correlation matrix, with ones on its diagonal", f"diagonal {np.diag(value)}")
    return value


def _covariance(name, value, size):
    value = _check.array(name, value)
    if value.shape == (size,):
        value = np.diag(value)
    elif value.shape != (size, size):
        raise _check.fail(name, f"of shape ({size}, {size}), or ({size},) for a diagonal", f"shape {value.shape}")
    value = _symmetric(name, value, size)
    diagonal = is_diagonal(value)
    eigenvalues = np.sort(np.diag(value)) if diagonal else np.linalg.eigvalsh(value)
    if eigenvalues[0] < (0.0 if diagonal else -16 * EPS * size * max(eigenvalues[-1], 0.0)):
        raise _check.fail(name, "positive semidefinite", f"a matrix with smallest eigenvalue {eigenvalues[0]:.3g}")
    return value


def _frozen(array):
    """The array over memory that nothing can write to, with one zero for both signs."""
    array = np.ascontiguousarray(array) + 0
    return np.frombuffer(array.tobytes(), dtype=array.dtype).reshape(array.shape)
