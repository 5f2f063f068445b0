"""The cluster files of docs/cluster.md can be read, and name flags that exist."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from vidstyle.cli import _Arguments
from vidstyle.settings import flag_table

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
FILES = [yaml.safe_load(text) for language, text in FENCES if language == "yaml"]


def flags() -> set[str]:
    own = {"--" + field.name.replace("_", "-") for field in dataclasses.fields(_Arguments)[2:]}
    return own | {"-o", "-y"} | {row.flag for row in flag_table()}


def strings(value: Any) -> list[str]:
    """Every text in what a YAML file holds."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def commands() -> list[str]:
    """Every command of vidstyle's on the page, in whatever it stands."""
    lines = [line for language, text in FENCES if language == "bash" for line in text.splitlines()]
    found = [re.sub(r"\s#\s.*", "", text) for text in [*lines, *(text for file in FILES for text in strings(file))]]
    return [match[0] for text in found if (match := re.search(r"\bvidstyle (?=\S+://|[\w/-]+[./]|--join)[^\"]*(?:\"[^\"]*\")?", text))]


def test_the_page_has_commands_and_files() -> None:
    assert len(commands()) >= 12
    assert [file.get("kind") or file["provider"]["type"] for file in FILES] == ["aws", "RayJob", "Job"]


@pytest.mark.parametrize("command", commands())
def test_a_command_names_flags_that_exist(command: str) -> None:
    named = {word.split("=")[0] for word in shlex.split(command) if re.match(r"--?[a-z]", word)}
    assert named
    assert named <= flags()


def test_the_cluster_file_starts_workers_that_it_describes() -> None:
    cluster = FILES[0]
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert cluster["available_node_types"]["gpu"]["max_workers"] <= cluster["max_workers"]
    assert any("[cluster]" in command for command in cluster["setup_commands"])
    assert any("/shared" in command for command in cluster["initialization_commands"])
    assert re.search(r"--ray auto --gpus-per-worker 1 --workers 16\b", PAGE)  # no machine with a GPU is there at first


def test_ray_is_of_the_version_that_is_tested() -> None:
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert pinned
    assert FILES[1]["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]
    images = re.findall(r"rayproject/ray:([\d.]+)-", PAGE)
    assert len(images) == 2
    assert set(images) == {pinned[1]}


def test_what_opencv_wants_is_put_into_images_of_ray() -> None:
    (dockerfile,) = [text for language, text in FENCES if language == "dockerfile"]
    for text in (dockerfile, " ".join(FILES[0]["setup_commands"])):
        assert "libgl1 libglib2.0-0" in text


def test_every_pod_of_the_ray_job_sees_the_films() -> None:
    spec = FILES[1]["spec"]["rayClusterSpec"]
    for pod in [spec["headGroupSpec"]["template"]["spec"], *(group["template"]["spec"] for group in spec["workerGroupSpecs"])]:
        assert {volume["name"] for volume in pod["volumes"]} == {"films"}
        assert all(mount["mountPath"] == "/films" for container in pod["containers"] for mount in container["volumeMounts"])
    assert "/films/film.mp4" in FILES[1]["spec"]["entrypoint"]


def test_every_pod_of_the_ray_job_is_held_to_what_it_asks_for() -> None:
    spec = FILES[1]["spec"]["rayClusterSpec"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        for container in group["template"]["spec"]["containers"]:
            assert container["resources"]["limits"] == container["resources"]["requests"]
