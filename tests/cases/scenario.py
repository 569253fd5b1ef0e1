"""A case of `espv2_requests.json` made ready to run: a service of its own, its backends, keys, tokens and settings."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authz.model.auth import ConsumerStatus, Restrictions
from harness.http import Request, Response
from harness.issuer import Issuer

HOST = "api.example.test"

# ESPv2's spelling of a start-up setting -> ours. A function where the values differ.
# fmt: off
FLAGS: dict[str, Any] = {
    "normalize_path": "normalize_path",
    "merge_slashes": "merge_slashes",
    "escaped_slashes": "escaped_slashes",
    "disallow_colon_in_wildcard_path_segment": lambda v: ("colon_in_wildcards", "false" if v == "true" else "true"),
    "xff_num_trusted_hops": "trusted_hops",
    "use_remote_address": "use_remote_address",
    "client_ip_from_forwarded_header": "client_ip_from_forwarded",
    "disable_jwt_audience_service_name_check": lambda v: ("default_audience", "false" if v == "true" else "true"),
    "jwt_pad_forward_payload_header": "pad_user_info",
    "add_request_headers": "add_request_headers",
    "add_response_headers": "add_response_headers",
    "append_request_headers": "append_request_headers",
    "append_response_headers": "append_response_headers",
    "enable_operation_name_header": "operation_name_header",
    "generated_header_prefix": "header_prefix",
    "underscores_in_headers": "underscores_in_headers",
    "cors_preset": "cors_preset",
    "cors_allow_origin": "cors_allow_origin",
    "cors_allow_origin_regex": "cors_allow_origin_regex",
    "cors_allow_methods": "cors_allow_methods",
    "cors_allow_headers": "cors_allow_headers",
    "cors_expose_headers": "cors_expose_headers",
    "cors_allow_credentials": "cors_allow_credentials",
    "cors_max_age": lambda v: ("cors_max_age", str(int(v[:-1]) * {"s": 1, "m": 60, "h": 3600}[v[-1]])),
    "healthz": "health_path",
    "backend_retry_ons": "retry_on",
    "backend_retry_num": "retry_count",
    "backend_retry_on_status_codes": "retry_status_codes",
    "enable_response_compression": "compression",
    "enable_strict_transport_security": "strict_transport_security",
    "connection_buffer_limit_bytes": "buffer_limit_bytes",
    "health_check_grpc_backend": "health_check_grpc_backend",
    "health_check_grpc_backend_no_traffic_interval": lambda v: (
        "health_check_grpc_backend_no_traffic_interval", v.removesuffix("s")
    ),
    **{
        f"transcoding_{name}": f"transcoding_{name}"
        for name in (
            "always_print_primitive_fields", "always_print_enums_as_ints", "preserve_proto_field_names",
            "stream_newline_delimited", "ignore_unknown_query_parameters", "case_insensitive_enum_parsing",
            "ignore_query_parameters", "query_parameters_disable_unescape_plus", "match_unregistered_custom_verb",
        )
    },
    "ssl_server_cert_path": lambda _: ("tls_self_signed", "true"),
}
# fmt: on
# Settings that say how the case was arranged, not what the gateway is told.
NOT_FLAGS = {
    "all operations need JWT and key",
    "default API key locations",
    "backend_auth",
    "backend",
    "network_fail_policy",
}


@dataclass(frozen=True)
class Key:
    text: str
    number: int
    services: tuple[str, ...] = ()
    restrictions: Restrictions = field(default_factory=Restrictions)
    status: ConsumerStatus = ConsumerStatus.ACTIVE


@dataclass
class Scenario:
    """One case. `texts` have `${BACKEND}` and the like still in them: ports are known when servers run."""

    case: dict[str, Any]
    number: int

    @property
    def id(self) -> str:
        return str(self.case["id"])

    @property
    def host(self) -> str:
        return f"c{self.number}.example.test"

    @property
    def summary(self) -> dict[str, Any]:
        return dict(self.case["config_summary"])

    @property
    def settings(self) -> frozenset[tuple[str, str]]:
        """What the case's gateway is started with; cases with the same settings share a gateway."""
        given: dict[str, str] = {}
        for flag in self.summary.get("settings", []):
            name, _, value = flag.partition("=")
            if name in NOT_FLAGS or flag in NOT_FLAGS:
                continue
            known = FLAGS[name]
            given.update([known(value)] if callable(known) else [(known, value)])
        if self.case["category"] == "method_override":
            given["method_override"] = "true"
        if self.summary.get("token_source"):
            given["backend_auth"] = "oauth2"
        if self.summary.get("backend_behaviour") == "connection refused":
            given["backend"] = "http://127.0.0.1:9"
        return frozenset(given.items())

    def document(self, places: Mapping[str, str]) -> str:
        document = json.loads(json.dumps(self.summary["openapi"]))
        self._system_parameters(document)
        if self.summary.get("allow_without_credential"):
            for _, operation in operations(document):
                operation["x-authz-optional"] = True
        for rule in self.summary.get("usage_rules", []):
            for _, operation in operations(document):
                if operation.get("operationId") == rule["selector"] and rule.get("skip_service_control"):
                    operation["security"] = []
        return self.fill(self._json_names(json.dumps(document)), places)

    def _system_parameters(self, document: dict[str, Any]) -> None:
        """`system_parameters` belong to service YAML; in OpenAPI the same is said with a scheme per place."""
        for rule in self.summary.get("system_parameters", []):
            schemes: dict[str, Any] = {}
            for parameter in rule["parameters"]:
                if name := parameter.get("url_query_parameter"):
                    schemes[f"q_{name}"] = {"type": "apiKey", "in": "query", "name": name}
                if name := parameter.get("http_header"):
                    schemes[f"h_{name}"] = {"type": "apiKey", "in": "header", "name": name}
            document["securityDefinitions"] = schemes
            for _, operation in operations(document):
                operation["security"] = [{name: []} for name in schemes]

    def _json_names(self, text: str) -> str:
        """`field_json_names` come from a descriptor; in OpenAPI a parameter's own name is the query's name."""
        for snake, name in self.summary.get("field_json_names", {}).items():
            text = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(snake)}(?![A-Za-z0-9_])", name, text)
        return text

    def fill(self, text: str, places: Mapping[str, str]) -> str:
        for name in ("JWKS", "OIDC"):
            text = text.replace(f"https://${{{name}}}", f"http://{places[name]}")
        if self.summary.get("jwks_server") == "404":
            text = text.replace(f"http://{places['JWKS']}/", f"http://{places['JWKS']}/404/")
        for name, value in places.items():
            text = text.replace(f"${{{name}}}", value)
        return text.replace(HOST, self.host)

    @property
    def check_error(self) -> str:
        """What ESPv2's control plane would say of the key."""
        answers = self.summary.get("check_server_answers")
        return (
            str(answers["check_errors"][0]["code"]) if isinstance(answers, dict) and "check_errors" in answers else ""
        )

    def own(self) -> list[Key]:
        """The keys that the case's control plane knows."""
        given = self.summary.get("api_keys", {})
        path, ip = self.case["request"]["path"], self.case["expect"].get("check_request", {}).get("caller_ip")
        if self.check_error:
            return self._refused_key()
        if given == "any":
            words = " ".join([path, *self.case["request"]["headers"].values()])
            return [Key(text, key_number(text)) for text in re.findall(r"key-\d+", words)]
        if ip:
            restrictions = Restrictions(allow_ips=("127.0.0.1" if ip == "${PEER_IP}" else ip,))
            return [Key(self.renamed("api-key"), 123456, restrictions=restrictions)]
        return [Key(text, key_number(text)) for text in given]

    def own_keys(self, path: str) -> str:
        """A path as this case's request has it: with its own key's text."""
        return path.replace("api-key", self.renamed("api-key")) if "check_request" in self.case["expect"] else path

    def own_name(self, text: str) -> str:
        """A name that was made of the service's, made of this case's."""
        return text.replace(re.sub(r"\W", "_", HOST), re.sub(r"\W", "_", self.host))

    @property
    def alpn(self) -> tuple[str, ...]:
        """What the backend speaks."""
        return ("h2", "http/1.1") if "h2-and-http1" in str(self.summary.get("backend_behaviour")) else ("http/1.1",)

    def renamed(self, text: str) -> str:
        """A key text that no other case uses: this case's key is special."""
        return f"{text}-{self.number}"

    def _refused_key(self) -> list[Key]:
        text, number = self.renamed("some-key"), 900000 + self.number
        match self.check_error:
            case "SERVICE_NOT_ACTIVATED":
                return [Key(text, number, services=("elsewhere.example.test",))]
            case "IP_ADDRESS_BLOCKED":
                return [Key(text, number, restrictions=Restrictions(allow_ips=("203.0.113.9",)))]
            case "REFERER_BLOCKED":
                return [Key(text, number, restrictions=Restrictions(allow_referrers=("https://elsewhere.example/*",)))]
            case "PROJECT_DELETED":
                return [Key(text, number, status=ConsumerStatus.DELETED)]
            case "PERMISSION_DENIED":
                return [Key(text, number, status=ConsumerStatus.SUSPENDED)]
        return []

    def tokens(self, issuer: Issuer, other: Issuer) -> dict[str, str]:
        made = {}
        for name, given in self.summary.get("tokens", {}).items():
            claims = {k: v for k, v in given.items() if k not in {"alg", "signed_by"}}
            if isinstance(exp := claims.get("exp"), str):
                claims["exp"] = int(time.time()) + {"h": 3600, "m": 60, "s": 1}[exp[-1]] * int(exp[:-1])
            own = json.loads(json.dumps(claims).replace(HOST, self.host))
            made[name] = (other if "signed_by" in given else issuer).token(**own)
        return made

    def request(self, tokens: Mapping[str, str]) -> tuple[str, str, list[tuple[str, str]], bytes | None]:
        request = self.case["request"]
        path, headers = request["path"], dict(request["headers"])
        if "pad so that the whole :path" in path:
            path = path.split("...")[0].ljust(9000, "x")
        if self.check_error:
            path = path.replace("some-key", self.renamed("some-key"))
        path = self.own_keys(path)
        path = with_tokens(path, tokens)
        body = request.get("body")
        data = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return request["method"], path, [(k, with_tokens(v, tokens)) for k, v in headers.items()], data

    def answer(self, request: Request, earlier: int) -> Response:
        """What the case's backend does; `earlier` requests came before this one."""
        behaviour = str(self.summary.get("backend_behaviour", ""))
        if (match := re.match(r"(\d+) twice then 200", behaviour)) and earlier < 2:
            return Response(int(match[1]))
        if request.method == "OPTIONS":
            return Response(
                204 if self.case["expect"].get("status") == 204 else 200, [("access-control-allow-origin", "*")]
            )
        if match := re.search(r"/simpleget/(\d{3})$", request.path):
            return Response(int(match[1]))
        size = 4096 if "compressible" in behaviour else 2
        echoes = [(f"Echo-{name}", value) for name, value in request.headers]
        return Response(200, [("content-type", "application/json"), *echoes], b'"' + b"x" * size + b'"')


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    methods = ("get", "put", "post", "delete", "options", "head", "patch")
    return [(m, item[m]) for item in document["paths"].values() for m in methods if m in item]


def key_number(text: str) -> int:
    """The consumer whose key this is; every text has its own, so that an answer tells which key was used."""
    return 123456 if text in {"api-key", "api-key-2"} else 1000 + sum(text.encode()) * 7


def with_tokens(text: str, tokens: Mapping[str, str]) -> str:
    text = re.sub(r"\$\{jwt:(\w+)\}", lambda m: tokens[m[1]], text)
    return re.sub(
        r"\$\{b64url_(nopad|pad)\(payload\((\w+)\)\)\}", lambda m: payload(tokens[m[2]], pad=m[1] == "pad"), text
    )


def payload(token: str, *, pad: bool) -> str:
    part = token.split(".")[1]
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    text = base64.urlsafe_b64encode(data).decode()
    return text if pad else text.rstrip("=")
