"""What Prometheus and Alertmanager are asked: queries, alerts, silences; typed answers.

Rules: every request has a deadline; an answer that is an error raises StackError with the server's own words.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import aiohttp

from trader.stack.errors import StackError

REQUEST_TIMEOUT_S: Final = 30.0


class Sample(NamedTuple):
    """One series of an answer; its latest value."""

    labels: dict[str, str]
    value: float


class Series(NamedTuple):
    """One series of a range's answer; (Unix time, value) pairs."""

    labels: dict[str, str]
    values: list[tuple[float, float]]


class RuleAlert(NamedTuple):
    """An alert as Prometheus sees it: ``pending`` or ``firing``."""

    name: str
    state: str
    labels: dict[str, str]
    annotations: dict[str, str]
    active_at: datetime


class RoutedAlert(NamedTuple):
    """An alert as Alertmanager sees it; ``inhibited_by`` are fingerprints of the alerts that silence it."""

    name: str
    state: str
    labels: dict[str, str]
    receivers: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    fingerprint: str


class Client:
    """Asks one Prometheus and one Alertmanager."""

    def __init__(self, prometheus_url: str, alertmanager_url: str) -> None:
        self._prometheus_url = prometheus_url
        self._alertmanager_url = alertmanager_url
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def query(self, expression: str, at: datetime | None = None) -> list[Sample]:
        """The instant value of ``expression``; a scalar is one sample without labels."""
        parameters = {"query": expression}
        if at is not None:
            parameters["time"] = str(at.timestamp())
        data = await self._prometheus("/api/v1/query", parameters)
        if data["resultType"] in ("scalar", "string"):
            return [Sample({}, float(data["result"][1]))]
        return [Sample(item["metric"], float(item["value"][1])) for item in data["result"]]

    async def query_range(self, expression: str, start: datetime, end: datetime, step_s: float) -> list[Series]:
        """The values of ``expression`` from ``start`` to ``end``."""
        parameters = {
            "query": expression, "start": str(start.timestamp()), "end": str(end.timestamp()), "step": str(step_s),
        }  # fmt: skip
        data = await self._prometheus("/api/v1/query_range", parameters)
        return [
            Series(item["metric"], [(float(at), float(value)) for at, value in item["values"]])
            for item in data["result"]
        ]

    async def alerts(self) -> list[RuleAlert]:
        """The pending and firing alerts, by Prometheus."""
        data = await self._prometheus("/api/v1/alerts", {})
        return [
            RuleAlert(
                item["labels"]["alertname"], item["state"], item["labels"], item["annotations"],
                datetime.fromisoformat(item["activeAt"]).astimezone(UTC),
            )
            for item in data["alerts"]
        ]  # fmt: skip

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule group with its rules, health and last error, as Prometheus tells them."""
        data = await self._prometheus("/api/v1/rules", {})
        groups: list[dict[str, Any]] = data["groups"]
        return groups

    async def targets(self) -> list[dict[str, Any]]:
        """Every active target with its health and last error."""
        data = await self._prometheus("/api/v1/targets", {"state": "active"})
        targets: list[dict[str, Any]] = data["activeTargets"]
        return targets

    async def routed_alerts(self) -> list[RoutedAlert]:
        """The alerts that Alertmanager knows, silenced ones too."""
        answer = await self._request("GET", f"{self._alertmanager_url}/api/v2/alerts", {})
        return [
            RoutedAlert(
                item["labels"]["alertname"], item["status"]["state"], item["labels"],
                tuple(receiver["name"] for receiver in item["receivers"]), tuple(item["status"]["inhibitedBy"]),
                item["fingerprint"],
            )
            for item in answer
        ]  # fmt: skip

    async def post_alerts(self, alerts: list[Mapping[str, str]], annotations: Mapping[str, str] | None = None) -> None:
        """Tell Alertmanager of alerts, given by their labels, that are over after its resolve_timeout."""
        body = [{"labels": dict(labels), "annotations": dict(annotations or {})} for labels in alerts]
        await self._request("POST", f"{self._alertmanager_url}/api/v2/alerts", {}, body)

    async def reload(self) -> None:
        """Have Prometheus read its files again; raises StackError with its words when it refuses them."""
        await self._request("POST", f"{self._prometheus_url}/-/reload", {})

    async def _prometheus(self, path: str, parameters: Mapping[str, str]) -> Any:
        return (await self._request("GET", self._prometheus_url + path, parameters))["data"]

    async def _request(self, method: str, url: str, parameters: Mapping[str, str], body: Any = None) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S))
        try:
            async with self._session.request(method, url, params=parameters, json=body) as answer:
                if answer.status >= 400:
                    raise StackError(f"{url}: {answer.status}: {(await answer.text()).strip()[:500]}")
                return await answer.json() if answer.content_type == "application/json" else None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StackError(f"{url}: no answer: {str(error) or type(error).__name__}") from error
