"""Prose measure: question words and semicolons per 1,000 words of docstrings, comments and documents.

    python -m tests.prose [ROOT]    # the table of every package and document

The models of this project (dramatiq, procrastinate, warehouse, cog) have 0 to 2.4 and 0 to 6.8.
"""

import ast
import io
import re
import sys
import tokenize
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TESTED = ("common", "catalogue", "rest", "worker", "keeper", "logs", "local", "client", "training")
_SERVICES = ("rest", "worker", "keeper", "logs")
_SCRIPTS = ("build-images.sh", "deploy-all.sh", "deploy-local-dev.sh")
#: The measured folders and files of each package, relative to the root.
PACKAGES: dict[str, tuple[str, ...]] = {
    "common": ("common/src",),
    "catalogue": ("catalogue/src",),
    "rest": ("rest/src", "rest/rest-server.py"),
    "worker": ("worker/src", "worker/worker-server.py", "worker/send-request.py"),
    "keeper": ("keeper/src",),
    "logs": ("logs/src",),
    "local": ("local/src", "sample-requests.py"),
    "client": ("client/src",),
    "bench": ("bench",),
    "training": ("training/src",),
    "tests": ("tests", "conftest.py", *(f"{each}/tests" for each in _TESTED)),
    "web": ("web/src", "web/tests", "web/vite.config.ts"),
    "manifests": (
        "deploy",
        "redis",
        "minio",
        *(f"{each}/k8s" for each in _TESTED),
        "compose.yaml",
        *_SCRIPTS,
    ),
    "build": (
        *("Makefile", "pyproject.toml", ".ci/run", "compose.env.example", ".dockerignore"),
        *(f"{each}/pyproject.toml" for each in _TESTED),
        *(f"{each}/Dockerfile" for each in _SERVICES),
    ),
}
#: Records of measurements and trials are kept as they were written.
_RECORDS = ("docs/measurements/", "training/TRIALS.md")
_QUESTION_WORDS = {"what", "whatever", "whoever", "whose", "who", "nobody", "somebody"}
_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
_FENCE = re.compile(r"^(```|~~~).*?^\1", flags=re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"(`+).+?\1", flags=re.DOTALL)
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_DIRECTIVE = re.compile(r"#\s*(noqa|type:|!|shellcheck|yaml-language-server)")
#: Comments of other languages, by the suffix or the name of a file.
_HASH_COMMENT = re.compile(r"(?:^|\s)##?:? (.*)", re.M)
_LUA_COMMENT = re.compile(r"(?:^|\s)-- ?(.*)", re.M)
_SCRIPT_COMMENT = re.compile(r"^\s*(?://|/\*\*|\*(?!/)) ?(.*?)(?: ?\*/)?$", re.M)
_COMMENTS = {
    ".lua": _LUA_COMMENT,
    **dict.fromkeys((".ts", ".tsx", ".mjs"), _SCRIPT_COMMENT),
    **dict.fromkeys((".yaml", ".sh", ".toml", ".conf", ".example"), _HASH_COMMENT),
    **dict.fromkeys(("Makefile", "Dockerfile", "run", ".dockerignore"), _HASH_COMMENT),
}
#: Denials by a noun, where `is not` or a verb is plainer. "There is no file" is allowed.
_DENIAL = re.compile(r"(?<![Tt]here )\b(?:is|are|was|were) (?:no|none)\b(?! longer| more)")


@dataclass(frozen=True)
class Measure:
    """Counts in a text."""

    words: int
    question_words: int
    semicolons: int

    @classmethod
    def of(cls, text: str) -> "Measure":
        """Measure prose. Inline code counts as one word, so that its punctuation is not prose."""
        prose = _INLINE_CODE.sub("code", text)
        words = _WORD.findall(prose)
        return cls(len(words), sum(word.lower() in _QUESTION_WORDS for word in words), prose.count(";"))

    @property
    def question_rate(self) -> float:
        """Question words per 1,000 words."""
        return 1000 * self.question_words / max(1, self.words)

    @property
    def semicolon_rate(self) -> float:
        """Semicolons per 1,000 words."""
        return 1000 * self.semicolons / max(1, self.words)


def measure_code(root: Path, folders: Iterable[str]) -> Measure:
    """Measure docstrings and comments of Python, and comments of the other languages."""
    return Measure.of(read_code(root, folders))


def read_code(root: Path, folders: Iterable[str]) -> str:
    """Return the docstrings and comments in these folders and files."""
    return "\n".join(
        text for folder in folders for file in _files(root / folder) for text in _code_prose(file)
    )


def measure_document(path: Path) -> Measure:
    """Measure a Markdown document without its code blocks."""
    return Measure.of(read_document(path))


def read_document(path: Path) -> str:
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def find_denials(text: str) -> list[str]:
    """Return each denial by a noun ("is" and "no") with some text around."""
    prose = " ".join(_INLINE_CODE.sub("code", text).split())
    return [prose[max(0, each.start() - 40) : each.end() + 20] for each in _DENIAL.finditer(prose)]


def documents(root: Path) -> list[Path]:
    """Return the Markdown documents that limits apply to."""
    found = (path for path in sorted(root.glob("**/*.md")) if not _is_hidden(path.relative_to(root)))
    return [path for path in found if not path.relative_to(root).as_posix().startswith(_RECORDS)]


def _is_hidden(path: Path) -> bool:
    """Return whether the file is hidden, or of an npm package."""
    return any(part.startswith(".") or part == "node_modules" for part in path.parts)


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(file for file in place.glob("**/*") if file.is_file())


@cache
def _code_prose(file: Path) -> list[str]:
    if file.suffix == ".py":
        source = file.read_text(encoding="utf-8")
        return [*_docstrings(source), *_comments(source)]
    pattern = _COMMENTS.get(file.suffix) or _COMMENTS.get(file.name)
    return pattern.findall(file.read_text(encoding="utf-8")) if pattern else []


def _docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED):
            yield ast.get_docstring(node) or ""


def _comments(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string):
            yield token.string.lstrip("#: ")


def measure_all(root: Path) -> Iterator[tuple[str, Measure]]:
    """Yield the name and the measure of each package and document."""
    for package, folders in PACKAGES.items():
        yield package, measure_code(root, folders)
    for document in documents(root):
        yield str(document.relative_to(root)), measure_document(document)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1])
    lines = ["| text | words | question words per 1,000 | semicolons per 1,000 |", "|---|---:|---:|---:|"]
    for name, each in measure_all(parser.parse_args().root):
        lines.append(f"| {name} | {each.words:,} | {each.question_rate:.1f} | {each.semicolon_rate:.1f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
