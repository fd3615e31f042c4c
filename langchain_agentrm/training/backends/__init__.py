"""Where the work of a stage is done: processes of this machine, or a Ray cluster."""

from __future__ import annotations

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training.backends.base import Backend
from langchain_agentrm.training.backends.cluster import RayBackend
from langchain_agentrm.training.backends.local import LocalBackend

__all__ = ["BACKENDS", "Backend", "LocalBackend", "RayBackend", "make_backend"]

BACKENDS = ("local", "ray")
_LOCAL_WORKERS = 2


def make_backend(
    name: str = "local",
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
) -> Backend:
    """Make a backend from plain words, as the command line gives them.

    Args:
        name: `"local"` or `"ray"`.
        workers: Jobs at once; by default 2 processes, or what the cluster has room for.
        ray_address: Address of the cluster; see `RayBackend`.
        num_cpus: Cores of the cluster that a job takes; by default one.
        num_gpus: GPUs of the cluster that a job takes; by default none.

    Returns:
        The backend.

    Raises:
        ConfigurationError: If there is no such backend, or an option is not for it.
    """
    if name == "ray":
        return RayBackend(
            address=ray_address,
            workers=workers,
            num_cpus=1 if num_cpus is None else num_cpus,
            num_gpus=num_gpus or 0,
        )
    if name != "local":
        msg = f"There is no backend {name!r}."
        raise ConfigurationError(msg, remedy=f"Use one of {', '.join(BACKENDS)}.")
    given = {"ray_address": ray_address, "num_cpus": num_cpus, "num_gpus": num_gpus}
    for option, value in given.items():
        if value is not None:
            msg = f"The local backend takes no {option}={value!r}."
            raise ConfigurationError(msg, remedy="Choose the backend ray, or drop it.")
    return LocalBackend(_LOCAL_WORKERS if workers is None else workers)
