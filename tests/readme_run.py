"""Runs every command and snippet of the README and of docs/ on tiny inputs, so that they cannot rot.

    python -m tests.readme_run [FILE.md ...]          run them, in a scratch directory
    python -m tests.readme_run --make PATH [...]      only make tiny media under these names

Inputs that a command or snippet names are made under that name: a clip of a few 64×48 frames with
sound, a picture, a directory of frames, a sequence numbered from 1001. `vidstyle` commands run with few steps; Python snippets run
as they stand. What set-up and tests have done already (`make test`, `pip install`, …) is listed and
not repeated; a fence after `<!-- not run: why -->` is listed with its reason.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import cv2

from tests.clips import make_clip, moving
from vidstyle.media.stills import encode
from vidstyle.numbered import FrameNames

ROOT = Path(__file__).resolve().parent.parent
DONE_BY_CI = (
    "make demo ",
    "make test ",
    "make lint ",
    "make types ",
    "git clone ",
    "cd ",
    "pip install ",
    "python3 -m venv ",
    "source ",
    ". .venv",
    ".venv/bin/pip ",
    ".venv/bin/python -m pip ",
    ".venv/bin/python -m pytest ",
)
FEW_STEPS = "--first-iterations 3 --iterations 2 --size 64 -y"
VIDEOS = {".mp4", ".mkv", ".mov", ".webm", ".gif", ".avi"}
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".exr"}
END_OF_COMMAND = re.compile(r"\s(?:\||&&|;|>|2>)")


@dataclass(frozen=True)
class Snippet:
    """A fence of Python, or one command of a fence of shell."""

    where: str
    language: str
    code: str
    not_run: str = ""


def snippets(path: Path) -> Iterator[Snippet]:
    """Python fences whole, shell fences command by command, in the order of the file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    not_run, at = "", 0
    while at < len(lines):
        line = lines[at].strip()
        if reason := re.fullmatch(r"<!-- not run: (.+) -->", line):
            not_run = reason[1]
        elif opening := re.match(r"```(\w*)", line):
            end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "```")
            language = {"sh": "bash", "shell": "bash", "console": "bash", "py": "python"}.get(opening[1], opening[1])
            body = lines[at + 1 : end]
            if language == "python":
                yield Snippet(f"{path.name}:{at + 1}", language, "\n".join(body), not_run)
            elif language == "bash":
                for number, command in commands(body):
                    yield Snippet(f"{path.name}:{at + 2 + number}", language, command, not_run)
            at, not_run = end, ""
        elif line:
            not_run = ""
        at += 1


def commands(body: list[str]) -> Iterator[tuple[int, str]]:
    """(line number in the fence, command), continuation lines joined, prompts and comments dropped."""
    begun, parts = 0, list[str]()
    for number, line in enumerate(body):
        begun = begun if parts else number
        parts.append(line.strip().removeprefix("$ ").removesuffix("\\").strip())
        if line.rstrip().endswith("\\"):
            continue
        command = " ".join(part for part in parts if part)
        parts = []
        if command and not command.startswith("#"):
            yield begun, command


def without_comment(command: str) -> str:
    """Drops `  # what it does` behind a command."""
    return re.sub(r"\s+#\s.*$", "", command)


def inputs_of_command(command: str) -> tuple[list[str], str | None]:
    """(paths of media that a vidstyle command reads, its output)."""
    words = shlex.split(END_OF_COMMAND.split(command)[0])[1:]
    output = next((after for word, after in pairwise(words) if word in ("-o", "--output")), None)
    if output is None and "--preview" in words:
        output = f"{Path(words[0]).stem}.preview.png"
    batch = "--batch" in words
    # A schedule names its styles inside one word.
    words += [name for word in words if ": " in word for name in re.findall(r":\s+([^\s,]+)", word)]
    read = [word for word in words if word != output and (Path(word).suffix.lower() in VIDEOS | PICTURES or word.endswith("/"))]
    if batch:
        read = [f"{word}clip.mp4" if word.endswith("/") else word for word in read]
    return read, output


def inputs_of_python(code: str) -> list[str]:
    """Paths that a snippet hands to vidstyle's functions as source and styles."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and "stylize" in ast.unparse(node.func):
            for argument in node.args[:2]:
                found += [inner.value for inner in ast.walk(argument) if isinstance(inner, ast.Constant) and isinstance(inner.value, str)]
    return found


def make_media(name: str, directory: Path) -> None:
    """A tiny clip, picture or directory of frames, by what the name looks like; nothing if it is there."""
    path = directory / name
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if names := FrameNames.of(path):
        for number in range(1001, 1005):
            (path.parent / names.name(number)).write_bytes(encode(moving(number), path))
        return
    if path.suffix.lower() in PICTURES:
        cv2.imwrite(str(path), moving(3)[..., ::-1])
    elif path.suffix.lower() == ".gif":
        make_clip(path, 5, codec="gif", pix_fmt="rgb8", rate=10)
    elif path.suffix.lower() == ".webm":
        make_clip(path, 5, codec="libvpx-vp9", audio="libopus")
    elif path.suffix.lower() in VIDEOS:
        make_clip(path, 5, audio="aac")
    else:
        path.mkdir()
        for index in range(4):
            cv2.imwrite(str(path / f"{index:04}.png"), moving(index)[..., ::-1])


def few_steps(command: str) -> str:
    """A vidstyle command with `FEW_STEPS` behind its own flags, before a pipe or redirection."""
    end = END_OF_COMMAND.search(command)
    at = end.start() if end else len(command)
    return f"{command[:at]} {FEW_STEPS}{command[at:]}"


def run(snippet: Snippet, directory: Path) -> str:
    """Runs it in `directory`; returns what went wrong, or nothing."""
    output = None
    if snippet.language == "python":
        for name in inputs_of_python(snippet.code):
            make_media(name, directory)
        command = [sys.executable, "-W", "error", "-c", snippet.code]
    else:
        code = without_comment(snippet.code)
        if re.match(r"(\S+/)?vidstyle\s", code):
            code = re.sub(r"^\S*vidstyle", "vidstyle", code)
            if " -o" in code or " --output" in code or " --preview" in code:
                read, output = inputs_of_command(code)
                for name in read:
                    make_media(name, directory)
                code = few_steps(code)
        scripts = shlex.quote(str(Path(sys.executable).parent))
        command = ["bash", "-euo", "pipefail", "-c", f"PATH={scripts}:$PATH\n{code}"]
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
            env={"OMP_NUM_THREADS": "1", **os.environ},  # two at a time, mostly busy with starting
        )
    except subprocess.TimeoutExpired:
        return "took more than ten minutes"
    if result.returncode:
        return f"exit code {result.returncode}\n{result.stdout}".rstrip()
    return "" if output in (None, "-") or is_there(directory / output) else f"ended with 0, but there is no {output}"


def is_there(output: Path) -> bool:
    """Whether there is such a file or directory, or a frame of such a sequence."""
    names = FrameNames.of(output)
    return output.exists() if names is None else bool(names.there())


def main(arguments: list[str]) -> int:
    """Runs the fences of the files named, or of README.md and docs/*.md; returns the exit code."""
    if arguments[:1] == ["--make"]:
        for name in arguments[1:]:
            make_media(name, Path.cwd())
        return 0
    files = [Path(name) for name in arguments] or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    with tempfile.TemporaryDirectory(prefix="vidstyle-readme-") as scratch, ThreadPoolExecutor(2) as pool:
        outcomes = Counter(chain.from_iterable(pool.map(lambda path: [*run_file(path, Path(scratch))], files)))
    print(", ".join(f"{outcomes[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")))
    return 1 if outcomes["failed"] or not outcomes["passed"] else 0


def run_file(path: Path, scratch: Path) -> Iterator[str]:
    """Runs the fences of one file, which may build on each other; what came of each is printed, and given in a word."""
    for snippet in snippets(path):
        title = f"{snippet.where}: {snippet.code if snippet.language == 'bash' else 'python snippet'}"
        reason = snippet.not_run or ("done by .ci/run itself" if f"{snippet.code} ".startswith(DONE_BY_CI) else "")
        if reason:
            print(f"skip  {title}  ({reason})\n", end="", flush=True)
            yield "skipped"
            continue
        started = time.monotonic()
        # A Python snippet stands alone, and overwrites nothing.
        directory = scratch / (snippet.where if snippet.language == "python" else path.stem)
        directory.mkdir(exist_ok=True)
        wrong = run(snippet, directory)
        words = "      " + wrong.replace("\n", "\n      ") + "\n" if wrong else ""
        print(f"{'FAIL' if wrong else 'ok  '}  {title}  {time.monotonic() - started:.1f} s\n{words}", end="", flush=True)
        yield "failed" if wrong else "passed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
