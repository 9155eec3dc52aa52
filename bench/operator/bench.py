"""What the operator costs and how fast it is, on a real API server with pods that are not there (kwok).

    PYTHONPATH=. python bench/operator/bench.py [--jobs 1000] [--rounds pace lives writes burst idle restart]

On the project's own test cluster, or the one that MILLWRIGHT_TEST_KUBECONFIG names (images by MILLWRIGHT_TEST_*_IMAGE). The
operator runs as a pod, installed by the chart. Writes are counted by the API server, so nobody else should use the cluster.
About a quarter of an hour. Prints a table, writes bench/build/operator.json, ends with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import aiohttp
import kwok
import operator_pod
import rounds
from apiserver import ApiServer
from figures import Figure
from rich.console import Console
from rich.table import Table
from samples import SLOT
from tests.cluster.cluster import Cluster, named_cluster, own_cluster
from tests.cluster.ground.shell import GroundError
from tests.cluster.ground.users import borrowed

BUILD = Path(__file__).parents[1] / "build"
NAMESPACE = "bench-jobs"
ROUNDS = ("pace", "lives", "writes", "burst", "idle", "restart")


@contextlib.contextmanager
def a_cluster() -> Iterator[Cluster]:
    """Yields the cluster that is named, or the project's own."""
    named = os.environ.get("MILLWRIGHT_TEST_KUBECONFIG")
    if named:
        yield named_cluster(Path(named))
        return
    with borrowed(f"bench-{os.getpid()}"):
        yield own_cluster()


def say(text: str) -> None:
    """Tells how far it is, on stderr."""
    print(text, file=sys.stderr, flush=True)


async def measure(cluster: Cluster, given: argparse.Namespace) -> list[Figure]:
    """Runs the rounds that were asked for, in their order."""
    figures: list[Figure] = []
    async with ApiServer(str(cluster.kubeconfig)) as api:
        for node in kwok.nodes():
            await api.create("/api/v1/nodes", node, exists=True)
        for name in [name for name in ROUNDS if name in given.rounds]:
            say(f"{name} …")
            match name:
                case "pace":
                    figures += await rounds.pace(api, NAMESPACE, given.paced, given.rate)
                case "lives":
                    figures += await rounds.lives(api, NAMESPACE, given.lives, given.rate / 5)
                case "writes":
                    figures += await rounds.writes(api, NAMESPACE, 10)
                case "burst":
                    figures += await rounds.burst(api, NAMESPACE, given.jobs)
                case "idle":
                    figures += await rounds.idle(api, given.jobs, given.idle_seconds)
                case "restart":
                    figures += await rounds.restart(api, given.jobs)
    return figures


def clean(cluster: Cluster) -> None:
    """Removes what the bench made; while kwok still runs, which ends the fake pods."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=300s")
    operator_pod.uninstall(cluster)
    for node in kwok.nodes():
        cluster.kubectl("delete", "node", node["metadata"]["name"], "--ignore-not-found")


def table(figures: list[Figure]) -> Table:
    """Returns the figures beside their goals."""
    found = Table("figure", "measured", "goal", "", "how", title="The operator, as a pod")
    for figure in figures:
        goal = "" if figure.goal is None else f"≤ {figure.goal:g} {figure.unit}"
        verdict = "" if figure.goal is None else "met" if figure.met else "missed"
        found.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", goal, verdict, figure.note)
    return found


def tell(figures: list[Figure]) -> None:
    """Prints the figures, and leaves them in bench/build/operator.json."""
    Console(width=150).print(table(figures))
    (BUILD / "operator.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000, help="live jobs in burst, idle and restart")
    parser.add_argument("--paced", type=int, default=200, help="jobs in pace")
    parser.add_argument("--rate", type=float, default=10, help="jobs a second in pace")
    parser.add_argument("--lives", type=int, default=100, help="jobs in lives, at a fifth of the rate")
    parser.add_argument("--idle-seconds", type=float, default=300, help="long enough for one resync")
    parser.add_argument("--rounds", nargs="+", choices=ROUNDS, default=ROUNDS)
    parser.add_argument("--keep", action="store_true", help="leave all as it is at the end")
    given = parser.parse_args()
    folder = BUILD / "operator"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with a_cluster() as cluster:
            cluster.kubectl("create", "namespace", NAMESPACE)
            operator_pod.install(cluster, NAMESPACE, SLOT)
            with kwok.kubelets(str(cluster.kubeconfig), folder):
                try:
                    figures = asyncio.run(measure(cluster, given))
                    tell(figures)
                finally:
                    if not given.keep:
                        clean(cluster)
    except (GroundError, RuntimeError, AssertionError, aiohttp.ClientError) as error:
        say(f"bench: {error}")
        return 2
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
