#include "service/manifest_rules.h"

#include <algorithm>
#include <span>

#include "base/text.h"
#include "http/error_pages.h"
#include "http/proxy_headers.h"
#include "service/job_read.h"
#include "service/value_read.h"

namespace candela::service {

namespace {

using Report = std::function<void(ManifestMistake)>;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// A path that can stand in a request line (RFC 9112 §3) as it is.
bool is_plain_path(std::string_view path) {
    return path.starts_with('/') &&
           std::ranges::all_of(path, [](char c) { return c > 0x20 && c < 0x7F; });
}

bool has_parent_segment(std::string_view path) {
    return std::ranges::any_of(split(path, '/'),
                               [](std::string_view part) { return part == ".."; });
}

void check_arguments(const std::vector<std::string>& arguments, std::string_view table,
                     std::string_view key, const Report& report) {
    const auto place = [&](int index) {
        return ManifestPlace{std::string(table), std::string(key), index};
    };
    size_t length = 0;
    for (size_t i = 0; i < arguments.size(); ++i) {
        length += arguments[i].size() + 1;
        if (has_nul(arguments[i])) {
            report({place(static_cast<int>(i)), "an argument can't contain a NUL byte"});
        }
    }
    if (!arguments.empty() && arguments.front().empty()) {
        report({place(0), "the program's name is empty"});
    }
    if (arguments.size() > kCommandArgumentsMax) {
        report({place(-1), fmt::format("{} arguments; at most {} are allowed", arguments.size(),
                                       kCommandArgumentsMax)});
    }
    if (length > kCommandLengthMax) {
        report({place(-1), fmt::format("{} bytes of arguments; at most {} are allowed", length,
                                       kCommandLengthMax)});
    }
}

void check_command(const Manifest& m, const Report& report) {
    if (m.kind == Kind::kStatic) {
        if (!m.command.empty()) {
            report({{"", "command"}, "a static service has no command: candela serves its files"});
        }
        if (m.root.empty() || m.root.starts_with('/') || has_nul(m.root) ||
            has_parent_segment(m.root)) {
            report({{"", "root"},
                    fmt::format("\"{}\" is not a folder within the bundle; write for "
                                "example \"public\"",
                                printable(m.root))});
        }
        return;
    }
    if (m.root != ".") {
        report({{"", "root"},
                fmt::format("only a static service has a root; this one is of kind \"{}\"",
                            to_string(m.kind))});
    }
    // Jobs alone need no program beside them.
    if (m.command.empty() && m.kind == Kind::kJob && !m.jobs.empty()) {
        if (m.instances != 0) {
            report({{"", "instances"},
                    "without a command nothing runs but the jobs; write instances = 0"});
        }
        return;
    }
    if (m.command.empty() && m.driver != Driver::kDocker) {
        report({{"", "command"},
                "\"command\" is missing; write for example command = [\"node\", "
                "\"server.js\"]",
                true});
    }
    check_arguments(m.command, "", "command", report);
}

// What an engine may be asked for: a reference, without whatever could end it in a URL.
bool is_image_name(std::string_view image) {
    return image.size() <= kImageLengthMax && !image.starts_with('-') && !image.starts_with('/') &&
           std::ranges::all_of(image, [](char c) {
               return is_alpha(c) || is_digit(c) || std::string_view("._-/:@").contains(c);
           });
}

bool is_user_name(std::string_view user) {
    return user.size() <= 128 && !user.starts_with(':') && !user.ends_with(':') &&
           std::ranges::all_of(user, [](char c) {
               return is_alpha(c) || is_digit(c) || std::string_view("._-:").contains(c);
           });
}

void check_container(const Manifest& m, const Report& report) {
    const Container& container = m.container;
    if (m.driver != Driver::kProcess && !m.has_network) {
        report({{"sandbox", "network"},
                "of a container [container] network says which it has; \"own\" is its default"});
    }
    if (m.driver == Driver::kProcess) {
        Container nothing;
        nothing.is_host_network = m.kind == Kind::kBus;
        if (!container.image.empty()) {
            report({{"", "image"}, "only driver = \"docker\" takes an image"});
        } else if (container != nothing) {
            report({{"", "container"}, "only driver = \"docker\" has a container"});
        }
        return;
    }
    if (m.kind == Kind::kStatic) {
        report({{"", "driver"}, "a static service needs no container: candela serves its files"});
    }
    if (container.image.empty()) {
        report({{"", "image"},
                "\"image\" is missing; write for example image = \"nginx:1.27\"",
                true});
    } else if (!is_image_name(container.image)) {
        report({{"", "image"},
                fmt::format("\"{}\" is not the name of an image; write for example \"nginx:1.27\"",
                            printable(container.image))});
    }
    if (!is_user_name(container.user)) {
        report({{"container", "user"},
                fmt::format("\"{}\" is not a user; write for example \"1000\" or "
                            "\"www-data:www-data\"",
                            printable(container.user))});
    }
    if (container.port != 0 && container.is_host_network) {
        report({{"container", "port"},
                "in the machine's network it has to listen on $PORT: others may have this port"});
    }
}

void check_protocol(const Manifest& m, const Report& report) {
    if (m.protocol == Protocol::kHttp1) return;
    if (m.kind != Kind::kHttp) {
        report({{"", "protocol"},
                fmt::format("only an http service has a protocol; this one is of kind \"{}\"",
                            to_string(m.kind))});
    } else if (m.probe.type == Probe::Type::kHttp) {
        report({{"probe", "path"},
                "a path is probed over HTTP/1.1, and this service speaks h2c; write tcp = true, or "
                "exec with a check of its own"});
    }
}

void check_proxy_protocol(const Manifest& m, const Report& report) {
    if (m.proxy_protocol == http::ProxyVersion::kNone) return;
    const ManifestPlace place{"", "proxy_protocol"};
    if (m.kind != Kind::kHttp) {
        report({place, fmt::format("only an http service is told the client by the PROXY protocol; "
                                   "this one is of kind \"{}\"",
                                   to_string(m.kind))});
    } else if (m.protocol != Protocol::kHttp1) {
        report({place,
                "one h2c connection carries the requests of many clients; leave it out, and read "
                "X-Forwarded-For"});
    } else if (m.probe.type == Probe::Type::kHttp) {
        report({{"probe", "path"},
                "a path is probed without a PROXY header; write tcp = true, or exec with a check "
                "of its own"});
    }
}

bool is_env_name(std::string_view name) {
    return !name.empty() && !is_digit(name.front()) &&
           std::ranges::all_of(name, [](char c) { return is_alpha(c) || is_digit(c) || c == '_'; });
}

void check_env(const Manifest& m, const Report& report) {
    size_t length = 0;
    for (const auto& [name, value] : m.env) {
        length += name.size() + value.size() + 2;
        if (!is_env_name(name)) {
            report({{"env", name},
                    fmt::format("\"{}\" is not a variable's name: letters, digits and _ "
                                "only, no digit in front",
                                printable(name))});
        } else if (name == "PORT" || name == "HOST" || name.starts_with("CANDELA_")) {
            report({{"env", name}, fmt::format("{} is set by candela for each instance", name)});
        }
        if (has_nul(value)) report({{"env", name}, "a value can't contain a NUL byte"});
    }
    if (m.env.size() > kEnvironmentMax) {
        report(
            {{"", "env"},
             fmt::format("{} variables; at most {} are allowed", m.env.size(), kEnvironmentMax)});
    }
    if (length > kEnvironmentLengthMax) {
        report({{"", "env"},
                fmt::format("{} bytes of environment; at most {} are allowed", length,
                            kEnvironmentLengthMax)});
    }
}

void check_duration(Duration value, Duration min, Duration max, std::string_view table,
                    std::string_view key, const Report& report) {
    if (value >= min && value <= max) return;
    report({{std::string(table), std::string(key)},
            fmt::format("{} is out of range; from {} to {}", format_duration(value),
                        format_duration(min), format_duration(max))});
}

void check_probe(const Manifest& m, const Report& report) {
    const Probe& probe = m.probe;
    check_duration(probe.interval, kProbeIntervalMin, kDurationMax, "probe", "interval", report);
    check_duration(probe.timeout, kProbeIntervalMin, 10min, "probe", "timeout", report);
    check_duration(probe.start_timeout, 100ms, kDurationMax, "probe", "start_timeout", report);
    if (probe.type == Probe::Type::kNone) return;
    if (m.kind == Kind::kJob) {
        report({{"", "probe"}, "a job is not probed: its exit status tells"});
    }
    if (probe.type == Probe::Type::kHttp &&
        (!is_plain_path(probe.path) || probe.path.size() > 1024)) {
        report({{"probe", "path"},
                fmt::format("\"{}\" is not a path; write for example \"/healthz\"",
                            printable(probe.path))});
    }
    if (probe.type == Probe::Type::kExec) check_arguments(probe.exec, "probe", "exec", report);
}

void check_limits(const Manifest& m, const Report& report) {
    constexpr uint64_t kMemoryMin = 4ULL << 20;
    constexpr uint32_t kPidsMin = 4;
    const auto check = [&](std::string_view key, uint64_t value, uint64_t min,
                           std::string_view shown) {
        if (value == 0 || value >= min) return;
        report({{"limits", std::string(key)},
                fmt::format("so little lets no program start; at least {}", shown)});
    };
    check("memory", m.limits.memory_bytes, kMemoryMin, "4MiB");
    check("pids", m.limits.pids, kPidsMin, "4");
    check("scratch", m.limits.scratch_bytes, 64ULL << 10, "64KiB");
}

void check_analysis(const Manifest& m, const Report& report) {
    const Update& update = m.update;
    if (!update.analysis) return;
    const ManifestPlace place{"update", "analysis"};
    if (update.strategy != UpdateStrategy::kCanary) {
        report({place, "only a canary is judged; write strategy = \"canary\""});
    }
    if (m.kind != Kind::kHttp && m.kind != Kind::kStatic) {
        report({place, fmt::format("gateways don't see which instance of a service of kind \"{}\" "
                                   "answers; only http and static services are judged",
                                   to_string(m.kind))});
    }
    const UpdateAnalysis& analysis = *update.analysis;
    constexpr Duration kTimeoutMin = 10s;
    if (analysis.timeout < kTimeoutMin || analysis.timeout > kDurationMax) {
        report({place, fmt::format("timeout must be {} to {}", format_duration(kTimeoutMin),
                                   format_duration(kDurationMax))});
    } else if (!update.is_promoted_by_hand && update.promote_after >= analysis.timeout) {
        report({place, fmt::format("its timeout of {} must be longer than promote_after, {}",
                                   format_duration(analysis.timeout),
                                   format_duration(update.promote_after))});
    }
    if (analysis.p99_max < Duration::zero() || analysis.p99_max > 1min) {
        report({place, "p99_max must be 0s to 1m"});
    }
}

void check_update(const Manifest& m, const Report& report) {
    check_analysis(m, report);
    if (m.update.max_surge == 0 && m.update.max_unavailable == 0) {
        report({{"update", "max_surge"},
                "max_surge and max_unavailable are both 0: an update could "
                "neither add an instance nor take one away"});
    }
    if (m.kind == Kind::kJob && m.update.strategy != UpdateStrategy::kRolling) {
        report({{"update", "strategy"}, "a job has nothing to promote: it runs to its end"});
    }
    check_duration(m.update.promote_after, 0s, kDurationMax, "update", "promote_after", report);
}

void check_placement(const Manifest& m, const Report& report) {
    const uint64_t memory = m.resources.memory_bytes;
    if (memory != 0 && (memory < kMemoryBytesMin || memory > kMemoryBytesMax)) {
        report({{"resources", "memory"},
                fmt::format("{} is out of range; from {} to {}, or 0", format_size(memory),
                            format_size(kMemoryBytesMin), format_size(kMemoryBytesMax))});
    }
    if (!m.placement.spread.empty() && !is_label_key(m.placement.spread)) {
        report({{"placement", "spread"},
                fmt::format("\"{}\" is not a label's name; write for example \"zone\"",
                            printable(m.placement.spread))});
    }
}

void check_routes(const Manifest& m, const Report& report) {
    if (m.kind == Kind::kJob && !m.routes.empty()) {
        report({{"route", "path", 0}, "a job has no routes: nothing listens"});
    }
    if (m.routes.size() > kRoutesMax) {
        report({{"", "route"},
                fmt::format("{} routes; at most {} are allowed", m.routes.size(), kRoutesMax)});
    }
    for (size_t i = 0; i < m.routes.size(); ++i) {
        const Route& route = m.routes[i];
        const int index = static_cast<int>(i);
        check_route(route, [&](std::string_view key, std::string message) {
            report({{"route", std::string(key), index}, std::move(message)});
        });
        const auto earlier = std::span(m.routes).first(i);
        if (std::ranges::any_of(earlier,
                                [&](const Route& other) { return other.is_same_match(route); })) {
            report({{"route", "path", index}, "the same route stands here twice"});
        }
    }
}

void check_error_pages(const Manifest& m, const Report& report) {
    const auto check_status = [&](std::string_view table, const std::string& status) {
        if (http::ErrorPages::is_status(status)) return;
        report({{std::string(table), status},
                fmt::format("\"{}\" is no status of an error; write for example 502 or 5xx",
                            printable(status))});
    };
    for (const auto& [status, file] : m.errors) {
        check_status("errors", status);
        if (file.empty() || file.starts_with('/') || has_parent_segment(file) || has_nul(file)) {
            report({{"errors", status},
                    "a page is a file of the bundle, such as \"errors/502.html\""});
        }
    }
    size_t bytes = 0;
    for (const auto& [status, page] : m.error_pages) {
        check_status("error_pages", status);
        bytes += page.size();
        if (page.size() > kErrorPageBytesMax || !is_valid_utf8(page)) {
            report({{"error_pages", status},
                    fmt::format("a page is at most {} of UTF-8", format_size(kErrorPageBytesMax))});
        }
    }
    if (bytes > kErrorPagesBytesMax) {
        report(
            {{"", "error_pages"},
             fmt::format("all pages together have at most {}", format_size(kErrorPagesBytesMax))});
    }
}

void check_maintenance(const Manifest& m, const Report& report) {
    for (size_t i = 0; i < m.maintenance.allow.size(); ++i) {
        http::TrustedPeers peers;
        if (const auto added = peers.add(m.maintenance.allow[i]); !added) {
            report({{"maintenance", "allow", static_cast<int>(i)},
                    std::string(added.error().message())});
        }
    }
    check_duration(m.maintenance.retry_after, 1s, kDurationMax, "maintenance", "retry_after",
                   report);
}

}  // namespace

std::string ManifestPlace::to_string() const {
    std::string text = table;
    if (index >= 0 && !table.empty()) text += fmt::format("[{}]", index);
    if (!table.empty()) text += '.';
    text += key;
    if (index >= 0 && table.empty()) text += fmt::format("[{}]", index);
    return text;
}

void check_program(const std::vector<std::string>& arguments,
                   const std::function<void(std::string)>& report) {
    check_arguments(arguments, "", "", [&](ManifestMistake mistake) { report(mistake.message); });
}

bool is_valid_name(std::string_view name) {
    return !name.empty() && name.size() <= 63 && is_lower(name.front()) &&
           std::ranges::all_of(name, [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

void check_manifest(const Manifest& m, const Report& report) {
    if (m.name.empty()) {
        report({{"", "name"}, "\"name\" is missing; write for example name = \"hello\"", true});
    } else if (!is_valid_name(m.name)) {
        report({{"", "name"},
                fmt::format("\"{}\" is not a name: a small letter, then up to 62 small "
                            "letters, digits and -",
                            printable(m.name))});
    }
    check_command(m, report);
    check_container(m, report);
    check_env(m, report);
    check_probe(m, report);
    check_protocol(m, report);
    check_proxy_protocol(m, report);
    check_duration(m.stop.grace, 0s, kDurationMax, "stop", "grace", report);
    check_limits(m, report);
    check_update(m, report);
    check_error_pages(m, report);
    check_maintenance(m, report);
    check_placement(m, report);
    check_jobs(m, report);
    check_values(m, report);
    check_routes(m, report);
}

}  // namespace candela::service
