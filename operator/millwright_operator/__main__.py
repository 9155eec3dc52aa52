"""`python -m millwright_operator`: the operator; `… certificate`: makes the progress endpoint's certificate once."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from millwright_operator import app, handlers
from millwright_operator.cluster import ApiError, NoCluster
from millwright_operator.options import InvalidSetting, Options

logger = logging.getLogger("millwright_operator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for. Returns the exit code: 0, 1 after a failure, 2 for a wrong setting."""
    parser = argparse.ArgumentParser(
        prog="python -m millwright_operator",
        description="Reconciles OptimizationJobs. Without arguments it works until SIGTERM.",
        epilog="Settings, from the environment:\n" + Options.describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "task", nargs="?", choices=["certificate"], help="make the progress endpoint's certificate, unless it is there"
    )
    task = parser.parse_args(arguments).task
    try:
        options = Options.read(os.environ)
        if task == "certificate":
            options.check_certificate()
    except InvalidSetting as error:
        sys.stderr.write(f"{error}\n")
        return 2
    handlers.log(json=options.log_format == "json", level=options.log_level)
    try:
        if task == "certificate":
            return certificate(options)
        asyncio.run(app.serve(options))
    except (ApiError, NoCluster, OSError) as error:
        logger.error("%s", error)
        return 1
    return 0


def certificate(options: Options) -> int:
    """Makes the certificate. Returns 0 also when there was one."""
    made = asyncio.run(app.create_certificate(options))
    where = f"Secret {options.pod_namespace}/{options.certificate_secret}"
    logger.info("%s was created" if made else "%s is there already; it stays as it is", where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
