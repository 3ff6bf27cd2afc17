"""Linear algebra in a service: on the thread that calls it."""

from threadpoolctl import threadpool_limits


def keep_to_one_thread() -> None:
    """Makes the BLAS of numpy, which must be imported by now, start no threads of its own.

    After a product OpenBLAS's threads spin for tens of milliseconds in case another follows: a
    search, an embedding, then costs ten times its CPU, is billed for it, and takes it from others.
    """
    threadpool_limits(1, user_api="blas")
