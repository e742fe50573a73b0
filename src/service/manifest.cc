#include "service/manifest.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/text.h"
#include "service/build_spec.h"
#include "service/job_read.h"
#include "service/json_table.h"
#include "service/manifest_rules.h"
#include "service/manifest_schema.h"
#include "service/route_read.h"
#include "service/value_read.h"

namespace candela::service {

namespace {

template <class Table>
Probe read_probe(const Table& table, Kind kind,
                 const std::function<void(ManifestMistake)>& report) {
    Probe probe;
    probe.path = table.string("path");
    probe.exec = table.strings("exec");
    probe.interval = table.duration("interval");
    probe.timeout = table.duration("timeout");
    probe.start_timeout = table.duration("start_timeout");

    const bool has_path = table.is_written("path");
    const bool has_exec = table.is_written("exec");
    const bool has_tcp = table.boolean("tcp");
    if (has_path + has_exec + has_tcp > 1) {
        report({{"probe", has_exec ? "exec" : "tcp"}, "one of path, tcp and exec, not several"});
    }
    if (has_exec && probe.exec.empty()) report({{"probe", "exec"}, "the command is empty"});
    if (has_path)
        probe.type = Probe::Type::kHttp;
    else if (has_exec)
        probe.type = Probe::Type::kExec;
    else if (has_tcp || kind == Kind::kHttp || kind == Kind::kStatic)
        probe.type = Probe::Type::kTcp;
    return probe;
}

SandboxLevel parse_sandbox_level(std::string_view text) {
    for (const SandboxLevel level : {SandboxLevel::kIsolated, SandboxLevel::kStrict}) {
        if (to_string(level) == text) return level;
    }
    return SandboxLevel::kNone;
}

template <class Table>
Container read_container(const Table& root, Kind kind) {
    const auto& table = root.table("container");
    Container container;
    container.image = root.string("image");
    const std::string_view network = table.string("network");
    container.is_host_network = network == "host" || (network.empty() && kind == Kind::kBus);
    container.port = static_cast<uint16_t>(table.integer("port"));
    container.user = table.string("user");
    container.is_writable = !table.boolean("read_only");
    return container;
}

template <class Table>
Limits read_limits(const Table& table) {
    Limits limits;
    limits.memory_bytes = table.size_bytes("memory");
    limits.cpu_percent = static_cast<uint32_t>(table.integer("cpu_percent"));
    limits.pids = static_cast<uint32_t>(table.integer("pids"));
    limits.scratch_bytes = table.size_bytes("scratch");
    return limits;
}

uint32_t cpu_millis_of(double cores) {
    return std::isfinite(cores) && cores > 0 ? static_cast<uint32_t>(std::lround(cores * 1000)) : 0;
}

// Mistakes in the rules' text are reported here, where it still is text.
template <class Table>
std::vector<LabelRule> read_rules(const Table& table, const char* key,
                                  const std::function<void(ManifestMistake)>& report) {
    std::vector<LabelRule> rules;
    for (int index = 0; const std::string& text : table.strings(key)) {
        auto rule = parse_label_rule(text);
        if (rule) {
            rules.push_back(std::move(*rule));
        } else {
            report({{"placement", key, index}, rule.error().message()});
        }
        ++index;
    }
    return rules;
}

template <class Table>
Placement read_placement(const Table& table, const std::function<void(ManifestMistake)>& report) {
    Placement placement;
    placement.constraints = read_rules(table, "constraints", report);
    placement.affinities = read_rules(table, "affinities", report);
    placement.spread = table.string("spread");
    return placement;
}

uint32_t rate_of(double percent) {
    return static_cast<uint32_t>(std::lround(percent * (kWholeRate / 100)));
}

template <class Table>
UpdateAnalysis read_analysis(const Table& table) {
    UpdateAnalysis analysis;
    analysis.requests_min = static_cast<uint32_t>(table.integer("requests_min"));
    analysis.error_rate_max = rate_of(table.number("error_rate_max"));
    analysis.error_rate_above_old_max = rate_of(table.number("error_rate_above_old_max"));
    analysis.p99_max = table.duration("p99_max");
    analysis.p99_above_old_max = static_cast<uint32_t>(table.integer("p99_above_old_max"));
    analysis.timeout = table.duration("timeout");
    return analysis;
}

template <class Table>
Update read_update(const Table& table) {
    Update update;
    const std::string_view strategy = table.string("strategy");
    for (const auto known : {UpdateStrategy::kBlueGreen, UpdateStrategy::kCanary}) {
        if (strategy == to_string(known)) update.strategy = known;
    }
    update.canary_percent = static_cast<uint32_t>(table.integer("canary_percent"));
    update.canary_weight = static_cast<uint32_t>(table.integer("canary_weight"));
    update.is_promoted_by_hand = table.string("promote") == "hand";
    if (table.is_written("promote_after")) {
        update.promote_after = table.duration("promote_after");
    } else if (update.strategy == UpdateStrategy::kCanary) {
        update.promote_after = kCanaryPromoteAfter;
    }
    if (table.is_written("analysis")) update.analysis = read_analysis(table.table("analysis"));
    update.max_surge = static_cast<uint32_t>(table.integer("max_surge"));
    update.max_unavailable = static_cast<uint32_t>(table.integer("max_unavailable"));
    return update;
}

// Config and JsonTable answer the same questions.
template <class Table>
Manifest read_manifest(const Table& table, const ManifestDefaults& defaults,
                       const std::function<void(ManifestMistake)>& report) {
    Manifest m;
    m.name = table.is_written("name") ? table.string("name") : defaults.name;
    m.kind = parse_kind(table.string("kind")).value_or(Kind::kHttp);
    if (defaults.kind && !table.is_written("kind") && !table.is_written("command")) {
        m.kind = *defaults.kind;
    }
    if (table.string("driver") == to_string(Driver::kDocker)) m.driver = Driver::kDocker;
    m.command = table.strings("command");
    // An image has a command of its own.
    const bool takes_default = m.kind != Kind::kStatic && m.driver == Driver::kProcess;
    if (!table.is_written("command") && takes_default) m.command = defaults.command;
    m.root = table.string("root");
    if (!table.is_written("root") && m.kind == Kind::kStatic && !defaults.root.empty()) {
        m.root = defaults.root;
    }
    m.container = read_container(table, m.kind);
    m.protocol = parse_protocol(table.string("protocol")).value_or(Protocol::kHttp1);
    m.proxy_protocol = http::parse_proxy_version(table.string("proxy_protocol"))
                           .value_or(http::ProxyVersion::kNone);
    m.instances = static_cast<uint32_t>(table.integer("instances"));
    for (const ConfigItem& item : table.items("env")) m.env[item.name] = item.value;
    m.env.insert(defaults.env.begin(), defaults.env.end());
    m.probe = read_probe(table.table("probe"), m.kind, report);
    m.stop.grace = table.table("stop").duration("grace");
    m.sandbox = parse_sandbox_level(table.table("sandbox").string("level"));
    m.has_network = table.table("sandbox").string("network") != "none";
    m.limits = read_limits(table.table("limits"));
    m.update = read_update(table.table("update"));
    for (const ConfigItem& item : table.items("errors")) m.errors[item.name] = item.value;
    for (const ConfigItem& item : table.items("error_pages")) {
        m.error_pages[item.name] = item.value;
    }
    m.maintenance.allow = table.table("maintenance").strings("allow");
    m.maintenance.retry_after = table.table("maintenance").duration("retry_after");
    m.resources.cpu_millis = cpu_millis_of(table.table("resources").number("cpu"));
    m.resources.memory_bytes = table.table("resources").size_bytes("memory");
    m.placement = read_placement(table.table("placement"), report);
    for (const auto& job : table.tables("job")) m.jobs.push_back(read_job(job));
    // Of jobs alone nothing else runs.
    const bool is_jobs_only = m.kind == Kind::kJob && m.command.empty() && !m.jobs.empty();
    if (is_jobs_only && !table.is_written("instances")) m.instances = 0;
    for (const ValueKind kind : {ValueKind::kSecret, ValueKind::kConfig}) {
        for (int index = 0; const auto& value : table.tables(to_string(kind))) {
            m.values.push_back(read_value(value, kind, index++, report));
        }
    }
    for (const auto& route : table.tables("route")) {
        m.routes.push_back(read_route(route));
    }
    const bool takes_requests = m.kind == Kind::kHttp || m.kind == Kind::kStatic;
    if (takes_requests && !defaults.host.empty() && !table.is_written("route")) {
        m.routes.emplace_back().host = defaults.host;
    }
    check_manifest(m, report);
    return m;
}

ConfigPosition locate(const Config& config, const ManifestPlace& place) {
    const auto item_or = [](const Config& table, std::string_view key, auto&& is_item) {
        for (size_t i = 0; const ConfigItem& item : table.items(key)) {
            if (is_item(item, i++)) return item.at;
        }
        return table.position(key);
    };
    if (place.table == "env" || place.table == "errors" || place.table == "error_pages") {
        return item_or(config, place.table,
                       [&](const ConfigItem& item, size_t) { return item.name == place.key; });
    }
    if (place.table == "route" || place.table == "secret" || place.table == "config" ||
        place.table == "job") {
        const auto& routes = config.tables(place.table);
        const auto index = static_cast<size_t>(std::max(place.index, 0));
        if (index >= routes.size()) return config.position(place.table);
        const auto nested = split_once(place.key, '.');
        if (!nested) return routes[index].position(place.key);
        const ConfigKey* const key = routes[index].schema().find(nested->first);
        if (key == nullptr || key->type != ConfigType::kTable) {
            return routes[index].position(nested->first);
        }
        const ConfigPosition inner = routes[index].table(nested->first).position(nested->second);
        return inner.line != 0 ? inner : routes[index].position(nested->first);
    }
    const Config& table = place.table.empty() ? config : config.table(place.table);
    if (place.index < 0) return table.position(place.key);
    return item_or(table, place.key,
                   [&](const ConfigItem&, size_t i) { return static_cast<int>(i) == place.index; });
}

}  // namespace

std::string_view to_string(Kind kind) {
    switch (kind) {
        case Kind::kHttp: return "http";
        case Kind::kBus: return "bus";
        case Kind::kJob: return "job";
        case Kind::kStatic: return "static";
    }
    return "http";
}

Result<Kind> parse_kind(std::string_view text) {
    for (const Kind kind : {Kind::kHttp, Kind::kBus, Kind::kJob, Kind::kStatic}) {
        if (to_string(kind) == text) return kind;
    }
    return fail(Code::kInvalid, "\"{}\" is not a kind: http, bus, job or static", printable(text));
}

std::string_view to_string(SandboxLevel level) {
    switch (level) {
        case SandboxLevel::kNone: return "none";
        case SandboxLevel::kIsolated: return "isolated";
        case SandboxLevel::kStrict: return "strict";
    }
    return "none";
}

std::string_view to_string(Driver driver) {
    return driver == Driver::kDocker ? "docker" : "process";
}

std::string_view to_string(Protocol protocol) {
    return protocol == Protocol::kH2c ? "h2c" : "http1";
}

Result<Protocol> parse_protocol(std::string_view text) {
    for (const Protocol protocol : {Protocol::kHttp1, Protocol::kH2c}) {
        if (to_string(protocol) == text) return protocol;
    }
    return fail(Code::kInvalid, "\"{}\" is not a protocol: http1 or h2c", printable(text));
}

std::string_view to_string(UpdateStrategy strategy) {
    switch (strategy) {
        case UpdateStrategy::kRolling: return "rolling";
        case UpdateStrategy::kBlueGreen: return "blue-green";
        case UpdateStrategy::kCanary: return "canary";
    }
    return "rolling";
}

Result<Manifest> parse_manifest(std::string_view toml, std::string_view file_name) {
    return parse_manifest(toml, file_name, ManifestDefaults());
}

Result<Manifest> parse_manifest(std::string_view toml, std::string_view file_name,
                                const ManifestDefaults& defaults) {
    if (toml.size() > kManifestSizeMax) {
        return fail(Code::kExhausted, "{}: {} bytes; a manifest has at most {}", file_name,
                    toml.size(), kManifestSizeMax);
    }
    ConfigProblems problems(file_name);
    const Config config = read_config(toml, manifest_schema(), problems);
    const bool is_well_typed = problems.empty();
    check_build(config.table("build"), problems);
    Manifest manifest = read_manifest(config, defaults, [&](ManifestMistake mistake) {
        if (mistake.is_missing && !is_well_typed) return;
        problems.add(locate(config, mistake.place), std::move(mistake.message));
    });
    if (!problems.empty()) return fail(problems.as_error());
    return manifest;
}

Result<Manifest> manifest_from_json(const Json& json) {
    std::vector<std::string> mistakes;
    const JsonTable table(json, manifest_schema(), "", mistakes);
    const bool is_well_typed = mistakes.empty();
    Manifest manifest = read_manifest(table, ManifestDefaults(), [&](ManifestMistake mistake) {
        if (mistake.is_missing && !is_well_typed) return;
        mistakes.push_back(fmt::format("{}: {}", mistake.place.to_string(), mistake.message));
    });
    if (mistakes.empty()) return manifest;
    constexpr size_t kMistakesMax = 100;
    if (mistakes.size() > kMistakesMax) {
        const size_t more = mistakes.size() - kMistakesMax;
        mistakes.resize(kMistakesMax);
        mistakes.push_back(fmt::format("and {} more", more));
    }
    return fail(Code::kInvalid, "{}", join(mistakes, "\n"));
}

Json to_json(const Manifest& m) {
    Json json = {{"name", m.name}, {"kind", to_string(m.kind)}, {"instances", m.instances}};
    if (m.kind == Kind::kStatic) json["root"] = m.root;
    if (m.protocol != Protocol::kHttp1) json["protocol"] = to_string(m.protocol);
    if (m.proxy_protocol != http::ProxyVersion::kNone) {
        json["proxy_protocol"] = http::to_string(m.proxy_protocol);
    }
    if (!m.command.empty()) json["command"] = m.command;
    if (m.driver != Driver::kProcess) {
        const Container& container = m.container;
        json["driver"] = to_string(m.driver);
        json["image"] = container.image;
        json["container"]["network"] = container.is_host_network ? "host" : "own";
        json["container"]["read_only"] = !container.is_writable;
        if (container.port != 0) json["container"]["port"] = container.port;
        if (!container.user.empty()) json["container"]["user"] = container.user;
    }
    if (!m.env.empty()) json["env"] = m.env;

    Json& probe = json["probe"];
    probe["interval"] = format_duration(m.probe.interval);
    probe["timeout"] = format_duration(m.probe.timeout);
    probe["start_timeout"] = format_duration(m.probe.start_timeout);
    if (m.probe.type == Probe::Type::kHttp) probe["path"] = m.probe.path;
    if (m.probe.type == Probe::Type::kTcp) probe["tcp"] = true;
    if (m.probe.type == Probe::Type::kExec) probe["exec"] = m.probe.exec;

    json["stop"]["grace"] = format_duration(m.stop.grace);
    // Left out where nothing is said: an older lighthouse takes it then.
    if (m.sandbox != SandboxLevel::kNone) json["sandbox"]["level"] = to_string(m.sandbox);
    if (!m.has_network) json["sandbox"]["network"] = "none";
    const auto limit = [&](const char* key, uint64_t value, Json shown) {
        if (value != 0) json["limits"][key] = std::move(shown);
    };
    const Limits& limits = m.limits;
    limit("memory", limits.memory_bytes, fmt::format("{}B", limits.memory_bytes));
    limit("cpu_percent", limits.cpu_percent, limits.cpu_percent);
    limit("pids", limits.pids, limits.pids);
    limit("scratch", limits.scratch_bytes, fmt::format("{}B", limits.scratch_bytes));

    Json& update = json["update"];
    update["strategy"] = to_string(m.update.strategy);
    if (m.update.strategy == UpdateStrategy::kCanary) {
        update["canary_percent"] = m.update.canary_percent;
        update["canary_weight"] = m.update.canary_weight;
    }
    if (m.update.strategy != UpdateStrategy::kRolling) {
        update["promote"] = m.update.is_promoted_by_hand ? "hand" : "auto";
        update["promote_after"] = format_duration(m.update.promote_after);
    }
    if (const auto& analysis = m.update.analysis) {
        const auto percent = [](uint32_t rate) { return rate / (kWholeRate / 100.0); };
        update["analysis"] = {
            {"requests_min", analysis->requests_min},
            {"error_rate_max", percent(analysis->error_rate_max)},
            {"error_rate_above_old_max", percent(analysis->error_rate_above_old_max)},
            {"p99_max", format_duration(analysis->p99_max)},
            {"p99_above_old_max", analysis->p99_above_old_max},
            {"timeout", format_duration(analysis->timeout)}};
    }
    update["max_surge"] = m.update.max_surge;
    update["max_unavailable"] = m.update.max_unavailable;
    if (!m.errors.empty()) json["errors"] = m.errors;
    if (!m.error_pages.empty()) json["error_pages"] = m.error_pages;
    if (m.maintenance != Maintenance()) {
        json["maintenance"] = {{"allow", m.maintenance.allow},
                               {"retry_after", format_duration(m.maintenance.retry_after)}};
    }
    if (m.resources.cpu_millis != 0) json["resources"]["cpu"] = m.resources.cpu_millis / 1000.0;
    if (m.resources.memory_bytes != 0) json["resources"]["memory"] = m.resources.memory_bytes;
    for (const LabelRule& rule : m.placement.constraints) {
        json["placement"]["constraints"].push_back(to_string(rule));
    }
    for (const LabelRule& rule : m.placement.affinities) {
        json["placement"]["affinities"].push_back(to_string(rule));
    }
    if (!m.placement.spread.empty()) json["placement"]["spread"] = m.placement.spread;
    for (const Job& job : m.jobs) json["job"].push_back(to_json(job));
    for (const ValueUse& use : m.values) {
        json[std::string(to_string(use.kind))].push_back(to_json(use));
    }
    for (const Route& route : m.routes) json["route"].push_back(to_json(route));
    return json;
}

}  // namespace candela::service
