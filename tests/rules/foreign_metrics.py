"""Metrics in the rules that other programs export: their kind and the labels that a rule may name.

Rules: everything else in a rule is in the trader's catalogue, written by its jobs, or recorded by a rule. Names and
labels are those of node_exporter 1.5, systemd_exporter 0.5 to 0.7, Prometheus 2.42 and Alertmanager 0.25.
"""

COUNTER, GAUGE = "counter", "gauge"
FILESYSTEM = ("device", "fstype", "mountpoint")

FOREIGN: dict[str, tuple[str, tuple[str, ...]]] = {
    "up": (GAUGE, ()),
    # node_exporter
    "node_filesystem_avail_bytes": (GAUGE, FILESYSTEM),
    "node_filesystem_size_bytes": (GAUGE, FILESYSTEM),
    "node_filesystem_readonly": (GAUGE, FILESYSTEM),
    "node_timex_offset_seconds": (GAUGE, ()),
    "node_timex_sync_status": (GAUGE, ()),
    "node_timex_maxerror_seconds": (GAUGE, ()),
    "node_pressure_memory_stalled_seconds_total": (COUNTER, ()),
    "node_scrape_collector_success": (GAUGE, ("collector",)),
    "node_textfile_scrape_error": (GAUGE, ()),
    "node_systemd_unit_state": (GAUGE, ("name", "state", "type")),
    "node_systemd_service_restart_total": (COUNTER, ("name",)),
    "node_systemd_timer_last_trigger_seconds": (GAUGE, ("name",)),
    # systemd_exporter
    "systemd_unit_state": (GAUGE, ("name", "state", "type")),
    "systemd_service_restart_total": (COUNTER, ("name",)),
    "systemd_timer_last_trigger_seconds": (GAUGE, ("name",)),
    # Prometheus and Alertmanager
    "prometheus_config_last_reload_successful": (GAUGE, ()),
    "prometheus_rule_evaluation_failures_total": (COUNTER, ("rule_group",)),
    "prometheus_notifications_alertmanagers_discovered": (GAUGE, ()),
    "prometheus_notifications_dropped_total": (COUNTER, ()),
    "prometheus_target_scrapes_exceeded_sample_limit_total": (COUNTER, ()),
    "alertmanager_config_last_reload_successful": (GAUGE, ()),
    "alertmanager_notifications_failed_total": (COUNTER, ("integration",)),
}
