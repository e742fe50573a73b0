// `candela ctl logs SERVICE [-f] [--tail N] [--instance I]`.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

constexpr uint64_t kTailDefault = 100;
constexpr uint64_t kTailMax = 100'000;

// One NDJSON object; what is not one is shown as it is rather than lost.
bool print_line(Session& session, std::string_view line) {
    if (line.empty()) return true;
    const auto entry = parse_json(line);
    if (!entry) return session.terminal.out(std::string(line) + "\n");
    if (session.json) return session.terminal.out_json(*entry);
    const std::string stream = json_string_or(*entry, "stream", "stdout");
    const Style style = stream == "stderr" ? Style::kYellow
                        : stream == "host" ? Style::kDim
                                           : Style::kPlain;
    // The text is the service's own, colours and all; only its instance is ours.
    const std::string text = json_string_or(*entry, "text");
    return session.terminal.out(fmt::format(
        "{} {}\n", session.terminal.paint(Style::kDim, json_string_or(*entry, "instance")),
        session.terminal.paint(style, text)));
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    auto tail = arguments.number("--tail", kTailDefault, 0, kTailMax);
    if (!tail) co_return fail(tail.error());
    const std::string service = arguments.text("SERVICE");
    // The logs of a service that is not there are not an empty answer, but an error.
    auto exists = co_await session.api.get(service_path(session.space, service));
    if (!exists) co_return fail(exists.error());
    std::string path = fmt::format("/v1/spaces/{}/logs?service={}&tail={}",
                                   path_part(session.space), path_part(service), *tail);
    if (arguments.has("--instance")) path += "&instance=" + path_part(arguments.text("--instance"));
    if (arguments.has("--follow")) path += "&follow=1";
    auto print = [&session](std::string_view line) { return print_line(session, line); };
    auto followed = co_await session.api.follow(std::move(path), std::move(print));
    if (!followed) co_return fail(followed.error());
    co_return kOk;
}

}  // namespace

Verb logs_verb() {
    return Verb{"",
                "logs",
                "What a service writes to stdout and stderr",
                {{"SERVICE", "Its name."}},
                {{"--follow", "-f", "", "Go on with what comes"},
                 {"--tail", "", "N", "Begin with the last N lines (100)"},
                 {"--instance", "", "NAME", "Only this instance's"}},
                true,
                run};
}

}  // namespace candela::ctl
