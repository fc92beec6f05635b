"""Says in one sentence what is missing on this machine before kiromi can be installed, or says nothing.

Runs with whatever Python is there, however old: it uses only the syntax and the library of early Python 3. It compiles
a small program in the way hnswlib will be compiled, since hnswlib has no binary package. It installs nothing.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile

REQUIRED = (3, 11)
_PLAIN = "#include <vector>\nint main() { return static_cast<int>(std::vector<int>().size()); }\n"


def python_problem(running: "tuple[int, ...]") -> "str | None":
    """Return what is wrong with a Python of version ``running``, or None."""
    if running >= REQUIRED:
        return None
    return (
        "kiromi needs Python {} or newer, and {} is Python {}: name a newer one, as in `make test PYTHON=python3.12`."
    ).format(_dotted(REQUIRED), sys.executable, _dotted(running))


def venv_problem() -> "str | None":
    """Return why this Python cannot make virtual environments, or None."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        return (
            "{} cannot make virtual environments ({}): install its venv module"
            " (Debian, Ubuntu: apt-get install python{}-venv)."
        ).format(sys.executable, error, _dotted(sys.version_info[:2]))
    return None


def compiler_command() -> "list[str]":
    """Return the C++ compiler that building a package will call: ``CXX``, else the one this Python was built with."""
    return shlex.split(os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++")


def compiler_problem(compiler: "list[str]") -> "str | None":
    """Return why ``compiler`` cannot build a C++ extension of this Python, or None."""
    reason = "it is not installed" if shutil.which(compiler[0]) is None else _compile_error(compiler, _PLAIN)
    if reason is not None:
        return (
            "kiromi needs a C++ compiler, because hnswlib comes as source only, and `{}` does not work ({}):"
            " install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++;"
            " macOS: xcode-select --install) or set CXX."
        ).format(" ".join(compiler), reason)
    reason = _compile_error(compiler, "#include <Python.h>\n" + _PLAIN)
    if reason is not None:
        return (
            "kiromi needs the C headers of {}, because hnswlib comes as source only, and they cannot be used ({}):"
            " install them (Debian, Ubuntu: apt-get install python3-dev; Fedora: dnf install python3-devel)."
        ).format(sys.executable, reason)
    return None


def _compile_error(compiler: "list[str]", source: str) -> "str | None":
    """Compile and link ``source``; return the first error that the compiler prints, or None."""
    options = ["-std=c++14", "-I", sysconfig.get_paths()["include"]]
    if sys.platform != "darwin":
        options.append("-fopenmp")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "probe.cpp")
        with open(path, "w") as file:
            file.write(source)
        command = compiler + options + [path, "-o", os.path.join(folder, "probe")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = process.communicate()[0].decode("utf-8", "replace").splitlines()
    if process.returncode == 0:
        return None
    return next((line.strip() for line in lines if "error" in line), "exit code {}".format(process.returncode))


def _dotted(version: "tuple[int, ...]") -> str:
    return ".".join(str(part) for part in version)


def main() -> int:
    """Print the first problem on stderr and return 1, or return 0."""
    problem = python_problem(tuple(sys.version_info[:2])) or venv_problem() or compiler_problem(compiler_command())
    if problem is None:
        return 0
    sys.stderr.write(problem + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
