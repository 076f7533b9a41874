"""Every table of the product in one place. Migrations are in services/migrations; a test compares the two."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from services.database import UtcDateTime, metadata

_id = String(64)
_Big = BigInteger().with_variant(Integer(), "sqlite")

# --- sites: where things stand, and what serves whom ---------------------------------------------------------------

sites = Table(
    "sites",
    metadata,
    Column("id", _id, primary_key=True),
    Column("name_zh", String(200), nullable=False),
    Column("name_en", String(200), nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("contact_zh", String(500), nullable=False, default=""),
    Column("contact_en", String(500), nullable=False, default=""),
    Column("params", JSON, nullable=True, default=dict),  # profile -> param -> value, for all its devices here
    Column("rules", JSON, nullable=True, default=list),  # rules across devices, as the site file says
    Column("feeds", JSON, nullable=True, default=list),  # what several devices are fed by, as the site file says
    Column("updated_at", UtcDateTime, nullable=False),
    # What intake holds in memory besides, and how often it was changed: only that is made anew.
    Column("book_version", Integer, nullable=False, default=0, server_default="0"),  # of the rule book in force
    Column("window_changes", Integer, nullable=False, default=0, server_default="0"),
)
buildings = Table(
    "buildings",
    metadata,
    Column("site", _id, ForeignKey("sites.id"), primary_key=True),
    Column("id", _id, primary_key=True),
    Column("name_zh", String(200), nullable=False),
    Column("name_en", String(200), nullable=False),
    Column("position", Integer, nullable=False, default=0),
)
units = Table(
    "units",
    metadata,
    Column("site", _id, primary_key=True),
    Column("building", _id, primary_key=True),
    Column("id", _id, primary_key=True),
    Column("name_zh", String(200), nullable=False),
    Column("name_en", String(200), nullable=False),
    Column("households", Integer, nullable=False),
)
devices = Table(
    "devices",
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, ForeignKey("sites.id"), nullable=True, index=True),  # NULL: unclaimed
    Column("profile", _id, nullable=False),
    Column("address", String(128), nullable=False),
    Column("name_zh", String(200), nullable=False),
    Column("name_en", String(200), nullable=False),
    Column("building", _id, nullable=True),
    Column("place_zh", String(200), nullable=False, default=""),
    Column("place_en", String(200), nullable=False, default=""),
    Column("params", JSON, nullable=False, default=dict),
    Column("parent", _id, nullable=True),
    Column("retired_at", UtcDateTime, nullable=True),  # gone from the site file; history stays
    Column("unit", _id, nullable=True),
    Column("origin", String(16), nullable=True, default="file"),  # file | adopted
    Column("serves", JSON, nullable=True, default=list),  # of an adopted one: [{"supply", "child", "vital"}]
    Column("replaced_address", String(128), nullable=True),  # what the site file still says since it was replaced
    Column("first_heard_at", UtcDateTime, nullable=True),
    Column("announced", JSON, nullable=True, default=dict),  # what it says about itself
    Column("ignored_at", UtcDateTime, nullable=True),  # unclaimed, and meant to stay so
    Index(
        "uq_devices_profile_address",
        "profile",
        "address",
        unique=True,
        # A retired device keeps its row, and its address is free for the one that takes its place.
        sqlite_where=text("retired_at IS NULL"),
        postgresql_where=text("retired_at IS NULL"),
    ),
)
device_renames = Table(
    "device_renames",  # devices that got their place: what is filed under the old id goes to the new one
    metadata,
    Column("old", String(200), primary_key=True),
    Column("new", _id, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
supplies = Table(
    "supplies",  # one service to some buildings, from `needs` of its members
    metadata,
    Column("site", _id, ForeignKey("sites.id"), primary_key=True),
    Column("id", _id, primary_key=True),
    Column("service", String(32), nullable=False),  # water | charging | access | video | parking
    Column("name_zh", String(200), nullable=False, default=""),
    Column("name_en", String(200), nullable=False, default=""),
    Column("needs", Integer, nullable=False, default=1),  # members that must work for full service
    Column("needs_all", Boolean, nullable=True, default=False),  # all of them, however many
    Column("members", JSON, nullable=False),  # [{"device": id, "child": "" | "pump:1"}]
    Column("scope", JSON, nullable=False),  # [{"building": id, "unit": id | null}]
)

# --- what devices say ------------------------------------------------------------------------------------------------

device_states = Table(
    "device_states",  # the latest of each device and child
    metadata,
    Column("device", _id, primary_key=True),
    Column("child", String(64), primary_key=True, default=""),
    Column("presence", String(16), nullable=False, default="unknown"),  # online | stale | offline | unknown
    Column("last_heard_at", UtcDateTime, nullable=True),
    Column("measured_at", UtcDateTime, nullable=True),
    Column("values", JSON, nullable=False, default=dict),  # {metric: value}
    Column("value_times", JSON, nullable=False, default=dict),  # {metric: measured_at in ms}
    Column("flags", JSON, nullable=False, default=dict),
    Column("gateway", _id, nullable=True),  # which gateway hears it
    Column("reason", String(32), nullable=True, default="never_heard"),  # why its presence is what it is
    Column("since", UtcDateTime, nullable=True),  # when presence and reason became what they are
    Column("said", JSON, nullable=True, default=dict),  # {binding: online | offline}
    Column("down_since", UtcDateTime, nullable=True),  # what hangs on it is unknown from then on
    Column("back_since", UtcDateTime, nullable=True),
)
set_aside = Table(
    "set_aside",  # readings that intake could not judge, the newest thousand
    metadata,
    Column("id", _id, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("device", _id, nullable=False),
    Column("child", String(64), nullable=False, default=""),
    Column("error", Text, nullable=False),
    Column("reading", Text, nullable=False, default=""),  # empty: the device itself, when time passed
)
gateways = Table(
    "gateways",
    metadata,
    Column("id", _id, primary_key=True),
    Column("cursor", _Big, nullable=False, default=0),  # last journal sequence committed here
    Column("progress_at", UtcDateTime, nullable=True),
    Column("heard_at", UtcDateTime, nullable=True),
    Column("status", JSON, nullable=False, default=dict),  # GatewayStatus as it last said
    Column("broker_lost_at", UtcDateTime, nullable=True),
    Column("watching_since", UtcDateTime, nullable=True),  # it had not been listening before
    Column("home", _id, nullable=True),  # the site whose devices it heard last
    Column("forgotten_at", UtcDateTime, nullable=True),  # taken down for good; NULL again once it speaks
)

gateway_gaps = Table(
    "gateway_gaps",  # when a gateway heard nothing, or nothing was heard of it; written once it is over
    metadata,
    Column("id", _id, primary_key=True),
    Column("gateway", _id, nullable=False),
    Column("kind", String(16), nullable=False),  # gateway | broker | uplink
    Column("begins_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Index("ix_gateway_gaps_gateway", "gateway", "ends_at"),
)

events = Table(
    "events",  # what happened; the id follows from what was said, so the same one again is the same row
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, nullable=True),
    Column("device", _id, nullable=False),
    Column("child", String(64), nullable=False, default=""),
    Column("measured_at", UtcDateTime, nullable=False, index=True),
    Column("event", _id, nullable=False),
    Column("phase", String(16), nullable=False, default=""),  # begin | update | end of what lasts
    Column("key", String(200), nullable=False, default=""),
    Column("data", JSON, nullable=False, default=dict),
    Column("quality", String(16), nullable=False, default="good"),
    Index("ix_events_device_id", "device", "id"),
)

# --- rules and alarms ------------------------------------------------------------------------------------------------

rule_states = Table(
    "rule_states",  # the automaton of each (rule, device, child) that is not at rest
    metadata,
    Column("device", _id, primary_key=True),
    Column("child", String(64), primary_key=True, default=""),
    Column("rule", _id, primary_key=True),
    Column("state", JSON, nullable=False),
)
alarms = Table(
    "alarms",  # one row per episode
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, nullable=False, index=True),
    Column("device", _id, nullable=False, index=True),
    Column("child", String(64), nullable=False, default=""),
    Column("rule", _id, nullable=False),
    Column("profile", _id, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),  # suppressed | active | cleared
    Column("reason", JSON, nullable=False, default=dict),  # condition, values and times that met it
    Column("pending_since", UtcDateTime, nullable=True),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("cleared_at", UtcDateTime, nullable=True),
    Column("acknowledged_at", UtcDateTime, nullable=True),
    Column("acknowledged_by", _id, nullable=True),
    Column("suppressed_by", JSON(none_as_null=True), nullable=True),  # what keeps it back: {"kind", "id", "since"}
    Column("parent", _id, nullable=True, index=True),  # the alarm it is folded under, without ticket and notices
    Column("flaps", Integer, nullable=True),  # how often it has begun, since it counts as flapping
    Column("snoozed_until", UtcDateTime, nullable=True),
    Column("snoozed_by", _id, nullable=True),
    Column("step", Integer, nullable=True),  # how many steps up it has gone unacknowledged
    Column("step_at", UtcDateTime, nullable=True),
    # One episode that is not over per rule and device, whatever the engine believes.
    Index(
        "uq_alarms_standing",
        "device",
        "child",
        "rule",
        unique=True,
        sqlite_where=text("state <> 'cleared'"),
        postgresql_where=text("state <> 'cleared'"),
    ),
    Index("ix_alarms_site_state", "site", "state"),
)
alarm_events = Table(
    "alarm_events",  # every decision about an alarm, with its named reason
    metadata,
    Column("id", _id, primary_key=True),
    Column("alarm", _id, nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    # suppressed | raised | folded | severity | flapping | acknowledged | snoozed | unsnoozed | step | cause | cleared
    Column("kind", String(32), nullable=False),
    Column("data", JSON, nullable=False, default=dict),
    Column("who", _id, nullable=True),
)
rule_corrections = Table(
    "rule_corrections",  # what late data would have said, had they come in time
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, nullable=False),
    Column("device", _id, nullable=False),
    Column("child", String(64), nullable=False, default=""),
    Column("rule", _id, nullable=False),
    Column("measured_at", UtcDateTime, nullable=False),
    Column("known_at", UtcDateTime, nullable=False, index=True),
    Column("data", JSON, nullable=False, default=dict),
    Index("ix_rule_corrections_device_measured_at", "device", "measured_at"),
)
shadow_episodes = Table(
    "shadow_episodes",  # what rules on trial would have raised
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, nullable=False),
    Column("device", _id, nullable=False),
    Column("child", String(64), nullable=False, default=""),
    Column("profile", _id, nullable=False),
    Column("rule", _id, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("cleared_at", UtcDateTime, nullable=True, index=True),
    Column("reason", JSON, nullable=False, default=dict),
    Index("ix_shadow_episodes_rule", "site", "profile", "rule"),
)
rule_books = Table(
    "rule_books",  # what a site changes about the rules of its profiles: every version, whole
    metadata,
    Column("site", _id, ForeignKey("sites.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", _id, nullable=False),
    Column("note", String(500), nullable=False, default=""),
    Column("content", JSON, nullable=False, default=dict),
    Column("preview", JSON, nullable=True),  # what the backtest said before it was shipped
)
maintenance_windows = Table(
    "maintenance_windows",
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, ForeignKey("sites.id"), nullable=False, index=True),
    Column("title", String(200), nullable=False),
    Column("scope", JSON, nullable=False, default=dict),  # {"buildings", "families", "devices"}; empty: the whole site
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("repeats", JSON, nullable=True),  # {"days", "until"}: again on these days, on the clock of the site
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", _id, nullable=False),
    Column("cancelled_at", UtcDateTime, nullable=True),
    Column("cancelled_by", _id, nullable=True),
)

# --- commands --------------------------------------------------------------------------------------------------------

commands = Table(
    "commands",  # what devices were told to do, and how it fared
    metadata,
    Column("id", _id, primary_key=True),
    Column("key", String(200), nullable=True, unique=True),  # idempotency: of the API's client, or of the episode
    Column("site", _id, nullable=False, index=True),
    Column("device", _id, nullable=False, index=True),
    Column("child", String(64), nullable=False, default=""),
    Column("profile", _id, nullable=False),
    Column("command", _id, nullable=False),
    Column("params", JSON, nullable=False, default=dict),
    Column("terms", JSON, nullable=False),  # how long each step may take, as the profile said when it was asked for
    Column("gateway", _id, nullable=True),
    Column("nonce", Integer, nullable=False),
    Column("by", _id, nullable=True),  # login or token; NULL: a rule
    Column("alarm", _id, nullable=True),  # the episode whose rule ordered it
    Column("state", String(16), nullable=False),  # queued | sent | acknowledged | done | failed | expired | cancelled
    Column("reason", String(32), nullable=False, default=""),
    Column("detail", JSON, nullable=False, default=dict),
    Column("attempt", Integer, nullable=False, default=1),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("handed_at", UtcDateTime, nullable=True),  # to the gateway, for this attempt
    Column("sent_at", UtcDateTime, nullable=True),  # on the gateway's clock
    Column("evidence", JSON, nullable=True),  # what was heard of its effect: services.commands.evidence
    Column("acknowledged_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("moved_at", UtcDateTime, nullable=False),
    # One of a kind at a time, and no answer that could be meant for two.
    Index(
        "uq_commands_outstanding",
        "device",
        "child",
        "command",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(
        "uq_commands_nonce",
        "device",
        "nonce",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
command_events = Table(
    "command_events",
    metadata,
    Column("id", _id, primary_key=True),
    Column("command", _id, ForeignKey("commands.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("what", String(32), nullable=False),  # queued, handed, sent, acknowledged, done, …, late_answer
    Column("who", _id, nullable=True),
    Column("data", JSON, nullable=False, default=dict),
)

# --- tickets ---------------------------------------------------------------------------------------------------------

tickets = Table(
    "tickets",
    metadata,
    Column("id", _id, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # what people say aloud
    Column("site", _id, nullable=False, index=True),
    Column("alarm", _id, nullable=True, unique=True),  # exactly one ticket per episode
    Column("device", _id, nullable=True, index=True),
    Column("child", String(64), nullable=False, default=""),
    Column("template", _id, nullable=False, default=""),
    Column("profile", _id, nullable=False, default=""),
    Column("title_zh", String(300), nullable=False),
    Column("title_en", String(300), nullable=False),
    Column("trade", String(32), nullable=False),
    Column("priority", String(4), nullable=False),
    Column("state", String(16), nullable=False),  # open | assigned | in_progress | closed | cancelled
    Column("assignee", _id, nullable=True, index=True),
    Column("steps", JSON, nullable=False, default=list),  # [{"zh": …, "en": …, "done_at": iso | null, "done_by": …}]
    Column("opened_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=True),
    Column("closed_at", UtcDateTime, nullable=True),
    Column("version", Integer, nullable=False, default=1),
    Index("ix_tickets_site_state", "site", "state"),
)
ticket_events = Table(
    "ticket_events",
    metadata,
    Column("id", _id, primary_key=True),
    Column("ticket", _id, ForeignKey("tickets.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", _id, nullable=True),  # NULL: Courtyard itself
    Column("what", String(32), nullable=False),  # opened, assigned, started, note, alarm_cleared, closed, reopened…
    Column("note", Text, nullable=False, default=""),
    Column("data", JSON, nullable=False, default=dict),
)

# --- outages ---------------------------------------------------------------------------------------------------------

outages = Table(
    "outages",  # residents lose or half-lose one service
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, nullable=False, index=True),
    Column("supply", _id, nullable=False),
    Column("service", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # ongoing | restored
    Column("loss", String(16), nullable=False),  # full | degraded, as it is now (the worst is in the updates)
    Column("alarms", JSON, nullable=False, default=list),  # active alarm ids that cause it
    Column("impact", JSON, nullable=False),  # {"buildings": [...], "units": [...], "households": n}
    Column("what_zh", Text, nullable=False),
    Column("what_en", Text, nullable=False),
    Column("instead_zh", Text, nullable=False, default=""),
    Column("instead_en", Text, nullable=False, default=""),
    Column("started_at", UtcDateTime, nullable=False),
    Column("restored_at", UtcDateTime, nullable=True),
    Column("next_news_at", UtcDateTime, nullable=True),
    Index(
        "uq_outages_ongoing",
        "site",
        "supply",
        unique=True,
        sqlite_where=text("state = 'ongoing'"),
        postgresql_where=text("state = 'ongoing'"),
    ),
    Index("ix_outages_site_state", "site", "state"),
)
outage_updates = Table(
    "outage_updates",
    metadata,
    Column("id", _id, primary_key=True),
    Column("outage", _id, ForeignKey("outages.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False),  # started | worse | better | news | restored
    Column("loss", String(16), nullable=False),
    Column("text_zh", Text, nullable=False),
    Column("text_en", Text, nullable=False),
    Column("who", _id, nullable=True),
)

# --- notices ---------------------------------------------------------------------------------------------------------

recipients = Table(
    "recipients",  # who is told, by which channel
    metadata,
    Column("id", _id, primary_key=True),
    Column("site", _id, ForeignKey("sites.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("audience", String(16), nullable=False),  # engineers | crew | residents
    Column("channel", String(16), nullable=False),  # email | webhook | apprise
    Column("target", String(500), nullable=False),  # address or URL, or env:NAME for secrets
    Column("language", String(8), nullable=False, default="zh"),
    Column("about", JSON, nullable=False, default=list),  # alarm | ticket | outage; empty: what suits the audience
    Column("min_severity", String(16), nullable=False, default="warning"),
    Column("buildings", JSON, nullable=False, default=list),  # residents: empty means the whole site
    Column("step", Integer, nullable=True, default=0),  # told of alarms once they have gone this many steps up
    Column("digest", String(8), nullable=True),  # HH:MM of the site: warnings come once a day, together
)
digests = Table(
    "digests",  # until when the alarms of a recipient's digests have been looked at
    metadata,
    Column("recipient", _id, primary_key=True),
    Column("until", UtcDateTime, nullable=False),
)
notices = Table(
    "notices",  # the outbox
    metadata,
    Column("id", _id, primary_key=True),
    Column("key", String(200), nullable=False, unique=True),  # idempotency: subject, what happened, recipient
    Column("site", _id, nullable=False, index=True),
    Column("recipient", _id, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("target", String(500), nullable=False),
    Column("subject_kind", String(16), nullable=False),  # alarm | ticket | outage
    Column("subject_id", _id, nullable=False, index=True),
    Column("event", String(32), nullable=False),  # raised, cleared, opened, closed, started, worse, better, restored…
    Column("title", String(300), nullable=False),
    Column("body", Text, nullable=False),
    Column("data", JSON, nullable=False, default=dict),  # what a webhook carries
    Column("state", String(16), nullable=False),  # queued | delivered | failed
    Column("attempts", Integer, nullable=False, default=0),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=True),
    Column("delivered_at", UtcDateTime, nullable=True),
    Column("last_error", Text, nullable=False, default=""),
    Index("ix_notices_state_next_attempt_at", "state", "next_attempt_at"),
)

# --- accounts --------------------------------------------------------------------------------------------------------

people = Table(
    "people",
    metadata,
    Column("id", _id, primary_key=True),
    Column("login", String(64), nullable=False, unique=True),
    Column("name", String(200), nullable=False, default=""),
    Column("password_hash", String(300), nullable=False),
    Column("language", String(8), nullable=False, default=""),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_at", UtcDateTime, nullable=False),
)
grants = Table(
    "grants",  # which role at which site; site "*" is every site
    metadata,
    Column("person", _id, ForeignKey("people.id"), primary_key=True),
    Column("site", _id, primary_key=True),
    Column("role", String(16), primary_key=True),  # admin | engineer | crew
)
sessions = Table(
    "sessions",
    metadata,
    Column("id_hash", String(64), primary_key=True),
    Column("person", _id, ForeignKey("people.id"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)
tokens = Table(
    "tokens",  # for programs: gateways and API clients
    metadata,
    Column("id", _id, primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),  # gateway | admin | engineer | crew
    Column("site", _id, nullable=False, default="*"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime, nullable=True),
)
login_attempts = Table(
    "login_attempts",
    metadata,
    Column("key", String(200), primary_key=True),  # "login:<name>" or "address:<ip>"
    Column("failures", Float, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
audit = Table(
    "audit",  # append-only, each row carries the hash of the one before
    metadata,
    Column("seq", _Big, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", _id, nullable=True),
    Column("action", String(64), nullable=False),
    Column("subject", String(200), nullable=False, default=""),
    Column("data", JSON, nullable=False, default=dict),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
