// `candela ctl events`: what happens, as it happens (SSE, WHATWG HTML §9.2).

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/verb.h"

namespace candela::ctl {

// One event's data; "" for lines that carry none.
static std::string_view data_of(std::string_view line) {
    constexpr std::string_view kData = "data:";
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.starts_with(kData)) return {};
    return trim(line.substr(kData.size()));
}

static bool print_event(Session& session, std::string_view line) {
    const std::string_view data = data_of(line);
    if (data.empty()) return true;
    const auto event = parse_json(data);
    if (!event) return true;
    if (session.json) return session.terminal.out_json(*event);
    std::string text = json_string_or(*event, "time");
    const std::string type = json_string_or(*event, "type", json_string_or(*event, "kind"));
    text += "  " + session.terminal.paint(Style::kBold, printable(type));
    if (event->is_object()) {
        for (const auto& [key, value] : event->items()) {
            if (key == "time" || key == "type" || key == "kind") continue;
            const std::string shown =
                value.is_string() ? value.get<std::string>() : dump_json(value);
            if (!shown.empty()) text += fmt::format("  {}={}", key, printable(shown, 300));
        }
    }
    return session.terminal.out(text + "\n");
}

static Task<Result<int>> run(Session& session, Arguments) {
    auto print = [&session](std::string_view line) { return print_event(session, line); };
    auto followed = co_await session.api.follow("/v1/events", std::move(print));
    if (!followed) co_return fail(followed.error());
    co_return kOk;
}

Verb events_verb() {
    return Verb{"", "events", "What happens in the cloud, as it happens", {}, {}, true, run};
}

}  // namespace candela::ctl
