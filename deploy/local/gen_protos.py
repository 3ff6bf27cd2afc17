"""Generate the Python modules of `protos/` into `libs/protos_py/src/fleetdesk`.

Run as `python deploy/local/gen_protos.py` with the environment's Python. Does nothing when neither
the protos nor the generators changed since the last run.
"""

import fcntl
import hashlib
import importlib.metadata
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
TARGET = ROOT / "libs" / "protos_py" / "src" / "fleetdesk"
STAMP = ROOT / "libs" / "protos_py" / ".stamp"
GENERATORS = ("grpcio-tools", "mypy-protobuf", "protobuf")


def main() -> None:
    """Generate when something changed; exit with a sentence when protoc refuses."""
    sources = sorted(PROTOS.rglob("*.proto"))
    TARGET.mkdir(parents=True, exist_ok=True)
    with STAMP.open("a+") as stamp:
        # Two `make` at once would otherwise mix their files.
        fcntl.flock(stamp, fcntl.LOCK_EX)
        stamp.seek(0)
        wanted = _digest(sources)
        if stamp.read() == wanted and _complete(sources):
            return
        _generate(sources)
        stamp.truncate(0)
        stamp.write(wanted)
    print(f"generated Python from {len(sources)} proto files")


def _digest(sources: list[Path]) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in GENERATORS)
    digest = hashlib.sha256(versions.encode())
    for path in (Path(__file__), *sources):
        digest.update(f"\n{path.relative_to(ROOT)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _complete(sources: list[Path]) -> bool:
    return all((TARGET.parent / _module_of(path)).exists() for path in sources)


def _module_of(source: Path) -> Path:
    relative = source.relative_to(PROTOS)
    return relative.with_name(f"{relative.stem}_pb2.py")


def _generate(sources: list[Path]) -> None:
    with tempfile.TemporaryDirectory(dir=TARGET.parent.parent) as scratch:
        out = Path(scratch)
        _run_protoc(sources, out)
        for package in (out / "fleetdesk").iterdir():
            _make_packages(package)
            _replace(package, TARGET / package.name)
        current = {package.name for package in (PROTOS / "fleetdesk").iterdir()}
        for package in TARGET.iterdir():
            if package.is_dir() and package.name not in current:
                shutil.rmtree(package)


def _run_protoc(sources: list[Path], out: Path) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    googleapis = Path(sysconfig.get_path("purelib"))
    failed = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={well_known}",
            f"--proto_path={googleapis}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--mypy_grpc_out=quiet,only_async:{out}",
            *[str(path) for path in sources],
        ]
    )
    if failed:
        sys.exit("The protos could not be compiled: put right what protoc says above.")


def _make_packages(package: Path) -> None:
    """`fleetdesk` itself stays a namespace; what is in it are typed packages."""
    for folder in (package, *(path for path in package.rglob("*") if path.is_dir())):
        (folder / "__init__.py").touch()
        (folder / "py.typed").touch()


def _replace(new: Path, old: Path) -> None:
    if old.exists():
        old.rename(new.with_name(f"{new.name}.old"))
    new.rename(old)


if __name__ == "__main__":
    main()
