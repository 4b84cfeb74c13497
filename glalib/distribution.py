"""Definitions 1 and 2: the distribution of multitask prompts, and its sampler.

Another law, to train or to simulate on, is a `Sampler` (`prompts`); closed forms are of this one alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from . import _check, spectra
from ._check import Array
from .prompts import Prompts, check_prompts
from .spectra import EPS, eigh, frozen, is_diagonal, psd_root

if TYPE_CHECKING:
    import torch

MOST_NUMBERS = 2**40  # in one batch: four terabytes and more


@dataclass(frozen=True, eq=False, repr=False, init=False)
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
    r: Array
    R: Array
    sigma: float
    Sx: Array
    C: Array

    def __init__(
        self,
        d: int,
        counts: Iterable[int],
        r: ArrayLike,
        R: ArrayLike | None = None,
        sigma: float = 0.0,
        Sx: ArrayLike | None = None,
        C: ArrayLike | None = None,
    ) -> None:
        def put(**values: Any) -> None:  # the one place where something is written
            self.__dict__.update(values)

        put(d=_check.positive_int("d", d), counts=_check.positive_ints("counts", counts))
        put(r=frozen(_check.array("r", r, (self.K,))))
        put(R=frozen(np.eye(self.K) if R is None else spectra.correlation("R", R, self.K)))
        put(sigma=_check.real("sigma", sigma, low=0.0, expected="a finite number >= 0") + 0.0)
        for name, value in (("Sx", Sx), ("C", C)):
            put(**{name: frozen(np.eye(self.d) if value is None else spectra.covariance(name, value, self.d))})
        spectra.check_joint(self.R, self.r, *self._spectrum_R)
        put(r=frozen(spectra.in_range(self.r, *self._spectrum_R)))

        with np.errstate(over="ignore"):  # complained of below
            signal = self._signal
            rounding = self.d * EPS * float(np.abs(self.Sx).max()) * float(np.abs(self.C).max())
        if signal <= (0.0 if is_diagonal(self.Sx) and is_diagonal(self.C) else rounding):
            raise _check.fail("Sx and C", "such that labels carry a signal, tr(Sx C) > 0", f"tr(Sx C) = {signal:g}")
        # The closed forms square such numbers, and divide by them.
        if not (signal > 1e-140 and self.M < 1e140):
            expected = "of a scale that float64 can square, tr(Sx C) > 1e-140 and sigma^2 + tr(Sx C) < 1e140"
            raise _check.fail("Sx, C and sigma", expected, f"tr(Sx C) = {signal:g}, sigma = {self.sigma:g}")

    def replace(self, **changes: Any) -> PromptDistribution:
        """The same distribution with some arguments changed, as in `dist.replace(sigma=1.0)`.

        Identities stay identities, of the new size where d or counts change.
        """
        for name in changes:
            _check.option("the name of a change", name, tuple(self.__dataclass_fields__))
        identities = {"Sx": self._plain[0], "C": self._plain[1], "R": is_diagonal(self.R)}
        return replace(self, **{name: None for name, is_one in identities.items() if is_one} | changes)

    @cached_property
    def K(self) -> int:
        """The number of tasks."""
        return len(self.counts)

    @cached_property
    def n(self) -> int:
        """The number of examples."""
        return sum(self.counts)

    @cached_property
    def M(self) -> float:
        """sigma^2 + tr(Sx C), the variance of a label, and the risk of predicting zero."""
        return self.sigma * self.sigma + self._signal

    @property
    def label_variance(self) -> float:
        """M = sigma^2 + tr(Sx C), by its name."""
        return self.M

    @cached_property
    def _signal(self) -> float:
        return float(np.sum(self.Sx * self.C))  # tr(Sx C), both symmetric

    @cached_property
    def _plain(self) -> tuple[bool, bool]:
        """Whether Sx and C are identities."""
        return np.array_equal(self.Sx, np.eye(self.d)), np.array_equal(self.C, np.eye(self.d))

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return self.d, self.counts, self.sigma, *(value.tobytes() for value in (self.r, self.R, self.Sx, self.C))

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, PromptDistribution) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:  # read-only arrays stay so through pickle and copy
        return type(self), tuple(getattr(self, name) for name in self.__dataclass_fields__)

    @cached_property
    def _spectrum_R(self) -> tuple[Array, Array]:
        """Eigenvalues, exact zeros where rounding cannot tell, and eigenvectors of R."""
        return eigh(self.R)

    def __repr__(self) -> str:
        counts = ", ".join(map(str, self.counts[:6])) + (", ..." if self.K > 6 else "")
        r = ", ".join(f"{value:g}" for value in self.r[:6]) + (", ..." if self.K > 6 else "")
        return f"PromptDistribution(d={self.d}, n={self.n}, counts=({counts}), r=({r}), sigma={self.sigma:g})"

    # The two spectra on which all closed forms stand.

    @cached_property
    def task_spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues lambda (K,) of D R D, D = diag(sqrt(counts)), and a = E^T D r (K,), E its eigenvectors."""
        return spectra.task_spectrum(self.counts, self.r, *self._spectrum_R)

    @cached_property
    def signal_spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues s (d,) of Sigma = Sx^1/2 C Sx^1/2, and the B (d, d) that goes with them: `spectra`."""
        return spectra.signal_spectrum(self.Sx, self.C)

    @cached_property
    def signal_values(self) -> tuple[Array, np.ndarray[Any, np.dtype[np.intp]]]:
        """The eigenvalues of Sigma that differ, and how often each is there: hundreds of equal features cost as one."""
        return np.unique(self.signal_spectrum[0], return_counts=True)

    # Weights: one per task, or one per example.

    @property
    def task_index(self) -> np.ndarray[Any, np.dtype[np.intp]]:
        """(n,): the task (0, ..., K-1) of every example. A new array each time: torch warns of read-only ones."""
        return np.repeat(np.arange(self.K), self.counts)

    @overload
    def expand(self, omega: torch.Tensor) -> torch.Tensor: ...

    @overload
    def expand(self, omega: ArrayLike) -> Array: ...

    def expand(self, omega: Any) -> Any:
        """Weights per example, (..., n), from weights per task, (..., K), or per example. NumPy or torch."""
        omega = _check.array_or_tensor("omega", omega)
        if not omega.shape or omega.shape[-1] not in (self.K, self.n):
            expected = f"of shape (..., {self.K}), per task, or (..., {self.n}), per example"
            raise _check.misshaped("omega", expected, omega)
        return omega if omega.shape[-1] == self.n else omega[..., self.task_index]

    def moments(self, omega: ArrayLike) -> tuple[float, float, float]:
        """(r^T w, |w|^2, w^T R w), the three numbers through which weights enter the risk.

        omega (K,) or (n,): per task or per example; the moments are those of the n weights.
        """
        sums, square = self.block_sums(omega)
        return float(self.r @ sums), square, max(0.0, float(sums @ self.R @ sums))

    def block_sums(self, omega: ArrayLike) -> tuple[Array, float]:
        """The sums of the n weights over each block, (K,), and |w|^2. omega (K,) or (n,): per task or per example."""
        omega = _check.array("omega", omega)
        counts = np.array(self.counts, dtype=np.float64)
        if omega.shape not in ((self.K,), (self.n,)):
            raise _check.misshaped("omega", f"of shape ({self.K},), per task, or ({self.n},), per example", omega)
        # The sums are at most n max|omega|, and their squares must be numbers too.
        largest = np.abs(omega).max()
        if largest * self.n > 1e150:
            raise _check.fail("omega", "such that n max|omega| is at most 1e150", f"max|omega| = {largest:.3g}")
        if omega.shape == (self.K,):
            return counts * omega, float(counts @ omega**2)
        return np.add.reduceat(omega, np.cumsum((0, *self.counts[:-1]))), float(omega @ omega)

    # Prompts. Torch is imported here only, so that the closed forms run without it.

    def sample(
        self, batch: int, generator: torch.Generator | None = None, queries: int = 1, dtype: torch.dtype | None = None
    ) -> Prompts:
        """Draw `batch` prompts: a record `Prompts` of torch tensors.

        - generator: torch.Generator, on whose device prompts are; one state, one draw. None: torch's own and its.
        - queries: queries per prompt; they share the prompt's query task and are independent otherwise.
        - dtype: torch dtype; torch's default if None.
        """
        _check.torch_for("sample")
        import torch

        batch, queries = _check.positive_int("batch", batch), _check.positive_int("queries", queries)
        _check.generator(generator)
        _check.dtype("dtype", dtype)
        kind = torch.get_default_dtype() if dtype is None else dtype
        if (numbers := batch * (self.n + self.K + 1 + queries) * self.d) > MOST_NUMBERS:
            expected = f"such that batch (n + K + 1 + queries) d is at most {MOST_NUMBERS:.2g}, as many as memory holds"
            raise _check.fail("batch, queries and counts", expected, f"{numbers:.3g}")
        if 100 * np.sqrt(self.M) > torch.finfo(kind).max:
            spread = f"{np.sqrt(self.M):.3g}, the standard deviation of a label"
            raise _check.fail("dtype", f"of a range a hundred times {spread}", f"{kind}")

        there = getattr(generator, "device", None)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=kind, device=there)

        def constant(array: Array, name: str) -> torch.Tensor:
            return _check.cast(f"the root of {name}", torch.tensor(array, device=there), kind)

        mix, half_Sx, half_C = self.factors
        tasks = constant(mix, "[[R, r], [r^T, 1]]") @ normal(batch, self.K + 1, self.d)
        x, x_query = normal(batch, self.n, self.d), normal(batch, queries, self.d)
        if half_C is not None:
            tasks = tasks @ constant(half_C, "C")
        if half_Sx is not None:
            root = constant(half_Sx, "Sx")
            x, x_query = x @ root, x_query @ root
        beta, beta_query = tasks[:, :-1], tasks[:, -1]
        if self.K == self.n:
            y = (x * beta).sum(-1)
        else:  # block by block, so that no task vector is copied once per example
            blocks = zip(torch.split(x, list(self.counts), 1), beta.unbind(1), strict=True)
            y = torch.cat([_labels(*block) for block in blocks], 1)
        y_query = _labels(x_query, beta_query)
        if self.sigma > 0:
            y = y + self.sigma * normal(*y.shape)
            y_query = y_query + self.sigma * normal(*y_query.shape)
        return Prompts(x, y, x_query, y_query, beta, beta_query, self.counts)

    def check(self, prompts: Any) -> None:
        """Complain unless these are prompts of this distribution, as far as shapes and counts tell."""
        _check.instance("prompts", prompts, Prompts, "a Prompts record")
        check_prompts(prompts)
        if (*prompts.x.shape[1:], prompts.beta.shape[1]) != (self.n, self.d, self.K):
            expected = f"of this distribution, n={self.n}, d={self.d} and K={self.K}"
            raise _check.fail("prompts", expected, f"{prompts!r} with K={prompts.beta.shape[1]}")
        if prompts.counts not in (None, self.counts):
            expected = f"of this distribution, with counts {_check.short(self.counts)}"
            raise _check.fail("prompts", expected, _check.short(prompts.counts))

    @cached_property
    def factors(self) -> tuple[Array, Array | None, Array | None]:
        """Square roots for the sampler: of [[R, r], [r^T, 1]], of Sx and of C; None stands for the identity."""
        half_Sx = None if self._plain[0] else psd_root(self.Sx)
        half_C = None if self._plain[1] else psd_root(self.C)
        return psd_root(spectra.joint(self.R, self.r)), half_Sx, half_C


def _labels(x: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
    """x^T task for x (batch, n, d), task (batch, d): a row times x^T, 2 to 8 times as fast as x times a column."""
    return (task[:, None, :] @ x.mT)[:, 0]
