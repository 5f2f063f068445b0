"""Hooks of `mkdocs build` (named in mkdocs.yml): what lies outside docs/ joins the site, and nothing in it comes from the network.

Links between docs/ and the top directory are written so that they lead somewhere in the repository; in the site they lead to a page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
JOINING = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "licence.md",
    "sample_media/CREDITS.md": "credits.md",
}
"""File of the repository → page of the site."""
FETCHED = re.compile(r"""<(?:script|link|img|iframe|source|video)\b[^>]*\b(?:src|href)\s*=\s*["']?(?:https?:)?//[^>]*>""")
"""A tag by which a browser would fetch something from elsewhere when the page is opened; links are only followed."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages of `JOINING`."""
    for source, page in JOINING.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if not source.endswith(".md"):
            heading, _, rest = text.partition("\n")
            text = f"# {heading}\n\n{rest}"
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links out of docs/, and into it from the pages that join, lead to pages of the site."""
    for source, target in JOINING.items():
        markdown = markdown.replace(f"](../{source})", f"]({target})")
        if page.file.src_uri in JOINING.values():
            markdown = markdown.replace(f"]({source})", f"]({target})")
    return markdown.replace("](docs/", "](") if page.file.src_uri in JOINING.values() else markdown


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuses a page that would fetch something from the network."""
    found = FETCHED.search(output)
    if found is not None:
        raise PluginError(f"{page.file.src_uri}: would fetch from the network: {found[0]}")
    return output
