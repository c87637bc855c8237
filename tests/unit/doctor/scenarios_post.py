"""What may be wrong after deployment: health, sockets, metrics, logs, drills; one change to a healthy host each."""

from tests.unit.doctor.changes import (
    FAILED,
    HOUR_OLD,
    OK,
    SITE,
    UNKNOWN,
    WARNING,
    Scenario,
    answer,
    file,
    gone,
    new_file,
    program,
    silent,
    tcp,
)
from tests.unit.doctor.fake_host import CURRENT, UID, add_prometheus, listening, loaded_rules
from trader.doctor.host import Database

ERROR_LINE = '{"level": "ERROR", "message": "the gateway refused"}\n'

SCENARIOS: dict[str, Scenario] = {
    "a raised panic flag": Scenario(
        "panic_flag", new_file(SITE.flag, "", modified_at=HOUR_OLD), FAILED, "is raised, for 60 min", "status"
    ),
    "not ready": Scenario(
        "ready",
        answer("9464/readyz", 503, '{"ready": false, "problems": ["the gateway is not connected"]}'),
        FAILED,
        "the gateway is not connected",
        "trader status",
    ),
    "nobody at the metrics port": Scenario(
        "ready", silent("9464/readyz"), FAILED, "nobody answers at port 9464", "trader status"
    ),
    "no gateway": Scenario(
        "gateway", tcp(listening("0100007F", 9464, UID)), FAILED, "port 4002", "start ibkr-simulator.service"
    ),
    "a gateway that is open": Scenario(
        "gateway",
        tcp(listening("00000000", 4002, 1_000)),
        FAILED,
        "0.0.0.0:4002",
        "sudo ss",
    ),
    "a socket of ours that is open": Scenario(
        "loopback",
        tcp(listening("0A00000A", 9464, UID)),
        FAILED,
        "trader listens at 10.0.0.10:9464",
        "sudo ss",
    ),
    "a socket of another's that is open": Scenario(
        "loopback", tcp(listening("00000000", 22, 0)), OK, "on loopback: nothing", ""
    ),
    "a damaged journal": Scenario(
        "journal",
        lambda host: host.databases.update({SITE.state / "journal.db": Database("wal", "row 7 missing")}),
        FAILED,
        "damaged: row 7 missing",
        "trader journal stats",
    ),
    "a journal without a write-ahead log": Scenario(
        "journal",
        lambda host: host.databases.update({SITE.state / "journal.db": Database("delete", "ok")}),
        FAILED,
        "no write-ahead log (mode delete)",
        "trader journal stats",
    ),
    "a journal that others read": Scenario(
        "journal",
        file(SITE.state / "journal.db", mode=0o644),
        FAILED,
        "others can read",
        "sudo chmod 600",
    ),
    "no metrics": Scenario("metrics", silent("9464/metrics"), FAILED, "nobody answers", "trader health"),
    "too many series": Scenario(
        "metrics", answer("9464/metrics", 200, "x 1\n" * 1_501), FAILED, "1,501 series", "trader health"
    ),
    "an old session file": Scenario(
        "session_metrics",
        file(SITE.textfiles / "ibkr-session.prom", modified_at=HOUR_OLD),
        FAILED,
        "60 min old",
        "sudo systemctl start ibkr-calendar.service",
    ),
    "an empty session file": Scenario(
        "session_metrics", file(SITE.textfiles / "ibkr-session.prom", ""), FAILED, "has no", "start"
    ),
    "no Prometheus": Scenario("prometheus", silent("9090/api/v1/targets?state=active"), UNKNOWN, "--prometheus", ""),
    "a Prometheus that cannot scrape": Scenario(
        "prometheus",
        lambda host: add_prometheus(host, [], "down"),
        FAILED,
        "cannot scrape",
        "trader health",
    ),
    "a Prometheus for others": Scenario(
        "prometheus",
        answer("9090/api/v1/targets?state=active", 200, '{"data": {"activeTargets": []}}'),
        FAILED,
        "does not scrape port 9464",
        "trader stack",
    ),
    "another program at that port": Scenario(
        "prometheus", answer("9090/api/v1/targets?state=active", 404, "no"), UNKNOWN, "404", ""
    ),
    "no Alertmanager": Scenario("alertmanager", silent("9093/api/v2/status"), UNKNOWN, "--alertmanager", ""),
    "a rule that is not loaded": Scenario(
        "rules",
        lambda host: add_prometheus(host, loaded_rules(host)[1:]),
        FAILED,
        "not loaded",
        "reload prometheus",
    ),
    "errors in the log": Scenario(
        "log",
        program("journalctl", output=ERROR_LINE * 2),
        WARNING,
        "2 errors in the last hour, the last: the gateway",
        "journalctl",
    ),
    "a log that is not JSON": Scenario(
        "log", program("journalctl", output="Traceback\n"), FAILED, "no line", "journalctl"
    ),
    "a silent log": Scenario("log", program("journalctl"), UNKNOWN, "nothing was logged", ""),
    "no drill": Scenario(
        "panic_drill", gone(SITE.textfiles / "tasks.prom"), WARNING, "no panic drill", "sudo trader drill emergency"
    ),
    "an old drill": Scenario(
        "panic_drill",
        file(SITE.textfiles / "tasks.prom", 'trader_task_last_success_timestamp_seconds{task="panic_drill"} 1.7e9\n'),
        WARNING,
        "ago",
        "sudo trader drill emergency",
    ),
    "no backup": Scenario("backup", gone(SITE.textfiles / "tasks.prom"), WARNING, "no backup", "trader journal export"),
    "an alert without a runbook": Scenario(
        "runbooks",
        gone(CURRENT / "share/alerts/runbooks/UnitFailed.md"),
        FAILED,
        "no runbook for UnitFailed",
        "install.sh",
    ),
}
