"""The page about a result: what is in it, that it is whole, and that it works in a browser."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.clips import make_clip, moving
from tests.jobs import write_png
from tests.scenes import Scene, procedural_picture
from vidstyle import cli
from vidstyle.cli.evaluate import main as evaluate
from vidstyle.errors import UsageError
from vidstyle.report import Subject, write_report
from vidstyle.report.charts import HEIGHT, Line, chart
from vidstyle.report.page import _GAP as GAP
from vidstyle.settings import Settings

QUICK = ["--iterations", "2", "--first-iterations", "3", "--codec", "ffv1", "--pix-fmt", "bgr0"]
CUT = 8


FIRST = Scene(size=(64, 96))
SECOND = Scene(size=(64, 96), picture=255 - procedural_picture(144, 256, seed=3), pan=(-1.2, 0.5), disc_radius=0)


def scene(number: int) -> np.ndarray:
    """A film of two shots."""
    return (FIRST if number < CUT else SECOND).frame(number)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A source, its negative as the result, which jumps in frame 5, and a style whose name wants to be markup."""
    place = tmp_path_factory.mktemp("films")
    pictures = [scene(number) for number in range(16)]
    negatives = [255 - picture for picture in pictures]
    negatives[5] = np.roll(negatives[5], 12, axis=1)
    coded: dict[str, Any] = {"codec": "ffv1", "pix_fmt": "bgr0", "matrix": 0, "rate": 10}
    source = make_clip(place / "clip.mkv", pictures, **coded)
    result = make_clip(place / "out.mkv", negatives, **coded)
    return source, result, write_png(place / "<b>style&.png", moving(30))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    lines = [{"index": n, "seconds": 1.0 + n, "steps": 7, "terms": {"content": 10.0, "temporal_1": 0.5}} for n in range(16)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def page(films: tuple[Path, Path, Path], log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, result, style = films
    path = tmp_path_factory.mktemp("page") / "out.html"
    settings = Settings.from_mapping({"style": {"weight": 55}})
    write_report(Subject(source, result, [style], settings=settings, log=log, seconds=150.0), path)
    return path


def film_in(text: str) -> list[np.ndarray]:
    data = re.search(r'id="film">([^<]+)<', text)
    assert data is not None
    with av.open(io.BytesIO(base64.b64decode(data[1]))) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


class TestPage:
    def test_it_needs_nothing_but_itself(self, page: Path) -> None:
        text = page.read_text()
        assert not re.search(r"https?://|@import|url\(", text)
        assert all(found.startswith("data:image/jpeg;base64,") for found in re.findall(r'(?:src|href)="([^"]*)"', text))
        assert [path.name for path in page.parent.iterdir()] == ["out.html"]

    def test_names_are_no_markup(self, page: Path) -> None:
        text = page.read_text()
        assert html.escape("<b>style&.png") in text
        assert "<b>" not in text

    def test_its_film_has_source_above_result(self, page: Path, films: tuple[Path, Path, Path]) -> None:
        pictures = film_in(page.read_text())
        assert len(pictures) == 16
        for number, picture in enumerate(pictures):
            assert picture.shape == (2 * 64 + GAP, 96, 3)
            assert np.abs(picture[:64].astype(int) - scene(number)).mean() < 6
        assert np.abs(picture[64 + GAP :].astype(int) - (255 - scene(15))).mean() < 6

    def test_the_frame_that_jumps_is_the_least_steady(self, page: Path) -> None:
        found = [int(number) for number in re.findall(r'<article class="pair" aria-label="frame (\d+)"', page.read_text())]
        assert set(found[:2]) == {5, 6}

    def test_it_tells_figures_shots_and_settings(self, page: Path) -> None:
        text = page.read_text()
        plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
        assert "2 shots" in plain
        assert "2 min 30 s" in plain
        assert "the command's last line goes by the flow it painted with" in html.unescape(plain)
        assert "content 10 to 10" in plain
        assert "temporal, reference 1 0.5 to 0.5" in plain
        assert "seconds 1 to 16, median 8.5" in plain
        assert re.search(r'class="chosen"><th scope="row">--style-weight</th><td class="value">55\.0<', text)
        assert len(re.findall(r'class="cut"', text)) == len(re.findall(r'class="plot"', text)) == 5

    def test_all_passes_count_and_the_last_one_is_shown(self, films: tuple[Path, Path, Path], tmp_path: Path) -> None:
        lines = [{"index": n % 16, "seconds": 1.0, "steps": 3, "terms": {"content": 2.0 - n // 16}} for n in range(32)]
        lines += [{"output": "other.mkv", "index": 3, "seconds": 100.0, "steps": 90, "terms": {"content": 70.0}}]  # of a job beside it
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        write_report(Subject(*films[:2], log=tmp_path / "log.jsonl"), tmp_path / "out.html")
        text = (tmp_path / "out.html").read_text()
        assert "seconds 2 to 2" in text
        assert "steps 6 to 6" in text
        assert "content 1 to 1" in text

    def test_a_picture_has_no_curves(self, tmp_path: Path) -> None:
        source, result = write_png(tmp_path / "a.png", moving(0)), write_png(tmp_path / "b.png", 255 - moving(0))
        (tmp_path / "log.jsonl").write_text(json.dumps({"index": 0, "seconds": 1.0, "steps": 3, "terms": {"content": 12.5}}) + "\n")
        write_report(Subject(source, result, log=tmp_path / "log.jsonl"), tmp_path / "out.html")
        text = (tmp_path / "out.html").read_text()
        assert "plot" not in text.split("</style>")[1].split("<script")[0]
        assert "12.5" in text
        data = re.search(r'id="film">([^<]+)<', text)
        assert data is not None
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))))
        assert np.abs(picture[:48].astype(int) - moving(0)).mean() < 6

    def test_of_a_long_film_the_beginning_is_shown(self, tmp_path: Path) -> None:
        pictures = [moving(number) for number in range(40)]
        source = make_clip(tmp_path / "a.mkv", pictures, rate=1, codec="ffv1", pix_fmt="bgr0", matrix=0)
        write_report(Subject(source, source), tmp_path / "out.html")
        text = (tmp_path / "out.html").read_text()
        assert len(film_in(text)) == 30
        assert "first 30 frames; 10 more are in the film" in text


class TestPlace:
    @pytest.mark.parametrize("name", ["out.txt", "none/out.html"])
    def test_a_place_that_will_not_do(self, films: tuple[Path, Path, Path], tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError):
            write_report(Subject(*films[:2]), tmp_path / name)

    def test_what_stands_there_stays(self, films: tuple[Path, Path, Path], tmp_path: Path) -> None:
        (tmp_path / "out.html").write_text("mine")
        with pytest.raises(UsageError, match="exists"):
            write_report(Subject(*films[:2]), tmp_path / "out.html")
        assert (tmp_path / "out.html").read_text() == "mine"
        write_report(Subject(*films[:2]), tmp_path / "out.html", overwrite=True)
        assert "vidstyle" in (tmp_path / "out.html").read_text()


class TestCommand:
    @pytest.mark.parametrize("name", [[], ["page.html"]])
    def test_a_job_with_a_report(self, tmp_path: Path, name: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        monkeypatch.chdir(tmp_path)
        make_clip(Path("clip.mkv"), 3)
        write_png(Path("style.png"), moving(30))
        assert cli.main(["clip.mkv", "style.png", "-o", "out.mkv", *QUICK, "--report", *name]) == 0
        text = Path(*(name or ["out.mkv.html"])).read_text()
        assert "Seconds a frame" in text
        assert capsys.readouterr().out.splitlines()[-1].endswith(".html")
        assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted([".mkv", ".mkv", ".png", ".html"])

    def test_of_a_sequence_what_the_job_has_written_is_shown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for number in (1001, 1002):
            write_png(Path(f"shot.{number}.png"), moving(number - 1000))
        write_png(Path("painted.1009.png"), moving(9))
        write_png(Path("style.png"), moving(30))
        assert cli.main(["shot.%04d.png", "style.png", "-o", "painted.%04d.png", *QUICK[:4], "--report"]) == 0
        assert len(film_in(Path("painted.%04d.png.html").read_text())) == 2

    def test_a_page_that_is_there_is_told_before_any_work(self, tmp_path: Path, capsys: Any) -> None:
        clip, style = make_clip(tmp_path / "clip.mkv", 2), write_png(tmp_path / "style.png", moving(30))
        (tmp_path / "out.mkv.html").write_text("mine")
        assert cli.main([str(clip), str(style), "-o", str(tmp_path / "out.mkv"), *QUICK, "--report"]) == 2
        assert "out.mkv.html: exists" in capsys.readouterr().err
        assert not (tmp_path / "out.mkv").exists()

    def test_the_evaluation_has_one_too(self, films: tuple[Path, Path, Path], tmp_path: Path) -> None:
        source, result, style = map(str, films)
        page = tmp_path / "out.html"
        assert evaluate([source, result, "--style", style, "--no-losses", "--report", str(page), "-q"]) == 0
        assert '<article class="pair" aria-label="frame 5"' in page.read_text()
        assert "<h3>Losses" not in page.read_text()
        assert evaluate([source, result, "--no-losses", "--report", str(page), "-q"]) == 2
        assert evaluate([source, result, "--no-losses", "--report", str(page), "-q", "-y"]) == 0

    def test_the_evaluations_losses_are_drawn(self, films: tuple[Path, Path, Path], tmp_path: Path) -> None:
        """They take most of its time, and stood nowhere on its page."""
        page = tmp_path / "out.html"
        assert evaluate([*map(str, films[:2]), "--style", str(films[2]), "--judge-every", "8", "--report", str(page), "-q"]) == 0
        losses = page.read_text().split("<h3>Losses")[1].split("</figure>")[0]
        assert re.findall(r"</svg> (\w+) <", losses) == ["content", "style"]


class TestChart:
    def test_an_outlier_in_a_long_film_stays_to_be_seen(self) -> None:
        values = np.ones(50_000)
        values[31_234] = 100.0
        found = chart("x", [Line("x", values)], [])
        assert found is not None
        heights = [float(y) for y in re.findall(r"[ML][\d.]+ (-?[\d.]+)", found["lines"][0]["path"])]
        assert len(heights) <= 1000
        assert min(heights) == pytest.approx(0, abs=1e-6)

    def test_a_gap_is_a_gap(self) -> None:
        found = chart("x", [Line("x", np.array([1.0, np.nan, 2.0, 3.0]))], [])
        assert found is not None
        assert found["lines"][0]["path"].count("M") == 2

    def test_axes(self) -> None:
        found = chart("x", [Line("x", np.array([0.0, 7.3]))], [])
        assert found is not None
        assert [text for _, text in found["ticks"]] == ["0", "2", "4", "6", "8"]
        found = chart("x", [Line("x", np.array([0.02, 7.3]))], [], logarithmic=True)
        assert found is not None
        assert [text for _, text in found["ticks"]] == ["0.01", "0.1", "1", "10"]
        assert [at for at, _ in found["ticks"]] == pytest.approx([100, 66.67, 33.33, 0], abs=0.01)

    def test_what_is_nowhere_is_left_out(self) -> None:
        assert chart("x", [Line("x", np.array([np.nan, np.nan]))], []) is None
        found = chart("x", [Line("zero", np.zeros(2)), Line("one", np.ones(2))], [], logarithmic=True)
        assert found is not None
        assert [line["label"] for line in found["lines"]] == ["one"]

    def test_what_is_below_the_axis_is_said_and_not_drawn_along_its_edge(self) -> None:
        high, low, both = np.full(3, 1e6), np.full(3, 1e-3), np.array([1e5, 1e-3, 1e5])
        found = chart("x", [Line("high", high), Line("low", low), Line("both", both)], [], logarithmic=True)
        assert found is not None
        assert [line["said"].partition(", median")[2].partition(", ")[2] for line in found["lines"]] == [
            "",
            "below the axis",
            "partly below the axis",
        ]
        assert found["lines"][1]["path"] == ""
        assert found["lines"][2]["path"].count("M") == 2
        assert chart("x", [Line("a", np.full(5000, 1e6)), Line("b", np.full(5000, 1e-3))], [], logarithmic=True) is not None

    def test_values_that_are_all_the_same_are_drawn(self) -> None:
        for logarithmic in (False, True):
            found = chart("x", [Line("x", np.full(3, 5.0))], [], logarithmic=logarithmic)
            assert found is not None
            assert all(0 <= float(y) <= HEIGHT for y in re.findall(r"[ML][\d.]+ (-?[\d.]+)", found["lines"][0]["path"]))


# --- in a browser ----------------------------------------------------------------------------------

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        )
        yield chromium
        chromium.close()


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, page: Path) -> Iterator[Visit]:
    """Opens the page; nothing may be asked of a network, and nothing go wrong in it."""
    contexts, wrong = [], list[str]()

    def open_page(**options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        tab = contexts[-1].new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        tab.on("request", lambda request: request.url.startswith(("file:", "blob:", "data:")) or wrong.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_selector("#picture[data-drawn=yes]")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def canvas_of(tab: Any) -> np.ndarray:
    """What the player shows, (H, W, 3) uint8 RGB."""
    url = tab.evaluate("document.getElementById('picture').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def shot_of(tab: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def go(tab: Any, number: int) -> None:
    tab.wait_for_function(f"document.getElementById('picture').dataset.frame === '{number}'")


class TestBrowser:
    def test_the_edge_parts_source_and_painting(self, visit: Visit) -> None:
        tab = visit()
        tab.locator("#wipe").fill("0")
        assert apart(canvas_of(tab)[:, 4:], (255 - scene(0))[:, 4:]) < 6
        tab.locator("#wipe").fill("100")
        assert apart(canvas_of(tab)[:, :-4], scene(0)[:, :-4]) < 6
        tab.locator("#wipe").fill("50")
        seen = canvas_of(tab)
        assert apart(seen[:, :46], scene(0)[:, :46]) < 6
        assert apart(seen[:, 50:], (255 - scene(0))[:, 50:]) < 6
        tab.locator("#picture").focus()
        tab.keyboard.press("ArrowRight")
        assert tab.locator("#wipe").input_value() == "52"
        box = tab.locator("#picture").bounding_box()
        tab.mouse.move(box["x"] + 5, box["y"] + 5)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] / 4, box["y"] + 5)
        tab.mouse.up()
        assert tab.locator("#wipe").input_value() == "25"

    def test_views(self, visit: Visit) -> None:
        tab = visit()
        tab.locator("#view").select_option("side")
        assert canvas_of(tab).shape == (64, 2 * 96 + 4, 3)
        assert apart(canvas_of(tab)[:, :96], scene(0)) < 6
        assert apart(canvas_of(tab)[:, 100:], 255 - scene(0)) < 6
        assert tab.locator("#wipe").is_disabled()
        tab.locator("#view").select_option("result")
        assert apart(canvas_of(tab), 255 - scene(0)) < 6

    def test_every_way_to_a_frame_leads_to_both_pictures_of_it(self, visit: Visit) -> None:
        tab = visit()
        tab.locator("#view").select_option("side")

        def shows(number: int, but: tuple[int, ...] = (5,)) -> None:
            go(tab, number)
            seen = canvas_of(tab)
            assert apart(seen[:, :96], scene(number)) < 6
            if number not in but:
                assert apart(seen[:, 100:], 255 - scene(number)) < 6
            assert tab.locator("#now").text_content() == f"frame {number}, {number / 10:.2f} s"
            assert tab.locator("#time").input_value() == str(number)

        tab.locator("#forth").click()
        shows(1)
        tab.locator("#forth").click()
        tab.locator("#forth").click()
        tab.locator("#back").click()
        shows(2)
        tab.locator("#time").fill("11")
        shows(11)
        plot = tab.locator(".plot").first
        width = plot.bounding_box()["width"]
        plot.click(position={"x": width * 3.5 / 16, "y": 20})
        shows(3)
        assert len(tab.locator(".cursor").all()) == 5
        tab.locator(".show").first.click()
        assert tab.locator("#now").text_content().startswith(("frame 5,", "frame 6,"))

    def test_it_plays_and_stops(self, visit: Visit) -> None:
        tab = visit()
        tab.locator("#play").click()
        tab.wait_for_function("document.getElementById('play').textContent === 'Pause'")
        tab.wait_for_function("Number(document.getElementById('picture').dataset.frame) > 2")
        tab.locator("#play").click()
        tab.wait_for_function("document.getElementById('play').textContent === 'Play'")

    def test_it_is_readable_on_a_phone_light_and_dark(self, visit: Visit) -> None:
        tabs = [visit(viewport={"width": 360, "height": 740}, color_scheme=scheme) for scheme in ("light", "dark")]
        for tab in tabs:
            assert tab.evaluate("document.documentElement.scrollWidth") <= 360, "one has to scroll sideways"
            assert tab.locator("#play").bounding_box()["height"] >= 44, "too small for a finger"
            assert tab.locator(".stacked td.faint").first.bounding_box()["width"] > 280, "two or three words a line"
        light, dark = map(shot_of, tabs)
        assert np.median(light) > 230
        assert np.median(dark) < 40
        assert light.std() > 20
        assert dark.std() > 20

    def test_everything_has_a_name_for_those_who_do_not_see_it(self, visit: Visit) -> None:
        tab = visit()
        nameless = tab.evaluate(
            """[...document.querySelectorAll('img, canvas, button, input, select, svg')].filter(one =>
                !(one.alt || one.ariaLabel || one.ariaHidden === 'true' || one.textContent.trim() || (one.labels && one.labels.length))
            ).map(one => one.outerHTML.slice(0, 80))"""
        )
        assert nameless == []
        headings = tab.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1]))")
        assert headings[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(headings))
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            faint = tab.evaluate(CONTRAST)
            assert min(faint.values()) >= 4.5, faint


CONTRAST = """(() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const text = style.getPropertyValue(name).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16) / 255)
      .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  for (const ink of ["--ink", "--faint", "--accent", ...Array.from({ length: 8 }, (_, number) => `--c${number}`)])
    for (const paper of ["--paper", "--card"]) {
      const [one, other] = [light(ink), light(paper)].sort((a, b) => b - a);
      found[`${ink} on ${paper}`] = (one + 0.05) / (other + 0.05);
    }
  return found;
})()"""
"""Contrast of every ink on every paper, as WCAG reckons it."""
