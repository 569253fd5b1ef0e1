"""What methods do themselves: users that may be nobody, and results that are missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, TypeAlias

from authz.frameworks.migrate.reading.names import Module, constant, keyword
from authz.frameworks.migrate.rules import Found

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_USER: Final = "endpoints.get_current_user"


def check(module: Module) -> Iterator[Found]:
    """Findings of one module."""
    for function in module.nodes:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            decorator = _method(module, function)
            yield from _nobody(module, function, decorator)
            if decorator is not None:
                yield from _nothing(module, function, decorator)


def _method(module: Module, node: ast.AST) -> ast.Call | None:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return next(
        (one for one in decorators if isinstance(one, ast.Call) and module.refers(one.func) == "endpoints.method"),
        None,
    )


# -- optional authentication --------------------------------------------------------------------------------------


def _nobody(module: Module, function: _Function, decorator: ast.Call | None) -> Iterator[Found]:
    if decorator is not None and constant(keyword(decorator, "optional_auth")) is True:
        return
    users = {name for node in ast.walk(function) for name in _keeps_user(module, node)}
    for node in ast.walk(function):
        if isinstance(node, ast.If | ast.IfExp) and _goes_on(module, node, users):
            message = f"{function.name} goes on when nobody is signed in; with audiences the gateway answers 401 before"
            place = "endpoints.method" if decorator is not None else "the methods that call it"
            hint = f"Say optional_auth=True in {place} if callers without a token are welcome."
            yield Found("optional-auth", node.lineno, message, hint)
            return


def _keeps_user(module: Module, node: ast.AST) -> list[str]:
    """The names that the current user is assigned to."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and module.refers(node.value.func) == _USER:
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _goes_on(module: Module, node: ast.If | ast.IfExp, users: set[str]) -> bool:
    """Whether the branch for nobody ends otherwise than by an exception."""
    is_there = _asks_for_user(module, node.test, users)
    if is_there is None:
        return False
    if isinstance(node, ast.IfExp):
        return True
    branch = node.orelse if is_there else node.body
    return not _raises(branch) and (bool(branch) or not is_there or _has_return(node.body))


def _asks_for_user(module: Module, test: ast.expr, users: set[str]) -> bool | None:
    """True for `if user`, False for `if not user`; None if it is about something else."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _asks_for_user(module, test.operand, users)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        asked = (_asks_for_user(module, one, users) for one in test.values)
        return next((one for one in asked if one is not None), None)
    if isinstance(test, ast.Compare) and isinstance(test.comparators[0], ast.Constant):
        if test.comparators[0].value is not None or not _is_user(module, test.left, users):
            return None
        return isinstance(test.ops[0], ast.IsNot | ast.NotEq)
    return True if _is_user(module, test, users) else None


def _is_user(module: Module, node: ast.expr, users: set[str]) -> bool:
    if isinstance(node, ast.NamedExpr):
        node = node.value
    called = isinstance(node, ast.Call) and module.refers(node.func) == _USER
    return called or (isinstance(node, ast.Name) and node.id in users)


def _raises(statements: list[ast.stmt]) -> bool:
    return bool(statements) and isinstance(statements[-1], ast.Raise)


def _has_return(statements: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Return) for statement in statements for node in ast.walk(statement))


# -- results ------------------------------------------------------------------------------------------------------


def _nothing(module: Module, function: _Function, decorator: ast.Call) -> Iterator[Found]:
    given = decorator.args[1] if len(decorator.args) > 1 else keyword(decorator, "response_message")
    if given is None or module.refers(given) == "message_types.VoidMessage" or _raises(function.body):
        return
    own = [node for node in _own(function) if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom)]
    if not any(node.value is not None for node in own):
        message = f"{function.name} returns nothing, but declares {ast.unparse(given)}: every call is answered with 500"
        hint = "Return the message, or declare message_types.VoidMessage for 204."
        yield Found("returns-nothing", function.lineno, message, hint)


def _own(function: _Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside."""
    rest: list[ast.AST] = list(function.body)
    while rest:
        node = rest.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            rest.extend(ast.iter_child_nodes(node))
