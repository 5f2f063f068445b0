import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from vidstyle.errors import UsageError
from vidstyle.settings import Settings, preset_directory, preset_names, preset_values

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", preset_names())
def test_preset_loads_and_says_what_it_does(name):
    settings = Settings.preset(name)
    assert (settings == Settings()) == (name == "balanced"), "a look that is the default is no look"
    description = tomllib.loads((preset_directory() / f"{name}.toml").read_text(encoding="utf-8"))["description"]
    assert description.endswith(".")
    assert "\n" not in description


def test_there_are_three_levels_of_effort_and_four_looks():
    names = set(preset_names())
    assert names >= {"draft", "balanced", "fine"}
    assert len(names - {"draft", "balanced", "fine"}) >= 4


def test_no_two_presets_are_the_same():
    presets = [Settings.preset(name).model_dump_json() for name in preset_names()]
    assert len(set(presets)) == len(presets)


def test_effort_grows_from_draft_to_fine():
    draft, balanced, fine = (Settings.preset(name).optimize for name in ("draft", "balanced", "fine"))
    steps = [Settings.preset(name) for name in ("draft", "balanced", "fine")]
    assert [one.optimize.iterations * one.temporal.passes for one in steps] == [7, 36, 78]
    assert draft.least_gain > balanced.least_gain > fine.least_gain
    assert draft.first_iterations < balanced.first_iterations < fine.first_iterations


def test_a_preset_can_be_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[style]\nscale = 3\n")
    assert Settings.preset(path).style.scale == (3.0,)


def test_a_misspelled_preset_gets_the_nearest_name():
    with pytest.raises(UsageError, match=r"there is no preset drafft; did you mean draft\?"):
        preset_values("drafft")


@pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").is_file(), reason="runs in a checkout, which the wheel is built from")
def test_the_wheel_carries_the_presets(tmp_path):
    pytest.importorskip("hatchling", reason="the build backend comes with the [dev] extra")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"vidstyle/configs/{path.name}" for path in (CHECKOUT / "configs").glob("*.toml")} <= names
    assert "vidstyle/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "sample_media/"))]
