"""What reads the README in CI must not overlook a command."""

from pathlib import Path

import pytest

from tests import readme_run
from tests.clips import read_pictures

PAGE = """\
# Title
```bash
# a comment
make test            # set-up and tests
vidstyle clip.mp4 \\
    style.jpg -o out.mp4   # the job
$ echo done
```
<!-- not run: needs an hour -->
```sh
vidstyle long.mp4 style.jpg -o long.out.mp4
```
```toml
[style]
```
```python
import vidstyle
vidstyle.stylize("a.mp4", ["b.jpg", "c.png"], "out.mkv")
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_every_command_and_snippet_is_found(page):
    found = [(s.where, s.language, readme_run.without_comment(s.code), s.not_run) for s in readme_run.snippets(page)]
    assert found[:4] == [
        ("page.md:4", "bash", "make test", ""),
        ("page.md:5", "bash", "vidstyle clip.mp4 style.jpg -o out.mp4", ""),
        ("page.md:7", "bash", "echo done", ""),
        ("page.md:11", "bash", "vidstyle long.mp4 style.jpg -o long.out.mp4", "needs an hour"),
    ]
    assert [entry[1] for entry in found[4:]] == ["python"]


def test_inputs_are_told_from_outputs():
    assert readme_run.inputs_of_command("vidstyle frames/ a.jpg -o out.mp4 --init b.png | cat x.mp4") == (
        ["frames/", "a.jpg", "b.png"],
        "out.mp4",
    )
    assert readme_run.inputs_of_command("vidstyle clips/ a.jpg -o painted/ --batch") == (["clips/clip.mp4", "a.jpg"], "painted/")
    assert readme_run.inputs_of_python(PAGE.split("```python\n")[1].removesuffix("```\n")) == ["a.mp4", "b.jpg", "c.png"]


def test_few_steps_go_before_a_pipe():
    assert readme_run.few_steps("vidstyle a b -o c 2> log").endswith(f"-o c {readme_run.FEW_STEPS} 2> log")


def test_media_are_made_by_their_names(tmp_path):
    for name in ("a.mp4", "deep/b.mkv", "c.webm", "d.gif", "e.jpg", "frames/"):
        readme_run.make_media(name, tmp_path)
    assert read_pictures(tmp_path / "a.mp4")[0].shape == (48, 64, 3)
    assert len(list((tmp_path / "frames").iterdir())) == 4


@pytest.mark.parametrize(("code", "wrong"), [("true", ""), ("echo no; false", "exit code 1\nno"), ("false | true", "exit code 1")])
def test_a_failing_command_is_a_failure(code, wrong, tmp_path):
    assert readme_run.run(readme_run.Snippet("page.md:1", "bash", code), tmp_path) == wrong


def test_a_page_that_fails_is_reported(page, tmp_path, capsys):
    bad = tmp_path / "bad.md"
    bad.write_text("```bash\nmake test\necho fine\nexit 3\n```\n", encoding="utf-8")
    assert readme_run.main([str(bad)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "skip  bad.md:2: make test  (done by .ci/run itself)"
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"


def test_a_page_without_commands_is_no_success(tmp_path):
    empty = tmp_path / "empty.md"
    empty.write_text("nothing\n", encoding="utf-8")
    assert readme_run.main([str(empty)]) == 1


def test_the_test_command_that_ci_runs_is_the_readmes():
    root = Path(readme_run.__file__).parent.parent
    assert "make test" in (root / ".ci" / "run").read_text(encoding="utf-8")
    assert any(snippet.code.startswith("make test") for snippet in readme_run.snippets(root / "README.md"))
