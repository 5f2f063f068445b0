"""The rules of docs/architecture.md that no linter knows: what may import what, and who may print."""

import ast
import re
from pathlib import Path

import pytest

import vidstyle
from vidstyle import errors

PACKAGE = Path(vidstyle.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = {
    "frames": 0, "settings": 0, "errors": 0, "device": 0, "pixels": 0, "winograd": 0, "starting": 0, "words": 0, "files": 0, "numbered": 0,
    "rectangle": 0, "png": 0,
    "media": 1, "shots": 1, "flow": 1, "vgg": 1, "losses": 1, "color": 1, "blending": 1, "workspace": 1, "stillness": 1, "sheet": 1,
    "terms": 2, "objective": 2, "spread": 2, "way_back": 2, "strips": 2, "region": 2, "targets": 2, "optimize": 2,
    "motion": 2, "guidance": 2, "passes": 2, "recording": 2, "notebook": 2, "joblog": 2, "made": 2, "remote": 2,
    "memory": 2, "stylizer": 3, "plan": 3, "units": 3,
    "pipeline": 4, "evaluate": 4,
    "batch": 5, "preview": 5, "compare": 5, "progress": 5, "report": 5,
    "shards": 6, "cluster": 7,
    "cli": 8, "__main__": 9,
}  # fmt: skip


def identity(path):
    return str(path.relative_to(PACKAGE))


def part(path):
    """`media/decode.py` → `media`, `cli.py` → `cli`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(node, path):
    """Full names that an import statement brings: `from vidstyle.media import base` → `vidstyle.media.base`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = (
            (".".join(("vidstyle", *path.relative_to(PACKAGE).parent.parts)).split("."))[: -node.level + 1 or None] if node.level else []
        )
        stem = ".".join([*package, *([node.module] if node.module else [])])
        return [f"{stem}.{alias.name}" for alias in node.names]
    return []


def imports(path):
    return [name for node in ast.walk(tree(path)) for name in imported(node, path)]


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_imports_point_down_only(path):
    here = part(path)
    if here == "__init__":
        return  # the public names, looked up when they are used
    assert here in LAYERS, f"say in test_layers.py on which layer {here} lies"
    for name in imports(path):
        words = name.split(".")
        if words[0] != "vidstyle" or words[1] in (here, "__version__"):
            continue
        if LAYERS[here] == 0:
            assert LAYERS.get(words[1]) == 0, f"{identity(path)} imports {name}, which is above it"
        else:
            assert words[1] in LAYERS, f"{identity(path)} imports {name} through the package; name the module it comes from"
            beside = LAYERS[here] == 2 and LAYERS[words[1]] == 2
            assert LAYERS[words[1]] < LAYERS[here] or beside, f"{identity(path)} imports {name}, which is beside or above it"


@pytest.mark.parametrize(
    ("library", "parts"), [("av", {"media"}), ("tyro", {"cli"}), ("ray", {"cluster"}), ("fsspec", {"remote"}), ("scenedetect", {"shots"})]
)
def test_a_library_is_used_in_one_place(library, parts):
    assert {part(path) for path in MODULES if library in {name.split(".")[0] for name in imports(path)}} <= parts


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_opencv_stays_on_the_lowest_layers(path):
    if "cv2" in {name.split(".")[0] for name in imports(path)}:
        assert LAYERS[part(path)] <= 1 or part(path) == "evaluate"


def at_module_level(body):
    """Statements that run when the module is imported."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield node
        for inner in ("body", "orelse", "finalbody"):
            yield from at_module_level(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from at_module_level(handler.body)


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_torchvision_and_ray_are_imported_where_they_are_used(path):
    names = {name.split(".")[0] for node in at_module_level(tree(path).body) for name in imported(node, path)}
    assert not names & {"torchvision", "ray", "fsspec"}


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_only_the_commands_print_and_exit(path):
    if part(path) in ("cli", "__main__", "starting"):
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "exit", "quit", "sys.exit", "os._exit"), f"{identity(path)}:{node.lineno} calls {called}"


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_no_error_is_caught_without_a_name(path):
    bare = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler) and node.type is None]
    assert not bare


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_public_functions_and_classes_say_what_they_do(path):
    parsed = tree(path)
    assert ast.get_docstring(parsed), f"{identity(path)} has no docstring"
    for node in parsed.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{identity(path)}:{node.lineno} {node.name} has no docstring"


def test_the_rules_see_what_they_forbid():
    source = "from . import base\nfrom .. import settings\nimport av\ntry:\n    import torchvision\nexcept ImportError:\n    pass\n"
    parsed = ast.parse(source)
    path = PACKAGE / "media" / "example.py"
    names = [name for node in at_module_level(parsed.body) for name in imported(node, path)]
    assert names == ["vidstyle.media.base", "vidstyle.settings", "av", "torchvision"]


def test_the_tree_of_errors_is_the_one_drawn():
    classes = {name: thing for name, thing in vars(errors).items() if isinstance(thing, type)}
    assert sorted(classes) == errors.__all__
    assert all(issubclass(thing, errors.VidstyleError) for thing in classes.values())
    drawn = re.findall(r"^ +(?:[│├└─ ]*)(\w*(?:Error|Memory))\b", errors.__doc__, flags=re.MULTILINE)
    assert sorted(drawn) == errors.__all__
    assert {name for name, thing in classes.items() if thing.exit_code == 2} == {"UsageError", "NotEnoughMemory"}
