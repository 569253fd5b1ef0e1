"""Every kind of finding: its code, how bad it is, and the rule in one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from authz.model.findings import Finding, Rule, Severity

_E, _W = Severity.ERROR, Severity.WARNING


RULES: tuple[Rule, ...] = (
    # What the code is written in.
    Rule("python2-syntax", _E, "Code is Python 3."),
    Rule("python2-name", _E, "Names that only Python 2 has are not used."),
    Rule("python2-module", _E, "Modules that only Python 2 has are not imported."),
    Rule("python2-import", _E, "A module beside this one in a package is imported with a dot."),
    Rule("unreadable", _E, "A file is text that can be read as Python, or at least around what cannot."),
    # Imports, and names that are not here.
    Rule("import-endpoints", _E, "The decorators come from authz.frameworks."),
    Rule("import-protorpc", _E, "Messages and services come from authz.frameworks."),
    Rule("import-management", _E, "Keys, tokens and quotas are the gateway's; no middleware is put around the server."),
    Rule("import-appengine", _E, "Libraries of App Engine's first runtime have no place here."),
    Rule("name-gone", _E, "A name of the old library that is used exists here."),
    Rule("appengine-argument", _W, "Arguments that only App Engine read have no effect."),
    Rule("server-argument", _E, "api_server takes what servers here take."),
    Rule("server-trust", _W, "A server whose methods ask who calls is told by what it knows its gateway."),
    Rule("server-defaults", _W, "What a server does only when it is told to, and did always, is asked for."),
    # Declarations that are refused, or mean more than they did.
    Rule("argument-refused", _E, "Decorators get arguments that they take."),
    Rule("http-method-case", _W, "http_method counts in capitals, so that two spellings are one method."),
    Rule("base-path-default", _W, "An API without base_path is served below /_ah/api/, as ever."),
    Rule("client-ids-enforced", _W, "Clients that allowed_client_ids leaves out are turned away by the gateway."),
    Rule("scopes-enforced", _W, "Tokens without the scopes are turned away by the gateway."),
    Rule("versions-share-urls", _E, "Two versions of one API in one server differ in the major version."),
    Rule("integer-range", _W, "Integers keep within their variant; true is none."),
    Rule("bytes-default", _E, "BytesField takes bytes, and StringField text."),
    # What methods do.
    Rule("optional-auth", _W, "A method that serves callers without a token says optional_auth=True."),
    Rule("returns-nothing", _W, "A method returns the message that it declares."),
    Rule("environ-user", _E, "Who calls is asked of get_current_user, not of the environment."),
    Rule("environ-appengine", _W, "The environment of App Engine is not there."),
    Rule("verified-jwt", _W, "The gateway verifies tokens; methods read their claims."),
    Rule("user-id", _W, "user_id() is the token's subject, and no longer None."),
    Rule("custom-status", _W, "An exception's http_status is the answer's status."),
    Rule("status-500", _W, "An unexpected exception and InternalServerErrorException are 500, not 503."),
    Rule("status-rewritten", _W, "405 and 500 are no longer answered as 501 and 503."),
    Rule("not-a-number", _W, "NaN and infinite numbers are neither read nor written."),
    Rule("unrecognized-fields", _E, "Members that a message does not have are not kept."),
)

_SEVERITIES = {rule.code: rule.severity for rule in RULES}


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of a module whose name is known elsewhere: what it is, and what to write instead."""

    code: str
    line: int
    message: str
    hint: str = ""


def finding(file: str, found: Found) -> Finding:
    """The finding, with its file and how bad it is."""
    return Finding(found.code, _SEVERITIES[found.code], file, found.line, found.message, found.hint)
