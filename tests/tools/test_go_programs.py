"""Finding and building the Go programs, with a stand-in for Go that says what Go would."""

from pathlib import Path

import pytest

from tests.tools.go_programs import HERE, GoProgram, NotBuilt, built


def go_that(folder: Path, script: str) -> str:
    """A search path with a `go` that runs ``script``; $OUTPUT is what it is to build."""
    go = folder / "path/go"
    go.parent.mkdir()
    go.write_text(f'#!/bin/sh\nfor OUTPUT; do [ "$last" = -o ] && break; last=$OUTPUT; done\n{script}\n')
    go.chmod(0o755)
    return str(go.parent)


def test_a_program_is_built_once(tmp_path: Path) -> None:
    path = go_that(tmp_path, f'echo "$@" >> {tmp_path}/asked; echo program > "$OUTPUT"')
    first = built(GoProgram.PINT, bin_folder=tmp_path / "bin", search_path=path)
    assert first.read_text() == "program\n"
    assert built(GoProgram.PINT, bin_folder=tmp_path / "bin", search_path=path) == first
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert "-mod=readonly" in asked


def test_what_was_built_from_other_sources_is_replaced(tmp_path: Path) -> None:
    older = tmp_path / "bin/pint-0123456789ab"
    older.parent.mkdir()
    older.write_text("old")
    path = go_that(tmp_path, 'echo program > "$OUTPUT"')
    new = built(GoProgram.PINT, bin_folder=tmp_path / "bin", search_path=path)
    assert sorted(tmp_path.glob("bin/pint*")) == [new]


def test_without_go_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="pint is built from source, and there is no Go on PATH"):
        built(GoProgram.PINT, bin_folder=tmp_path / "bin", search_path=str(tmp_path))


def test_a_module_that_is_not_served_is_one_sentence(tmp_path: Path) -> None:
    refused = "go: github.com/cloudflare/pint@v0.87.0: reading https://proxy.example/v0.87.0.zip: 403 Forbidden"
    path = go_that(tmp_path, f"echo 'go: downloading x' >&2; echo '{refused}' >&2; exit 1")
    with pytest.raises(NotBuilt, match=r"pint cannot be built: go: .*403 Forbidden$"):
        built(GoProgram.PINT, bin_folder=tmp_path / "bin", search_path=path)
    assert list(tmp_path.glob("bin/pint*")) == []


def test_sources_with_another_hash_are_an_error_and_no_reason_to_skip(tmp_path: Path) -> None:
    path = go_that(tmp_path, "echo 'verifying module: checksum mismatch' >&2; exit 1")
    with pytest.raises(RuntimeError, match="sources of pint are not those"):
        built(GoProgram.PINT, bin_folder=tmp_path / "bin", search_path=path)


@pytest.mark.parametrize("program", GoProgram)
def test_every_program_has_its_version_and_its_hashes(program: GoProgram) -> None:
    module = (HERE / program / "go.mod").read_text()
    (tool,) = [line.removeprefix("tool ") for line in module.splitlines() if line.startswith("tool ")]
    (version,) = [
        line.split()[1] for line in map(str.strip, module.splitlines()) if line and tool.startswith(line.split()[0])
    ]
    assert f" {version} h1:" in (HERE / program / "go.sum").read_text()
