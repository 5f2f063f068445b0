"""The one model of everything a user can turn.

A section a stage. From here come the command's flags (`cli.py` walks `flag_table`), the presets
(`configs/*.toml`), the Python API and the fingerprint of a job. No default is written anywhere else.
Precedence: defaults < preset < `--config FILE` < flags.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vidstyle.errors import UsageError
from vidstyle.numbered import FrameRange

__all__ = [
    "TILE",
    "VGG_LAYERS",
    "ColorSettings",
    "ContentSettings",
    "EncodeSettings",
    "FlagInfo",
    "FlowSettings",
    "MaskSettings",
    "OptimizeSettings",
    "Position",
    "Precision",
    "RunSettings",
    "Settings",
    "Shard",
    "StyleSettings",
    "TemporalSettings",
    "bytes_of",
    "describe_validation_error",
    "file_values",
    "flag_table",
    "preset_names",
    "preset_values",
    "schedule_entries",
]

VGG_LAYERS = tuple(f"relu{block}_{conv}" for block, convs in enumerate((2, 2, 4, 4, 4), start=1) for conv in range(1, convs + 1))
"""Every layer of VGG-19 that a loss can look at, from the picture inwards."""


def _known_layers(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in VGG_LAYERS:
            near = difflib.get_close_matches(name.replace("conv", "relu").replace("pool", "relu"), VGG_LAYERS, n=1, cutoff=0.0)
            raise ValueError(f"there is no layer {name!r}; the nearest is {near[0]!r}")
    if len(set(names)) != len(names):
        raise ValueError(f"a layer is named twice in {' '.join(names)}")
    return names


def bytes_of(text: str) -> int:
    """Reads `4GB`, `512 MiB`, `2.5G` or a number of bytes.

    Raises:
        ValueError: the text is none of these.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*(?:([KMGT])(i?)B?|B?)", text.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{text!r} is no amount of memory; write 4GB, 512MB or 6GiB")
    number, letter, binary = found.groups()
    power = "KMGT".index(letter.upper()) + 1 if letter else 0
    return round(float(number) * float(1024 if binary else 1000) ** power)


def _amount(value: str | None) -> str | None:
    if value is not None:
        bytes_of(value)
    return value


def _seconds_or_frames(value: str | None) -> str | None:
    if value is not None:
        Position.parse(value)
    return value


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a clip: seconds from its start, or a number of frames."""

    seconds: float | None = None
    frames: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `12.5` or `12.5s`, `[HH:]MM:SS.mmm`, or `48f`.

        Raises:
            ValueError: the text is none of these, or later than any film lasts: 31 years, or so many frames as no disk holds.
        """
        wrong = ValueError(f"{text!r} is no position; write seconds (12.5), [HH:]MM:SS.mmm or frames (48f)")
        late = ValueError(f"{text[:20]}{'…' * (len(text) > 20)} is later than any film lasts; give an earlier moment")
        if text.endswith("f"):
            if not text[:-1].isdecimal():
                raise wrong
            if float(text[:-1]) > _LATEST_FRAME:  # Python reads no whole number of thousands of digits
                raise late
            return cls(frames=int(text[:-1]))
        parts = text.removesuffix("s").split(":")
        if len(parts) > 3 or not all(part.isdecimal() for part in parts[:-1]):
            raise wrong
        try:
            seconds = float(parts[-1])
        except ValueError:
            raise wrong from None
        if not 0 <= seconds < float("inf") or (len(parts) > 1 and seconds >= 60):
            raise wrong
        for power, part in enumerate(reversed(parts[:-1]), start=1):
            seconds += float(part) * 60.0**power
        if seconds > _LATEST_SECOND:
            raise late
        return cls(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Shard:
    """Which of several processes this is."""

    number: int
    """From 1."""
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `2/8`.

        Raises:
            UsageError: it is written otherwise, or there is no such one.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard {text}: write I/N, the number of this process, from 1, and how many there are, such as 2/8")
        return cls(int(found[1]), int(found[2]))


_LATEST_SECOND = 1e9
"""In ticks of a stream that is still a number of 64 bits, which is what FFmpeg seeks by."""
_LATEST_FRAME = 1e12

_ENTRY = re.compile(r"\s*(?P<when>[0-9][0-9:.]*[sf]?)\s*:\s*(?P<what>\S.*?)\s*")
_NEXT_ENTRY = re.compile(r",(?=\s*[0-9][0-9:.]*[sf]?\s*:)")


def schedule_entries(text: str) -> list[tuple[Position, str]]:
    """Reads `0s: a.jpg, 3s: b.jpg`: when each style begins, and its picture's path.

    Raises:
        ValueError: it is written otherwise, the first style does not begin at 0, or another one not after the one before.
    """
    entries = []
    for part in _NEXT_ENTRY.split(text):
        match = _ENTRY.fullmatch(part)
        if match is None:
            raise ValueError(f"{part.strip()!r} is no moment and picture; write a schedule as '0s: a.jpg, 3s: b.jpg'")
        entries.append((Position.parse(match["when"]), match["what"]))
    if entries[0][0].seconds != 0 and entries[0][0].frames != 0:
        raise ValueError("the first style of a schedule begins at 0s")
    for unit in ("seconds", "frames"):
        moments = [moment for when, _ in entries if (moment := getattr(when, unit)) is not None]
        if any(later <= earlier for earlier, later in pairwise(moments)):
            raise ValueError("every style of a schedule begins later than the one before; put them in the order of time")
    return entries


def _schedule(text: str | None) -> str | None:
    if text is not None:
        schedule_entries(text)
    return text


def _numbers(text: str | None) -> str | None:
    if text is not None:
        FrameRange.parse(text)
    return text


def _several(value: Any) -> Any:
    """One number where several may stand."""
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


TILE = 16
"""Sides of a tileable picture are multiples of it: the four poolings before the deepest layer then leave nothing over."""

Layers = Annotated[tuple[str, ...], AfterValidator(_known_layers)]
PositionText = Annotated[str | None, AfterValidator(_seconds_or_frames)]
MemoryText = Annotated[str | None, AfterValidator(_amount)]
NumbersText = Annotated[str | None, AfterValidator(_numbers)]
ScheduleText = Annotated[str | None, AfterValidator(_schedule)]
Scales = Annotated[tuple[Annotated[float, Field(gt=0, le=8)], ...], BeforeValidator(_several)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _setting(default: Any, flag: str, text: str, *, picture: bool = True, **limits: Any) -> Any:
    """A field with its flag; `picture=False` marks what cannot change a stylised frame."""
    return Field(default, description=text, json_schema_extra={"flag": flag, "picture": picture}, **limits)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class StyleSettings(_Section):
    """What is taken from the style pictures."""

    weight: Weight = _setting(100.0, "--style-weight", "weight of the style loss (neural-style's 100)")
    loss: Literal["gram", "gatys", "moments", "covariance", "wasserstein", "histogram", "patches"] = _setting(
        "gram", "--style-loss", "which statistics of the style are matched"
    )
    layers: Layers = _setting(
        ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "--style-layers", "VGG-19 layers whose statistics are matched", min_length=1,
    )  # fmt: skip
    layer_weights: tuple[Weight, ...] | None = _setting(None, "--style-layer-weights", "one weight a style layer (default: 1 each)")
    histogram_weight: Weight = _setting(0.0, "--histogram-weight", "weight of the histogram loss that joins the style loss")
    histogram_layers: Layers = _setting(
        ("relu1_1", "relu4_1"), "--histogram-layers", "layers whose histograms are matched (Risser et al.'s)", min_length=1
    )
    scale: Scales = _setting(
        (1.0,), "--style-scale", "size of the strokes: the style's size over the content's; several mix them", min_length=1
    )
    blend: tuple[Weight, ...] | None = _setting(None, "--style-blend", "one weight a style picture (default: equal)")
    schedule: ScheduleText = _setting(
        None, "--style-schedule", "styles over time, in place of STYLE: '0s: a.jpg, 3s: b.jpg' (times of the output)"
    )
    fade: float = _setting(1.0, "--style-fade", "seconds in which a scheduled style takes over from the one before", ge=0)
    detail: str | None = _setting(None, "--detail-style", "a picture that the fine detail is taken from, under the strokes of STYLE")
    detail_layers: Layers = _setting(
        ("relu1_1", "relu2_1"), "--detail-layers", "style layers that look at the picture of --detail-style", min_length=1
    )
    recolor: bool = _setting(
        False, "--recolor-style", "match the style's colours to those of the source before painting (mean and covariance)"
    )


class ContentSettings(_Section):
    """What is kept from the source."""

    weight: Weight = _setting(5.0, "--content-weight", "weight of the content loss (neural-style's 5)")
    layers: Layers = _setting(("relu4_2",), "--content-layers", "VGG-19 layers whose activations are kept", min_length=1)


class TemporalSettings(_Section):
    """What holds the frames of a shot together."""

    weight: Weight = _setting(5000.0, "--temporal-weight", "weight of the deviation from the warped frames, on 0-255 values")
    references: tuple[Annotated[int, Field(ge=1, le=100)], ...] = _setting(
        (1, 10, 20, 40), "--references", "how many frames back earlier ones are looked up in (Ruder et al.'s J)", min_length=1
    )
    drift_weight: Weight = _setting(
        30000.0, "--drift-weight", "weight of slow changes of brightness and colour that the source does not make, on 0-255 values"
    )
    repaint_still: bool = _setting(False, "--repaint-still", "what stands still is painted on in every frame too, and settles slowly")
    passes: int = _setting(
        1,
        "--passes",
        "times every shot is gone over, to and fro; 3 with a third of the --iterations flicker less in some films",
        ge=1,
        le=20,
    )
    framewise: bool = _setting(False, "--framewise", "paint every frame by itself, as the first of a shot: the simple way, which flickers")
    smoothing: float = _setting(
        0.5, "--smoothing", "share of the frame before, moved along the flow, in each frame of --framewise", ge=0, lt=1
    )
    divide: int | None = _setting(
        None, "--divide", "frames above which a shot is painted in equal parts, which several machines can do at once", ge=4
    )
    loop: bool = _setting(False, "--loop", "the last frames flow into the first one, for a film that is shown over and over")

    @property
    def holds_still(self) -> bool:
        """Whether what stands still in the source keeps its painting."""
        return self.weight > 0 and not self.repaint_still and not self.framewise


class MaskSettings(_Section):
    """Which style is painted where."""

    paths: tuple[str, ...] | None = _setting(
        None, "--mask", "image, video or directory: white where a style goes; one a STYLE, or one fewer (the last takes the rest)"
    )
    feather: float = _setting(0.0, "--mask-feather", "pixels over which the edge of a mask is softened", ge=0, le=1000)
    follow: bool = _setting(False, "--mask-follow", "the masks are of the first frame, and move along with the film")
    blend: Literal["alpha", "poisson"] = _setting(
        "alpha", "--mask-blend", "how the painted part goes over into the source where no mask is white", picture=False
    )


class FlowSettings(_Section):
    """How motion is estimated on the source frames."""

    estimator: str = _setting(
        "farneback",
        "--flow",
        "optical flow: farneback (refined), farneback-raw, dis, raft, raft-small, deepflow, tvl1, none, a directory",
    )
    weights: str | None = _setting(None, "--flow-weights", "weights of raft or raft-small (default: torchvision's, a download)")


class OptimizeSettings(_Section):
    """How the picture is optimised."""

    optimizer: Literal["lbfgs", "adam"] = _setting("lbfgs", "--optimizer", "L-BFGS or Adam")
    iterations: int = _setting(36, "--iterations", "steps (looks at the loss) for a frame that starts from the one before, a pass", ge=1)
    first_iterations: int = _setting(
        150, "--first-iterations", "steps for the first frame of a shot, at full size and at each coarser one", ge=1
    )
    history: int = _setting(20, "--history", "curvature pairs that L-BFGS remembers", ge=1, le=200)
    carried: int = _setting(12, "--carried", "curvature pairs carried along the flow to the next frame", ge=0, le=200)
    tolerance: float = _setting(
        1e-4, "--tolerance", "stop when the loss has fallen by less than this share over 50 steps; 0 never stops", ge=0, lt=1
    )
    least_gain: float = _setting(
        1e-3,
        "--least-gain",
        "share of the loss that a step of L-BFGS is to gain (mean of four) where a frame starts from another",
        ge=0,
        lt=1,
    )
    averaging: float = _setting(
        0.0, "--averaging", "share of the past in the running mean of Adam's pictures, which is the result; 0 takes the last", ge=0, lt=1
    )
    init: str = _setting("content", "--init", "start of a shot: content, noise, style, or a picture's path")
    tv_weight: Weight = _setting(1e-3, "--tv-weight", "weight of the total variation, on 0-255 values; from about 30 on it smooths")


class ColorSettings(_Section):
    """What happens to the colours, on the output only."""

    preserve: Literal["off", "luminance", "linear"] = _setting(
        "off", "--preserve-color", "keep the source's colours: off, luminance (only the lightness is painted), "
        "or linear (the result's colours matched to the source's)", picture=False,
    )  # fmt: skip
    strength: float = _setting(1.0, "--strength", "share of the painting in the output: 0 is the source", picture=False, ge=0, le=1)


class EncodeSettings(_Section):
    """How the output is written."""

    codec: str | None = _setting(None, "--codec", "video encoder, any that PyAV has (default: by the output's extension)", picture=False)
    crf: float | None = _setting(None, "--crf", "constant quality, lower is better (default: the codec's)", picture=False, ge=0)
    pix_fmt: str | None = _setting(None, "--pix-fmt", "pixel format, such as yuv420p or yuv444p10le (default: the codec's)", picture=False)
    options: dict[str, str] = Field(
        default_factory=dict, description="further private options of the encoder, by name", json_schema_extra={"picture": False}
    )


Precision = Literal["auto", "float32", "tf32", "bfloat16"]
"""Number format of the network: `tf32` rounds what a GPU's matrix units multiply to 10 bits, `bfloat16` weights and activations to 7
(but the first layer's); sums are kept in float32 either way. `auto` is tf32 on a GPU, float32 elsewhere."""


class RunSettings(_Section):
    """Which part of the input is worked at, at which size, on what."""

    size: int | None = _setting(None, "--size", "longest side worked at and written, in pixels (default: the input's)", ge=1)
    start: PositionText = _setting(None, "--start", "first moment: seconds, [HH:]MM:SS.mmm, or frames as 48f")
    end: PositionText = _setting(None, "--end", "moment to stop before, written the same way")
    frames: NumbersText = _setting(
        None, "--frames", "numbers of the frames to take of a sequence (shot.%04d.png), as 1001-1040 (default: all that are there)"
    )
    fps: float | None = _setting(None, "--fps", "frames a second to work at (default: the input's own times)", ge=0.001, le=1000)
    weights: str = _setting("embedded", "--weights", "VGG-19's weights: embedded, torchvision, or a file")
    pooling: Literal["max", "avg"] = _setting("max", "--pooling", "pooling inside VGG-19")
    device: str = _setting("auto", "--device", "auto, cpu, cuda, cuda:1, or mps; several GPUs share the work as cuda:0,cuda:1")
    precision: Precision = _setting("auto", "--precision", "number format of the network; auto: tf32 on a GPU, float32 on a CPU")
    memory: MemoryText = _setting(
        None, "--memory", "most memory to take, as 4GB; large pictures are worked on in strips then (default: nine tenths of what is free)"
    )
    tileable: bool = _setting(False, "--tileable", "a picture whose opposite edges fit each other; its sides become multiples of 16")
    seed: int = _setting(0, "--seed", "seed of the noise start; every frame uses the same", ge=0, lt=2**63)

    @property
    def devices(self) -> tuple[str, ...]:
        """The names in `device`, one or more."""
        return tuple(name.strip() for name in self.device.split(","))

    @property
    def memory_bytes(self) -> int | None:
        """What `memory` says; None: nothing."""
        return None if self.memory is None else bytes_of(self.memory)

    @property
    def frame_range(self) -> FrameRange | None:
        """The numbers that `frames` names; None: all."""
        return None if self.frames is None else FrameRange.parse(self.frames)


Comparison = Literal["side", "wipe", "stack"]
"""How source and result are shown in one picture: side by side, parted by a moving edge, one above the other."""


class Settings(_Section):
    """Everything a user can turn, a section a stage; frozen, unknown keys refused."""

    style: StyleSettings = StyleSettings()
    content: ContentSettings = ContentSettings()
    mask: MaskSettings = MaskSettings()
    temporal: TemporalSettings = TemporalSettings()
    flow: FlowSettings = FlowSettings()
    optimize: OptimizeSettings = OptimizeSettings()
    color: ColorSettings = ColorSettings()
    encode: EncodeSettings = EncodeSettings()
    run: RunSettings = RunSettings()

    @property
    def style_layers(self) -> tuple[str, ...]:
        """The layers that losses look at a style picture in; empty where no style is needed."""
        plain = self.style.layers if self.style.weight > 0 else ()
        histogram = self.style.histogram_layers if self.style.histogram_weight > 0 else ()
        return tuple(sorted({*plain, *histogram}))

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that a loss looks at."""
        return tuple(sorted({*self.style_layers, *(self.content.layers if self.content.weight > 0 else ())}))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], origin: str = "settings") -> Self:
        """Checks nested values such as a TOML file holds; `origin` names them in an error.

        Raises:
            UsageError: an unknown section or key, or a value outside its limits.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(f"{origin}: {describe_validation_error(error)}") from None

    @classmethod
    def preset(cls, name: str | Path) -> Self:
        """The settings of a preset, by its name (`draft`) or the path of a TOML file.

        Raises:
            UsageError: there is no such preset or file, or it does not hold valid settings.
        """
        return cls.layered([preset_values(name)], origin=f"preset {name}")

    @classmethod
    def layered(cls, layers: Iterable[Mapping[str, Any]], origin: str = "settings") -> Self:
        """Defaults overlaid by each of `layers` in turn, the last winning key by key."""
        merged: dict[str, Any] = {}
        for layer in layers:
            for section, values in layer.items():
                if isinstance(values, Mapping) and isinstance(merged.get(section), dict):
                    merged[section] = {**merged[section], **values}
                else:
                    merged[section] = dict(values) if isinstance(values, Mapping) else values
        return cls.from_mapping(merged, origin)

    def fingerprint(self) -> str:
        """SHA-256 of every setting that can change a stylised frame; encoding and colour are not among them."""
        values = {
            name: {
                key: getattr(section, key)
                for key, info in type(section).model_fields.items()
                if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("picture", True)
            }
            for name, section in self
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def describe_validation_error(error: ValidationError) -> str:
    """The first thing wrong, in one line: `style.scale: Input should be greater than 0 (got -1)`."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        known = _known_keys(where[:-1])
        near = difflib.get_close_matches(where[-1], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
        return f"unknown key {'.'.join(where)!r}{hint}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(where)}: {message} (got {first['input']!r})"


def _known_keys(path: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def preset_directory() -> Path:
    """Where the presets lie: inside the installed package, or `configs/` of a checkout."""
    inside = Path(str(resources.files("vidstyle"))) / "configs"
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / "configs"


def preset_names() -> list[str]:
    """Names of the presets that come with vidstyle, sorted."""
    return sorted(path.stem for path in preset_directory().glob("*.toml"))


def preset_descriptions() -> dict[str, str]:
    """Preset → what it is for, in a line; sorted by name, the ones for quality first."""
    first = ("draft", "balanced", "fine")
    names = [*first, *(name for name in preset_names() if name not in first)]
    return {
        name: str(tomllib.loads((preset_directory() / f"{name}.toml").read_text(encoding="utf-8")).get("description", "")) for name in names
    }


def preset_values(name: str | Path) -> dict[str, Any]:
    """The raw values of a preset or a settings file, without its leading `description`.

    Raises:
        UsageError: no such preset or file, or not TOML.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = preset_directory() / f"{name}.toml"
        if not path.is_file():
            near = difflib.get_close_matches(str(name), preset_names(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(preset_names())}, or give a .toml file"
            raise UsageError(f"there is no preset {name}; {hint}")
    return file_values(path)


_MOST_SETTINGS = 1 << 20
"""Bytes of a settings file."""


def file_values(path: Path) -> dict[str, Any]:
    """The raw values of a settings file (`--config`), whatever its name, without its leading `description`.

    Raises:
        UsageError: no such file, none that ends, or not TOML.
    """
    try:
        if not path.exists():
            raise UsageError(f"{path}: no such settings file")
        if not path.is_file():
            raise UsageError(f"{path}: a settings file is an ordinary file; save the settings to one first")
        with path.open("rb") as file:
            data = file.read(_MOST_SETTINGS + 1)
        if len(data) > _MOST_SETTINGS:
            raise UsageError(f"{path}: larger than any settings file ({_MOST_SETTINGS >> 20} MiB); check the name")
        values = tomllib.loads(data.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not a readable TOML file: {error}") from None
    except RecursionError:
        raise UsageError(f"{path}: not a readable TOML file: its values are nested too deep") from None
    values.pop("description", None)
    return values


@dataclass(frozen=True, slots=True)
class FlagInfo:
    """One flag of the command, derived from a field of the model."""

    flag: str
    section: str
    key: str
    annotation: Any
    """The field's type without validators, as a parser can read it."""
    default: Any
    text: str


def flag_table() -> list[FlagInfo]:
    """Every flag that stands for a setting, in the model's order."""
    rows = []
    for section, info in Settings.model_fields.items():
        model = typing.cast(type[BaseModel], info.annotation)
        for key, field in model.model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and "flag" in extra:
                rows.append(FlagInfo(str(extra["flag"]), section, key, _plain(field.annotation), field.default, field.description or ""))
    return rows


def _plain(annotation: Any) -> Any:
    """Strips `Annotated` from a type, at every depth."""
    if typing.get_origin(annotation) is Annotated:
        return _plain(typing.get_args(annotation)[0])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is Literal:
        return annotation
    arguments = tuple(_plain(argument) for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[arguments]  # noqa: UP007  built from a tuple
    return origin[arguments]
