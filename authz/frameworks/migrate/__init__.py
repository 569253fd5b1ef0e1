"""What code written for the old Endpoints library needs before it runs here: findings, by reading, not by running it.

    from authz.frameworks.migrate import check
    for finding in check(["main", "services/", Path("api.py")], directory="src"):
        print(finding)          # api.py:12: error import-endpoints: … and the remedy on the next line

`check(things, directory=".")` takes modules by dotted name, files, directories, or `Source(name, text)`, and returns
`model.findings.Finding`s by file and line. Errors keep the code from running or from being safe; warnings tell what
behaves differently here. `RULES` lists every code with its sentence. Nothing is imported from the checked code, and
Python 2 is read too: what only Python 2 understands is a finding, and the rest of the file is read around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from authz.frameworks.migrate import behaviour, declarations, imports, methods, python2, server
from authz.frameworks.migrate.reading import names, parse
from authz.frameworks.migrate.reading.sources import Source, read
from authz.frameworks.migrate.rules import RULES, Found, finding
from authz.model.findings import Finding, Rule

_CHECKS = (imports.check, declarations.check, methods.check, server.check, behaviour.check, python2.check)


def check(things: Iterable[Source | Path | str], directory: str | Path = ".") -> tuple[Finding, ...]:
    """Everything that needs attention, by file (in the order given) and line.

    Raises:
        UsageError: a name is neither a file, nor a directory, nor a module below `directory` or on sys.path.
    """
    sources = dict.fromkeys(source for thing in things for source in read(thing, directory))
    modules = [parse.parse(source) for source in sources]
    found = [finding(module.name, one) for module in modules for one in _of_module(module)]
    found += declarations.shared_urls(modules)
    order = {source.name: place for place, source in enumerate(sources)}
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (order[one.file], one.line)))


def _of_module(module: names.Module) -> Iterator[Found]:
    yield from module.repairs
    for look in _CHECKS:
        yield from look(module)


__all__ = ["RULES", "Finding", "Rule", "Source", "check"]
