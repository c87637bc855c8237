"""Drills on the real service and a simulated gateway.

Rules: one entry an alert and severity; data only, what is done is in ``steps.py``. The expected times are those of the
rules at the default scale.
"""

from typing import Final

from trader.drills.model import Drill, On
from trader.drills.steps import (
    break_configuration,
    bring_journal_back,
    crash_again_and_again,
    few_files,
    forget_positions,
    gateway_with,
    hang_gateway,
    healthy_gateway,
    hold,
    kill,
    link,
    loss_limit,
    many_files,
    nothing,
    order_that_works,
    raise_panic_flag,
    reload,
    resume,
    start,
    start_gateway,
    steer,
    steps,
    stop_gateway,
    take_journal_away,
    unhang_gateway,
)

BROKER: Final = (
    Drill(
        alert="BrokerDisconnected", severity="page", on=On.SERVICE, fault="the gateway is stopped",
        inject=stop_gateway, repair=start_gateway, detect_s=8, clear_s=12,
    ),
    Drill(
        alert="BrokerHeartbeatStale", severity="page", on=On.SERVICE, fault="the gateway hangs with its sockets open",
        config={"gateway": {"heartbeat_timeout_s": 10}},
        inject=hang_gateway, repair=unhang_gateway, detect_s=6, clear_s=12,
    ),
    Drill(
        alert="BrokerConnectionFlapping", severity="ticket", on=On.SERVICE,
        fault="the gateway drops the link five times",
        inject=gateway_with(link=[link("disconnect", at_s, 0.3) for at_s in (3.0, 6.0, 9.0, 12.0, 15.0)]),
        repair=healthy_gateway, detect_s=22, clear_s=95,
    ),
    Drill(
        alert="BrokerPacing", severity="ticket", on=On.SERVICE, fault="the gateway says: too many messages (100)",
        inject=gateway_with(link=[link("pacing", 5.0, 0.0)]), repair=nothing, detect_s=10, clear_s=20,
    ),
)  # fmt: skip

MARKET_DATA: Final = (
    Drill(
        alert="MarketDataStale", severity="page", on=On.SERVICE, fault="the data farm is lost, the quotes stop",
        inject=gateway_with(link=[link("farm_flap", 1.0)]), repair=healthy_gateway, detect_s=10, clear_s=12,
    ),
    Drill(
        alert="MarketDataNotLive", severity="page", on=On.SERVICE, fault="the gateway delivers delayed quotes",
        inject=gateway_with(delayed_data=True), repair=healthy_gateway, detect_s=10, clear_s=12,
    ),
    Drill(
        alert="MarketDataPartial", severity="ticket", on=On.SERVICE,
        fault="one instrument of two has no quotes any more",
        inject=gateway_with(symbols="SPY"), repair=healthy_gateway, detect_s=8, clear_s=12,
    ),
)  # fmt: skip

ORDERS: Final = (
    Drill(
        alert="OrderUnacknowledged", severity="page", on=On.SERVICE, fault="the gateway is silent about an order",
        config={
            "execution": {"ack_timeout_s": 120, "cross_ticks": -100, "cancel_after_s": 600},
            "risk": {"price_collar_ratio": 0.5}, "gateway": {"reconcile_interval_s": 300},
        },
        prepare=gateway_with(no_callback_ratio=1.0),
        inject=steer(quantity=100), repair=healthy_gateway, detect_s=7, clear_s=12,
    ),
    Drill(
        alert="OrderStateUnknown", severity="page", on=On.SERVICE, fault="the gateway goes away with an order working",
        config={"execution": {"cross_ticks": -100, "cancel_after_s": 600}, "risk": {"price_collar_ratio": 0.5}},
        prepare=order_that_works, inject=stop_gateway, repair=start_gateway, detect_s=8, clear_s=15,
    ),
    Drill(
        alert="ReconciliationMismatch", severity="page", on=On.SERVICE, fault="the broker does not know our position",
        prepare=hold(100), inject=forget_positions, repair=steps(steer(quantity=0), resume), detect_s=12, clear_s=12,
    ),
    Drill(
        alert="ReconciliationStale", severity="page", on=On.SERVICE, fault="the broker's books never agree with ours",
        prepare=hold(100), inject=forget_positions, repair=steps(steer(quantity=0), resume), detect_s=22, clear_s=12,
    ),
    Drill(
        alert="JournalUnavailable", severity="page", on=On.SERVICE, fault="the journal's file is moved away",
        prepare=hold(100), inject=take_journal_away, repair=bring_journal_back, detect_s=6, clear_s=15,
    ),
    Drill(
        alert="NoFillsThisSession", severity="page", on=On.SERVICE,
        fault="every order is priced too far from the market",
        config={"execution": {"cross_ticks": -100, "cancel_after_s": 0.5}},
        inject=steer(quantity=100), repair=reload(execution={"cross_ticks": 5}), detect_s=25, clear_s=12,
    ),
    Drill(
        alert="OrderRejectsBurst", severity="page", on=On.SERVICE, fault="the broker rejects every order (201)",
        prepare=gateway_with(reject_ratio=1.0), inject=steer(quantity=100),
        repair=steps(steer(quantity=0), healthy_gateway),
        detect_s=8, clear_s=15,
    ),
)  # fmt: skip

RISK: Final = (
    Drill(
        alert="DailyLossLimitNear", severity="ticket", on=On.SERVICE, fault="a loss of 90 % of the daily limit",
        prepare=steps(hold(1), hold(0)), inject=loss_limit(0.9), repair=reload(risk={"daily_loss_limit": 1_000_000}),
        detect_s=3, clear_s=6,
    ),
    Drill(
        alert="DailyLossLimitBreached", severity="page", on=On.SERVICE, fault="a loss of twice the daily limit",
        prepare=steps(hold(1), hold(0)), inject=loss_limit(2.0),
        repair=steps(reload(risk={"daily_loss_limit": 1_000_000}), resume), detect_s=3, clear_s=6,
    ),
    Drill(
        alert="MarginCushionLow", severity="page", on=On.SERVICE,
        fault="a position that needs nearly all of the equity",
        config={"execution": {"order_type": "MKT"}},
        inject=steer(quantity=6300), repair=steer(quantity=0), detect_s=20, clear_s=20,
    ),
    Drill(
        alert="CommissionMissing", severity="ticket", on=On.SERVICE,
        fault="the gateway does not report what a fill cost", config={"gateway": {"reconcile_interval_s": 300}},
        prepare=gateway_with(commission_missing_ratio=1.0),
        inject=hold(100), repair=healthy_gateway, detect_s=18, clear_s=12,
    ),
    Drill(
        alert="UnplannedHalt", severity="page", on=On.SERVICE, fault="the strategy raises an exception",
        inject=steer(fails=True), repair=steps(steer(fails=False), resume), detect_s=4, clear_s=8,
    ),
    Drill(
        alert="PanicFlagPresent", severity="page", on=On.SERVICE, fault="the panic flag is raised",
        prepare=hold(100), inject=steps(raise_panic_flag, steer(quantity=0)), repair=resume, detect_s=3, clear_s=8,
    ),
)  # fmt: skip

LIFECYCLE: Final = (
    Drill(
        alert="TargetDown", severity="page", on=On.SERVICE, fault="the service is killed",
        inject=kill, repair=start, detect_s=6, clear_s=8,
    ),
    Drill(
        alert="UnplannedRestart", severity="ticket", on=On.SERVICE, fault="the service crashes and is started again",
        inject=steps(kill, start), repair=nothing, detect_s=6, clear_s=100,
    ),
    Drill(
        alert="CrashLoop", severity="page", on=On.SERVICE, fault="the service crashes four times in a row",
        inject=crash_again_and_again, repair=nothing, detect_s=6, clear_s=30,
    ),
    Drill(
        alert="ConfigReloadFailed", severity="ticket", on=On.SERVICE, fault="a reload with a limit below zero",
        inject=break_configuration, repair=reload(), detect_s=4, clear_s=22,
    ),
    Drill(
        alert="FDsHigh", severity="ticket", on=On.SERVICE, fault="the limit of open files comes down to what is open",
        inject=few_files, repair=many_files, detect_s=3, clear_s=6,
    ),
    Drill(
        alert="SLOBurnFast", severity="page", on=On.SERVICE, fault="one decision in four takes 0.4 s longer",
        labels={"slo": "decision_latency"},
        inject=steer(slow_s=0.4, slow_every=4), repair=steer(slow_s=0.0), detect_s=40, clear_s=60,
    ),
)  # fmt: skip

SERVICE_DRILLS: Final = (*BROKER, *MARKET_DATA, *ORDERS, *RISK, *LIFECYCLE)
