"""Eigenvalues and roots of covariances that keep what is exactly given: on a diagonal, small and large both count.

An eigenvalue of a dense matrix is known to about eps times the largest, so smaller ones count as zero and the rank
comes out right. An eigenvalue of a diagonal matrix is the entry itself, and the singular values of D1 A D2, with
diagonal D1 and D2, are known as well as those of A. Here both kinds keep their digits. No torch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from . import _check
from ._check import Array

EPS = float(np.finfo(np.float64).eps)
GRADED = 1e4  # from this spread of scales on, singular values are computed with relative accuracy, which takes longer


def is_diagonal(matrix: Array) -> bool:
    """Whether all entries off the diagonal are exactly zero."""
    return bool(np.count_nonzero(matrix) == np.count_nonzero(np.diagonal(matrix)))


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues >= 0 (d,) and eigenvectors (d, d) of a positive semidefinite matrix (d, d).

    Of a diagonal matrix, its entries in their order; else ascending, and zero where rounding cannot tell from zero.
    """
    if is_diagonal(matrix):
        return np.diagonal(matrix).copy(), np.eye(len(matrix))
    values, vectors = np.linalg.eigh(matrix)
    floor = len(values) * EPS * values[-1]
    return np.where(values > floor, values, 0.0), vectors


def psd_root(matrix: Array) -> Array:
    """The symmetric square root of a positive semidefinite matrix, singular or not. (d, d) to (d, d)."""
    values, vectors = eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def svd(matrix: Array, scales: Collection[float], rank: int) -> tuple[Array, Array, Array]:
    """U, singular values (descending, zero beyond the rank) and V of a square matrix = U diag(values) V^T.

    scales: numbers between which its diagonal factors range. Where they are far apart, the Jacobi method keeps the
    relative accuracy of small singular values (LAPACK's gejsv); else the usual one is as good, and faster.
    """
    if max(scales) <= GRADED * min(scales):
        U, values, Vt = np.linalg.svd(matrix)
        V = Vt.T
    else:
        from scipy.linalg import get_lapack_funcs  # here, as it is rare and takes a while to load

        # By LAPACK's letters: accuracy F (a matrix D1 A D2), U and V whole, range N, transpose N, perturb N.
        (gejsv,) = get_lapack_funcs(("gejsv",), (matrix,))
        values, U, V, work, _, info = gejsv(matrix, joba=2, jobu=0, jobv=0, jobr=0, jobt=1, jobp=1)
        if info:
            raise FloatingPointError("the singular values of a product of covariances did not converge")
        values = values * (work[0] / work[1])
    return U, np.where(np.arange(len(values)) < rank, values, 0.0), V


def task_spectrum(counts: Sequence[int], r: Array, values: Array, vectors: Array) -> tuple[Array, Array]:
    """Eigenvalues lambda (K,) of D R D, D = diag(sqrt(counts)), and a = E^T D r (K,), E its eigenvectors.

    values, vectors: those of R, by `eigh`. The non-zero eigenvalues are those of the n x n correlation matrix of the
    examples. Eigenvalues that rounding cannot tell from zero are zero, and so is a there.
    """
    N = np.array(counts, dtype=np.float64)
    root = np.sqrt(N)
    if is_diagonal(vectors):  # R is the identity
        return frozen(N), frozen(root * r)
    if N.min() == N.max():
        lam, a = N[0] * values, vectors.T @ (root * r)
    else:
        # D R D = G^T G: the squares of G's singular values, and a = V^T G^T z with R^1/2 z = r. So small eigenvalues
        # keep their digits beside large ones, and a its small entries.
        live = values > 0
        half = np.sqrt(values)
        z = np.divide(vectors.T @ r, half, out=np.zeros(len(r)), where=live)
        U, singular, _ = svd(half[:, None] * vectors.T * root, scales=root.tolist(), rank=int(np.count_nonzero(live)))
        lam, a = singular**2, singular * (U.T @ z)
    return frozen(lam), frozen(np.where(lam > 0, a, 0.0))


def signal_spectrum(Sx: Array, C: Array) -> tuple[Array, Array]:
    """Eigenvalues s (d,) of Sigma = Sx^1/2 C Sx^1/2, and a matrix B (d, d) that goes with them:

        C (M I + gamma Sx C)^-1 = B diag(1 / (M + gamma s)) B^T.

    Where Sx is singular this holds on its range, and B stays inside it. Eigenvalues that rounding cannot tell from
    zero are zero.
    """
    (values, vectors), (values_C, vectors_C) = eigh(Sx), eigh(C)
    if is_diagonal(Sx) and is_diagonal(C):
        return frozen(values * values_C), frozen(np.diag(np.sqrt(values_C) * (values > 0)))
    if np.array_equal(C, np.eye(len(C))):
        return frozen(values), frozen(vectors * (values > 0))
    half_Sx, half_C = (vectors * np.sqrt(values)) @ vectors.T, (vectors_C * np.sqrt(values_C)) @ vectors_C.T
    rank = int(min(np.count_nonzero(values), np.count_nonzero(values_C)))
    diagonal = next((v for v, S in ((values, Sx), (values_C, C)) if is_diagonal(S)), None)
    if diagonal is None:  # the product's rounding is at the scale of its factors
        U, singular, _ = svd(half_C @ half_Sx, scales=(1.0,), rank=rank)
        floor = len(Sx) * EPS * np.sqrt(values.max() * values_C.max())
        singular = np.where(singular > floor, singular, 0.0)
    else:  # one factor is known at all its scales, and so is the product
        U, singular, _ = svd(half_C @ half_Sx, scales=np.sqrt(diagonal[diagonal > 0]).tolist(), rank=rank)
    live = vectors[:, values > 0]
    return frozen(singular**2), frozen(live @ (live.T @ half_C @ U))


def _symmetric(name: str, value: object, size: int) -> Array:
    A = _check.array(name, value, (size, size))
    skew = np.abs(A - A.T).max()
    if skew > 1e-12 * np.abs(A).max():
        raise _check.fail(name, "symmetric", f"a matrix whose entries differ from its transpose's by up to {skew:.3g}")
    return np.where(A == A.T, A, A / 2 + A.T / 2)  # halves of the least numbers are zero


def correlation(name: str, value: object, size: int) -> Array:
    """A correlation matrix (size, size), exactly symmetric, or a complaint."""
    A = _symmetric(name, value, size)
    if np.abs(np.diag(A) - 1).max() > 1e-12:
        raise _check.fail(name, "a correlation matrix, with ones on its diagonal", f"diagonal {np.diag(A)}")
    return A


def covariance(name: str, value: object, size: int) -> Array:
    """A positive semidefinite matrix (size, size), also from its diagonal (size,), or a complaint."""
    given = _check.array(name, value)
    if given.shape not in ((size, size), (size,)):
        raise _check.misshaped(name, f"of shape ({size}, {size}), or ({size},) for a diagonal", given)
    A = _symmetric(name, np.diag(given) if given.shape == (size,) else given, size)
    diagonal = is_diagonal(A)
    eigenvalues = np.sort(np.diag(A)) if diagonal else np.linalg.eigvalsh(A)
    if eigenvalues[0] < (0.0 if diagonal else -16 * EPS * size * max(eigenvalues[-1], 0.0)):
        raise _check.fail(name, "positive semidefinite", f"a matrix with smallest eigenvalue {eigenvalues[0]:.3g}")
    return A


def joint(R: Array, r: Array) -> Array:
    """[[R, r], [r^T, 1]], the correlations of all tasks, the query's among them."""
    return np.block([[R, r[:, None]], [r[None, :], np.ones((1, 1))]])


def in_range(r: Array, values: Array, vectors: Array) -> Array:
    """r without what rounding put outside the range of R = vectors diag(values) vectors^T.

    A second time it changes nothing.
    """
    kernel = vectors[:, values == 0]
    outside = kernel @ (kernel.T @ r)
    return r - outside if np.linalg.norm(outside) > 8 * len(r) * EPS else r


def check_joint(R: Array, r: Array, values: Array, vectors: Array) -> None:
    """Refuse [[R, r], [r^T, 1]] that is not positive semidefinite, and an r outside the range of R."""
    K, independent = len(r), is_diagonal(R)
    if independent:  # eigenvalues 1 and 1 +- |r|
        lowest, scale = 1 - np.linalg.norm(r), 1.0
    else:
        eigenvalues = np.linalg.eigvalsh(joint(R, r))
        lowest, scale = eigenvalues[0], eigenvalues[-1]
    if lowest < -16 * EPS * (K + 1) * scale:
        expected = "such that [[R, r], [r^T, 1]] is positive semidefinite" + independent * ", that is |r| <= 1"
        raise _check.fail("R and r", expected, f"a matrix with smallest eigenvalue {lowest:.3g}")
    # Along an eigenvector with eigenvalue lambda, r is at most sqrt(lambda); eigenvalues below K eps count as zero.
    outside = np.linalg.norm(r - in_range(r, values, vectors))
    if outside > np.sqrt(K * EPS):
        expected = "such that r lies in the range of R"
        raise _check.fail("R and r", expected, f"an r with a part of length {outside:.3g} outside")


def frozen(array: Array) -> Array:
    """The array over memory that nothing can write to, with one zero for both signs."""
    array = np.ascontiguousarray(array) + 0
    return np.frombuffer(array.tobytes(), dtype=array.dtype).reshape(array.shape)
