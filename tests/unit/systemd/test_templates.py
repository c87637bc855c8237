"""The template units: as their plain ones, but for what must not be shared between accounts."""

from pathlib import Path

import pytest

from observability import units
from observability.units import UnitTemplateError, render, template, template_name

ROOT = Path(__file__).resolve().parents[3]


def test_the_templates_are_current() -> None:
    for path, text in render(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is not current; run: trader generate"
        assert text.startswith("# DO NOT EDIT")


@pytest.mark.parametrize("name", sorted(units.REPLACED))
def test_an_instance_shares_no_file_with_the_plain_unit(name: str) -> None:
    text = (ROOT / "systemd" / template_name(name)).read_text(encoding="utf-8")
    assert text.count(units.BASE) == text.count(units.INSTANCE_BASE) > 0


def test_an_instance_has_a_run_directory_and_a_name_in_the_journal_of_its_own() -> None:
    text = (ROOT / "systemd" / "ibkr-trading@.service").read_text(encoding="utf-8")
    assert "\nRuntimeDirectory=ibkr-trading-%i\n" in text
    assert "\nSyslogIdentifier=ibkr-trading-%i\n" in text


def test_a_plain_unit_without_what_is_replaced_makes_no_template() -> None:
    text = (ROOT / "systemd" / "ibkr-trading.service").read_text(encoding="utf-8")
    with pytest.raises(UnitTemplateError, match=r"ibkr-trading\.service does not say 'RuntimeDirectory=ibkr-trading'"):
        template("ibkr-trading.service", text.replace("RuntimeDirectory=ibkr-trading\n", ""))


def test_a_plain_unit_that_is_missing_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnitTemplateError, match=r"ibkr-trading\.service cannot be read: No such file or directory"):
        render(tmp_path)
