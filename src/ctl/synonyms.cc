#include "ctl/synonyms.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace candela::ctl {

namespace {

struct Synonym {
    std::string_view theirs;  // several, separated by spaces
    std::string_view ours;    // what comes first goes first
};

// Words that only look like another verb stand here, too: "undeploy" is no "deploy".
constexpr std::array kSynonyms = {
    Synonym{"rm del delete remove undeploy uninstall destroy", "delete rm revoke"},
    Synonym{"ls list all", "list services"},
    Synonym{"ps pods containers processes", "instances"},
    Synonym{"up push run apply install publish", "deploy"},
    Synonym{"start resize", "scale"},
    Synonym{"kill down halt", "stop"},
    Synonym{"show describe inspect info get", "show services list"},
    Synonym{"history versions", "history releases"},
    Synonym{"undo revert back", "rollback"},
    Synonym{"tail log", "logs"},
    Synonym{"metrics stats usage", "top"},
    Synonym{"add new make put", "create add set join-token"},
    Synonym{"env vars settings", "config"},
    Synonym{"cert certs tls", "certificates"},
    Synonym{"user users token tokens login", "keys"},
    Synonym{"namespace namespaces ns project projects", "spaces"},
    Synonym{"ssh shell sh attach", "exec"},
    Synonym{"cron cronjob cronjobs task tasks job", "jobs"},
    Synonym{"flag feature features toggle", "flags"},
};

bool has_word(std::string_view words, std::string_view word) {
    const auto all = split(words, ' ');
    return std::ranges::find(all, word) != all.end();
}

}  // namespace

std::optional<std::string_view> meant_by(std::string_view word,
                                         std::span<const std::string> known) {
    for (const Synonym& synonym : kSynonyms) {
        if (!has_word(synonym.theirs, word)) continue;
        for (const std::string_view ours : split(synonym.ours, ' ')) {
            if (std::ranges::find(known, ours) != known.end()) return ours;
        }
    }
    return std::nullopt;
}

}  // namespace candela::ctl
