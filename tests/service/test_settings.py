import pytest
from pydantic import ValidationError

from service.settings import (
    Settings,
    describe_invalid_settings,
    environment_name,
    settings_markdown,
    unknown_environment_names,
)


def test_defaults_are_valid_and_complete() -> None:
    settings = Settings()
    assert settings.http_port == 8000
    assert settings.models == ("affectsrnet-x4", "affectsrnet-x8")


def test_every_field_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_environment_is_read_when_settings_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTSR_HTTP_PORT", "9000")
    monkeypatch.setenv("AFFECTSR_MODELS", "affectsrnet-x8@2, affectsrnet-x4")
    settings = Settings()
    assert settings.http_port == 9000
    assert settings.models == ("affectsrnet-x8@2", "affectsrnet-x4")


def test_wrong_value_is_named_with_its_variable_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTSR_HTTP_PORT", "70000")
    with pytest.raises(ValidationError) as info:
        Settings()
    message = describe_invalid_settings(info.value)
    assert message == ("AFFECTSR_HTTP_PORT=70000: Input should be less than or equal to 65535")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"queue_capacity": 8}, "raise queue_capacity to at least 17"),
        ({"request_timeout_ms": 200_000}, "must not exceed max_request_timeout_ms, 120000"),
        ({"max_body_bytes": 4096}, "max_image_bytes is 8388608; it must not exceed"),
        ({"min_image_side_px": 64, "max_image_side_px": 32}, "min_image_side_px is 64"),
    ],
)
def test_bounds_that_contradict_each_other_are_refused(values: dict[str, int], says: str) -> None:
    with pytest.raises(ValidationError) as info:
        Settings.model_validate(values)
    assert says in describe_invalid_settings(info.value)


def test_admission_stays_below_the_queue() -> None:
    settings = Settings(queue_capacity=40)
    assert settings.admission_capacity < settings.queue_capacity


def test_misspelt_variables_are_found() -> None:
    names = ["AFFECTSR_HTTP_PROT", "AFFECTSR_HTTP_PORT", "PATH"]
    assert unknown_environment_names(names) == ["AFFECTSR_HTTP_PROT"]


def test_variables_that_kubernetes_writes_are_no_misspelling() -> None:
    names = ["AFFECTSR_PORT", "AFFECTSR_SERVICE_HOST", "AFFECTSR_PORT_8000_TCP_ADDR"]
    assert unknown_environment_names(names) == []
    assert not {environment_name(field) for field in Settings.model_fields} & set(names)


def test_markdown_table_has_a_row_for_each_field() -> None:
    table = settings_markdown()
    for name in Settings.model_fields:
        assert f"| `{environment_name(name)}` |" in table
    assert "| `16777216` bytes |" in table
