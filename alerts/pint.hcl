# How these rules pass pint, Cloudflare's linter of Prometheus rules: from this folder,
#
#   pint --offline --config pint.hcl lint --fail-on warning rules
#
# Everything that pint checks without a Prometheus is on, but for what is named here with its reason.

# A unit's name is systemd's, and its suffix (.timer, .service) is the only label that says its kind: node_exporter's
# `type` is a service's Type=, systemd_exporter's is the suffix again.
check "promql/regexp" {
  smelly = false
}

# A rule that reads another group's sees it up to one interval (15 s) late. The groups differ because windows of days are
# evaluated each minute and short ones each 15 s; both sides of a ratio are late by the same, and the rules of
# availability allow one interval. The session's times are shared by all groups.
check "rule/dependency" {
  ignoreGroupMismatch = [
    "trader:session_(open|elapsed_seconds_total)",
    "slo:session_elapsed_seconds_total",
    "slo:slice_(measured|bad)_seconds",
    "slo:events_total",
    "slo:error_ratio:(1h|30d)",
    "slo:good_ratio_upper:30d",
    "slo:bad:1d",
    "slo:net_pnl_base:28d",
  ]
}

# The dead man's switch always fires: its silence is the alarm.
rule {
  match {
    name = "Watchdog"
  }
  disable = ["alerts/comparison"]
}
