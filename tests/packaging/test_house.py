"""The rules of the house that a machine can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = ["core", "runtime", "pipelines", "calibration", "export", "dashboard", "cli"]
# A room may import from itself and from what stands left of it; deploy and benchmarks stand beside
# dashboard, and what deploy promises is measured in benchmarks.
MAY = {room: set(ORDER[: i + 1]) for i, room in enumerate(ORDER)}
MAY["deploy"] = {"core", "runtime", "pipelines", "deploy"}
MAY["cli"] |= {"deploy", "benchmarks"}
MAY["benchmarks"] = {*ORDER[:5], "deploy", "benchmarks"}
IMPURE = {
    "asyncio",
    "multiprocessing",
    "os",
    "pathlib",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
}
# Finds a user's own pipeline beside the config, and is no pipeline itself.
FINDERS = {"registry.py"}


def imports(path: Path):
    """`(level, module)` of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield 0, name.name


def modules(room: str):
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(MAY))
def test_imports_run_one_way(room):
    wrong = []
    for path in modules(room):
        depth = len(path.relative_to(ROOT).parts)
        for level, module in imports(path):
            if level == depth and module:  # reaches the root: `from ..runtime.journal import …`
                target = module.split(".")[0]
                if target not in MAY[room] and (ROOT / target).is_dir():
                    wrong.append(f"{path.relative_to(ROOT)} imports {target}")
            if level == 0 and module.split(".")[0] == "edgelane":
                wrong.append(f"{path.relative_to(ROOT)} imports {module} absolutely")
    assert wrong == []


def needs(path: Path):
    """Modules of the package that a module imports when it is imported itself."""
    here = path.relative_to(ROOT).with_suffix("").parts
    pending = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ROOT.joinpath(*here[: -node.level], *(node.module or "").split("."))
            for name in ("", *(name.name for name in node.names)):
                for found in (base / name / "__init__.py", (base / name).with_suffix(".py")):
                    if found.is_file() and found != path:
                        yield found
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            pending += [] if typing_only else ast.iter_child_nodes(node)


def test_no_import_runs_in_a_circle():
    """What a package's `__init__` gathers counts for that package, not for those inside of it."""
    graph = {
        path: {n for n in needs(path) if n.name != "__init__.py" or n.parent not in path.parents}
        for room in MAY
        for path in modules(room)
    }
    while graph:  # whoever needs nobody that is left is in no circle
        free = {path for path, wanted in graph.items() if not wanted & set(graph)}
        if not free:
            break
        graph = {path: wanted for path, wanted in graph.items() if path not in free}
    assert sorted(str(path.relative_to(ROOT)) for path in graph) == []


def test_core_knows_nothing_but_numpy():
    known = {"numpy"} | set(sys.stdlib_module_names if sys.version_info >= (3, 10) else ())
    foreign = {
        module.split(".")[0]
        for path in modules("core")
        for level, module in imports(path)
        if level == 0 and module.split(".")[0] not in known
    }
    assert sys.version_info < (3, 10) or foreign == set()


def test_pipelines_know_no_clock_thread_file_or_network():
    impure = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules("pipelines")
        if path.name not in FINDERS
        for level, module in imports(path)
        if level == 0 and module.split(".")[0] in IMPURE
    ]
    assert impure == []


def test_files_stay_readable():
    long = {
        str(p.relative_to(ROOT)): n
        for room in MAY
        for p in modules(room)
        for n in [len(p.read_text(encoding="utf-8").splitlines())]
        if n > 500
    }
    assert long == {}


def test_help_loads_no_heavy_library():
    code = (
        "import sys\n"
        "from edgelane.cli.app import run_cli\n"
        "assert run_cli(['--help']) == 0\n"
        "heavy = {'cv2', 'onnx', 'onnxruntime', 'scipy', 'jinja2', 'msgspec', 'tensorrt', 'torch'}"
        " & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Commands" in done.stdout
