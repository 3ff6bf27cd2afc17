"""The manifests of deploy/ as kubectl renders them, and what tests ask of them."""

import json
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("local", "staging", "production")
RENDERED = ("base", *(f"overlays/{name}" for name in OVERLAYS))
# The oldest and the newest release whose schemas are installed.
KUBERNETES = ("1.33", "1.37")
_CRDS = ROOT / "tests/deploy/crds"

Manifest = dict[str, Any]


class UnknownKind(Exception):
    """There is no schema for an object: it can't be said to be valid."""


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod of a workload: the workload's kind and name, the pod's labels and spec."""

    kind: str
    name: str
    labels: Mapping[str, str]
    spec: Manifest

    @property
    def containers(self) -> list[Manifest]:
        """All of them, those that run first too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@cache
def rendered(folder: str) -> list[Manifest]:
    """The objects of `deploy/<folder>`; not to be changed."""
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    done = subprocess.run(
        [str(kubectl), "kustomize", str(ROOT / "deploy" / folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def of_kind(folder: str, kind: str) -> list[Manifest]:
    return [found for found in rendered(folder) if found["kind"] == kind]


def name_of(found: Manifest) -> str:
    return found["metadata"]["name"]


def pods(objects: list[Manifest]) -> list[Pod]:
    """The pods of all workloads."""
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "Job")
    return [
        Pod(
            found["kind"],
            name_of(found),
            found["spec"]["template"]["metadata"]["labels"],
            found["spec"]["template"]["spec"],
        )
        for found in objects
        if found["kind"] in kinds
    ]


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches all."""
    for label, value in selector.get("matchLabels", {}).items():
        if labels.get(label) != value:
            return False
    for among in selector.get("matchExpressions", []):
        if among["operator"] != "In":
            raise NotImplementedError(among["operator"])
        if labels.get(among["key"]) not in among["values"]:
            return False
    return True


def validate(found: Manifest, version: str) -> None:
    """Raises when an object is not what its kind allows, or of a kind without a schema."""
    _validate(json.dumps(found, sort_keys=True), version)


@cache
def _validate(text: str, version: str) -> None:
    """Once for each text: most objects are the same in all overlays, and this takes its time."""
    found: Manifest = json.loads(text)
    key = (found["apiVersion"], found["kind"])
    if key in _custom():
        jsonschema.validate(found, _custom()[key], jsonschema.Draft202012Validator)
        return
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        raise UnknownKind(f"{key[1]} of {key[0]} has no schema") from error


@cache
def _custom() -> dict[tuple[str, str], Manifest]:
    schemas: dict[tuple[str, str], Manifest] = {}
    for path in sorted(_CRDS.glob("*.json")):
        spec = json.loads(path.read_text())["spec"]
        for version in spec["versions"]:
            api_version = f"{spec['group']}/{version['name']}"
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
            schemas[api_version, spec["names"]["kind"]] = schema
    return schemas


def _strict(schema: Any) -> Any:
    """A structural schema as JSON Schema, with unknown fields refused as `kubectl` refuses them."""
    if isinstance(schema, list):
        return [_strict(part) for part in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(part) for name, part in cast(Manifest, schema).items()}
    # A number also stands as a string; "format" is Go's and "nullable" is OpenAPI's.
    if strict.pop("x-kubernetes-int-or-string", False):
        strict.pop("type", None)
        strict.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    open_ended = strict.get("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(strict.get("properties"), dict) and "type" in strict and not open_ended:
        strict.setdefault("additionalProperties", False)
    return strict


def environment(container: Manifest, objects: list[Manifest]) -> dict[str, str]:
    """The environment of a container as the kubelet makes it.

    `objects` hold the ConfigMaps and Secrets; KeyError when one that is not optional is missing.
    """
    made: dict[str, str] = {}
    for source in container.get("envFrom", []):
        kind, reference = _reference(source, "configMapRef", "secretRef")
        made |= _content(objects, kind, reference) or {}
    own: dict[str, str] = {}
    for variable in container.get("env", []):
        value = _value(variable, objects)
        if value is not None:
            # Only what stands before it in `env` itself is put in, as the kubelet does.
            for name, known in own.items():
                value = value.replace(f"$({name})", known)
            own[variable["name"]] = value
    return made | own


def references(pod: Pod) -> Iterator[tuple[str, str, bool]]:
    """Kind, name and whether it is optional, of each ConfigMap and Secret that a pod needs."""
    for container in pod.containers:
        for source in container.get("envFrom", []):
            yield _named(*_reference(source, "configMapRef", "secretRef"))
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "fieldRef" not in source and source:
                yield _named(*_reference(source, "configMapKeyRef", "secretKeyRef"))
    for volume in pod.spec.get("volumes", []):
        yield from _volume_references(volume)


def _volume_references(volume: Manifest) -> Iterator[tuple[str, str, bool]]:
    for source in volume.get("projected", {}).get("sources", [volume]):
        if "configMap" in source:
            yield _named("ConfigMap", source["configMap"])
        if "secret" in source:
            reference = source["secret"]
            yield _named("Secret", {"name": reference.get("secretName"), **reference})


def _named(kind: str, reference: Manifest) -> tuple[str, str, bool]:
    return kind, reference["name"], reference.get("optional", False)


def _reference(source: Manifest, config_map: str, secret: str) -> tuple[str, Manifest]:
    return ("ConfigMap", source[config_map]) if config_map in source else ("Secret", source[secret])


def _value(variable: Manifest, objects: list[Manifest]) -> str | None:
    if "value" in variable:
        return variable["value"]
    source = variable["valueFrom"]
    if "fieldRef" in source:
        return "nats-0"
    kind, reference = _reference(source, "configMapKeyRef", "secretKeyRef")
    content = _content(objects, kind, reference)
    if content is None or (reference.get("optional") and reference["key"] not in content):
        return None
    return content[reference["key"]]


def _content(objects: list[Manifest], kind: str, reference: Manifest) -> dict[str, str] | None:
    for found in objects:
        if found["kind"] == kind and name_of(found) == reference["name"]:
            return found.get("data") or found["stringData"]
    if reference.get("optional"):
        return None
    raise KeyError(f"{kind} {reference['name']}")
