"""Writes docs/licences.md: the licence of every package that `pip install vidstyle`, or one of its extras, brings along, as it states it.

    python docs/make_licences.py

Run it in an environment that was installed with constraints.txt; `tests/test_licences.py` tells when it is due.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).parent / "licences.md"
MARK = "<!-- the table is written by docs/make_licences.py -->\n"
EXTRAS = ("cluster", "gcs", "s3")
"""Those that a user of vidstyle installs."""
STATED_ELSEWHERE = {"cuda-toolkit": "NVIDIA Proprietary Software"}
"""Of packages whose metadata say nothing: what the packages that they consist of say."""


def name_of(package: Distribution) -> str:
    """As pip compares names: lower case, with hyphens."""
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def dependencies(of: str = "vidstyle", extra: str = "") -> dict[str, Distribution]:
    """What a package needs (with one of its extras), and what that needs, as installed here: name → package."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(of, extra)], set[tuple[str, str]]()  # package, and one of its extras
    while waiting:
        wanted = waiting.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        try:
            package = distribution(wanted[0])
        except PackageNotFoundError:  # for another system or Python
            continue
        found[name_of(package)] = package
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": wanted[1]}):
                waiting += [(needed.name, extra) for extra in ("", *needed.extras)]
    del found[of]
    return dict(sorted(found.items()))


def by_extra() -> dict[str, dict[str, Distribution]]:
    """What `pip install vidstyle` brings along, by the name "", and what each extra for its users brings beyond that."""
    own = dependencies()
    return {"": own, **{extra: {k: v for k, v in dependencies(extra=extra).items() if k not in own} for extra in EXTRAS}}


def licence_of(package: Distribution) -> str:
    """As the package states it: an SPDX expression, a line of text, or its classifiers."""
    metadata = package.metadata
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith("License ::")]
    line = (metadata.get("License") or "").split("\n")[0]
    stated = metadata.get("License-Expression") or (line if line not in ("UNKNOWN", "Dual License") else "") or "; ".join(classifiers)
    return stated or STATED_ELSEWHERE.get(name_of(package), "")


def main() -> None:
    """Rewrites the table, and keeps the words before it."""
    words = PAGE.read_text().split(MARK)[0]
    found = by_extra()
    extras: dict[str, list[str]] = {}
    for extra, packages in found.items():
        for name in packages:
            extras.setdefault(name, []).append(f"`{extra}`" if extra else "")
    packages = {name: package for those in found.values() for name, package in those.items()}
    ordered = sorted(packages, key=lambda name: (extras[name] != [""], name))
    rows = [f"| {name} | {packages[name].version} | {licence_of(packages[name])} | {', '.join(extras[name])} |" for name in ordered]
    PAGE.write_text(words + MARK + "\n| package | version | licence | extra |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
