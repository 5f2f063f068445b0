import contextlib
import dataclasses
import errno
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from PIL import Image
from tqdm import tqdm

import vidstyle
from tests.clips import make_clip, moving, read_times
from tests.jobs import write_png
from vidstyle import cli, errors
from vidstyle.cli import parse
from vidstyle.cli.terminal import say
from vidstyle.errors import MediaError, NotEnoughMemory, NumericalError
from vidstyle.progress import Outlook
from vidstyle.settings import Settings, Shard, flag_table, preset_names
from vidstyle.words import duration

JOB = ["clip.mp4", "style.jpg", "-o", "out.mp4"]


@dataclasses.dataclass(frozen=True)
class Options:
    overwrite: bool = False
    fresh: bool = False
    keep_workspace: bool = False
    log_json: Path | None = None
    beside: object = dataclasses.field(default=None, compare=False)
    called: str | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    index: int
    objective: float = 1.5e6
    share: float = 1.0
    seconds: float = 2.0
    shot_start: bool = False
    passed: int = 1


@dataclasses.dataclass(frozen=True)
class Result:
    output: Path
    frames: int
    seconds: float
    steadiness: float | None = None
    was_there: bool = False


@dataclasses.dataclass(frozen=True)
class BatchResult:
    done: list
    failed: list
    seconds: float = 200.2


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Stands in for the pipeline; `job.calls` holds what it was called with, `job.act` is what it does.

    The inputs lie in the working directory, since the command looks whether they are there before it calls the pipeline.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clips").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "style.jpg")
    job = types.SimpleNamespace(calls=[], act=lambda progress: None, steadiness=None)

    def stylize(source, styles, output, settings, options, progress):
        job.calls.append((source, styles, output, settings, options))
        job.act(progress)
        options.beside.make(Result(output, 3, 200.2, job.steadiness), None, None)

    def stylize_batch(directory, styles, output, settings, options, progress):
        job.calls.append((directory, styles, output, settings, options))
        failed = job.act(progress) or []
        return BatchResult([Path("a.mp4")], failed)

    pipeline, batch = types.ModuleType("vidstyle.pipeline"), types.ModuleType("vidstyle.batch")
    pipeline.JobOptions, pipeline.stylize, batch.stylize_batch = Options, stylize, stylize_batch
    pipeline.styles_of = lambda source, styles, settings: styles
    pipeline.inputs_of = lambda source, styles, settings: [source, *styles]
    monkeypatch.setitem(sys.modules, "vidstyle.pipeline", pipeline)
    monkeypatch.setitem(sys.modules, "vidstyle.batch", batch)
    return job


@pytest.fixture(scope="module")
def help_text():
    with contextlib.redirect_stdout(io.StringIO()) as text:
        assert cli.main(["--help-all"]) == 0
    return text.getvalue()


def fail_with(error):
    def act(progress):
        raise error

    return act


def settings_of(*flags):
    return cli.parse([*JOB, *flags]).settings


# --- reading the command line ---


def test_a_plain_command_is_the_default_settings(job, capsys):
    assert cli.main(JOB) == 0
    assert job.calls == [(Path("clip.mp4"), [Path("style.jpg")], Path("out.mp4"), Settings(), Options())]
    assert capsys.readouterr().out == "vidstyle: out.mp4: 3 frames in 3 min 20 s\n"


def test_flags_of_the_job_reach_the_job(job):
    assert cli.main([*JOB, "-y", "--fresh", "--keep-workspace", "--log-json", "log.jsonl"]) == 0
    assert job.calls[0][4] == Options(True, True, True, Path("log.jsonl"))


def test_flags_may_come_first_and_styles_be_several():
    command = cli.parse(["--size", "320", "-o", "out.mp4", "clip.mp4", "a.jpg", "b.jpg"])
    assert (command.settings.run.size, command.styles) == (320, [Path("a.jpg"), Path("b.jpg")])


@pytest.mark.parametrize(
    ("flags", "section", "key", "value"),
    [
        (["--references", "1", "2", "4"], "temporal", "references", (1, 2, 4)),
        (["--style-layers", "relu1_1", "relu2_1"], "style", "layers", ("relu1_1", "relu2_1")),
        (["--style-blend", "0.3", "0.7"], "style", "blend", (0.3, 0.7)),
        (["--style-weight=1e3"], "style", "weight", 1000.0),
        (["--optimizer", "adam"], "optimize", "optimizer", "adam"),
        (["--first-iterations", "7"], "optimize", "first_iterations", 7),
        (["--pix-fmt", "yuv444p10le"], "encode", "pix_fmt", "yuv444p10le"),
        (["--crf", "18"], "encode", "crf", 18.0),
        (["--start", "00:01.5"], "run", "start", "00:01.5"),
        (["--end", "48f"], "run", "end", "48f"),
        (
            ["--encoder-option", "preset=slow", "--encoder-option", "x264-params=a=1:b"],
            "encode",
            "options",
            {"preset": "slow", "x264-params": "a=1:b"},
        ),
    ],
)
def test_a_flag_sets_its_setting(flags, section, key, value):
    settings = settings_of(*flags)
    assert getattr(getattr(settings, section), key) == value
    assert settings == Settings.from_mapping({section: {key: value}})


def test_defaults_then_preset_then_file_then_flags(tmp_path):
    preset, config = tmp_path / "preset.toml", tmp_path / "film.settings"
    preset.write_text("[style]\nweight = 1\nscale = 2\n[content]\nweight = 3\n")
    config.write_text("[style]\nscale = 4\n[content]\nweight = 5\n")
    settings = settings_of("--preset", str(preset), "--config", str(config), "--content-weight", "6")
    assert (settings.style.weight, settings.style.scale, settings.content.weight) == (1.0, (4.0,), 6.0)
    assert settings.temporal == Settings().temporal


def test_a_flag_with_the_default_value_beats_the_preset():
    default = Settings().optimize.iterations
    assert settings_of("--preset", "draft").optimize.iterations != default
    assert settings_of("--preset", "draft", "--iterations", str(default)).optimize.iterations == default


@pytest.mark.parametrize("row", flag_table(), ids=lambda row: row.flag)
def test_every_flag_is_in_the_help_with_its_default(row, help_text):
    text = " ".join(help_text.replace("│", " ").split())
    assert f"{row.flag} " in text
    shown = " ".join(map(str, row.default)) if isinstance(row.default, tuple) else row.default
    said = " ".join(row.text.split()) + ("" if shown is None else f" (default: {shown})")
    assert said in text


def test_the_short_help_has_what_is_turned_most_often_and_names_the_long_one(help_text, capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert set(cli.COMMON) < {row.flag for row in flag_table()}
    for row in flag_table():
        assert (f" {row.flag} " in text) == (row.flag in cli.COMMON), row.flag
    assert f"vidstyle --help-all shows {len(flag_table()) - len(cli.COMMON)} further settings" in text
    assert text.count("\n") < 2 / 3 * help_text.count("\n")
    assert "--help-all shows" not in help_text


def test_help_begins_with_examples_that_parse(help_text):
    examples = [line.split()[1:] for line in help_text.splitlines() if line.startswith("  vidstyle ")]
    assert len(examples) >= 3
    for example in examples:
        cli.parse(example)


@pytest.mark.parametrize("preset", ["texture", "reconstruction"])
def test_a_texture_and_a_reconstruction_need_no_style(preset):
    command = cli.parse(["photo.jpg", "-o", "out.png", "--preset", preset])
    assert (command.source, command.styles) == (Path("photo.jpg"), [])


@pytest.mark.parametrize(
    ("words", "sheet"),
    [
        ("in/shot.%04d.exr style.jpg --preview", "shot.preview.png"),
        ("clip.mp4 style.jpg --preview -o out/painted_##.tif", "out/painted.preview.png"),
    ],
)
def test_the_sheet_of_a_sequence_has_a_name_without_numbers(words, sheet):
    assert cli.parse(words.split()).output == Path(sheet)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"vidstyle {vidstyle.__version__}\n"


# --- wrong usage ---


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "INPUT and STYLE and -o OUTPUT missing"),
        (["clip.mp4", "-o", "out.mp4"], "STYLE missing"),
        (["clip.mp4", "style.jpg"], "-o OUTPUT missing"),
        ([*JOB, "--sise", "3"], "there is no flag --sise; did you mean --size?"),
        ([*JOB, "--overwrit"], "did you mean --overwrite?"),
        ([*JOB, "--contentweight=3"], "did you mean --content-weight?"),
        ([*JOB, "-x"], "there is no flag -x"),
        ([*JOB, "b.jpg"], "b.jpg: not expected here"),
        ([*JOB, "--size"], "--size"),
        ([*JOB, "--size", "abc"], "--size: Input should be a valid integer"),
        ([*JOB, "--size", "0"], "--size: Input should be greater than or equal to 1 (got '0')"),
        ([*JOB, "--style-scale", "nan"], "--style-scale: "),
        ([*JOB, "--references", "1", "no"], "--references: "),
        ([*JOB, "--references"], "--references: at least one value"),
        ([*JOB, "--style-layers", "conv4_2"], "--style-layers: there is no layer 'conv4_2'; the nearest is 'relu4_2'"),
        ([*JOB, "--optimizer", "bfgs"], "--optimizer: Input should be 'lbfgs' or 'adam'"),
        ([*JOB, "--start", "-3"], "--start: '-3' is no position"),
        ([*JOB, "--encoder-option", "slow"], "--encoder-option slow: write KEY=VALUE"),
        ([*JOB, "--preset", "darft"], "there is no preset darft; did you mean draft?"),
        ([*JOB, "--config", "none.toml"], "none.toml: no such settings file"),
        ([*JOB, "-q", "-v"], "contradict"),
        ([*JOB, "--compare", "top"], "--compare top: there are side, wipe, stack"),
        ([*JOB, "--compare"], "--compare: a value must follow"),
        ([*JOB, "-o"], "--output: a value must follow"),
        (["--completion", "csh"], "--completion csh: there are bash, zsh, fish"),
        (["--report", *JOB], "INPUT and STYLE missing (--report took clip.mp4 style.jpg: put it last)"),
        (["--mask", "m.png", *JOB], "INPUT and STYLE missing (--mask took m.png clip.mp4 style.jpg: put it last)"),
        ([*JOB, "--report", "page.html", "other.html"], "--report takes one FILE and was given page.html other.html"),
        (["--preview"], "INPUT and STYLE missing: vidstyle INPUT STYLE [STYLE ...] --preview"),
        ([*JOB, "--preset", "draft,fine"], "--preset draft,fine: several go with --preview"),
        ([*JOB, "--strength", "0.5,1"], "--strength 0.5,1: several go with --preview"),
        (
            ["clip.mp4", "style.jpg", "--preview", "--preset", "draft,,fine"],
            "--preset draft,,fine: nothing stands beside one of the commas",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_2(argv, said, job, capsys):
    assert cli.main(argv) == 2
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert [line for line in lines if line.startswith("vidstyle: error: ")] == lines[-1:]
    assert said in lines[-1]
    assert len(lines) == 1 or "-v" in argv
    assert (shown.out, job.calls) == ("", [])


def test_an_error_in_a_settings_file_names_the_file(tmp_path, capsys):
    path = tmp_path / "film.toml"
    path.write_text("[style]\nwieght = 3\n")
    for flag in ("--preset", "--config"):
        assert cli.main([*JOB, flag, str(path)]) == 2
        assert f"{flag} {path}: unknown key 'style.wieght'; did you mean 'weight'?" in capsys.readouterr().err


# --- how a job ends ---


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MediaError("clip.mp4: holds no picture; give a video"), 1, "clip.mp4: holds no picture; give a video [V20]"),
        (NumericalError("frame 3: the loss\nis not finite"), 1, "frame 3: the loss is not finite [V50]"),
        (NotEnoughMemory("--size 640 would fit"), 2, "--size 640 would fit [V11]"),
        (OSError(28, "No space left on device", "out.mp4"), 1, "[Errno 28] No space left on device: 'out.mp4' [V1]"),
        (MemoryError(), 1, "not enough memory; give a smaller --size [V1]"),
    ],
)
def test_a_failed_job_is_one_line(error, code, said, job, capsys):
    job.act = fail_with(error)
    assert cli.main(JOB) == code
    assert capsys.readouterr().err == f"vidstyle: error: {said}\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["none.mp4", "style.jpg", "-o", "out.mp4"], "none.mp4: no such file"),
        (["clip.mp4", "none.jpg", "-o", "out.mp4"], "STYLE none.jpg: no such file"),
        (["clip.mp4", "clip.mp4", "-o", "out.mp4"], "STYLE clip.mp4: the file is empty"),
        (["clip.mp4", "style.jpg", "-o", "out.doc"], "out.doc: cannot write .doc files"),
    ],
)
def test_wrong_paths_are_told_before_the_pipeline_is_imported(command, said, job, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "vidstyle.pipeline", None)
    assert cli.main(command) == 2
    assert said in capsys.readouterr().err


def test_verbose_adds_the_traceback(job, capsys):
    job.act = fail_with(MediaError("clip.mp4: damaged"))
    assert cli.main([*JOB, "-v"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "vidstyle: error: clip.mp4: damaged [V20]"


def test_a_bug_says_that_it_is_one_and_shows_where(job, capsys):
    job.act = fail_with(KeyError("layer"))
    assert cli.main(JOB) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.splitlines()[-1] == "vidstyle: error: this is a bug in vidstyle, please report it: KeyError: 'layer' [V1]"


@pytest.mark.parametrize(
    ("flags", "said"), [([], "run the same command to go on"), (["--fresh"], "run the same command without --fresh to go on")]
)
def test_control_c_says_how_to_go_on(flags, said, job, capsys):
    job.act = fail_with(KeyboardInterrupt())
    assert cli.main([*JOB, *flags]) == 130
    assert capsys.readouterr().err == f"vidstyle: interrupted; {said}\n"


def test_control_c_does_not_promise_that_a_batch_with_y_goes_on_where_it_was(job, capsys):
    job.act = fail_with(KeyboardInterrupt())
    assert cli.main(["clips", "style.jpg", "-o", "painted", "--batch", "-y"]) == 130
    assert "go on; because of -y that paints what is done once more: move it out of INPUT first\n" in capsys.readouterr().err


def test_a_report_cannot_read_a_pipe_again(job, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    assert cli.main([*JOB, "--report", str(tmp_path / "page.html"), "--log-json", str(tmp_path / "pipe")]) == 2
    assert "no ordinary file" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_sigterm_is_like_control_c_and_is_put_back(job):
    before = signal.getsignal(signal.SIGTERM)
    job.act = lambda progress: os.kill(os.getpid(), signal.SIGTERM)
    assert cli.main(JOB) == 130
    assert signal.getsignal(signal.SIGTERM) is before


def fail_one_of_two(progress):
    error = MediaError("clips/b.mp4: empty")
    logging.getLogger("vidstyle.batch").error("%s", error)
    return [(Path("clips/b.mp4"), error)]


@pytest.mark.parametrize(("flags", "summary"), [([], "vidstyle: painted: 1 done, 1 failed in 3 min 20 s [V60]\n"), (["-q"], "")])
def test_a_batch_counts_its_failures_and_says_each_once(flags, summary, job, capsys):
    job.act = fail_one_of_two
    assert cli.main(["clips", "style.jpg", "-o", "painted", "--batch", *flags]) == 1
    assert capsys.readouterr() == (summary, "vidstyle: error: clips/b.mp4: empty\n")


def test_a_batch_without_failures_is_0(job):
    assert cli.main(["clips", "style.jpg", "-o", "painted", "--batch"]) == 0


# --- what is shown on the way ---


def work(progress, frames=3, total=3):
    logging.getLogger("vidstyle.media").warning("clip.mp4: the sound\nis dropped")
    logging.getLogger("vidstyle.media").debug("a detail")
    progress.start(total, 0, "320×180 pixels, about 1.5 GB of memory")
    for index in range(frames):
        progress.step(0.5, 2e6)
        progress.frame(Report(index, shot_start=index == 0, seconds=2.0 if index else 20.0))


def test_a_log_file_gets_few_plain_lines(job, capsys):
    job.act = work
    assert cli.main(JOB) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "vidstyle: warning: clip.mp4: the sound is dropped"
    assert lines[1] == "vidstyle: 320×180 pixels, about 1.5 GB of memory"
    assert lines[2:] == [
        "vidstyle: frame 1 of 3, loss 1.5e+06",
        "vidstyle: frame 2 of 3, loss 1.5e+06, about 2 s left",
        "vidstyle: frame 3 of 3, loss 1.5e+06",
    ]


def outlook(seconds, starts=(0,), share=1.0, passed=1):
    found = Outlook()
    for index, taken in enumerate(seconds):
        found.frame(Report(index, seconds=taken, shot_start=index in starts, share=share, passed=passed))
    return found


def test_the_time_that_is_left_settles_within_ten_frames():
    """The first frame takes as long as thirteen others; a mean over all would be 2.2 times as much after ten."""
    assert outlook([130.0]).seconds_for(99) is None
    rest = [10.0, 12.0, 9.0, 11.0, 10.0, 10.0, 30.0, 9.0, 10.0]
    for count in range(3, len(rest) + 1):
        assert outlook([130.0, *rest[:count]]).seconds_for(100) == pytest.approx(1000, rel=0.11)


def test_shots_are_expected_to_come_as_often_as_so_far():
    assert outlook([100, 10, 10, 10, 10, 100, 10, 10, 10, 10], starts=(0, 5)).seconds_for(10) == pytest.approx(9 * 10 + 100)


def test_every_pass_counts():
    assert outlook([100, 10, 10, 10], share=1 / 3).seconds_for(2) == pytest.approx(6 * 10)
    assert outlook([10, 10, 10], share=1 / 3, passed=2).seconds_for(2) == pytest.approx(6 * 10)  # which begins a pass, no shot


def test_a_log_file_of_a_batch_names_the_job_in_every_line(job, capsys):
    def act(progress):
        progress.job("a.mp4 (1 of 2)")
        progress.start(2, 1, "320×180 pixels")
        progress.frame(Report(1))

    job.act = act
    assert cli.main(["clips", "style.jpg", "-o", "painted", "--batch"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "vidstyle: a.mp4 (1 of 2): 320×180 pixels"
    assert lines[-1] == "vidstyle: a.mp4 (1 of 2): frame 2 of 2, loss 1.5e+06"


@pytest.mark.parametrize(("columns", "has_loss"), [(60, False), (80, True), (None, True)])
def test_a_narrow_terminal_has_a_bar_and_no_loss(columns, has_loss, monkeypatch):
    bar, written = vidstyle.ProgressBar(), io.StringIO()
    monkeypatch.setattr(
        bar, "_made", lambda total, done: tqdm(total=total, ncols=columns, file=written, bar_format=bar.FORMAT, mininterval=0, ascii=" #")
    )
    bar.start(20, 0, "")
    for index in range(8):
        bar.frame(Report(index, seconds=75.0, shot_start=index == 0))
    last = written.getvalue().split("\r")[-1]
    bar.close()
    assert "8.0/20 frames" in last
    assert "about 15 min left" in last
    assert ("loss" in last) == has_loss
    assert columns is None or "###" in last


def test_a_job_that_goes_on_says_so(job, capsys):
    job.act = lambda progress: progress.start(900, 412, "320×180 pixels")
    assert cli.main(JOB) == 0
    assert "vidstyle: frames 1–412 of 900 are done, going on\n" in capsys.readouterr().err


def test_the_last_line_says_where_how_long_and_how_steady(job, capsys):
    assert cli.main(JOB) == 0
    assert capsys.readouterr().out == "vidstyle: out.mp4: 3 frames in 3 min 20 s\n"
    job.steadiness = 1.834
    assert cli.main(JOB) == 0
    assert capsys.readouterr().out == "vidstyle: out.mp4: 3 frames in 3 min 20 s; warping error 1.83 times the source's\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--strength", "0"], "of the painting, before --strength, "),
        (["--strength", "0.5", "--preserve-color", "linear"], "of the painting, before --strength and --preserve-color, "),
        (["--mask", "m.png"], "of the painting, before --mask, "),
        (["--mask-feather", "3", "--strength", "1"], ""),
    ],
)
def test_the_last_line_says_what_is_how_steady(flags, said, job, capsys):
    """With --strength 0 the film is the source, whose warping error is its own."""
    job.steadiness = 1.36
    assert cli.main([*JOB, *flags]) == 0
    assert capsys.readouterr().out.endswith(f"; warping error {said}1.36 times the source's\n")


def test_verbose_shows_details(job, capsys):
    job.act = work
    assert cli.main([*JOB, "-v"]) == 0
    assert "vidstyle: debug: a detail" in capsys.readouterr().err.splitlines()


def test_quiet_shows_nothing(job, capsys):
    job.act = work
    assert cli.main([*JOB, "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_an_unknown_number_of_frames_is_no_obstacle(job, capsys):
    job.act = lambda progress: work(progress, total=None)
    assert cli.main(JOB) == 0
    assert "vidstyle: frame 1 of ?, loss 1.5e+06" in capsys.readouterr().err


def test_loggers_are_left_as_they_were(job):
    logger = logging.getLogger("vidstyle")
    before = logger.level, logger.propagate, list(logger.handlers)
    cli.main([*JOB, "-v"])
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("total", [3, None])
def test_a_terminal_gets_a_bar_with_frames_time_and_loss(total, job, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    def act(progress):
        progress.start(total, 1, "320×180 pixels, about 1.5 GB of memory")
        progress.step(0.5, 2e6)
        time.sleep(0.15)  # a bar is redrawn every tenth of a second
        progress.frame(Report(1))
        logging.getLogger("vidstyle").warning("look")

    job.act = act
    assert cli.main(JOB) == 0
    text = terminal.getvalue()
    assert text.startswith("vidstyle: 320×180 pixels, about 1.5 GB of memory\n")
    assert f" 2.0/{total or '?'} frames [" in text
    assert "loss 1.5e+06" in text
    assert "vidstyle: warning: look\n" in text
    assert text.split("\r")[-1].strip() == "", "the bar is taken away at the end"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("size", [(0, 0), (24, 100)])
def test_the_bar_shows_on_a_terminal_of_any_size(size, job, monkeypatch):
    import fcntl
    import pty
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    job.act = lambda progress: progress.start(7, 2, "64×64 pixels, about 1 GB of memory")
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert cli.main(JOB) == 0
        text = os.read(reader, 4096).decode()
    os.close(reader)
    assert " 2.0/7 frames [" in text


@pytest.mark.parametrize("trouble", [BrokenPipeError(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_reader_that_goes_away_and_a_full_disk_do_not_stop_the_job(trouble, job, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise trouble

    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", Closed())
    job.act = work
    assert cli.main(JOB) == 0
    assert len(job.calls) == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (8.13, "8.1 s"), (60, "1 min 0 s"), (200.4, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(8.1, "8 s"), (100, "2 min"), (7500, "2 h 5 min")])
def test_durations_that_are_known_roughly(seconds, text):
    assert duration(seconds, exactly=False) == text


# --- as a process ---


def run(*command, **options):
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_end_no_job(closed, tmp_path):
    """Nor does what libraries print by number come to lie in the film, whose file would get it."""
    make_clip(tmp_path / "in.mkv", 2)
    write_png(tmp_path / "style.png", moving(1))
    flags = "--size 32 --iterations 1 --first-iterations 1"
    for job in (
        f"-m vidstyle in.mkv style.png -o out.mkv {flags}",
        "-c 'from vidstyle.__main__ import evaluate; raise SystemExit(evaluate())' in.mkv in.mkv",
        "-m vidstyle --help",
    ):
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} {job} {closed}"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert len(read_times(tmp_path / "out.mkv")) == 2


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (
            "-c 'from vidstyle.__main__ import evaluate; raise SystemExit(evaluate())' in.mkv in.mkv --json -",
            "--json -: the standard output",
        ),
        ("-m vidstyle in.mkv style.png -o -", "-o -: the standard output"),
    ],
)
def test_a_result_into_a_closed_stream_is_refused_before_the_work(job, said, tmp_path):
    make_clip(tmp_path / "in.mkv", 2)
    write_png(tmp_path / "style.png", moving(1))
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} {job} >&-"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, f"{said} is closed" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"), ({"GOMP_SPINCOUNT": "9"}, "None"), ({"KMP_BLOCKTIME": "9"}, "None")],
)
def test_threads_sleep_while_they_wait_unless_told_otherwise(given, found):
    """Which has to be said before torch is loaded."""
    loaded = "print('torch' in sys.modules, os.environ.get('OMP_WAIT_POLICY'))"
    hooked = f"import os, sys, vidstyle.__main__ as m; m.loading = lambda: {loaded} or sys.exit(); m.main()"
    free = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")}
    assert run("-c", hooked, env=free | given).stdout == f"False {found}\n"


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):  # the best of three, for machines that are busy
        started = time.perf_counter()
        result = run("-m", "vidstyle", "--help")
        seconds.append(time.perf_counter() - started)
        assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: vidstyle")
    assert "\x1b" not in result.stdout
    assert min(seconds) < 2


def test_neither_help_nor_the_package_imports_torch():
    code = "import sys, vidstyle, vidstyle.cli; vidstyle.cli.main(['--help']); vidstyle.Settings; print('torch' in sys.modules)"
    assert run("-c", code).stdout.splitlines()[-1] == "False"


def test_the_package_offers_what_it_names():
    assert set(vidstyle.__all__) <= set(dir(vidstyle))
    assert vidstyle.Settings is Settings
    assert vidstyle.MediaError is MediaError
    with pytest.raises(AttributeError, match="no attribute 'stylise'"):
        _ = vidstyle.stylise


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes that break")
def test_help_into_a_closed_pipe_is_harmless():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run([sys.executable, "-m", "vidstyle", "-h"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_any_name_can_be_told_on_any_terminal(encoding, monkeypatch):
    """Bytes in no encoding, letters that the terminal has not, and orders to it."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    say("vidstyle: film\udcff ×2 \u4f60 \u202e\x1b[2J.mp4\n  more", sys.stdout)
    say("one\ntwo\x1b", sys.stdout, several=True)
    told = written.getvalue().decode(encoding)
    assert told.startswith("vidstyle: film\\xff ")
    assert "\x1b" not in told
    assert told.endswith("\\u202e\\x1b[2J.mp4\\n  more\none\ntwo\\x1b\n")
    assert ("×" in told) == (encoding != "ascii")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
@pytest.mark.parametrize("asked", ["--help", "--help-all", "--completion=bash"])
def test_help_comes_on_a_terminal_of_few_letters(encoding, asked):
    result = subprocess.run(
        [sys.executable, "-m", "vidstyle", asked],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (result.returncode, result.stderr) == (0, b"")
    text = result.stdout.decode(encoding)
    assert "--preserve-color" in text
    assert "\\u" not in text  # nothing that only a number could stand for


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")
@pytest.mark.parametrize(("wish", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_the_help_has_colors_on_a_terminal_whose_owner_wants_them(wish, colored):
    screen, terminal = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")} | {"TERM": "xterm"} | wish
    running = subprocess.Popen([sys.executable, "-m", "vidstyle", "--help"], stdout=terminal, env=environment)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the other side has gone
        while part := os.read(screen, 4096):
            shown += part
    assert running.wait(60) == 0
    os.close(screen)
    assert b"--preserve-color" in shown.replace(b"\x1b", b"")
    assert (b"\x1b[" in shown) == colored


def test_presets_are_listed_with_a_line_each(capsys):
    assert cli.main(["--list-presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(preset_names())
    assert lines[0].startswith("draft ")
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_completion_knows_the_flags(shell, capsys):
    assert cli.main(["--completion", shell]) == 0
    script = capsys.readouterr().out
    assert "preserve-color" in script
    assert "vidstyle" in script


SHELLS = {  # how each is started without anybody's settings, and takes a function in place of the command
    "bash": (["--norc", "--noprofile", "-i"], 'vidstyle() { echo "$@" > said; }; source completion'),
    "zsh": (["-f", "-i"], 'vidstyle() { echo "$@" > said }; autoload -U compinit; compinit -u -d dump; source ./completion'),
    "fish": (["--no-config", "-i"], "function vidstyle; echo $argv > said; end; source completion"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_files_flags_and_their_values(shell, tmp_path, capsys):
    """Typed into a real one, with the Tab key."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    import fcntl  # Windows has none of these
    import pty
    import termios

    cli.main(["--completion", shell])
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    (tmp_path / "my clip.mp4").touch()
    flags, beginning = SHELLS[shell]
    keyboard, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "HOME": str(tmp_path)}
    running = subprocess.Popen(
        [shell, *flags], cwd=tmp_path, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # fish insists on a terminal of its own
    )  # fmt: skip
    os.close(terminal)
    threading.Thread(target=drain, args=(keyboard,), daemon=True).start()
    said = tmp_path / "said"
    try:
        for typed, completed in (
            (beginning + "; vidstyle begun", "begun"),
            ("vidstyle my\t", "my clip.mp4"),
            ("vidstyle --prev\t", "--preview"),
            ("vidstyle x.mp4 --preset dra\t", "--preset draft"),
            ("vidstyle x.mp4 --preset my\t", "--preset my clip.mp4"),
            ("vidstyle x.mp4 --compare w\t", "--compare wipe"),
            ("vidstyle x.mp4 --compare N\t", "--compare N"),  # no None
        ):
            said.unlink(missing_ok=True)
            os.write(keyboard, typed.encode())
            time.sleep(0.3)  # zsh and fish take what follows a Tab at once for pasted
            os.write(keyboard, b"\r")
            until = time.monotonic() + 20
            while not (said.is_file() and said.read_text().endswith("\n")) and time.monotonic() < until:
                time.sleep(0.05)
            assert said.read_text().split("x.mp4")[-1].strip() == completed
    finally:
        running.kill()
        running.wait()
        os.close(keyboard)


def drain(terminal):
    """Reads what a terminal shows, so that nobody waits until it is read."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


@pytest.mark.parametrize("shell", SHELLS)
def test_no_shell_offers_what_stands_for_nothing(shell, capsys):
    cli.main(["--completion", shell])
    assert "None" not in capsys.readouterr().out


def test_every_kind_of_error_has_a_number_of_its_own():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.VidstyleError)]
    numbers = [kind.number for kind in kinds]
    assert len(set(numbers)) == len(numbers) == len(kinds)


SHARED = {
    "--shard 3/2": "--shard 3/2: write I/N, the number of this process, from 1, and how many there are, such as 2/8",
    "--shard 0/2": "--shard 0/2: write I/N",
    "--shard two": "--shard two: write I/N",
    "--shard 1/2 --ray": "--shard paints a part of the frames and writes no output, and --ray wants one; leave one of them out",
    "--shard 1/2 --report": "and --report wants one",
    "--shard 1/2 --log-json log": "and --log-json wants one",
    "--shard 1/2 --fresh": "--fresh with --shard would throw away what other shards have painted; delete OUTPUT.vidstyle",
    "--workers 2": "--workers goes with --ray; add it, or leave --workers out",
    "--gpus-per-worker 1": "--gpus-per-worker goes with --ray",
    "--ray --workers 0": "--workers 0: give a number, such as 2",
    "--ray --workers many": "--workers many: give a number, such as 2",
    "--ray --gpus-per-worker -1": "--gpus-per-worker",
    "--ray --preview": "--ray works on files that all machines see, and not with --preview; leave one of them out",
    "--ray style.jpg": "--ray style.jpg: give the address of a Ray cluster, as auto, head:6379 or ray://head:10001, or none",
}


@pytest.mark.parametrize(("flags", "said"), SHARED.items(), ids=SHARED)
def test_what_does_not_go_with_several_machines_is_told(flags, said, job, capsys):
    assert cli.main([*JOB, *flags.split()]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not job.calls


def test_what_goes_to_other_processes_is_read():
    assert parse([*JOB, "--shard", "2/3"]).shard == Shard(2, 3)
    assert (parse([*JOB, "--ray"]).ray, parse(JOB).ray) == ("", None)
    command = parse([*JOB, "--ray", "head:6379", "--workers", "3", "--gpus-per-worker", "0.5"])
    assert (command.ray, command.workers, command.gpus_per_worker) == ("head:6379", 3, 0.5)


@pytest.mark.parametrize("words", [["clip.mp4"], ["--size", "20"], ["--batch"], ["-o", "x.mp4"], ["--preset", "draft"]], ids=" ".join)
def test_joining_takes_nothing_but_the_output(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--join", "out.mp4", *words]) == 2
    said = f"--join OUTPUT takes all it needs to know from the shards' plan; leave out {' '.join(words[:1] if words[0] != '-o' else words)}"
    assert said in capsys.readouterr().err


def test_joining_in_a_store_is_told(capsys):
    assert cli.main(["--join", "s3://bucket/out.mp4"]) == 2
    assert "--join s3://bucket/out.mp4: what shards have painted lies on a disk" in capsys.readouterr().err


def test_joining_without_shards_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--join", "out.mp4"]) == 2
    assert (
        "--join out.mp4: there is no plan of shards in out.mp4.vidstyle; paint with --shard I/N -o out.mp4 first" in capsys.readouterr().err
    )
