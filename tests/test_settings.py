import os
import typing

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidstyle.errors import UsageError
from vidstyle.settings import VGG_LAYERS, Position, Settings, file_values, flag_table, preset_values, schedule_entries

SETTINGS = [(section, key) for section, info in Settings.model_fields.items() for key in info.annotation.model_fields]
ON_THE_OUTPUT_ONLY = {"color", "encode"}


def another_value(section, key):
    """A valid value that is not the default, or None where there is only one."""
    info = Settings.model_fields[section].annotation.model_fields[key]
    default = getattr(getattr(Settings(), section), key)
    candidates = [*typing.get_args(info.annotation), ["relu1_2"], [1, 2], {"g": "1"}, "noise", "dis", "1", 2, 4, "poisson", "0s: a.png"]
    if isinstance(default, bool):
        candidates = [not default]
    elif isinstance(default, (int, float)):
        candidates = [default + 1, default / 2, 0.5]
    for candidate in candidates:
        try:
            value = getattr(getattr(Settings.from_mapping(nested(section, key, candidate)), section), key)
        except UsageError:
            continue
        if value != default:
            return value
    return None


def nested(section, key, value):
    return {section: {key: value}}


@pytest.mark.parametrize(("section", "key"), SETTINGS)
def test_fingerprint_changes_exactly_with_settings_of_the_picture(section, key):
    value = another_value(section, key)
    if value is None:
        assert (section, key) == ("run", "precision"), "the one setting with a single value"
        return
    changed = Settings.from_mapping(nested(section, key, value))
    assert changed != Settings()
    assert (changed.fingerprint() == Settings().fingerprint()) == (section in ON_THE_OUTPUT_ONLY or (section, key) == ("mask", "blend"))


def test_fingerprint_is_the_same_however_the_settings_were_written():
    assert (
        Settings.from_mapping({"style": {"weight": "100", "layers": list(Settings().style.layers)}}).fingerprint()
        == Settings().fingerprint()
    )


def test_later_layers_win_key_by_key():
    settings = Settings.layered(
        [{"style": {"weight": 1, "scale": 2}}, {"style": {"weight": 3}, "run": {"size": 64}}, {"run": {"size": 128}}]
    )
    assert (settings.style.weight, settings.style.scale, settings.run.size) == (3.0, (2.0,), 128)
    assert settings.content == Settings().content


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"style": {"wieght": 1}}, "unknown key 'style.wieght'; did you mean 'weight'?"),
        ({"stlye": {}}, "unknown key 'stlye'; did you mean 'style'?"),
        ({"style": {"zzz": 1}}, "there are weight, loss"),
        ({"style": {"scale": 0}}, "style.scale.0: Input should be greater than 0 (got 0)"),
        ({"style": {"weight": float("inf")}}, "style.weight"),
        ({"style": {"layers": ["conv4_1"]}}, "the nearest is 'relu4_1'"),
        ({"style": {"layers": []}}, "style.layers"),
        ({"style": {"layers": ["relu1_1", "relu1_1"]}}, "named twice"),
        ({"temporal": {"references": [0]}}, "temporal.references.0"),
        ({"style": {"schedule": "a.jpg, 3s: b.jpg"}}, "'a.jpg' is no moment and picture; write a schedule as '0s: a.jpg, 3s: b.jpg'"),
        ({"style": {"schedule": "1s: a.jpg"}}, "the first style of a schedule begins at 0s"),
        ({"style": {"schedule": "0s: a.jpg, 1:70: b.jpg"}}, "'1:70' is no position"),
        ({"run": {"start": "later"}}, "'later' is no position"),
        ({"run": {"fps": 0}}, "run.fps"),
        ({"run": {"fps": 1e-9}}, "run.fps"),
        ({"style": 3}, "style"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_origin(values, said):
    with pytest.raises(UsageError) as caught:
        Settings.from_mapping(values, "film.toml")
    assert str(caught.value).startswith("film.toml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_are_frozen():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Settings().style.weight = 3.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("12.5", Position(seconds=12.5)),
        ("0", Position(seconds=0.0)),
        ("01:02.5", Position(seconds=62.5)),
        ("1:00:00", Position(seconds=3600.0)),
        ("48f", Position(frames=48)),
    ],
)
def test_positions(text, position):
    assert Position.parse(text) == position


@pytest.mark.parametrize("text", ["", "f", "-1", "1:60", "1:2:3:4", "a:1", "nan", "inf", "1.5f", "-3f", "1:-2"])
def test_what_is_no_position_is_refused(text):
    with pytest.raises(ValueError, match="is no position"):
        Position.parse(text)


@pytest.mark.parametrize("text", [f"{'9' * 400}:00:00", "1e300", "1e10", "300000:00:00", f"{'9' * 5000}f", f"{'9' * 400}f"])
def test_what_is_later_than_any_film_is_refused(text):
    with pytest.raises(ValueError, match="is later than any film lasts"):
        Position.parse(text)
    with pytest.raises(UsageError, match="is later than any film lasts"):
        Settings.from_mapping({"run": {"start": text}})


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59999))
def test_positions_of_a_clock_count_in_sixties(hours, minutes, milliseconds):
    position = Position.parse(f"{hours}:{minutes:02}:{milliseconds / 1000:06.3f}")
    assert position.seconds == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)


def test_flags_are_unique_and_described():
    rows = flag_table()
    assert len({row.flag for row in rows}) == len(rows)
    assert all(row.flag.startswith("--") and row.text for row in rows)
    every = {(row.section, row.key) for row in rows} | {("encode", "options")}
    assert every == set(SETTINGS)


def test_layers_are_those_of_vgg19():
    assert len(VGG_LAYERS) == 16
    assert (VGG_LAYERS[0], VGG_LAYERS[-1]) == ("relu1_1", "relu5_4")


def test_a_settings_file_may_have_any_name_and_a_description(tmp_path):
    path = tmp_path / "film.settings"
    path.write_text('description = "mine"\n[run]\nsize = 64\n')
    assert file_values(path) == {"run": {"size": 64}}


@pytest.mark.parametrize("content", [b"size = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    path = tmp_path / "film.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"film\.toml: not a readable TOML file"):
        preset_values(path)


def test_values_that_are_nested_too_deep_are_told(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text("a=" + 3000 * "[")
    with pytest.raises(UsageError, match=r"deep\.toml: not a readable TOML file: its values are nested too deep"):
        file_values(path)


def test_settings_files_end(tmp_path):
    (tmp_path / "film.toml").write_bytes(bytes(2 << 20))
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.toml")
    for name, said in (("film", "larger than any settings file"), ("zero", "an ordinary file"), ("pipe", "an ordinary file")):
        with pytest.raises(UsageError, match=rf"{name}\.toml: .*{said}"):
            preset_values(tmp_path / f"{name}.toml")


def test_a_missing_settings_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such settings file"):
        preset_values(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("0s: a.jpg, 3s: b.jpg", [((0.0, None), "a.jpg"), ((3.0, None), "b.jpg")]),
        ("0:a.jpg,48f:b.jpg", [((0.0, None), "a.jpg"), ((None, 48), "b.jpg")]),
        ("0f: red, green.jpg, 1:30.5: 2 3.jpg", [((None, 0), "red, green.jpg"), ((90.5, None), "2 3.jpg")]),
    ],
)
def test_schedules_are_read(text, entries):
    assert [((when.seconds, when.frames), what) for when, what in schedule_entries(text)] == entries
    assert Settings.from_mapping({"style": {"schedule": text}}).style.schedule == text


def test_one_style_scale_may_stand_without_brackets():
    assert Settings.from_mapping({"style": {"scale": 2}}).style.scale == (2.0,)
    assert Settings.from_mapping({"style": {"scale": [0.5, 1]}}).style.scale == (0.5, 1.0)
