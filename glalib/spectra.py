"""Eigenvalues and roots of covariances that keep what is exactly given: on a diagonal, small and large both count.

An eigenvalue of a dense matrix is known to about eps times the largest, so smaller ones count as zero and the rank
comes out right. An eigenvalue of a diagonal matrix is the entry itself, and the singular values of D1 A D2, with
diagonal D1 and D2, are known as well as those of A. Here both kinds keep their digits. No torch.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dgejsv

EPS = np.finfo(np.float64).eps
GRADED = 1e4  # from this spread of scales on, singular values are computed with relative accuracy, which takes longer


def is_diagonal(matrix) -> bool:
    """Whether all entries off the diagonal are exactly zero."""
    return bool(np.count_nonzero(matrix) == np.count_nonzero(np.diagonal(matrix)))


def eigh(matrix):
    """Eigenvalues >= 0 (d,) and eigenvectors (d, d) of a positive semidefinite matrix (d, d).

    Of a diagonal matrix, its entries in their order; else ascending, and zero where rounding cannot tell from zero.
    """
    if is_diagonal(matrix):
        return np.diagonal(matrix).copy(), np.eye(len(matrix))
    values, vectors = np.linalg.eigh(matrix)
    floor = len(values) * EPS * values[-1]
    return np.where(values > floor, values, 0.0), vectors


def psd_root(matrix):
    """The symmetric square root of a positive semidefinite matrix, singular or not. (d, d) to (d, d)."""
    values, vectors = eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def svd(matrix, scales, rank):
    """U, singular values (descending, zero beyond the rank) and V of a square matrix = U diag(values) V^T.

    scales: numbers between which its diagonal factors range. Where they are far apart, the Jacobi method keeps the
    relative accuracy of small singular values (LAPACK's gejsv); else the usual one is as good, and faster.
    """
    if max(scales) <= GRADED * min(scales):
        U, values, Vt = np.linalg.svd(matrix)
        V = Vt.T
    else:
        # By LAPACK's letters: accuracy F (a matrix D1 A D2), U and V whole, range N, transpose N, perturb N.
        values, U, V, work, _, info = dgejsv(matrix, joba=2, jobu=0, jobv=0, jobr=0, jobt=1, jobp=1)
        if info:
            raise FloatingPointError("the singular values of a product of covariances did not converge")
        values = values * (work[0] / work[1])
    return U, np.where(np.arange(len(values)) < rank, values, 0.0), V
