#include "storage.h"

#include <algorithm>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "flag_storage.h"
#include "job_storage.h"
#include "value_storage.h"

namespace candela::lighthouse {

namespace {

using store::Connection;
using store::Row;

constexpr size_t kEventsLoaded = 1000;

// Times are milliseconds since 1970; 0 stands for none.
constexpr store::Migration kMigrations[] = {
    {1, R"sql(
CREATE TABLE settings (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
CREATE TABLE spaces (name TEXT PRIMARY KEY, created_at BIGINT NOT NULL);
CREATE TABLE services (
  space TEXT NOT NULL REFERENCES spaces (name), service TEXT NOT NULL,
  last_number BIGINT NOT NULL, target BIGINT NOT NULL, stable BIGINT NOT NULL,
  deleting INTEGER NOT NULL, created_at BIGINT NOT NULL,
  PRIMARY KEY (space, service));
CREATE TABLE releases (
  space TEXT NOT NULL, service TEXT NOT NULL, number BIGINT NOT NULL,
  manifest TEXT NOT NULL, instances BIGINT NOT NULL,
  bundle TEXT NOT NULL, bundle_bytes BIGINT NOT NULL, signature TEXT NOT NULL, signer TEXT NOT NULL,
  author TEXT NOT NULL, copy_of BIGINT NOT NULL, created_at BIGINT NOT NULL, ended_at BIGINT NOT NULL,
  rollout TEXT NOT NULL, cause TEXT NOT NULL, failing TEXT NOT NULL,
  PRIMARY KEY (space, service, number),
  FOREIGN KEY (space, service) REFERENCES services (space, service) ON DELETE CASCADE);
CREATE TABLE instances (
  id TEXT PRIMARY KEY, space TEXT NOT NULL, service TEXT NOT NULL, number BIGINT NOT NULL,
  node TEXT NOT NULL, stage TEXT NOT NULL, created_at BIGINT NOT NULL,
  state TEXT NOT NULL DEFAULT 'unknown', port INTEGER NOT NULL DEFAULT 0,
  FOREIGN KEY (space, service, number) REFERENCES releases (space, service, number));
CREATE TABLE nodes (
  name TEXT PRIMARY KEY, boot_id TEXT NOT NULL, version TEXT NOT NULL, roles TEXT NOT NULL,
  machine_id TEXT NOT NULL, address TEXT NOT NULL, heard_at BIGINT NOT NULL);
CREATE TABLE credentials (
  public_key TEXT PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL, space TEXT NOT NULL,
  role TEXT NOT NULL, owner TEXT NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL);
CREATE TABLE events (
  id BIGINT PRIMARY KEY, time BIGINT NOT NULL, kind TEXT NOT NULL, space TEXT NOT NULL,
  service TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL)
)sql"},
    // What is sealed is base64; certificate_storage.h reads and writes these.
    {2, R"sql(
CREATE TABLE certificates (
  name TEXT PRIMARY KEY, source TEXT NOT NULL, chain TEXT NOT NULL, sealed_key TEXT NOT NULL,
  created_at BIGINT NOT NULL);
CREATE TABLE acme_accounts (
  directory TEXT PRIMARY KEY, url TEXT NOT NULL, sealed_key TEXT NOT NULL, created_at BIGINT NOT NULL);
CREATE TABLE acme_hosts (
  host TEXT PRIMARY KEY, order_url TEXT NOT NULL, sealed_key TEXT NOT NULL,
  failures INTEGER NOT NULL, next_at BIGINT NOT NULL, error TEXT NOT NULL)
)sql"},
    {3, "ALTER TABLE services ADD COLUMN maintenance INTEGER NOT NULL DEFAULT 0"},
    // audit_storage.h reads and writes these.
    {4, R"sql(
CREATE TABLE audit (
  id BIGINT PRIMARY KEY, request BIGINT NOT NULL, time BIGINT NOT NULL, who TEXT NOT NULL,
  key TEXT NOT NULL, source TEXT NOT NULL, action TEXT NOT NULL, space TEXT NOT NULL,
  detail TEXT NOT NULL, outcome TEXT NOT NULL, seal TEXT NOT NULL);
CREATE INDEX audit_by_request ON audit (request);
CREATE TABLE audit_ends (
  name TEXT PRIMARY KEY, id BIGINT NOT NULL, record_seal TEXT NOT NULL, seal TEXT NOT NULL)
)sql"},
    {5, R"sql(
ALTER TABLE nodes ADD COLUMN mode TEXT NOT NULL DEFAULT 'open'
)sql"},
    {6, R"sql(
ALTER TABLE releases ADD COLUMN promoted INTEGER NOT NULL DEFAULT 1;
ALTER TABLE releases ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE releases ADD COLUMN idempotency_key TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE services ADD COLUMN lock_holder TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN lock_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN lock_until BIGINT NOT NULL DEFAULT 0
)sql"},
    // value_storage.h reads and writes these.
    {7, R"sql(
CREATE TABLE space_values (
  space TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL,
  content TEXT NOT NULL, bytes BIGINT NOT NULL, author TEXT NOT NULL, created_at BIGINT NOT NULL,
  copy_of BIGINT NOT NULL, PRIMARY KEY (space, kind, name, version));
ALTER TABLE releases ADD COLUMN value_versions TEXT NOT NULL DEFAULT ''
)sql"},
    // join_storage.h reads and writes these.
    {8, R"sql(
CREATE TABLE join_tokens (
  digest TEXT PRIMARY KEY, roles TEXT NOT NULL, node TEXT NOT NULL, made_by TEXT NOT NULL,
  created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT NOT NULL,
  used_by TEXT NOT NULL, used_from TEXT NOT NULL)
)sql"},
    {9, R"sql(
ALTER TABLE spaces ADD COLUMN quota TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN grants TEXT NOT NULL DEFAULT ''
)sql"},
    // usage_book.h reads and writes these.
    {10, R"sql(
CREATE TABLE usage_samples (
  subject TEXT NOT NULL, time BIGINT NOT NULL, known INTEGER NOT NULL,
  cpu_millis BIGINT NOT NULL, memory_bytes BIGINT NOT NULL, io_read BIGINT NOT NULL,
  io_write BIGINT NOT NULL, net_in BIGINT NOT NULL, net_out BIGINT NOT NULL,
  processes BIGINT NOT NULL, cpu_pressure INTEGER NOT NULL, memory_pressure INTEGER NOT NULL,
  io_pressure INTEGER NOT NULL, PRIMARY KEY (subject, time));
CREATE INDEX usage_samples_by_time ON usage_samples (time)
)sql"},
    // job_storage.h reads and writes these.
    {11, R"sql(
CREATE TABLE jobs (
  space TEXT NOT NULL, service TEXT NOT NULL, job TEXT NOT NULL, paused INTEGER NOT NULL,
  decided_until BIGINT NOT NULL, last_number BIGINT NOT NULL, PRIMARY KEY (space, service, job),
  FOREIGN KEY (space, service) REFERENCES services (space, service) ON DELETE CASCADE);
CREATE TABLE job_runs (
  space TEXT NOT NULL, service TEXT NOT NULL, job TEXT NOT NULL, number BIGINT NOT NULL,
  state TEXT NOT NULL, scheduled_at BIGINT NOT NULL, created_at BIGINT NOT NULL,
  started_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, author TEXT NOT NULL,
  arguments TEXT NOT NULL, release BIGINT NOT NULL, attempt BIGINT NOT NULL,
  instance TEXT NOT NULL, exit_code BIGINT NOT NULL, cause TEXT NOT NULL,
  stop_cause TEXT NOT NULL, timed_out INTEGER NOT NULL, idempotency_key TEXT NOT NULL,
  PRIMARY KEY (space, service, job, number),
  FOREIGN KEY (space, service, job) REFERENCES jobs (space, service, job) ON DELETE CASCADE);
ALTER TABLE instances ADD COLUMN job TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN run BIGINT NOT NULL DEFAULT 0
)sql"},
    // flag_storage.h reads and writes these.
    {12, R"sql(
CREATE TABLE flags (
  space TEXT NOT NULL, flag TEXT NOT NULL, version BIGINT NOT NULL, content TEXT NOT NULL,
  author TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (space, flag, version))
)sql"},
    {13, R"sql(
ALTER TABLE credentials ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN rotated_to TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN ends_at BIGINT NOT NULL DEFAULT 0
)sql"},
};

int64_t i64(uint64_t number) { return static_cast<int64_t>(number); }
uint64_t u64(const Row& row, size_t column) { return static_cast<uint64_t>(row.integer(column)); }

int64_t to_millis(WallTime time) { return unix_millis(time); }
WallTime to_time(const Row& row, size_t column) { return from_unix_millis(row.integer(column)); }

std::string failing_to_text(const Failing& failing) {
    if (failing == Failing()) return "";
    const Json json = {{"instance", failing.instance},
                       {"node", failing.node},
                       {"last_exit", failing.last_exit},
                       {"probe_answer", failing.probe_answer},
                       {"log_tail", failing.log_tail}};
    return dump_json(json);
}

Result<Failing> failing_from_text(const std::string& text) {
    Failing failing;
    if (text.empty()) return failing;
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    failing.instance = json_string_or(json, "instance");
    failing.node = json_string_or(json, "node");
    failing.last_exit = json_string_or(json, "last_exit");
    failing.probe_answer = json_string_or(json, "probe_answer");
    const auto tail = json.find("log_tail");
    if (tail == json.end() || !tail->is_array()) return failing;
    for (const Json& line : *tail) {
        if (line.is_string()) failing.log_tail.push_back(line.get<std::string>());
    }
    return failing;
}

// A version is an epoch and a count of 32 bits: no clock may lead beyond that.
constexpr int64_t kEpochOfClockMax = std::numeric_limits<uint32_t>::max() / 2;

Result<uint64_t> next_epoch(Connection& db, WallTime now) {
    CANDELA_TRY_ASSIGN(const auto rows,
                       db.query("SELECT value FROM settings WHERE name = 'epoch'"));
    const int64_t next = rows.empty() ? 1 : rows[0].integer(0) + 1;
    const int64_t epoch =
        std::max(next, std::clamp<int64_t>(unix_seconds(now), 1, kEpochOfClockMax));
    CANDELA_TRY(
        db.execute("INSERT INTO settings (name, value) VALUES ('epoch', $1) "
                   "ON CONFLICT (name) DO UPDATE SET value = $1",
                   {epoch}));
    return static_cast<uint64_t>(epoch);
}

Result<> load_releases(Connection& db, Wanted& wanted) {
    CANDELA_TRY_ASSIGN(
        const auto rows,
        db.query(
            "SELECT space, service, number, manifest, instances, bundle, bundle_bytes, signature, "
            "signer, author, copy_of, created_at, ended_at, rollout, cause, failing, promoted, "
            "reason, idempotency_key, value_versions FROM releases"));
    for (const Row& row : rows) {
        const auto service = wanted.services.find(ServiceKey(row.text(0), row.text(1)));
        if (service == wanted.services.end()) continue;
        Release release;
        release.number = u64(row, 2);
        CANDELA_TRY_ASSIGN(const Json manifest, parse_json(row.text(3)));
        auto parsed = service::manifest_from_json(manifest);
        if (!parsed) {
            return fail(parsed.error().in(
                fmt::format("release {} of {}", release.number, to_string(service->first))));
        }
        release.manifest = std::move(*parsed);
        release.instances = static_cast<uint32_t>(row.integer(4));
        release.bundle = row.text(5);
        release.bundle_bytes = u64(row, 6);
        release.signature = row.text(7);
        release.signer = row.text(8);
        release.author = row.text(9);
        release.copy_of = u64(row, 10);
        release.created_at = to_time(row, 11);
        release.ended_at = to_time(row, 12);
        CANDELA_TRY_ASSIGN(release.rollout, parse_rollout(row.text(13)));
        release.cause = row.text(14);
        CANDELA_TRY_ASSIGN(release.failing, failing_from_text(row.text(15)));
        release.promoted = row.integer(16) != 0;
        release.reason = row.text(17);
        release.idempotency_key = row.text(18);
        CANDELA_TRY_ASSIGN(release.values, parse_value_pins(row.text(19)));
        const uint64_t number = release.number;
        service->second.releases.emplace(number, std::move(release));
    }
    return {};
}

Result<> load_wanted(Connection& db, Loaded& loaded) {
    CANDELA_TRY_ASSIGN(const auto spaces, db.query("SELECT name, created_at, quota FROM spaces"));
    for (const Row& row : spaces) {
        SpaceRecord space(row.text(0), to_time(row, 1));
        CANDELA_TRY_ASSIGN(space.quota, quota_from_text(row.text(2)));
        loaded.spaces.emplace(row.text(0), std::move(space));
    }
    CANDELA_TRY_ASSIGN(const auto services,
                       db.query("SELECT space, service, last_number, target, stable, deleting, "
                                "created_at, maintenance, paused, lock_holder, lock_reason, "
                                "lock_until FROM services"));
    for (const Row& row : services) {
        Service service;
        service.key = ServiceKey(row.text(0), row.text(1));
        service.last_number = u64(row, 2);
        service.target = u64(row, 3);
        service.stable = u64(row, 4);
        service.deleting = row.integer(5) != 0;
        service.created_at = to_time(row, 6);
        service.is_in_maintenance = row.integer(7) != 0;
        service.paused = row.integer(8) != 0;
        service.lock = Lock(row.text(9), row.text(10), to_time(row, 11));
        loaded.wanted.services.emplace(service.key, std::move(service));
    }
    CANDELA_TRY(load_releases(db, loaded.wanted));
    CANDELA_TRY_ASSIGN(loaded.wanted.values, load_values(db));
    CANDELA_TRY_ASSIGN(loaded.wanted.jobs, load_jobs(db));
    CANDELA_TRY_ASSIGN(loaded.wanted.flags, load_flags(db));
    CANDELA_TRY_ASSIGN(
        const auto instances,
        db.query("SELECT id, space, service, number, node, stage, created_at, state, "
                 "port, job, run FROM instances"));
    for (const Row& row : instances) {
        Instance instance;
        instance.id = row.text(0);
        instance.service = ServiceKey(row.text(1), row.text(2));
        instance.release = u64(row, 3);
        instance.node = row.text(4);
        CANDELA_TRY_ASSIGN(instance.stage, parse_stage(row.text(5)));
        instance.created_at = to_time(row, 6);
        instance.job = row.text(9);
        instance.run = u64(row, 10);
        proto::InstanceStatus status;
        status.instance = instance.id;
        CANDELA_TRY_ASSIGN(status.state, proto::parse_instance_state(row.text(7)));
        status.port = static_cast<uint32_t>(row.integer(8));
        loaded.seen.instances[instance.id].status = std::move(status);
        loaded.wanted.instances.emplace(instance.id, std::move(instance));
    }
    return {};
}

Result<> load_rest(Connection& db, Loaded& loaded) {
    CANDELA_TRY_ASSIGN(
        const auto nodes,
        db.query("SELECT name, boot_id, version, roles, machine_id, address, heard_at, "
                 "mode FROM nodes"));
    for (const Row& row : nodes) {
        Node node;
        node.name = row.text(0);
        node.boot_id = row.text(1);
        node.version = row.text(2);
        for (const std::string_view role : split(row.text(3), ',')) node.roles.emplace_back(role);
        node.machine_id = row.text(4);
        node.address = row.text(5);
        node.heard_wall = to_time(row, 6);
        CANDELA_TRY_ASSIGN(node.mode, parse_node_mode(row.text(7)));
        loaded.seen.nodes.emplace(node.name, std::move(node));
    }
    CANDELA_TRY_ASSIGN(const auto keys,
                       db.query("SELECT public_key, kind, name, space, role, owner, created_at, "
                                "expires_at, revoked_at, grants, tags, rotated_to, ends_at "
                                "FROM credentials"));
    for (const Row& row : keys) {
        KeyRecord key;
        key.public_key = row.text(0);
        key.kind = static_cast<KeyKind>(row.integer(1));
        key.name = row.text(2);
        key.space = row.text(3);
        key.role = row.text(4);
        key.owner = row.text(5);
        key.created_at = row.integer(6);
        key.expires_at = row.integer(7);
        key.revoked_at = row.integer(8);
        for (const std::string_view grant : split(row.text(9), ' ')) {
            if (!grant.empty()) key.grants.emplace_back(grant);
        }
        for (const std::string_view tag : split(row.text(10), ' ')) {
            if (!tag.empty()) key.tags.emplace_back(tag);
        }
        key.rotated_to = row.text(11);
        key.ends_at = row.integer(12);
        loaded.keys.emplace(key.public_key, std::move(key));
    }
    CANDELA_TRY_ASSIGN(const auto events,
                       db.query("SELECT id, time, kind, space, service, subject, text FROM events "
                                "ORDER BY id DESC LIMIT $1",
                                {i64(kEventsLoaded)}));
    for (auto row = events.rbegin(); row != events.rend(); ++row) {
        EventRecord event(row->text(2), row->text(3), row->text(4), row->text(5), row->text(6));
        loaded.events.push_back(StoredEvent(u64(*row, 0), to_time(*row, 1), std::move(event)));
    }
    if (!loaded.events.empty()) loaded.last_event = loaded.events.back().id;
    return {};
}

Result<> write_service(Connection& db, const Service& service) {
    CANDELA_TRY(db.execute(
        "INSERT INTO services (space, service, last_number, target, stable, deleting, created_at, "
        "maintenance, paused, lock_holder, lock_reason, lock_until) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) "
        "ON CONFLICT (space, service) DO UPDATE SET last_number = $3, target = $4, stable = $5, "
        "deleting = $6, maintenance = $8, paused = $9, lock_holder = $10, lock_reason = $11, "
        "lock_until = $12",
        {service.key.first, service.key.second, i64(service.last_number), i64(service.target),
         i64(service.stable), int64_t{service.deleting ? 1 : 0}, to_millis(service.created_at),
         int64_t{service.is_in_maintenance ? 1 : 0}, int64_t{service.paused ? 1 : 0},
         service.lock.holder, service.lock.reason, to_millis(service.lock.until)}));
    return {};
}

Result<> write_release(Connection& db, const ServiceKey& key, const Release& release) {
    CANDELA_TRY(db.execute(
        "INSERT INTO releases (space, service, number, manifest, instances, bundle, bundle_bytes, "
        "signature, signer, author, copy_of, created_at, ended_at, rollout, cause, failing, "
        "promoted, reason, idempotency_key, value_versions) VALUES ($1, $2, $3, $4, $5, $6, $7, "
        "$8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT (space, service, number) DO UPDATE "
        "SET instances = $5, ended_at = $13, rollout = $14, cause = $15, failing = $16, "
        "promoted = $17, value_versions = $20",
        {key.first,
         key.second,
         i64(release.number),
         dump_json(service::to_json(release.manifest)),
         int64_t{release.instances},
         release.bundle,
         i64(release.bundle_bytes),
         release.signature,
         release.signer,
         release.author,
         i64(release.copy_of),
         to_millis(release.created_at),
         to_millis(release.ended_at),
         std::string(to_string(release.rollout)),
         release.cause,
         failing_to_text(release.failing),
         int64_t{release.promoted ? 1 : 0},
         release.reason,
         release.idempotency_key,
         to_text(release.values)}));
    return {};
}

Result<> write_instance(Connection& db, const Instance& instance) {
    CANDELA_TRY(db.execute(
        "INSERT INTO instances (id, space, service, number, node, stage, created_at, job, run) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET stage = $6",
        {instance.id, instance.service.first, instance.service.second, i64(instance.release),
         instance.node, std::string(to_string(instance.stage)), to_millis(instance.created_at),
         instance.job, i64(instance.run)}));
    return {};
}

}  // namespace

std::span<const store::Migration> migrations() { return kMigrations; }

Result<Loaded> load(Connection& db, WallTime now) {
    auto work = [&]() -> Result<Loaded> {
        Loaded loaded;
        CANDELA_TRY_ASSIGN(loaded.epoch, next_epoch(db, now));
        CANDELA_TRY(load_wanted(db, loaded));
        CANDELA_TRY(load_rest(db, loaded));
        return loaded;
    };
    return db.transaction(work);
}

Result<> write(Connection& db, const Change& change, std::span<const StoredEvent> events) {
    auto work = [&]() -> Result<> {
        for (const Service& service : change.services) CANDELA_TRY(write_service(db, service));
        for (const auto& [key, release] : change.releases) {
            CANDELA_TRY(write_release(db, key, release));
        }
        for (const std::string& id : change.gone_instances) {
            CANDELA_TRY(db.execute("DELETE FROM instances WHERE id = $1", {id}));
        }
        for (const Instance& instance : change.instances) CANDELA_TRY(write_instance(db, instance));
        for (const auto& [key, number] : change.gone_releases) {
            CANDELA_TRY(
                db.execute("DELETE FROM releases WHERE space = $1 AND service = $2 AND number = $3",
                           {key.first, key.second, i64(number)}));
        }
        for (const ServiceKey& key : change.gone_services) {
            CANDELA_TRY(db.execute("DELETE FROM services WHERE space = $1 AND service = $2",
                                   {key.first, key.second}));
        }
        for (const auto& [name, mode] : change.node_modes) {
            CANDELA_TRY(db.execute("UPDATE nodes SET mode = $2 WHERE name = $1",
                                   {name, std::string(to_string(mode))}));
        }
        for (const std::string& name : change.gone_nodes) {
            CANDELA_TRY(db.execute("DELETE FROM nodes WHERE name = $1", {name}));
        }
        CANDELA_TRY(write_values(db, change));
        CANDELA_TRY(write_jobs(db, change));
        CANDELA_TRY(write_flags(db, change));
        return write_events(db, events);
    };
    return db.transaction(work);
}

Result<> write_space(Connection& db, const SpaceRecord& space) {
    CANDELA_TRY(
        db.execute("INSERT INTO spaces (name, created_at, quota) VALUES ($1, $2, $3) "
                   "ON CONFLICT (name) DO UPDATE SET quota = $3",
                   {space.name, to_millis(space.created_at), quota_text(space.quota)}));
    return {};
}

Result<> remove_space(Connection& db, const std::string& name) {
    auto work = [&]() -> Result<> {
        CANDELA_TRY(db.execute("DELETE FROM credentials WHERE space = $1", {name}));
        CANDELA_TRY(remove_values_of(db, name));
        CANDELA_TRY(remove_flags_of(db, name));
        CANDELA_TRY(db.execute("DELETE FROM spaces WHERE name = $1", {name}));
        return {};
    };
    return db.transaction(work);
}

Result<> write_key(Connection& db, const KeyRecord& key) {
    CANDELA_TRY(db.execute(
        "INSERT INTO credentials (public_key, kind, name, space, role, owner, created_at, expires_at, "
        "revoked_at, grants, tags, rotated_to, ends_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
        "ON CONFLICT (public_key) DO UPDATE SET "
        "name = $3, role = $5, created_at = $7, expires_at = $8, revoked_at = $9, grants = $10, "
        "tags = $11, rotated_to = $12, ends_at = $13",
        {key.public_key, static_cast<int64_t>(key.kind), key.name, key.space, key.role, key.owner,
         key.created_at, key.expires_at, key.revoked_at, join(key.grants, " "), join(key.tags, " "),
         key.rotated_to, key.ends_at}));
    return {};
}

Result<> remove_keys(Connection& db, std::span<const std::string> public_keys) {
    auto work = [&]() -> Result<> {
        for (const std::string& key : public_keys) {
            CANDELA_TRY(db.execute("DELETE FROM credentials WHERE public_key = $1", {key}));
        }
        return {};
    };
    return db.transaction(work);
}

Result<> write_events(Connection& db, std::span<const StoredEvent> events) {
    for (const StoredEvent& stored : events) {
        const EventRecord& event = stored.event;
        CANDELA_TRY(
            db.execute("INSERT INTO events (id, time, kind, space, service, subject, text) "
                       "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                       {i64(stored.id), to_millis(stored.time), event.kind, event.space,
                        event.service, event.subject, event.text}));
    }
    if (events.empty()) return {};
    CANDELA_TRY(
        db.execute("DELETE FROM events WHERE id <= $1", {i64(events.back().id) - kEventsMax}));
    return {};
}

Result<> write_seen(Connection& db, std::span<const Node> nodes,
                    std::span<const SightingRecord> sightings) {
    auto work = [&]() -> Result<> {
        for (const Node& node : nodes) {
            CANDELA_TRY(db.execute(
                "INSERT INTO nodes (name, boot_id, version, roles, machine_id, address, heard_at, "
                "mode) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO UPDATE SET "
                "boot_id = $2, version = $3, roles = $4, machine_id = $5, address = $6, "
                "heard_at = $7, mode = $8",
                {node.name, node.boot_id, node.version, join(node.roles, ","), node.machine_id,
                 node.address, to_millis(node.heard_wall), std::string(to_string(node.mode))}));
        }
        for (const SightingRecord& sighting : sightings) {
            CANDELA_TRY(db.execute("UPDATE instances SET state = $2, port = $3 WHERE id = $1",
                                   {sighting.instance, sighting.state, int64_t{sighting.port}}));
        }
        return {};
    };
    return db.transaction(work);
}

}  // namespace candela::lighthouse
