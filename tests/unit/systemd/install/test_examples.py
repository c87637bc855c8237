"""The examples beside the units: nft reads its own, and neither holds a key or a real address."""

import re

import pytest

from tests.lab.errors import LabUnavailable
from tests.lab.host import require_programs
from tests.unit.systemd.install.staging import ROOT, run

EXAMPLES = ROOT / "systemd" / "examples"


def test_nft_understands_the_firewall() -> None:
    try:
        require_programs({"nft": "nftables"})
    except LabUnavailable as error:
        pytest.skip(str(error))
    file = EXAMPLES / "nftables.conf"
    # Its users exist where it is used; here a rule's syntax is what is asked about.
    text = re.sub(r'skuid "(trader|ibgateway)"', "skuid 65534", file.read_text())
    done = run("sh", "-c", 'printf %s "$RULES" | nft -c -f -', RULES=text)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft needs CAP_NET_ADMIN even to check")
    assert (done.stderr, done.returncode) == ("", 0)


def test_the_firewall_drops_by_default_and_the_vpn_holds_no_key() -> None:
    rules = (EXAMPLES / "nftables.conf").read_text()
    assert re.findall(r"hook (\w+) priority filter; policy (\w+);", rules) == [
        ("input", "drop"),
        ("forward", "drop"),
        ("output", "drop"),
    ]
    assert not re.search(r"[A-Za-z0-9+/]{43}=", (EXAMPLES / "wireguard.conf").read_text())
