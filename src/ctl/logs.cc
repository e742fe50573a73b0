// `candela ctl logs [SERVICE]`: the lines that match, and with -f those that come.

#include <nlohmann/json.hpp>

#include "base/log_line.h"
#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

constexpr uint64_t kTailDefault = 100;
constexpr uint64_t kTailMax = 100'000;

Style style_of(const std::string& stream, LineLevel level) {
    if (level >= LineLevel::kError) return Style::kRed;
    if (level == LineLevel::kWarn || stream == "stderr") return Style::kYellow;
    if (stream == "host" || stream == "access") return Style::kDim;
    return Style::kPlain;
}

std::string plain_value(const Json& value) {
    return value.is_string() ? value.get<std::string>() : dump_json(value);
}

// "GET /path 200 3.1 ms": what a gateway says of a request.
std::string access_text(const Json& fields) {
    return fmt::format("{} {}{} {} {:.1f} ms", json_string_or(fields, "method"),
                       json_string_or(fields, "host"), json_string_or(fields, "path"),
                       json_int_or(fields, "status", 0), fields.value("seconds", 0.0) * 1000);
}

// What a person reads of a line: of a structured one its message, then its fields.
std::string readable_text(const Json& entry, LineLevel level) {
    const auto fields = entry.find("fields");
    if (fields == entry.end() || !fields->is_object()) return json_string_or(entry, "text");
    if (json_string_or(entry, "stream") == "access") return access_text(*fields);
    std::string text;
    if (level != LineLevel::kUnknown) {
        std::string name(to_string(level));
        for (char& c : name) c = static_cast<char>(c - 32);
        text = fmt::format("{:<5} ", name);
    }
    text += json_string_or(entry, "message");
    for (const auto& [name, value] : fields->items())
        text += fmt::format(" {}={}", name, plain_value(value));
    return text;
}

struct Shown {
    bool has_time = false;
    bool has_service = false;
};

// One NDJSON object; what is not one is shown as it is rather than lost.
bool print_line(Session& session, const Shown& shown, std::string_view line) {
    if (line.empty()) return true;
    const auto entry = parse_json(line);
    if (!entry) return session.terminal.out(std::string(line) + "\n");
    if (session.json) return session.terminal.out_json(*entry);
    const auto level =
        parse_line_level(json_string_or(*entry, "level")).value_or(LineLevel::kUnknown);
    std::string from = json_string_or(*entry, "instance");
    if (json_string_or(*entry, "stream") == "access")
        from = (shown.has_service ? json_string_or(*entry, "service") + " " : "") + "gateway";
    if (shown.has_time) from = json_string_or(*entry, "time") + " " + from;
    // The text is the service's own, colours and all; only where it is from is ours.
    return session.terminal.out(
        fmt::format("{} {}\n", session.terminal.paint(Style::kDim, from),
                    session.terminal.paint(style_of(json_string_or(*entry, "stream"), level),
                                           readable_text(*entry, level))));
}

Result<> check_moment(const std::string& name, const std::string& text) {
    const auto read = text.find('T') != std::string::npos ? parse_rfc3339(text).has_value()
                                                          : parse_duration(text).has_value();
    if (read) return {};
    return fail(Code::kInvalid,
                "{}: \"{}\" is neither how long ago (15m) nor a time (2026-01-02T03:04:05Z)", name,
                printable(text));
}

Result<std::string> path_of(const Session& session, const Arguments& arguments) {
    const bool is_trace = arguments.has("--trace");
    CANDELA_TRY_ASSIGN(const uint64_t tail,
                       arguments.number("--tail", is_trace ? kTailMax : kTailDefault, 0, kTailMax));
    std::string path = fmt::format("/v1/spaces/{}/logs?tail={}", path_part(session.space), tail);
    const auto add = [&](std::string_view name, const std::string& value) {
        path += fmt::format("&{}={}", name, path_part(value));
    };
    for (const std::string name : {"--since", "--until"}) {
        if (!arguments.has(name)) continue;
        CANDELA_TRY(check_moment(name, arguments.text(name)));
    }
    if (arguments.has("--level") && !parse_line_level(arguments.text("--level"))) {
        return fail(Code::kInvalid,
                    "--level: \"{}\" is none of trace, debug, info, warn, error, "
                    "fatal",
                    printable(arguments.text("--level")));
    }
    if (arguments.has("SERVICE")) add("service", arguments.text("SERVICE"));
    for (const std::string_view name :
         {"instance", "release", "since", "until", "level", "grep", "trace"}) {
        const std::string option = "--" + std::string(name);
        if (arguments.has(option)) add(name, arguments.text(option));
    }
    if (arguments.has("--access")) path += "&access=1";
    if (arguments.has("--follow")) path += "&follow=1";
    return path;
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    auto path = path_of(session, arguments);
    if (!path) co_return fail(path.error());
    if (arguments.has("SERVICE")) {
        // The logs of a service that is not there are not an empty answer, but an error.
        std::string service = service_path(session.space, arguments.text("SERVICE"));
        auto exists = co_await session.api.get(std::move(service));
        if (!exists) co_return fail(exists.error());
    }
    Shown shown;
    shown.has_service = !arguments.has("SERVICE");
    shown.has_time = arguments.has("--times") || arguments.has("--trace");
    auto print = [&session, shown](std::string_view line) {
        return print_line(session, shown, line);
    };
    auto followed = co_await session.api.follow(std::move(*path), std::move(print));
    if (!followed) co_return fail(followed.error());
    co_return kOk;
}

}  // namespace

Verb logs_verb() {
    return Verb{"",
                "logs",
                "What services write to stdout and stderr",
                {{"SERVICE", "Its name; without one: all services of the space.", false}},
                {{"--follow", "-f", "", "Go on with what comes"},
                 {"--tail", "", "N", "Begin with the last N lines (100)"},
                 {"--since", "", "TIME", "Lines from then on: how long ago (15m), or a time"},
                 {"--until", "", "TIME", "Lines up to then"},
                 {"--level", "", "LEVEL", "Of this level and above: debug, info, warn, error, ..."},
                 {"--grep", "", "TEXT", "Lines that contain this text"},
                 {"--trace", "", "ID", "All lines of one request, the gateway's too"},
                 {"--instance", "", "NAME", "Only this instance's"},
                 {"--release", "", "N", "Only this release's"},
                 {"--access", "", "", "Also what gateways say of each request"},
                 {"--times", "", "", "Say when each line was written"}},
                true,
                run};
}

}  // namespace candela::ctl
