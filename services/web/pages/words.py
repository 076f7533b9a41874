"""The words, tones and shapes of every state a page can show."""

from __future__ import annotations

from typing import NamedTuple

from services.web.i18n import N_


class Mark(NamedTuple):
    """A state as people see it: its word (a message), its tone (colour) and its icon (shape)."""

    key: str
    word: str
    tone: str
    icon: str


OK = Mark("ok", N_("OK"), "ok", "ok")
PRESENCE = {
    "online": Mark("online", N_("Online"), "ok", "ok"),
    "stale": Mark("stale", N_("Stale"), "warn", "clock"),
    "offline": Mark("offline", N_("Offline"), "bad", "offline"),
    "unknown": Mark("unknown", N_("Unknown"), "unknown", "unknown"),
}
SEVERITY = {
    "critical": Mark("critical", N_("Critical"), "bad", "octagon"),
    "major": Mark("major", N_("Major"), "major", "triangle"),
    "minor": Mark("minor", N_("Minor"), "warn", "diamond"),
    "warning": Mark("warning", N_("Warning"), "warn", "circle-alert"),
}
SEVERITIES = tuple(SEVERITY)
ALARM = {
    "active": Mark("active", N_("Active"), "bad", "octagon"),
    "suppressed": Mark("suppressed", N_("Suppressed"), "idle", "clock"),
    "cleared": Mark("cleared", N_("Cleared"), "ok", "ok"),
}
STEPPED = Mark("stepped", N_("Stepped up"), "warn", "user")
SNOOZED = Mark("snoozed", N_("Snoozed"), "idle", "clock")
WINDOW = {
    "open": Mark("open", N_("On now"), "active", "wrench"),
    "planned": Mark("planned", N_("To come"), "idle", "clock"),
    "over": Mark("over", N_("Over"), "idle", "ok"),
    "cancelled": Mark("cancelled", N_("Cancelled"), "idle", "cancel"),
}
FOLDED = Mark("folded", N_("Folded"), "idle", "box")
FLAPPING = Mark("flapping", N_("Flapping"), "warn", "bolt")
SUPPRESSED_BY = {
    "cause": N_("another alarm explains it"),
    "maintenance": N_("maintenance window"),
}
TICKET = {
    "open": Mark("open", N_("Open"), "major", "circle"),
    "assigned": Mark("assigned", N_("Assigned"), "active", "user"),
    "in_progress": Mark("in_progress", N_("In progress"), "active", "wrench"),
    "closed": Mark("closed", N_("Closed"), "ok", "ok"),
    "cancelled": Mark("cancelled", N_("Cancelled"), "idle", "cancel"),
}
LIVE_TICKETS = ("open", "assigned", "in_progress")
PRIORITY = {
    "P1": Mark("P1", N_("P1 at once"), "bad", "octagon"),
    "P2": Mark("P2", N_("P2 urgent"), "major", "triangle"),
    "P3": Mark("P3", N_("P3 soon"), "warn", "diamond"),
    "P4": Mark("P4", N_("P4 planned"), "idle", "circle"),
}
GATEWAY = {
    "connected": Mark("connected", N_("Broker connected"), "ok", "ok"),
    "disconnected": Mark("disconnected", N_("No broker"), "bad", "offline"),
    "silent": Mark("silent", N_("Gateway silent"), "unknown", "unknown"),
}
BREAK = {
    "uplink_cut": Mark("uplink_cut", N_("Gateway not heard"), "bad", "offline"),
    "broker_down": Mark("broker_down", N_("No broker"), "bad", "offline"),
    "parent_down": Mark("parent_down", N_("Out of reach"), "bad", "offline"),
}
TRADES = {
    "electrical": N_("Electrical"),
    "plumbing": N_("Plumbing"),
    "access": N_("Doors and access"),
    "network": N_("Network"),
    "fire": N_("Fire safety"),
    "fire_door": N_("Fire doors"),
    "general": N_("General"),
}
TICKET_EVENTS = {
    "opened": N_("Ticket opened"),
    "assigned": N_("Assigned"),
    "unassigned": N_("Given back"),
    "started": N_("Work started"),
    "note": N_("Note"),
    "step_done": N_("Step done"),
    "step_undone": N_("Step reopened"),
    "alarm_cleared": N_("The alarm has cleared"),
    "severity": N_("The alarm changed its severity"),
    "flapping": N_("The alarm is flapping"),
    "cause": N_("Its cause has an alarm of its own"),
    "storm_grew": N_("The storm has grown"),
    "alarm_again": N_("The alarm has come again"),
    "closed": N_("Closed"),
    "cancelled": N_("Cancelled"),
    "reopened": N_("Reopened"),
}
NOTICE = {
    "queued": Mark("queued", N_("Queued"), "active", "clock"),
    "delivered": Mark("delivered", N_("Delivered"), "ok", "ok"),
    "failed": Mark("failed", N_("Failed"), "bad", "octagon"),
}
COMMAND = {
    "queued": Mark("queued", N_("Waiting to be sent"), "active", "clock"),
    "sent": Mark("sent", N_("Sent"), "active", "bolt"),
    "acknowledged": Mark("acknowledged", N_("Confirmed by the device"), "active", "bolt"),
    "done": Mark("done", N_("Done"), "ok", "ok"),
    "failed": Mark("failed", N_("Failed"), "bad", "octagon"),
    "expired": Mark("expired", N_("Expired"), "warn", "clock"),
    "cancelled": Mark("cancelled", N_("Cancelled"), "idle", "cancel"),
}
COMMAND_WHY = {
    "queued": N_("Its gateway has not sent it yet."),
    "sent": N_("The broker has it. The device has not answered yet."),
    "acknowledged": N_("Its effect has not been measured yet."),
    "effect_seen": N_("The effect has been measured."),
    "answered": N_("The device confirms it. Its profile names no effect to look for."),
    "broker": N_("The broker has it. This device does not answer, and its profile names no effect to look for."),
    "refused": N_("The device refused."),
    "broker_refused": N_(
        "The broker refused it, so the device has not heard it. Does its access list let the gateway write there?"
    ),
    "unheard": N_("The broker says that nobody listens on its topic. Is the device connected, and to this broker?"),
    "no_answer": N_("The device did not answer in time."),
    "no_effect": N_("The effect was not measured in time."),
    "not_sayable": N_("The gateway could not make a message of it."),
    "maybe_sent": N_("The gateway was stopped while it sent this. Whether the device heard it cannot be told."),
    "gateway_silent": N_("Its gateway has fallen silent, so nothing can be told."),
    "switched_off": N_("Commands are switched off here (COURTYARD_COMMANDS=off)."),
    "no_gateway": N_("No gateway has heard this device yet, so nobody could say it."),
    "not_fetched": N_("No gateway came for it in time. It was not sent."),
    "not_reported": N_("Its gateway took it and fell silent. Whether it was sent cannot be told."),
    "too_late": N_("It could not be sent in time, and was not sent."),
    "by_person": N_("It was taken back before it was sent."),
    "right_gone": N_("Who asked for it may not do so any more, so it was not sent, or not again."),
    "overruled": N_("A critical alarm has ordered something else for this part, so it was not sent, or not again."),
}
"""By reason, or by state where there is none."""
COMMAND_REFUSED = {
    "unknown": N_("The device does not have this command."),
    "unclaimed": N_("This device stands in no site file yet."),
    "outstanding": N_("The same command is under way. Wait until it has ended."),
    "overruled": N_("A critical alarm has ordered something else for this part. Wait until that has ended."),
    "switched_off": N_("Commands are switched off here (COURTYARD_COMMANDS=off)."),
    "no_gateway": N_("No gateway has heard this device yet, so nobody could say it."),
}
NOTICE_SUBJECTS = {"alarm": N_("Alarm"), "ticket": N_("Ticket"), "outage": N_("Outage"), "digest": N_("Digest")}
CHANNELS = {"email": N_("E-mail"), "webhook": N_("Webhook"), "apprise": N_("Messenger")}
FAMILIES = {
    "ebike_charger": N_("E-bike charging"),
    "access_gate": N_("Access gates"),
    "barrier": N_("Barriers"),
    "camera": N_("Cameras"),
    "nvr": N_("Video recorders"),
    "water_pump": N_("Water supply"),
    "water_tank": N_("Water tanks"),
    "pump_controller": N_("Pump controllers"),
    "pressure_sensor": N_("Pressure sensors"),
    "water_meter": N_("Water meters"),
    "sump_pump": N_("Drainage"),
    "level_sensor": N_("Level sensors"),
    "leak_sensor": N_("Leak sensors"),
    "fire": N_("Fire safety"),
    "fire_door": N_("Fire doors"),
    "gas_detector": N_("Gas detectors"),
    "personal_alarm": N_("Personal alarms"),
    "lift": N_("Lifts"),
    "heating": N_("Heating"),
    "lighting": N_("Lighting"),
    "ev_charger": N_("Car charging"),
    "energy_meter": N_("Electricity meters"),
    "current_sensor": N_("Current sensors"),
    "socket": N_("Smart sockets"),
    "relay_board": N_("Relay boards"),
    "environment": N_("Air and noise"),
    "weather_station": N_("Weather stations"),
    "adapter": N_("Devices of open conventions"),
    "iot_platform": N_("Devices of IoT platforms"),
}
SERVICES = {
    "water": (N_("Water"), "water"),
    "charging": (N_("E-bike charging"), "charging"),
    "access": (N_("Doors and gates"), "access"),
    "video": (N_("Cameras"), "video"),
    "parking": (N_("Parking"), "parking"),
    "lift": (N_("Lifts"), "lift"),
    "heating": (N_("Heating"), "heating"),
    "lighting": (N_("Lighting"), "lighting"),
}
SERVICE_STATES = {
    "ok": Mark("ok", N_("Working"), "ok", "ok"),
    "degraded": Mark("degraded", N_("Limited"), "warn", "triangle"),
    "full": Mark("full", N_("Out of service"), "bad", "octagon"),
}
QUALITIES = {
    "late": N_("arrived late"),
    "historic": N_("from history"),
    "skewed": N_("device clock is wrong"),
    "impossible": N_("impossible value left out"),
    "suspect": N_("failed an integrity check"),
    "faulty": N_("the device calls it faulty"),
}
SOURCES = {
    "standard": N_("Standard"),
    "vendor": N_("Vendor"),
    "judgement": N_("Engineering judgement"),
}
TONE_ICONS = {
    "ok": "ok",
    "active": "bolt",
    "idle": "circle",
    "warn": "triangle",
    "bad": "octagon",
    "major": "triangle",
    "unknown": "unknown",
}


def presence(key: str) -> Mark:
    return PRESENCE.get(key, PRESENCE["unknown"])


def device_mark(presence_key: str, worst: str | None) -> Mark:
    """What a tile says first: a serious alarm, else trouble with presence, else a lesser alarm, else OK."""
    if worst in ("critical", "major"):
        return SEVERITY[worst]
    if presence_key != "online":
        return presence(presence_key)
    return SEVERITY[worst] if worst else OK


def worst_of(severities: list[str]) -> str | None:
    return min(severities, key=SEVERITIES.index, default=None)


def family(key: str) -> str:
    """A family's name; one that a user's own profile brings reads as its identifier does."""
    return FAMILIES.get(key, key.replace("_", " ").capitalize())
