"""Who a document speaks for: service name, base path, and the name of its API."""

from __future__ import annotations

import re

from authz.model.paths import PathError, Template
from authz.model.service import Api
from authz.sources.extensions import refuse_placeholder
from authz.sources.node import Node
from authz.sources.openapi.backends import is_host

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]")
_NOT_IN_VERSIONS = re.compile(r"[^A-Za-z0-9.]")


def service_name(node: Node, key: str, text: str) -> str:
    """A host as a service name; '' (and a finding) if it is none."""
    if refuse_placeholder(node, key, text):
        return ""
    why = host_fault(text)
    if why:
        node.report(
            "host-invalid", f"'{text}' is not a service name: {why}", "Write, for example, api.example.com.", key
        )
        return ""
    return text


def host_fault(text: str) -> str:
    """Why a text cannot name a service, or ''."""
    if "/" in text:
        return "it holds a scheme or a path"
    if ":" in text:
        return "it holds a port"
    if text != text.lower():
        return "it holds capital letters"
    return "" if is_host(text) and "_" not in text and text[-1] != "." else "it is not a DNS name"


def base_path(node: Node, key: str, text: str) -> str:
    """A base path without its last slash; '' for the root."""
    path = text.rstrip("/")
    if not path or refuse_placeholder(node, key, text):
        return ""
    try:
        template = Template.parse(path)
        if template.is_exact and not template.verb and not template.variables:
            return path
    except PathError:
        pass
    message = f"'{text}' is not a base path"
    node.report("base-path", message, "Begin with a slash, and leave out wildcards, variables and blanks.", key)
    return ""


def api(root: Node, name: str, host: str, base: str) -> Api:
    """The API of a document, named as Google's compiler names it: `[MAJOR.]NAME`."""
    info = root.child("info")
    if info is None:
        if root.value.get("info") is None:
            root.report("field-missing", "the document has no 'info'", "Add 'info' with 'title' and 'version'.")
        return Api(api_name("", name, host), "", "", base)
    for field in ("title", "version"):
        if info.value.get(field) in (None, ""):
            info.report("field-missing", f"'info' has no '{field}'", f"Add '{field}'.")
    version = info.label("version")
    return Api(api_name(version, name, host), version, info.label("title"), base)


def api_name(version: str, name: str, host: str) -> str:
    """`1.library_example_com` from version 1.2.3 and the host, or from x-google-api-name if there is one."""
    if not name:
        name = _NOT_IN_NAMES.sub("_", host)
        name = name if name[:1].isalpha() else f"_{name}"
    parts = version.split(".")
    major = _NOT_IN_VERSIONS.sub("_", parts[0] if len(parts) == 3 else version)
    return f"{major}.{name}" if major else name
