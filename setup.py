"""The checkout is the package: its root is imported as `edgelane`, its folders as the rooms."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOMS = (
    "core",
    "runtime",
    "pipelines",
    "calibration",
    "export",
    "dashboard",
    "deploy",
    "cli",
    "benchmarks",
)


class BuildRoom(build_py):
    """Of the root's own modules only the package's are taken, or setup.py would ship."""

    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        if package == "edgelane":
            modules = [m for m in modules if m[1] in ("__init__", "__main__")]
        return modules


def packages():
    found = ["edgelane"]
    for room in ROOMS:
        found.append(f"edgelane.{room}")
        found.extend(f"edgelane.{room}.{name}" for name in find_packages(room))
    return found


if __name__ == "__main__":
    setup(
        packages=packages(),
        package_dir={"edgelane": ".", **{f"edgelane.{room}": room for room in ROOMS}},
        cmdclass={"build_py": BuildRoom},
    )
