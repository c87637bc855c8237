"""Settings in force: masked, hashed, compared; the reference; secrets in files."""

from pathlib import Path
from typing import Any

import pytest

from trader.settings import Settings
from trader.settings_file import (
    CredentialUnseen,
    SecretError,
    config_hash,
    credential_file,
    effective_settings,
    load_settings,
    read_secret,
    reference,
    reload_difference,
)
from trader.settings_file.reference import texts
from trader.settings_file.schema import keys

ROOT = Path(__file__).resolve().parents[3]


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"instruments": ["AAPL"], **sections})


@pytest.mark.parametrize(
    "url",
    ["postgresql://trader:hunter2@db/books", "postgresql+psycopg://trader:p@hunter2@db:5432/books?sslmode=require"],
)
def test_it_masks_the_password_of_a_database(url: str) -> None:
    shown = effective_settings(settings(journal={"url": url}))["journal"]["url"]
    assert "hunter2" not in shown
    assert "trader:********@db" in shown


def test_it_masks_a_secret_among_the_parameters_of_a_strategy() -> None:
    shown = effective_settings(settings(strategy={"parameters": {"api_key": "hunter2", "window": 5}}))
    assert shown["strategy"]["parameters"] == {"api_key": "********", "window": 5}


def test_it_gives_the_same_hash_to_the_same_settings() -> None:
    assert config_hash(settings()) == config_hash(settings(mode="simulated"))
    assert config_hash(settings()) != config_hash(settings(gateway={"port": 4001}))
    assert len(config_hash(settings())) == 12


def test_it_lets_a_reload_change_limits_and_nothing_else() -> None:
    old = settings(journal={"url": "postgresql://trader:old@db/books"})
    new = settings(
        gateway={"port": 4001},
        instruments=["AAPL", "MSFT"],
        risk={"max_open_orders": 5, "daily_loss_limit": 100},
        execution={"cross_ticks": 2, "order_type": "MKT"},
        journal={"url": "postgresql://trader:new@db/books"},
    )
    changed, problems = reload_difference(old, new)
    assert changed == ["execution.cross_ticks", "risk.max_open_orders", "risk.daily_loss_limit"]
    assert [problem.split(" ")[0] for problem in problems] == [
        "gateway.port",
        "instruments",
        "execution.order_type",
        "journal.url",
    ]
    assert "(4002 → 4001): restart it" in problems[0]
    assert "trader:new" not in problems[3]


def test_it_finds_no_difference_between_equal_settings() -> None:
    assert reload_difference(settings(), settings()) == ([], [])


def test_it_describes_every_key_in_the_reference() -> None:
    described = {field for _, field in texts()}
    assert [path for path, _ in keys() if path[-1] not in described] == []


def test_it_keeps_the_committed_reference_current() -> None:
    committed = (ROOT / "docs" / "configuration.md").read_text()
    assert committed == reference(), "run: trader check --reference > docs/configuration.md"


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "token"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_it_reads_a_secret_without_the_end_of_its_line(tmp_path: Path) -> None:
    assert read_secret(secret_file(tmp_path, b"hunter2\n")) == "hunter2"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"hunter2", 0o644, "others can read it .mode 0644.; run: chmod 600"),
        (b"hunter2", 0o640, "others can read it"),
        (b" \n", 0o600, "is empty"),
        (b"\xff\xff", 0o600, "not UTF-8"),
        (b"x" * 70_000, 0o600, "is larger than"),
    ],
)
def test_it_refuses_a_secret_that_is_open_to_others_or_unusable(
    tmp_path: Path, content: bytes, mode: int, message: str
) -> None:
    with pytest.raises(SecretError, match=message) as raised:
        read_secret(secret_file(tmp_path, content, mode))
    assert "hunter2" not in str(raised.value)


def test_it_refuses_a_secret_that_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="cannot be read"):
        read_secret(tmp_path)
    with pytest.raises(SecretError, match="cannot be read"):
        read_secret(tmp_path / "missing")


def test_it_takes_a_credential_that_systemd_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = secret_file(tmp_path, b"hunter2", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert credential_file("token") == file
    assert credential_file("other") is None
    assert credential_file("../token") is None
    assert read_secret(file) == "hunter2"


def test_it_has_no_credential_outside_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert credential_file("token") is None


def test_a_setting_that_names_a_credential_means_the_file_that_systemd_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_file(tmp_path, b"hunter2", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(Path("credential:token")) == "hunter2"
    with pytest.raises(SecretError, match="systemd passed no credential of this name; add LoadCredential=other:FILE"):
        read_secret(Path("credential:other"))


@pytest.mark.parametrize("name", ["", ".", "..", "../token", "a/b"])
def test_a_credential_is_named_without_a_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretError, match="is not the name of a credential"):
        read_secret(Path(f"credential:{name}") if name else Path("credential:"))


def test_without_systemd_a_credential_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(CredentialUnseen, match="start the service by its unit with LoadCredential=token:FILE"):
        read_secret(Path("credential:token"))


def test_a_credential_stays_as_it_is_written_so_that_the_hash_is_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("instruments: [SPY]\npolicy: {token_file: 'credential:policy-token'}\n")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    outside = load_settings(file)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert outside.policy.token_file == Path("credential:policy-token")
    assert config_hash(load_settings(file)) == config_hash(outside)
