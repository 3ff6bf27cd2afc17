"""`make images`: builds every service's image and runs them as a cluster would, read-only.

Needs root, buildah, podman and runc (Debian's packages). Prints tables; fails when a service
does not become ready, may do more than it should, does not answer or does not drain. Not part of
`make test`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleetdesk_local.roster import SERVICES

from .containers import Drain, run_all

ROOT = Path(__file__).resolve().parents[2]
OFFICIAL = "docker.io/library/debian:bookworm-slim"
STAND_IN = "localhost/fleetdesk-bookworm-stand-in"
TAG = "0.1.0"
_PULL_PATIENCE_S = 20


@dataclass(frozen=True, slots=True)
class Built:
    """An image: its size with all its layers, and how long it took."""

    service: str
    size_mb: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="make images")
    parser.add_argument("--ca", type=Path, help="a bundle of certificate authorities, for builds")
    parser.add_argument("--only", nargs="+", default=SERVICES, choices=SERVICES)
    parser.add_argument("--no-run", action="store_true", help="only build")
    parser.add_argument("--no-build", action="store_true", help="only run what was built")
    arguments = parser.parse_args()
    _require("buildah", "podman", "runc")
    if not arguments.no_build:
        base = base_image()
        print(f"base: {base}")
        print_images([build(service, base, arguments.ca) for service in arguments.only])
    if not arguments.no_run:
        print_drains(run_all(arguments.only, TAG))


def base_image() -> str:
    """Debian's own image where it can be pulled, else a stand-in made of Debian's packages."""
    try:
        subprocess.run(
            ["buildah", "pull", "--quiet", OFFICIAL],
            check=True,
            capture_output=True,
            timeout=_PULL_PATIENCE_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        made = subprocess.run(["buildah", "inspect", STAND_IN], capture_output=True, check=False)
        if made.returncode != 0:
            subprocess.run([str(ROOT / "deploy/docker/base_image.sh"), STAND_IN], check=True)
        return STAND_IN
    return OFFICIAL


def build(service: str, base: str, ca: Path | None) -> Built:
    """Builds one image; what goes before the service's own layers is built once."""
    name = f"fleetdesk/{service}:{TAG}"
    command = ["buildah", "build", "--quiet", "--layers", "--isolation", "chroot"]
    command += ["--network", "host", "--build-arg", f"BASE={base}"]
    command += ["--build-arg", f"SERVICE={service}", "--tag", name]
    command += ["--file", "deploy/docker/Dockerfile"]
    if ca is not None:
        command += ["--secret", f"id=ca,src={ca}"]
    began = time.monotonic()
    done = subprocess.run([*command, "."], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name} could not be built:\n{done.stderr[-3000:]}")
    seconds = time.monotonic() - began
    inspected = subprocess.run(
        ["podman", "image", "inspect", "--format", "{{.Size}}", name],
        capture_output=True,
        text=True,
        check=True,
    )
    return Built(service, int(inspected.stdout) / 1e6, seconds)


def print_images(built: list[Built]) -> None:
    print("\n| image | size MB | build s |\n|---|---:|---:|")
    for each in built:
        print(f"| `fleetdesk/{each.service}` | {each.size_mb:.0f} | {each.seconds:.0f} |")


def print_drains(drains: list[Drain]) -> None:
    print("\n| container | ready after s | memory MB | SIGTERM to exit s | exit code |")
    print("|---|---:|---:|---:|---:|")
    for each in drains:
        print(
            f"| `{each.service}` | {each.ready_s:.1f} | {each.memory_mb:.0f} "
            f"| {each.seconds:.2f} | {each.exit_code} |"
        )
    if any(each.exit_code for each in drains):
        sys.exit("a service did not drain as it should")


def _require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        sys.exit(f"{', '.join(missing)}: install with `apt-get install {' '.join(missing)}`")
    if os.geteuid() != 0:
        sys.exit("run as root: images are built and run without user namespaces here")


if __name__ == "__main__":
    main()
