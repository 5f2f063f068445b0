"""What completes the command's flags in a shell.

The scripts are written here and not by tyro, whose own offer no file in place of INPUT and start Python at every Tab. Where nothing of
ours fits, each leaves the word to its shell, which knows files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Flag", "script"]


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as a shell sees it."""

    names: tuple[str, ...]
    """`-o`, `--output`."""
    text: str
    """What it is for, in a line."""
    takes_value: bool = False
    is_optional: bool = False
    """Whether the value may be left out."""
    choices: tuple[str, ...] = ()
    or_file: bool = False
    """Whether the value may be a file too where it has choices."""


def script(shell: str, flags: Sequence[Flag]) -> str:
    """What to source in `shell` (bash, zsh or fish) so that it completes the flags of `vidstyle`, their values, and files."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](flags)


def _bash(flags: Sequence[Flag]) -> str:
    values = "".join(
        f'    {"|".join(flag.names)}) COMPREPLY=($(compgen -W "{" ".join(flag.choices)}" -- "$word")) ;;\n'
        for flag in flags
        if flag.choices
    )
    names = " ".join(name for flag in flags for name in flag.names)
    return f"""\
_vidstyle() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
  # bash parts --flag=value at the sign
  if [[ $word == "=" ]]; then
    word=
  elif [[ $before == "=" ]]; then
    before=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  COMPREPLY=()
  case $before in
{values}    *) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "{names}" -- "$word")); fi ;;
  esac
}}
# Where nothing is found bash looks for files.
complete -o default -o bashdefault -F _vidstyle vidstyle"""


def _zsh(flags: Sequence[Flag]) -> str:
    helpers, lines = [], []
    for flag in flags:
        text = re.sub(r"([][:])", r"\\\1", flag.text)
        action = f"({' '.join(flag.choices)})" if flag.choices else "_files"
        if flag.choices and flag.or_file:
            helper = f"_vidstyle_{flag.names[-1].lstrip('-').replace('-', '_')}"
            helpers.append(f'{helper}() {{ _alternative "values:value:({" ".join(flag.choices)})" "files:file:_files" }}\n')
            action = helper
        value = f"{':' * (1 + flag.is_optional)}value:{action}" if flag.takes_value else ""
        lines += [f"    {shlex.quote(f'{name}[{text}]{value}')}" for name in flag.names]
    specs = " \\\n".join([*lines, "    '*:file:_files'"])
    return f"""\
#compdef vidstyle
{"".join(helpers)}_vidstyle() {{
  _arguments \\
{specs}
}}
# Either a file of $fpath, which is run at the first Tab, or sourced.
if [[ ${{funcstack[1]}} == _vidstyle ]]; then
  _vidstyle "$@"
else
  compdef _vidstyle vidstyle
fi"""


def _fish(flags: Sequence[Flag]) -> str:
    def line(flag: Flag) -> str:
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names)
        choices = f" -a {_in_fish(' '.join(flag.choices))}" if flag.choices else ""
        # -r: a value follows; -x: and it is no file
        value = "" if not flag.takes_value or flag.is_optional else " -x" if flag.choices and not flag.or_file else " -r"
        return f"complete -c vidstyle {names}{value}{choices} -d {_in_fish(flag.text)}"

    return "\n".join(["complete -c vidstyle -e", *map(line, flags)])


def _in_fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
