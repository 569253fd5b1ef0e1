"""What code expects of the server around it: the environment, tokens, statuses, members that are unknown."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from authz.frameworks.migrate.reading.names import Module, constant
from authz.frameworks.migrate.rules import Found

USER_VARIABLES: Final = (
    "ENDPOINTS_AUTH_EMAIL", "ENDPOINTS_AUTH_DOMAIN", "ENDPOINTS_USE_OAUTH_SCOPE", "USER_EMAIL", "USER_ID",
    "AUTH_DOMAIN", "USER_IS_ADMIN", "USER_NICKNAME", "HTTP_AUTHORIZATION", "OAUTH_EMAIL", "OAUTH_USER_ID",
    "FEDERATED_IDENTITY",
)  # fmt: skip
APPENGINE_VARIABLES: Final = (
    "SERVER_SOFTWARE", "APPLICATION_ID", "CURRENT_VERSION_ID", "CURRENT_MODULE_ID", "DEFAULT_VERSION_HOSTNAME",
    "REQUEST_LOG_ID", "REQUEST_ID_HASH", "INSTANCE_ID", "ENDPOINTS_SERVICE_NAME", "ENDPOINTS_SERVICE_VERSION",
    "HTTP_HOST", "REMOTE_ADDR", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD",
)  # fmt: skip
UNRECOGNIZED: Final = ("all_unrecognized_fields", "get_unrecognized_field_info", "set_unrecognized_field")
INFINITE: Final = ("nan", "inf", "infinity")
REWRITTEN: Final = {
    501: "a method that a path does not have is 405 with Allow, and no longer 501",
    503: "a method's exception is 500, and no longer 503",
}


def check(module: Module) -> Iterator[Found]:
    """Findings of one module."""
    yield from _environment(module)
    yield from _tokens(module)
    yield from _exceptions(module)
    yield from _statuses(module)
    yield from _numbers(module)
    for attribute in module.all(ast.Attribute):
        if attribute.attr in UNRECOGNIZED:
            hint = "Declare the fields; for parameters, in a ResourceContainer."
            yield Found("unrecognized-fields", attribute.lineno, f"{attribute.attr} is not here", hint)


def _environment(module: Module) -> Iterator[Found]:
    for node in module.nodes:
        name = _variable(module, node)
        if name in USER_VARIABLES:
            hint = "Use endpoints.get_current_user(), or self.request_state.headers in a method."
            yield Found("environ-user", getattr(node, "lineno", 0), f"{name} is read from the environment", hint)
        elif name in APPENGINE_VARIABLES:
            hint = "Use a setting of your own, or self.request_state in a method."
            yield Found("environ-appengine", getattr(node, "lineno", 0), f"{name} is read from the environment", hint)


def _variable(module: Module, node: ast.AST) -> object:
    """The variable that `os.environ[...]`, `.get(...)` or `os.getenv(...)` reads; None for anything else."""
    if isinstance(node, ast.Subscript):
        return constant(node.slice) if module.refers(node.value) == "os.environ" else None
    if isinstance(node, ast.Call) and node.args:
        called = module.refers(node.func)
        return constant(node.args[0]) if called in {"os.environ.get", "os.getenv", "os.environ.has_key"} else None
    if isinstance(node, ast.Compare) and module.refers(node.comparators[0]) == "os.environ":
        return constant(node.left)
    return None


def _tokens(module: Module) -> Iterator[Found]:
    for name, call in module.calls():
        if name == "endpoints.get_verified_jwt":
            hint = "Declare issuers and audiences, and read endpoints.get_current_user().claims."
            yield Found("verified-jwt", call.lineno, "a token is verified in the method", hint)
    if "endpoints" not in {name.partition(".")[0] for name in module.table.values()}:
        return
    for call in module.all(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "user_id":
            hint = "Data that was stored by e-mail address needs it still: .email()."
            yield Found("user-id", call.lineno, "user_id() is the subject of the token, for every issuer", hint)


def _numbers(module: Module) -> Iterator[Found]:
    for call in module.all(ast.Call):
        text = constant(call.args[0]) if call.args else None
        if ast.unparse(call.func) == "float" and isinstance(text, str) and text.lower().strip("+-") in INFINITE:
            hint = "Leave the field unset instead: JSON has no such number, and an answer with one is 500."
            yield Found("not-a-number", call.lineno, f"float({text!r}) is made", hint)


def _exceptions(module: Module) -> Iterator[Found]:
    for node in module.all(ast.ClassDef):
        status = _own_status(node)
        if status and any(ast.unparse(base).endswith("Exception") for base in node.bases):
            message = f"{node.name} is answered with {ast.unparse(status)} itself, whatever that is"
            yield Found("custom-status", node.lineno, message, "Choose the status that clients should see.")
    raised = [call.lineno for name, call in module.calls() if name == "endpoints.InternalServerErrorException"]
    if raised:
        message = "InternalServerErrorException is answered with 500; clients saw 503"
        yield Found("status-500", min(raised), message, "Tell clients that wait and repeat on 503.")


def _own_status(node: ast.ClassDef) -> ast.expr | None:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "http_status":
            return statement.value
    return None


def _statuses(module: Module) -> Iterator[Found]:
    """501 and 503 where they are compared, as clients and tests do."""
    for node in module.nodes:
        for one in _compared(node):
            status = constant(one)
            if type(status) is int and status in REWRITTEN:
                yield Found("status-rewritten", one.lineno, REWRITTEN[status], "Expect the status that was raised.")


def _compared(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2].startswith("assert"):
        return node.args
    return []
