from dispatcher.settings import Settings, load
from dispatcher.settings.show import kind, rows


def test_every_setting_has_a_row_with_its_origin_and_a_sentence() -> None:
    shown = {row.name: row for row in rows(load({"DP__LISTEN_ADDR": ":80"}))}
    assert list(shown) == [f"DISPATCHER_{attribute.upper()}" for attribute in Settings.model_fields]
    assert (shown["DISPATCHER_LISTEN"].value, shown["DISPATCHER_LISTEN"].source) == (":80", "DP__LISTEN_ADDR")
    assert (shown["DISPATCHER_MESSAGE_MAX_BYTES"].value, shown["DISPATCHER_MESSAGE_MAX_BYTES"].source) == (
        "3Mi",
        "default",
    )
    assert shown["DISPATCHER_ASYNC_ACK"].value == "false"
    assert all(row.text.endswith(".") for row in shown.values())


def test_passwords_in_the_store_url_are_masked() -> None:
    (row,) = [
        row
        for row in rows(load({"DISPATCHER_STORE": "s3://user:hunter2@host/bucket?secret=hunter3&region=x"}))
        if row.name == "DISPATCHER_STORE"
    ]
    assert row.value == "s3://***@host/bucket?***"


def test_a_password_is_not_shown_at_all() -> None:
    shown = {row.name: row.value for row in rows(load({"DISPATCHER_KAFKA_SASL_PASSWORD": "hunter2"}))}
    assert shown["DISPATCHER_KAFKA_SASL_PASSWORD"] == "***"


def test_what_is_shown_can_be_set_again() -> None:
    environ = {row.name: row.value for row in rows(load({}))}
    assert load(environ).settings == Settings()


def test_every_setting_has_a_kind() -> None:
    assert {kind(attribute) for attribute in Settings.model_fields} == {
        "text",
        "folder",
        "size",
        "number",
        "names",
        "true or false",
        "sqlite or memory",
        "text or json",
        "lz4 or gzip or none",
        "PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512",
        "PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL",
        "DEBUG or INFO or WARNING or ERROR",
    }
