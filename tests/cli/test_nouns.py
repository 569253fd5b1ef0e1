"""Keys, consumers, quota, configs and rollouts: each verb as a person and as a program sees it."""

import json

import pytest
from click.testing import CliRunner

from authz.cli import root

API = """\
swagger: '2.0'
info: {title: Shop, version: 1.0.0}
host: shop.example
x-google-management:
  metrics: [{name: reads, valueType: INT64, metricKind: DELTA}]
  quota:
    limits: [{name: reads-per-minute, metric: reads, unit: '1/min/{project}', values: {STANDARD: 10}}]
paths:
  /books:
    get:
      operationId: ListBooks
      x-google-quota: {metricCosts: {reads: 1}}
      security: [{key: []}]
      responses: {200: {description: ok}}
  /open:
    get: {operationId: Open, responses: {200: {description: ok}}, security: []}
securityDefinitions:
  key: {type: apiKey, in: query, name: key}
"""
OPENED = API.replace("      security: [{key: []}]\n", "")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTHZ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def invoke(*words, **more):
        return CliRunner().invoke(root, list(words), **more)

    return invoke


@pytest.fixture
def read(run):
    def answer(*words):
        result = run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return answer


@pytest.fixture
def deployed(run, tmp_path):
    (tmp_path / "api.yaml").write_text(API)
    assert run("deploy", "api.yaml").exit_code == 0


def test_a_key_alone_goes_to_standard_output_so_that_a_script_can_take_it(run):
    result = run("keys", "create", "--consumer", "acme")

    assert result.exit_code == 0
    assert len(result.stdout.split()) == 1
    assert "consumer acme (new); its text is shown only now" in result.stderr


def test_a_key_is_shown_once_and_recognised_by_its_beginning_afterwards(run, read):
    key = run("keys", "create", "--consumer", "acme").stdout.strip()

    (listed,) = read("keys", "list")

    assert key not in run("keys", "list").output
    assert key.startswith(listed["begins"].rstrip("…"))
    assert read("keys", "describe", key)["uid"] == read("keys", "describe", listed["uid"][:6])["uid"] == listed["uid"]


def test_restrictions_are_kept(read):
    made = read(
        *("keys", "create", "--consumer", "acme", "--service", "shop.example", "--expires", "30d", "--name", "prod"),
        *("--allow-ip", "10.0.0.0/8", "--allow-ip", "192.0.2.7", "--api-target", "shop.example=ListBooks,Get*"),
    )

    assert made["allow_ips"] == ["10.0.0.0/8", "192.0.2.7"]
    assert made["api_targets"] == [{"service": "shop.example", "methods": ["ListBooks", "Get*"]}]
    assert made["services"] == ["shop.example"]
    assert made["expires_at"] - made["created_at"] == 30 * 86400
    assert made["name"] == "prod"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--allow-referrer", "https://shop.example/*"], ("allow_referrers", ["https://shop.example/*"])),
        (["--allow-ios", "com.example.App"], ("ios_bundles", ["com.example.App"])),
        (
            ["--allow-android", "com.example.app=" + "aB" * 20],
            ("android_apps", [{"package": "com.example.app", "sha1": "AB" * 20}]),
        ),
    ],
)
def test_each_kind_of_client_can_be_allowed(words, kept, read):
    name, value = kept

    assert read("keys", "create", "--consumer", "acme", *words)[name] == value


@pytest.mark.parametrize(
    "words",
    [
        ["--allow-ip", "10.0.0.0/99"],
        ["--allow-android", "com.example.app"],
        ["--allow-referrer", "no scheme"],
        ["--expires", "soon"],
        ["--service", "not a host"],
        ["--import", "short"],
    ],
)
def test_a_restriction_that_makes_no_sense_is_refused_and_nothing_is_made(words, run, read):
    result = run("keys", "create", "--consumer", "acme", *words)

    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert read("keys", "list") == []


def test_a_key_from_elsewhere_is_read_from_standard_input(run, read):
    result = run("keys", "create", "--consumer", "acme", "--import", "-", input="an-old-key-of-ours\n")

    assert result.stdout == "an-old-key-of-ours\n"
    assert read("keys", "describe", "an-old-key-of-ours")["consumer"] == "acme"


def test_a_revoked_key_says_so(run, read):
    key = run("keys", "create", "--consumer", "acme").stdout.strip()

    assert read("keys", "revoke", key)["state"] == "revoked"
    assert "revoked" in run("keys", "list").stdout


def test_a_rotated_key_works_on_for_its_grace(run, read):
    key = run("keys", "create", "--consumer", "acme").stdout.strip()

    result = run("keys", "rotate", key, "--grace", "1d")

    assert result.stdout.strip() != key
    assert "stops working at" in result.stderr
    assert [one["state"] for one in read("keys", "list")] == ["active", "active"]


def test_an_unknown_key_is_a_wrong_usage(run):
    assert run("keys", "describe", "nothing").exit_code == 2


def test_consumers_are_made_suspended_activated_and_deleted(run, read):
    made = read("consumers", "create", "acme", "--number", "4711", "--kind", "app")
    assert made == {"name": "acme", "number": 4711, "kind": "APP", "status": "active"}
    assert read("consumers", "suspend", "acme")["status"] == "suspended"
    assert read("consumers", "activate", "acme")["status"] == "active"
    assert read("consumers", "delete", "acme")["status"] == "deleted"
    assert "acme  4711" in run("consumers", "list").stdout


def test_a_typing_mistake_is_answered_with_what_was_meant(run):
    run("consumers", "create", "acme")

    assert "acme" in run("consumers", "suspend", "acmee").stderr


@pytest.mark.usefixtures("deployed")
def test_a_consumer_gets_a_limit_of_its_own_and_loses_it_again(run, read):
    run("consumers", "create", "acme")
    own = {"service": "shop.example", "consumer": "acme", "metric": "reads", "limit": "", "value": 5000}

    assert read("quota", "set", "5000", "--consumer", "acme", "--metric", "reads") == own
    assert read("quota", "list") == [own]
    assert "5000" in run("quota", "list").stdout
    assert run("quota", "unset", "--consumer", "acme", "--metric", "reads").exit_code == 0
    assert read("quota", "list") == []


@pytest.mark.usefixtures("deployed")
def test_unlimited_is_a_word(run, read):
    run("consumers", "create", "acme")

    assert read("quota", "set", "unlimited", "--consumer", "acme", "--limit", "reads-per-minute")["value"] == -1
    assert "unlimited" in run("quota", "list").stdout


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("words", [["many", "--metric", "reads"], ["5", "--metric", "writes"], ["5"]])
def test_a_limit_that_cannot_be_is_refused(words, run):
    run("consumers", "create", "acme")

    assert run("quota", "set", *words, "--consumer", "acme").exit_code == 2


def test_a_deploy_without_a_gateway_says_that_it_waits_for_one(run, tmp_path):
    (tmp_path / "api.yaml").write_text(API)

    result = run("deploy", "api.yaml")

    assert result.exit_code == 0
    assert result.stdout.startswith("shop.example 20")
    assert "no gateway" in result.stdout


@pytest.mark.usefixtures("deployed")
def test_the_same_text_is_nothing_new_and_a_change_is_told(run, read, tmp_path):
    assert "(nothing new)" in run("deploy", "api.yaml").stdout
    (tmp_path / "api.yaml").write_text(OPENED)

    (service,) = read("deploy", "api.yaml")["services"]

    assert [(change["subject"], change["dangerous"]) for change in service["changes"]] == [("GET /books", True)]
    assert service["state"] == "no gateway"
    assert service["is_new"]


@pytest.mark.usefixtures("deployed")
def test_programs_need_not_wait(read):
    assert read("deploy", "api.yaml", "--no-wait")["services"][0]["state"] == "not waited for"


@pytest.mark.usefixtures("deployed")
def test_a_config_is_listed_shown_and_printed_as_it_was_deployed(run, read):
    (config,) = read("configs", "list")

    assert (config["service"], config["share"], config["files"]) == ("shop.example", 100, ["api.yaml"])
    assert config["config"] in run("configs", "list").stdout
    assert "/books" in run("configs", "show", config["config"]).stdout
    assert run("configs", "show", config["config"], "--source").stdout.strip() == API.strip()
    assert [row["guard"] for row in read("configs", "show", config["config"])["operations"]] == ["API key", "open"]


@pytest.mark.usefixtures("deployed")
def test_traffic_is_split_and_rolled_back(run, read, tmp_path):
    (tmp_path / "api.yaml").write_text(OPENED)
    run("deploy", "api.yaml")
    new, old = [config["config"] for config in read("configs", "list")]

    split = read("rollouts", "create", f"{new}=20", f"{old}=80")
    back = read("rollouts", "rollback", "--to", old)

    assert split["shares"] == {new: 20, old: 80}
    assert back["shares"] == {old: 100}
    assert "pending" in run("rollouts", "list").stdout
    assert [rollout["shares"] for rollout in read("rollouts", "list")][:2] == [{old: 100}, {new: 20, old: 80}]


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("shares", [["x=1"], ["2026=20"], ["a=b"]])
def test_shares_that_make_no_sense_are_refused(shares, run):
    assert run("rollouts", "create", *shares).exit_code == 2


def test_an_empty_store_says_so(run):
    assert run("configs", "list").stdout == "nothing has been deployed yet\n"
    assert run("rollouts", "list").stdout == "nothing has been rolled out yet\n"
    assert run("consumers", "list").stdout == "no consumers\n"
    assert run("quota", "list").stdout == "no consumer has a limit of its own\n"
    assert run("keys", "list").stdout.startswith("no keys")


def test_a_database_that_is_none_is_one_message(run, tmp_path):
    run("keys", "list")
    for file in (tmp_path / "data").iterdir():
        file.write_bytes(b"this is no database, whatever its name says" * 100)

    result = run("keys", "list")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "unexpected" not in result.stderr


def test_a_data_directory_that_is_a_file_is_one_message(run, tmp_path):
    (tmp_path / "data").write_text("")

    result = run("keys", "list")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "unexpected" not in result.stderr


@pytest.mark.usefixtures("deployed")
def test_explain_says_what_a_call_reaches_and_why_it_fails(run, read):
    people = run("explain", "GET", "/books")
    key = run("keys", "create", "--consumer", "acme").stdout.strip()
    program = read("explain", "GET", "/books", "--key", key)

    assert people.exit_code == 1
    assert "operation  1.shop_example.ListBooks" in people.stdout
    assert "fail  401 KEY_MISSING" in people.stdout
    assert program["passes"]
    assert (program["guard"], program["quota"], program["consumer"]) == ("API key", "1 of 10/min reads", "acme")


@pytest.mark.usefixtures("deployed")
def test_explain_tells_what_is_allowed(run):
    told = json.loads(run("explain", "PUT", "/books", "--json").stdout)

    assert (told["status"], told["allow"]) == (405, ["GET"])


def test_explain_judges_by_a_file_too(run, tmp_path):
    (tmp_path / "api.yaml").write_text(API)

    assert run("explain", "GET", "/open", "--file", "api.yaml").stdout.endswith("pass  The call passes.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["GET", "books"], "neither a path nor a URL"),
        (["GET", "/books", "-H", "no header"], "is no header"),
        (["GET", "/books", "--file", "missing.yaml"], "does not exist"),
    ],
)
def test_explain_refuses_what_it_cannot_read(words, message, run, tmp_path):
    (tmp_path / "api.yaml").write_text(API)

    result = run("explain", *words, *([] if "--file" in words else ["--file", "api.yaml"]))

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("words", "stdin"), [(["--import", "-"], "\n"), (["--import", "-"], ""), (["--import", " "], "")]
)
def test_an_import_of_nothing_makes_no_key(run, words, stdin):
    result = run("keys", "create", "--consumer", "acme", *words, input=stdin)

    assert (result.exit_code, "no key to import" in result.output) == (2, True)
    assert run("keys", "list", "--json").stdout == "[]\n"


def test_explain_wants_a_caller_s_address_that_is_one(run):
    result = run("explain", "GET", "/v1/shelves", "--from", "somewhere")

    assert (result.exit_code, "'somewhere' is no IP address" in result.output) == (2, True)
