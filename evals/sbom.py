"""A bill of materials in CycloneDX 1.5: every package that Tunewise needs, and every model file.

python -m evals.sbom [FILE]
"""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tunewise.artifacts import Catalogue


def needed(root: str = "tunewise") -> list[str]:
    """Names of the installed packages that another one needs, directly or not, without its own extras."""
    found: set[tuple[str, str]] = set()
    queue = [(root, "")]
    while queue:
        package, extra = queue.pop()
        for line in metadata.requires(package) or []:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            # What a package needs for the extras that are asked for: uvicorn[standard] brings uvloop.
            wanted = {(name, one) for one in ("", *requirement.extras)} - found
            if _installed(name):
                found |= wanted
                queue += wanted
    return sorted({name for name, _ in found})


def bom() -> dict[str, Any]:
    """The bill of materials."""
    parts = [_package(name) for name in needed()]
    models = [
        {
            "type": "machine-learning-model",
            "name": item.name,
            "version": item.sha256[:12],
            "hashes": [{"alg": "SHA-256", "content": item.sha256}],
            "licenses": [{"license": {"id": item.licence}}],
        }
        for item in Catalogue.shipped().artifact
    ]
    own = {"type": "application", "name": "tunewise", "version": metadata.version("tunewise")}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": own},
        "components": [*parts, *models],
    }


def _package(name: str) -> dict[str, Any]:
    about = metadata.metadata(name)
    fields = about.json
    licence = str(fields.get("license_expression") or fields.get("license") or "")
    part: dict[str, Any] = {"type": "library", "name": name, "version": about["Version"]}
    part["purl"] = f"pkg:pypi/{name}@{about['Version']}"
    if 0 < len(licence) < 100:
        part["licenses"] = [{"license": {"name": licence}}]
    return part


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def main() -> None:
    """Write the bill to a file, or print it."""
    text = json.dumps(bom(), indent=1) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
