"""The command: `python -m tests.cluster.ground`."""

from __future__ import annotations

import argparse
import sys

from tests.cluster.ground import images, life, programs
from tests.cluster.ground.install import add_debian_packages, install
from tests.cluster.ground.settings import OPTIONAL, RUN
from tests.cluster.ground.shell import GroundError


def parser() -> argparse.ArgumentParser:
    """The verbs and their arguments."""
    top = argparse.ArgumentParser(
        prog="python -m tests.cluster.ground", description=sys.modules["tests.cluster.ground"].__doc__
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("install", help="build the programs, once per machine")
    verb.add_argument("names", nargs="*", help="only these")
    verb.add_argument("--with", dest="extra", action="append", default=[], choices=OPTIONAL, help="these too")
    verb = verbs.add_parser("up", help="a fresh, empty cluster; replaces the one that is up")
    verb.add_argument("--keep", action="store_true", help="tests use this one too, and leave it up")
    verb.add_argument(
        "--reuse", action="store_true", help="not when one is up: that is used, and kept if --keep says so"
    )
    verbs.add_parser("down", help="take it down and remove every trace but programs and images")
    verbs.add_parser("env", help='what a shell needs: eval "$(python -m tests.cluster.ground env)"')
    verb = verbs.add_parser("images", help="build and push the project's images; print their references for a shell")
    verb.add_argument("--build-only", action="store_true", help="push nothing: this needs no ground that is up")
    verb = verbs.add_parser("image", help="build and push one image; print its reference")
    verb.add_argument("name", help="as in millwright/runner:dev")
    verb.add_argument("options", nargs=argparse.REMAINDER, help="of buildah build, and the context")
    verbs.add_parser("prune", help="remove older images")
    for name, text in (("start", "start a program"), ("stop", "kill -9 a program"), ("logs", "print a program's log")):
        verbs.add_parser(name, help=text).add_argument("name", choices=list(programs.command_lines()))
    verb = verbs.add_parser("exec", help="run a command inside the ground, as in: exec iptables -L")
    verb.add_argument("command", nargs=argparse.REMAINDER)
    return top


def main(arguments: list[str]) -> None:
    """Does what the command line says."""
    given = parser().parse_args(arguments)
    if given.verb not in ("install", "env", "logs") or (given.verb == "install" and not given.names):
        life.demand_root()  # before anything is built for many minutes
    match given.verb:
        case "install":
            add_debian_packages()
            install(given.names)
            if given.extra:
                install(given.extra)
        case "up":
            life.up(keep=given.keep, reuse=given.reuse)
        case "down":
            life.down()
        case "env":
            print(life.exports())
        case "images":
            images.build_all()
            if not given.build_only:
                for target, reference in images.push_all().items():
                    print(f"export {target.upper()}_IMAGE={reference}")
        case "image":
            images.build(given.name, *given.options)
            print(images.push(given.name))
        case "prune":
            images.prune()
        case "start":
            programs.start(given.name)
            programs.wait_until_ready(given.name)
        case "stop":
            programs.stop(given.name)
        case "logs":
            print((RUN / "logs" / f"{given.name}.log").read_text(), end="")
        case "exec":
            programs.exec_inside(given.command)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except GroundError as error:
        sys.exit(f"ground: {error}")
