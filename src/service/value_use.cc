#include "service/value_use.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace candela::service {

std::string_view to_string(ValueKind kind) {
    return kind == ValueKind::kSecret ? "secret" : "config";
}

Result<ValueKind> parse_value_kind(std::string_view text) {
    for (const ValueKind kind : {ValueKind::kSecret, ValueKind::kConfig}) {
        if (to_string(kind) == text) return kind;
    }
    return fail(Code::kInvalid, "\"{}\" is neither secret nor config", printable(text));
}

std::string_view to_string(OnChange change) {
    switch (change) {
        case OnChange::kRestart: return "restart";
        case OnChange::kSignal: return "signal";
        case OnChange::kNothing: return "nothing";
    }
    return "restart";
}

bool is_value_name(std::string_view name) {
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    return !name.empty() && name.size() <= kValueNameMax && is_letter(name.front()) &&
           std::ranges::all_of(name, [&](char c) {
               return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
           });
}

int signal_number(std::string_view name) {
    constexpr std::pair<std::string_view, int> kSignals[] = {
        {"SIGHUP", SIGHUP},   {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2},  {"SIGINT", SIGINT},
        {"SIGTERM", SIGTERM}, {"SIGQUIT", SIGQUIT}, {"SIGWINCH", SIGWINCH}};
    for (const auto& [known, number] : kSignals) {
        if (known == name) return number;
    }
    return 0;
}

}  // namespace candela::service
