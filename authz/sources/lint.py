"""Every finding there is: its code, how bad it is, and the rule in one sentence."""

from __future__ import annotations

from authz.model.findings import Finding, Rule, Severity

_E, _W = Severity.ERROR, Severity.WARNING


RULES: tuple[Rule, ...] = (
    # The file.
    Rule("file-empty", _E, "A file holds an OpenAPI document."),
    Rule("file-too-large", _E, "A document has at most 10 MB."),
    Rule("file-not-text", _E, "A document is text without NUL characters."),
    Rule("file-syntax", _E, "A document is well-formed YAML or JSON."),
    Rule("several-documents", _E, "A YAML file holds one document."),
    Rule("duplicate-key", _E, "A key stands once in a mapping."),
    Rule("too-many-aliases", _E, "A document has at most 200 YAML aliases, and merges at most 10,000 keys."),
    Rule("alias-cycle", _E, "A YAML alias does not contain itself."),
    Rule("too-deep", _E, "A document is nested at most 100 levels deep."),
    Rule("not-a-mapping", _E, "A document is a mapping."),
    # OpenAPI's own fields.
    Rule(
        "not-openapi",
        _E,
        "A document says 'swagger: \"2.0\"', 'openapi: 3.x.y' or 'type: google.api.Service' at its root.",
    ),
    Rule("version-unsupported", _E, "OpenAPI 2.0, 3.0 and 3.1 are supported."),
    Rule("wrong-type", _E, "A field has the type that OpenAPI or the extension gives it."),
    Rule("bad-value", _E, "A field with a few possible values has one of them."),
    Rule("field-missing", _E, "A field that is needed is there."),
    Rule("unknown-field", _W, "An extension has no fields that mean nothing."),
    Rule("placeholder", _E, "Placeholders in host, paths and backends are filled in before a deploy."),
    Rule("placeholder-token", _W, "No token passes while issuer, key set or audience are placeholders."),
    Rule("host-missing", _E, "A service has a name: 'host', an absolute server URL, or one given with --service."),
    Rule("host-invalid", _E, "A host is a lower-case DNS name or address without a port."),
    Rule("host-port", _W, "The port of a server URL, or of localhost, is no part of the service name."),
    Rule("hosts-differ", _E, "Documents that make one service name the same host."),
    Rule("base-path", _E, "A base path begins with a slash and has no wildcards or variables."),
    Rule("server-ignored", _W, "One server gives the service name and base path; others are left aside."),
    Rule("path-invalid", _E, "A path is a template of whole segments."),
    Rule("path-duplicate", _E, "Two operations of one method do not match the same paths."),
    Rule("no-operations", _W, "A document has at least one operation."),
    Rule("method-ignored", _W, "GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS are served; TRACE is not."),
    Rule("operation-id-missing", _E, "An operation of OpenAPI 2.0 has an operationId."),
    Rule("operation-id-derived", _W, "An operation of OpenAPI 3.x without an operationId is named by method and path."),
    Rule("operation-id-duplicate", _E, "An operationId, reduced to letters, digits and '_', stands once in an API."),
    Rule("api-name", _E, "An API name is a lower-case letter, then at most 39 lower-case letters or digits."),
    Rule("api-conflict", _E, "Documents of one service differ in API name or major version."),
    Rule("ref-dangling", _E, "A '$ref' that matters leads to a part of the document."),
    Rule("ref-cycle", _E, "A '$ref' does not lead back to itself."),
    Rule("ref-external", _E, "A '$ref' that matters stays inside the document."),
    # Security.
    Rule("scheme-undefined", _E, "A security requirement names a scheme that the document defines."),
    Rule("scheme-invalid", _E, "A security scheme has the fields of its type."),
    Rule("scheme-conflict", _E, "Documents of one service that define a scheme twice define it alike."),
    Rule(
        "scheme-unsupported", _W, "Schemes other than apiKey and JWT are not checked and need another one beside them."
    ),
    Rule("security-unchecked", _E, "No way into an operation consists of schemes that cannot be checked."),
    Rule("security-two-jwts", _E, "One security requirement object names at most one JWT scheme."),
    Rule("security-two-keys", _W, "Two API key schemes in one object are two places of one key."),
    Rule("security-key-or-jwt", _W, "API key OR token accepts either; Cloud Endpoints never checked the key there."),
    Rule("security-scopes", _W, "Scopes of JWT schemes are enforced; Cloud Endpoints ignored them."),
    Rule("scopes-ignored", _W, "Scopes mean nothing beside an API key."),
    Rule("client-ids-unused", _W, "Allowed client ids restrict tokens and need a JWT scheme."),
    Rule("jwt-location", _E, "A JWT location is one of header, query or cookie; only a header has a prefix."),
    # Extensions.
    Rule("unknown-extension", _W, "An x-google- or x-authz- extension is one of the known ones."),
    Rule("extension-misplaced", _W, "An extension stands where it is read."),
    Rule("extension-later", _W, "x-authz-cors is kept for later: this version does not act on it."),
    Rule("allow-value", _E, "x-google-allow is 'all' or 'configured'."),
    Rule("endpoints-many", _E, "x-google-endpoints has one entry, and one server has x-google-endpoint."),
    Rule("endpoints-name", _E, "The name of an endpoint is the host name."),
    Rule("endpoints-differ", _E, "Documents of one service agree on x-google-endpoint."),
    Rule("backend-address", _E, "A backend address is scheme://host[:port][/path], scheme http, https, grpc or grpcs."),
    Rule("backend-auth", _E, "A backend has jwt_audience or disable_auth, not both."),
    Rule("backend-deadline", _W, "A deadline is more than 0 seconds and at most a year; otherwise 15 apply."),
    Rule("backend-undefined", _E, "An OpenAPI 3.x backend is one of x-google-api-management.backends."),
    Rule("timeout-value", _E, "A stream timeout is more than 0 seconds and at most a year."),
    Rule("websocket-method", _W, "WebSocket is declared where it begins: at GET operations."),
    # gRPC.
    Rule("descriptor-invalid", _E, "A descriptor set is a serialised FileDescriptorSet whose files fit together."),
    Rule("descriptor-imports", _E, "A descriptor set holds everything that its files import."),
    Rule("descriptor-conflict", _E, "Descriptor sets of one service mean the same by one file or service name."),
    Rule("descriptors-missing", _E, "A google.api.Service YAML, and a document that names RPCs, comes with protos."),
    Rule("api-undefined", _E, "'apis' names services that the protos have."),
    Rule("api-unlisted", _W, "Where 'apis' names services, those that it leaves out are not served."),
    Rule("selector-invalid", _E, "A selector is a comma list of package.Service.Method, package.Service.* or *."),
    Rule("selector-unmatched", _W, "A selector matches a method of the service."),
    Rule("http-method-undefined", _E, "An http rule is for a method of the service."),
    Rule("http-pattern", _E, "An http rule has one method with one path."),
    Rule("http-nested", _E, "Additional bindings have no additional bindings."),
    Rule("http-field", _E, "A path variable names a single scalar field of the request."),
    Rule("http-body", _E, "'body' is '*' or a field of the request."),
    Rule("http-response-body", _E, "'response_body' names a google.api.HttpBody field of the response."),
    Rule("http-body-mixed", _E, "The bindings of one method agree on google.api.HttpBody in body and response_body."),
    Rule("http-streaming", _E, "A method that takes a stream of requests has no http rule."),
    Rule("backend-rpc", _E, "A gRPC backend speaks HTTP/2 and keeps the path of its calls; a REST backend is http."),
    Rule("backend-unbound", _W, "gRPC calls reach a REST backend by an http rule, as one request and one answer."),
    Rule("backend-audience", _E, "The backends of one RPC, for gRPC and for REST, ask for one token or for none."),
    Rule("rule-overruled", _W, "What OpenAPI operations say of their RPC holds; a service YAML says nothing else."),
    Rule("grpc-undefined", _E, "An operation names an RPC that the protos have."),
    Rule("grpc-ambiguous", _E, "An operationId that names an RPC is a method of one service."),
    Rule(
        "grpc-unnamed",
        _W,
        "An operation with a gRPC backend says which RPC of the protos it is, or has the name of one.",
    ),
    Rule("grpc-unserved", _W, "Beside a document that names RPCs, others have an http rule or stand among 'apis'."),
    Rule(
        "allow-grpc",
        _W,
        "x-google-allow: all is not for backends that take gRPC: it opens all RPCs without an operation.",
    ),
    Rule("grpc-disagree", _E, "Operations of one RPC have one requirement, costs, stream timeout and backend."),
    Rule("grpc-query", _E, "A query parameter of an RPC is a field that neither its path nor its body fills."),
    Rule("grpc-credential", _W, "A query parameter that carries a credential is no field of an RPC."),
    Rule("grpc-list", _W, "A list in the query of an RPC is its name once for each value: multi, or exploded."),
    Rule("grpc-body", _E, "The body of an RPC is JSON, and its properties are fields of the message."),
    Rule("grpc-type", _E, "Parameters and properties of an RPC have types that their fields take from JSON."),
    Rule("transcoding-differs", _E, "Documents of one service say the same of an option of x-authz-transcoding."),
    Rule("transcoding-streams", _E, "A stream is server-sent events or lines of JSON, not both."),
    Rule("transcoding-unused", _W, "x-authz-transcoding is for services with RPCs."),
    Rule("grpc-response", _W, "What an answer of an RPC shows are fields of its response."),
    # Quotas.
    Rule("metric-undefined", _E, "Costs and limits name metrics that are declared."),
    Rule("metric-duplicate", _E, "A metric is declared once."),
    Rule("metric-kind", _E, "A metric is INT64 and DELTA; GAUGE means the same."),
    Rule("limit-duplicate", _E, "A limit's name stands once in a service."),
    Rule("limit-name", _E, "A limit's name is its metric's, or has at most 64 letters, digits and '-'."),
    Rule("limit-unit", _E, "A limit of OpenAPI 2.0 has the unit '1/min/{project}'."),
    Rule("limit-value", _E, "A limit has one value, STANDARD: 0 or more, or -1 for unlimited."),
    Rule("cost-value", _E, "A metric cost is an integer, 0 or more."),
)

_SEVERITIES = {rule.code: rule.severity for rule in RULES}


class Findings:
    """What was found so far, each remark once. `has_errors`: something among it stops a deploy."""

    __slots__ = ("_found", "has_errors")

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self.has_errors = False

    def add(self, code: str, file: str, line: int, message: str, hint: str = "") -> None:
        """Remember a finding; its severity is the rule's."""
        finding = Finding(code, _SEVERITIES[code], file, line, message, hint)
        self._found[finding] = None
        self.has_errors = self.has_errors or finding.severity is Severity.ERROR

    def all(self, files: tuple[str, ...] = ()) -> tuple[Finding, ...]:
        """All findings, by file (in the order given) and line."""
        order = {file: index for index, file in enumerate(files)}
        return tuple(sorted(self._found, key=lambda found: (order.get(found.file, len(order)), found.line)))
