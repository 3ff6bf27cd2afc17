"""Linear algebra on the thread that calls it."""

import numpy as np
from fleetkit import blas
from threadpoolctl import threadpool_info


def test_numpys_blas_has_one_thread():
    assert np.eye(2).trace() == 2.0
    blas.keep_to_one_thread()
    threads = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
    assert threads
    assert set(threads) == {1}
