"""What a notebook is shown, the looks at a painting in work, and that nothing is left behind in the process."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vidstyle
from tests.clips import make_clip, moving
from tests.jobs import settings, write_png
from vidstyle import notebook
from vidstyle.errors import UsageError
from vidstyle.notebook import Painting, html_of
from vidstyle.pipeline import FrameReport, JobResult, Look


def embedded(page: str) -> list[tuple[str, bytes]]:
    """(kind, data) of everything that a piece of HTML has inside it; it must not ask for anything else."""
    found = re.findall(r'(?:src|poster)="([^"]*)"', page)
    assert all(url.startswith("data:") for url in found)
    return [(url[5:].split(";")[0], base64.b64decode(url.split(",")[1])) for url in found]


def picture_in(page: str) -> np.ndarray:
    ((kind, data),) = embedded(page)
    assert kind.startswith("image/")
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


class TestHtml:
    @pytest.mark.parametrize(("ending", "codec", "kind"), [("mp4", "libx264", "video/mp4"), ("webm", "libvpx-vp9", "video/webm")])
    def test_a_small_film_is_there_itself(self, tmp_path: Path, ending: str, codec: str, kind: str) -> None:
        path = make_clip(tmp_path / f"a.{ending}", 4, codec=codec)
        parts = dict(embedded(html_of(path, "4 frames")))
        assert parts[kind] == path.read_bytes()
        poster = np.asarray(Image.open(io.BytesIO(parts["image/jpeg"])))
        assert np.abs(poster.astype(float) - moving(0)).mean() < 6

    def test_a_large_film_and_one_that_browsers_do_not_know_are_strips(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = make_clip(tmp_path / "a.mkv", 12)
        strip = picture_in(html_of(path, ""))
        assert strip.shape == (48, 6 * 64, 3)
        for column in range(6):
            assert np.abs(strip[:, 64 * column : 64 * (column + 1)].astype(float) - moving(2 * column)).mean() < 8
        monkeypatch.setattr(notebook, "_MOST_INLINE", 100)
        assert picture_in(html_of(make_clip(tmp_path / "b.mp4", 12), "")).shape == strip.shape

    def test_frames_and_sequences_are_strips(self, tmp_path: Path) -> None:
        for number in range(3):
            write_png(tmp_path / f"s.{number}.png", moving(number))
        for path in (tmp_path, tmp_path / "s.%d.png"):
            strip = picture_in(html_of(path, ""))
            assert strip.shape == (48, 3 * 64, 3)

    @pytest.mark.parametrize(("name", "kind"), [("a.png", "image/png"), ("a.jpg", "image/jpeg"), ("a.tif", None), ("a.bmp", None)])
    def test_pictures(self, tmp_path: Path, name: str, kind: str | None) -> None:
        Image.fromarray(moving(3)).save(tmp_path / name)
        page = html_of(tmp_path / name, "")
        assert np.abs(picture_in(page).astype(float) - moving(3)).mean() < 6
        if kind is not None:
            assert embedded(page) == [(kind, (tmp_path / name).read_bytes())]

    def test_a_wide_strip_is_made_narrower(self, tmp_path: Path) -> None:
        write_png(tmp_path / "a.bmp", moving(0, 2000, 100))
        assert picture_in(html_of(tmp_path / "a.bmp", "")).shape == (48, 960, 3)

    def test_what_is_gone_is_said(self, tmp_path: Path) -> None:
        page = html_of(tmp_path / "<gone>.mp4", "<b> & 3 frames")
        assert embedded(page) == []
        assert "&lt;b&gt; &amp; 3 frames" in page
        assert "&lt;gone&gt;.mp4: no such file" in page

    def test_a_result_shows_its_own_frames(self, tmp_path: Path) -> None:
        for number in (7, 8, 20):
            write_png(tmp_path / f"s.{number}.png", moving(number))
        page = JobResult(tmp_path / "s.%d.png", 2, 61.0, None, 7)._repr_html_()
        assert picture_in(page).shape == (48, 2 * 64, 3)
        assert "2 frames in 1 min 1 s" in page


class TestPainting:
    def test_it_is_an_array_that_shows_itself(self) -> None:
        painting = moving(2).view(Painting)
        assert np.array_equal(painting, moving(2))
        data = painting._repr_png_()
        assert data is not None
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), moving(2))
        assert (painting[:8, 4:9] + 0)._repr_png_() is not None

    def test_what_is_no_picture_any_more_is_shown_as_an_array(self) -> None:
        painting = moving(2).view(Painting)
        for other in (painting[..., 0], painting / 255, painting[:0], painting[..., :2]):
            assert other._repr_png_() is None


class TestProgressBar:
    REPORT = FrameReport(0, 0, "1/24", "", True, 1.5e6, {}, 3, 2.0, 1.0)

    def test_it_counts_parts_of_frames_and_ends_with_the_last(self, capsys: pytest.CaptureFixture[str]) -> None:
        bar = vidstyle.ProgressBar()
        bar.start(2, 0, "64×48 pixels")
        bar.step(0.5, 2e6)
        bar.frame(self.REPORT)
        assert bar._bar is not None
        assert bar._bar.n == 1
        bar.frame(self.REPORT)
        assert bar._bar is None
        said = capsys.readouterr()
        assert "2.0/2 frames [" in said.err
        assert said.out == ""

    def test_a_notebook_gets_a_widget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []

        class Widget:
            def __init__(self, **options: object) -> None:
                made.append(options)

            def close(self) -> None:
                pass

        monkeypatch.setattr("tqdm.auto.tqdm", Widget)
        bar = vidstyle.ProgressBar()
        bar.start(7, 2, "")
        bar.close()
        assert (made[0]["total"], made[0]["initial"]) == (7, 2)


class TestLooks:
    @pytest.fixture
    def style(self, tmp_path: Path) -> Path:
        return write_png(tmp_path / "style.png", moving(9, 40, 40))

    def test_every_so_many_steps(self, tmp_path: Path, style: Path) -> None:
        clip = make_clip(tmp_path / "clip.mkv", 2)
        looks: list[Look] = []
        made = settings(optimize={"iterations": 5, "first_iterations": 8, "least_gain": 0.0})
        whole = tmp_path / "whole.mkv"
        vidstyle.stylize(clip, style, whole, made)
        vidstyle.stylize(clip, style, tmp_path / "out.mkv", made, on_image=looks.append, every=2)
        assert [(look.frame, look.step) for look in looks] == [(0, 2), (0, 4), (0, 6), (0, 8), (1, 2), (1, 4)]
        for look in looks:
            assert (look.image.shape, look.image.dtype) == ((48, 64, 3), np.uint8)
            assert look.image._repr_png_() is not None
            assert look.report.objective > 0
        assert {"content", "style"} <= set(looks[0].report.terms)
        assert looks[3].report.total < looks[0].report.total
        assert not np.array_equal(looks[0].image, looks[3].image)
        assert (tmp_path / "out.mkv").read_bytes() == whole.read_bytes()

    def test_of_a_single_picture_over_all_its_sizes(self, tmp_path: Path, style: Path) -> None:
        photo = write_png(tmp_path / "photo.png", moving(1, 240, 96))
        looks: list[Look] = []
        painting = vidstyle.stylize_image(photo, style, settings(), on_image=looks.append, every=1)
        assert [look.step for look in looks] == list(range(1, len(looks) + 1))
        widths = [look.image.shape[1] for look in looks]
        assert widths[0] < widths[-1] == 240
        assert isinstance(painting, Painting)
        assert painting._repr_png_() is not None
        best = min((look for look in looks if look.image.shape[1] == 240), key=lambda look: look.report.total)
        assert np.abs(best.image.astype(int) - painting).max() <= 1

    def test_what_stands_still_is_in_the_picture_too(self, tmp_path: Path, style: Path) -> None:
        """The optimiser works on something else there."""
        film = [moving(0)] * 2
        film[1] = film[1].copy()
        film[1][:20, :20] = 255 - film[1][:20, :20]
        for index, picture in enumerate(film):
            write_png(tmp_path / f"f.{index}.png", picture)
        looks: list[Look] = []
        vidstyle.stylize(tmp_path / "f.%d.png", style, tmp_path / "out", settings(), on_image=looks.append, every=1)
        first, last = (np.asarray(Image.open(tmp_path / "out" / f"f.{index}.png").convert("RGB")).astype(int) for index in (0, 1))
        follows = [look for look in looks if look.frame == 1]
        assert follows
        assert np.abs(last[40:, 40:] - first[40:, 40:]).max() <= 1
        assert np.abs(follows[-1].image[40:, 40:].astype(int) - first[40:, 40:]).max() <= 1

    def test_an_exception_ends_the_job_which_can_be_gone_on_with(self, tmp_path: Path, style: Path) -> None:
        clip = make_clip(tmp_path / "clip.mkv", 3)

        def stop(look: Look) -> None:
            if look.frame == 2:
                raise KeyError(look.step)

        with pytest.raises(KeyError):
            vidstyle.stylize(clip, style, tmp_path / "out", settings(), on_image=stop, every=1)
        assert (tmp_path / "out.vidstyle").is_dir()
        assert vidstyle.stylize(clip, style, tmp_path / "out", settings()).frames == 3

    def test_no_number_of_steps(self, tmp_path: Path, style: Path) -> None:
        with pytest.raises(UsageError, match="every: 0"):
            vidstyle.stylize_image(style, style, settings(), on_image=print, every=0)


STATE = """
import logging, os, random, signal, sys, warnings
import cv2, numpy, torch
import vidstyle

def state():
    return {
        "log handlers": [logger.handlers[:] for logger in (logging.getLogger(), logging.getLogger("vidstyle"))],
        "log levels": [logging.getLogger(name).level for name in (None, "vidstyle")],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "hook": (sys.excepthook, sys.stdout, sys.stderr),
        "random": (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_float32_matmul_precision(),
                  torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()),
        "numpy": numpy.geterr(),
        "opencv": (cv2.getNumThreads(), cv2.useOptimized(), cv2.utils.logging.getLogLevel()),
        "directory": os.getcwd(),
    }

import scenedetect, vidstyle.pipeline  # what other libraries set up when they are imported is theirs
before = state()
made = vidstyle.Settings.layered([{"optimize": {"iterations": 1, "first_iterations": 1}}])
vidstyle.stylize("clip.mkv", "style.png", "out.mp4", made, progress=vidstyle.ProgressBar(), on_image=lambda look: None, every=1)
after = state()
print(*[name for name in before if before[name] != after[name]])
"""


def test_a_job_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mkv", 2, audio="aac")
    write_png(tmp_path / "style.png", moving(3))
    root = str(Path(vidstyle.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {root!r})\n{STATE}"
    job = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert job.returncode == 0, job.stderr
    assert job.stdout == "\n"
    assert job.stderr.count("frames [") >= 1


def modules() -> Iterator[Path]:
    yield from Path(vidstyle.__file__).parent.rglob("*.py")


def test_the_library_names_no_notebook() -> None:
    """It needs none of Jupyter's packages."""
    for path in modules():
        assert not re.search(r"^\s*(?:from|import)\s+(?:IPython|ipywidgets|jupyter)", path.read_text(encoding="utf-8"), re.MULTILINE), path
