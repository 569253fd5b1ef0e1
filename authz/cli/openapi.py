"""`authz openapi`: what is wrong in documents, what they mean, and those of protos and classes. Nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from authz.cli.frameworks import application_option
from authz.cli.options import Group, files_argument, host_option, json_flag, json_option
from authz.errors import DocumentError, UsageError
from authz.model.service import SourceText

if TYPE_CHECKING:
    from authz.frameworks.load import Written
    from authz.sources import Compiled


@click.group(cls=Group)
def openapi() -> None:
    """Check OpenAPI files, show what they mean, and write those of protos and of Python classes."""


@openapi.command(examples=("authz openapi lint openapi.yaml", "authz openapi lint api/*.yaml --json"))
@files_argument
@host_option
@json_option
def lint(files: tuple[Path, ...], service: str, as_json: bool) -> int:
    """Say what is wrong in FILEs, where, and what to write instead.

    Exits with 2 if there are errors; warnings alone exit with 0.
    """
    from authz.cli import screen
    from authz.sources import compile_texts, read_files

    compiled = compile_texts(read_files(files), service=service)
    if as_json:
        screen.print_json(
            {
                "findings": [screen.finding_json(finding) for finding in compiled.findings],
                "errors": len(compiled.errors),
                "warnings": len(compiled.warnings),
            }
        )
    else:
        screen.print_findings(compiled.findings)
        screen.console().print(screen.count(compiled.findings))
    return DocumentError.exit_code if compiled.errors else 0


@openapi.command("compile", examples=("authz openapi compile openapi.yaml > service.json",))
@files_argument
@host_option
@json_option
def compile_(files: tuple[Path, ...], service: str, as_json: bool) -> None:  # noqa: ARG001 - it is JSON anyway
    """Print the service that FILEs describe as google.api.Service JSON.

    All FILEs must describe one service.
    """
    from authz.cli import screen
    from authz.sources import compile_service, read_files, service_json

    texts = read_files(files)
    compiled = without_errors(compile_service(texts, service=service))
    screen.print_json(service_json(compiled.configs[0], texts))


@openapi.command(
    "from-proto",
    examples=(
        "authz openapi from-proto bookstore.proto api_config.yaml > openapi.yaml",
        "authz openapi from-proto bookstore.proto --service bookstore.example.com --output openapi.yaml",
        "authz openapi from-proto bookstore.pb api_config.yaml --version 2.0 --json",
    ),
)
@files_argument
@host_option
@click.option(
    "--version",
    type=click.Choice(("3.0", "3.1", "2.0")),
    default="3.0",
    show_default=True,
    help="The version of OpenAPI to write.",
)
@click.option("--output", metavar="PATH", type=click.Path(path_type=Path), help="Write to this file.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@json_flag("Write JSON instead of YAML.")
def from_proto(
    files: tuple[Path, ...], service: str, version: str, output: Path | None, force: bool, as_json: bool
) -> None:
    """Write the OpenAPI document of annotated protos.

    FILEs are .proto files or a descriptor set, and the google.api.Service YAML files that go with them. The document
    says everything that these say: an operation for each http rule, the RPC behind it (x-authz-grpc), keys and tokens
    as 'security', quotas and backends as extensions. Deployed beside the protos (authz up bookstore.proto openapi.yaml)
    it stands for the YAML files, and from then on it is the one place to change.

    RPCs without an http rule are written as POST /package.Service/Method, where gRPC clients call. What OpenAPI cannot
    say is told on standard error.
    """
    from authz.cli import screen
    from authz.sources import compile_service, read_files
    from authz.sources.document import MAX_BYTES
    from authz.sources.write import as_yaml, openapi

    if output is not None:
        _check_output(output, files, force=force)
    texts = read_files(files)
    (config,) = without_errors(compile_service(texts, service=service)).configs
    if not any(operation.rpc for operation in config.operations):
        raise UsageError("there is no RPC in these files", "Name a .proto file, or a descriptor set, with a service.")
    written = openapi(config, texts, version)
    for remark in written.remarks:
        screen.tell(remark, "warning")
    text = f"{json.dumps(written.document, indent=2, ensure_ascii=False)}\n" if as_json else as_yaml(written.document)
    if len(text) > MAX_BYTES:
        screen.tell(f"the document is larger than {MAX_BYTES // 1_000_000} MB, too large to be deployed", "warning")
    if output is None:
        print(text, end="")
    else:
        _write(output, text)


@openapi.command(
    "from-python",
    examples=(
        "authz openapi from-python main:EchoApi --hostname api.example.com > openapi.json",
        "authz openapi from-python main:EchoApi,GreetApi --version 3 --output documents/",
        "authz openapi from-python main --application src --json",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="MODULE[:NAME,...]...")
@click.option("--hostname", metavar="HOST", help="The host of APIs that name none.")
@click.option(
    "--version",
    type=click.Choice(("2", "3", "2.0", "3.1")),
    help="The version of OpenAPI to write: 2.0 or 3.1.  [2; 3 for apps of other frameworks]",
)
@click.option("--output", metavar="PATH|DIR", help="Write to this file, or into this directory.")
@application_option
@click.option("--api-name", is_flag=True, help="Write x-google-api-name, for several APIs of one host.")
@json_flag("Print JSON: the document, or which files were written; errors too.")
def from_python(
    words: tuple[str, ...],
    hostname: str | None,
    version: str | None,
    output: str | None,
    application: Path,
    api_name: bool,
    as_json: bool,
) -> None:
    """Write the OpenAPI documents of classes that authz.frameworks decorates.

    Imports MODULE and writes a document for each API and version of the NAMEs: classes, API objects or apps; without
    a NAME, of all that the module declares. One document goes to standard output, several go into files of the
    directory, under the names that endpointscfg gave them: echov1openapi.json. Files there are written over.

    The documents can be deployed as they are. If several of one host would have one API name, each is given its own.
    """
    from authz.cli import screen
    from authz.frameworks.load import documents, load

    if hostname and ("/" in hostname or hostname.split() != [hostname]):
        hint = "Write it without scheme and path, for example api.example.com."
        raise UsageError(f"'{hostname}' is no host name", hint)
    things = load(words, application)
    made = documents(
        things,
        version=None if version is None else "2.0" if version.startswith("2") else "3.1",
        hostname=hostname,
        api_name=api_name,
        place=application,
    )
    if output is None and len(made) == 1:
        print(made[0].text, end="")
        return
    files = _files(made, output)
    for one, file in zip(made, files, strict=True):
        _write(file, one.text)
    if as_json:
        rows = zip(made, files, strict=True)
        screen.print_json([{"api": d.name, "version": d.version, "file": str(f)} for d, f in rows])


def _files(made: Sequence[Written], output: str | None) -> list[Path]:
    """Where each document goes: into a directory, which is made, unless there is one document and a file is named."""
    directory = Path(output or "")
    if output and len(made) == 1 and not directory.is_dir() and not output.endswith("/"):
        if directory.is_file() and not _is_document(directory):
            raise UsageError(f"{directory} exists, and is no document", "Name another file to write to.")
        return [directory]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Several documents go into a directory: name one with --output."
        raise UsageError(f"{directory} cannot be a directory: {error.strerror}", hint) from None
    return [directory / one.file for one in made]


def _is_document(path: Path) -> bool:
    """Whether a file is what is written here anyway, or empty, so that nothing else is lost."""
    try:
        with path.open("rb") as file:
            return file.read(1) in {b"", b"{"}
    except OSError:
        return True


def _check_output(path: Path, files: Sequence[Path], *, force: bool) -> None:
    if path.absolute() in {file.absolute() for file in files}:
        raise UsageError(f"{path} is read, and cannot be written", "Name another file to write to.")
    if path.exists() and not force:
        raise UsageError(f"{path} exists", "Name another file, or pass --force to write over it.")


def _write(path: Path, text: str) -> None:
    from authz.cli import screen

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "Check the directory and its permissions."
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint) from None
    screen.tell(f"wrote {path}")


def compiled_or_raise(texts: Sequence[SourceText], service: str) -> Compiled:
    """What the texts mean, service by service; warnings go to standard error.

    Raises:
        DocumentError: lint found errors.
    """
    from authz.sources import compile_texts

    return without_errors(compile_texts(texts, service=service))


def without_errors(compiled: Compiled) -> Compiled:
    """The same, with its warnings printed.

    Raises:
        DocumentError: lint found errors.
    """
    from authz.cli import screen

    if compiled.errors:
        raise DocumentError(tuple(compiled.findings))
    screen.print_findings(compiled.warnings, err=True)
    return compiled
