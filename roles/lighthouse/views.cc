#include "views.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "crypto/hash.h"

namespace candela::lighthouse {

using proto::InstanceState;

namespace {

// "" for the time that stands for none.
std::string time_text(WallTime time) {
    return time == WallTime() ? std::string() : format_rfc3339(time);
}
std::string seconds_text(int64_t seconds) {
    return seconds == 0 ? std::string() : format_rfc3339(from_unix_millis(seconds * 1000));
}

std::string_view state_of(const Instance& instance, const Sighting* sighting) {
    const InstanceState seen =
        sighting == nullptr ? InstanceState::kPending : sighting->status.state;
    const bool has_ended = seen == InstanceState::kExited || seen == InstanceState::kFailed;
    if (has_ended || instance.stage == Stage::kRun) {
        return proto::to_string(seen == InstanceState::kUnknown ? InstanceState::kPending : seen);
    }
    return instance.stage == Stage::kDraining ? "draining" : "stopping";
}

std::string_view state_of(const Node& node, bool silent) {
    if (silent) return "silent";
    if (node.draining || node.mode == NodeMode::kDraining) return "draining";
    return node.mode == NodeMode::kCordoned ? "cordoned" : "ready";
}

// Null where nobody holds it.
Json view_of(const Lock& lock, WallTime now) {
    if (!lock.is_held(now)) return nullptr;
    return Json{{"holder", lock.holder}, {"reason", lock.reason}, {"until", time_text(lock.until)}};
}

// What it has taken lately; null where nothing is known of that.
Json usage_view(const std::string& key, const State& state) {
    const UsageSample* latest = state.usage().latest(key, state.loop().wall());
    return latest == nullptr ? Json(nullptr) : to_json(*latest);
}

std::string state_of(const Service& service, uint32_t ready) {
    if (service.deleting) return "deleting";
    const Release* target = service.find(service.target);
    if (target == nullptr) return "down";
    if (target->rollout == Rollout::kRolling) return service.paused ? "paused" : "rolling";
    if (target->instances == 0) return "stopped";
    return ready == 0 ? "down" : "serving";
}

}  // namespace

std::string revision_of(const Service& service) {
    const Release* target = service.find(service.target);
    constexpr size_t kDigits = 16;
    const std::string text = fmt::format(
        "{} {} {} {} {} {} {} {} {} {}", service.last_number, service.target, service.stable,
        service.deleting, service.is_in_maintenance, service.paused, service.lock.holder,
        unix_millis(service.lock.until), target == nullptr ? 0 : target->instances,
        target != nullptr && target->promoted);
    return crypto::sha256_hex(as_bytes(text)).substr(0, kDigits);
}

uint32_t ready_count(const Service& service, uint64_t release, const State& state) {
    uint32_t ready = 0;
    const auto [first, last] = state.wanted().instances_named(service.key.second);
    for (auto at = first; at != last; ++at) {
        const auto& [id, instance] = *at;
        if (instance.service != service.key || instance.stage != Stage::kRun) continue;
        if (!instance.job.empty()) continue;
        if (release != 0 && instance.release != release) continue;
        const Sighting* sighting = state.seen().find(id);
        if (sighting == nullptr) continue;
        const Release* of = service.find(instance.release);
        const bool is_well = sighting->status.state == InstanceState::kReady ||
                             (of != nullptr && is_finished(*of, sighting));
        if (is_well) ++ready;
    }
    return ready;
}

std::map<std::string, NodeCounts> count_by_node(const State& state) {
    std::map<std::string, NodeCounts> out;
    for (const auto& [id, instance] : state.wanted().instances) {
        NodeCounts& counts = out[instance.node];
        ++counts.instances;
        const Sighting* sighting = state.seen().find(id);
        const auto seen = sighting == nullptr ? InstanceState::kUnknown : sighting->status.state;
        if (seen != InstanceState::kExited && seen != InstanceState::kFailed) ++counts.unfinished;
    }
    return out;
}

Json view_of(const Node& node, const NodeCounts& counts, const State& state) {
    const bool silent =
        !node.heard_at || is_silent(node, state.seen(), state.loop().now(), state.limits());
    Json protections = Json::array();
    for (const proto::Protection& each : node.protections) {
        protections.push_back({{"name", each.name}, {"on", each.is_on}, {"detail", each.detail}});
    }
    Json drivers = Json::array();
    for (const proto::HostDriver& each : node.drivers) {
        drivers.push_back({{"name", each.name},
                           {"on", each.is_on},
                           {"detail", each.detail},
                           {"sandbox_level", each.sandbox_level}});
    }
    return Json{{"name", node.name},
                {"state", state_of(node, silent)},
                {"mode", to_string(node.mode)},
                {"roles", node.roles},
                {"version", node.version},
                {"address", node.address},
                {"machine_id", node.machine_id},
                {"instances", counts.instances},
                {"unfinished", counts.unfinished},
                {"cpus", node.cpus},
                {"memory_bytes", node.memory_bytes},
                {"load_percent", node.load_percent},
                {"usage", usage_view(UsageBook::node_key(node.name), state)},
                {"sandbox_level", node.sandbox_level},
                {"protections", protections},
                {"drivers", drivers},
                {"trouble", node.trouble},
                {"labels", node.labels},
                {"cpu_for_instances", static_cast<double>(node.cpu_millis_max) / 1000.0},
                {"memory_for_instances", node.memory_bytes_max},
                {"draining", node.draining},
                {"routes_version", node.routes_version},
                {"heard_at", time_text(node.heard_wall)}};
}

Json view_of(const Service& service, const State& state) {
    const Release* target = service.find(service.target);
    const Release* shown = target != nullptr ? target : service.find(service.last_number);
    Json routes = Json::array();
    for (const service::Route& route : routes_of(service)) {
        routes.push_back({{"host", route.host}, {"path", route.path}});
    }
    const uint32_t ready = ready_count(service, 0, state);
    return Json{{"space", service.key.first},
                {"name", service.key.second},
                {"kind", shown == nullptr ? "" : service::to_string(shown->manifest.kind)},
                {"state", state_of(service, ready)},
                {"revision", revision_of(service)},
                {"release", service.target},
                {"latest_release", service.last_number},
                {"instances", target == nullptr ? 0 : target->instances},
                {"ready", ready},
                {"routes", routes},
                {"waiting", state.waiting_for(service.key)},
                {"maintenance", service.is_in_maintenance},
                {"paused", service.paused},
                {"lock", view_of(service.lock, state.loop().wall())},
                {"created_at", time_text(service.created_at)}};
}

Json figures_view(const AnswerFigures& figures) {
    const double millis = std::chrono::duration<double, std::milli>(figures.p99()).count();
    return Json{{"answers", figures.answers}, {"failures", figures.failures}, {"p99_ms", millis}};
}

// Of a canary that is judged by its answers.
Json analysis_view(const Service& service, const Judgement& judgement, const State& state) {
    const auto found = state.seen().answers.find(service.key);
    const AnswerLedger none;
    const AnswerLedger& ledger = found == state.seen().answers.end() ? none : found->second;
    return Json{{"verdict", to_string(judgement.verdict)},
                {"why", judgement.why},
                {"canary", figures_view(ledger.of(service.target))},
                {"old", figures_view(ledger.of(service.stable))}};
}

Json view_of(const Service& service, const Release& release, const State& state) {
    Json json = {{"number", release.number},
                 {"space", service.key.first},
                 {"service", service.key.second},
                 {"state", to_string(release.rollout)},
                 {"cause", release.cause},
                 {"instances", release.instances},
                 {"ready", ready_count(service, release.number, state)},
                 {"copy_of", release.copy_of},
                 {"reason", release.reason},
                 {"strategy", service::to_string(release.manifest.update.strategy)},
                 {"promoted", release.promoted},
                 {"bundle", release.bundle},
                 {"bundle_bytes", release.bundle_bytes},
                 {"signer", release.signer},
                 {"author", release.author},
                 {"manifest", service::to_json(release.manifest)},
                 {"created_at", time_text(release.created_at)},
                 {"ended_at", time_text(release.ended_at)}};
    if (release.number == service.target) {
        json["waiting"] = state.waiting_for(service.key);
        json["waits_for_promotion"] = state.waits_for_hand(service.key, release);
        json["paused"] = service.paused;
        if (const auto judgement = judgement_of(service, state.seen()))
            json["analysis"] = analysis_view(service, *judgement, state);
    }
    const Failing& failing = release.failing;
    if (failing == Failing()) return json;
    json["failing"] = {{"instance", failing.instance},
                       {"node", failing.node},
                       {"last_exit", failing.last_exit},
                       {"probe_answer", failing.probe_answer},
                       {"log_tail", failing.log_tail}};
    return json;
}

Json view_of(const Instance& instance, const State& state) {
    const Sighting* sighting = state.seen().find(instance.id);
    const proto::InstanceStatus none;
    const proto::InstanceStatus& status = sighting == nullptr ? none : sighting->status;
    Json json = {
        {"id", instance.id},
        {"space", instance.service.first},
        {"service", instance.service.second},
        {"release", instance.release},
        {"node", instance.node},
        {"state", state_of(instance, sighting)},
        {"port", status.port},
        {"pid", status.pid},
        {"restarts", status.restarts},
        {"memory_bytes", status.memory_bytes},
        {"usage", usage_view(UsageBook::instance_key(instance.id), state)},
        {"cause", status.cause},
        {"probe_answer", status.probe_answer},
        {"last_exit", status.last_exit},
        {"started_at", time_text(from_unix_millis(static_cast<int64_t>(status.started_at)))},
        {"created_at", time_text(instance.created_at)}};
    if (!instance.job.empty()) {
        json["job"] = instance.job;
        json["run"] = instance.run;
    }
    return json;
}

Json view_of(const KeyRecord& key) {
    return Json{{"public", key.public_key},
                {"public_key", key.public_key},
                {"name", key.name},
                {"space", key.space},
                {"role", key.role},
                {"grants", key.grants},
                {"created_at", seconds_text(key.created_at)},
                {"expires_at", seconds_text(key.expires_at)},
                {"rotated_to", key.rotated_to},
                {"ends_at", seconds_text(key.ends_at)},
                {"revoked", key.revoked_at != 0}};
}

Json view_of(const SpaceRecord& space, const State& state) {
    const Usage usage = usage_of(state.wanted(), space.name);
    return Json{{"name", space.name},
                {"services", usage.services},
                {"instances", usage.instances},
                {"cpu_millis", usage.cpu_millis},
                {"memory_bytes", usage.memory_bytes},
                {"quota", quota_json(space.quota)},
                {"created_at", time_text(space.created_at)}};
}

Json view_of(const StoredEvent& stored) {
    const EventRecord& event = stored.event;
    Json json = {{"id", stored.id}, {"time", time_text(stored.time)}, {"type", event.kind}};
    if (!event.space.empty()) json["space"] = event.space;
    if (!event.service.empty()) json["service"] = event.service;
    if (!event.subject.empty()) json["subject"] = event.subject;
    if (!event.text.empty()) json["text"] = event.text;
    return json;
}

Json view_of(const HeldCertificate& certificate, WallTime now) {
    const tls::CertificateInfo& info = certificate.info;
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(info.not_after - now);
    return Json{{"name", certificate.name},
                {"names", info.names},
                {"source", to_string(certificate.source)},
                {"issuer", info.issuer},
                {"state", info.not_after <= now ? "expired" : "valid"},
                {"not_before", time_text(info.not_before)},
                {"expires_at", time_text(info.not_after)},
                {"expires_in_seconds", left.count()},
                {"fingerprint", info.fingerprint},
                {"created_at", time_text(certificate.created_at)}};
}

Json view_of(const AcmeKeeper& acme) {
    const bool is_paused = !acme.error().empty();
    return Json{{"directory", acme.directory()},
                {"account", acme.account_url()},
                {"error", acme.error()},
                {"next_attempt_at", is_paused ? time_text(acme.next_attempt_at()) : ""}};
}

}  // namespace candela::lighthouse
