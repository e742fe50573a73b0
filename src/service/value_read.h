#pragma once

// [[secret]] and [[config]] of a manifest: their keys, reading and writing them, and their rules.

#include "base/config.h"
#include "base/json.h"
#include "service/manifest_rules.h"
#include "service/value_use.h"

namespace candela::service {

ConfigSchema value_schema();
void check_values(const Manifest& manifest, const std::function<void(ManifestMistake)>& report);
Json to_json(const ValueUse& use);

// Octal, as "0440"; kInvalid where it is none, or gives others more than reading.
Result<uint32_t> parse_mode(std::string_view text);

// Config and JsonTable answer the same questions. What is wrong with the mode is told by
// `report`, where it still is text.
template <class Table>
ValueUse read_value(const Table& table, ValueKind kind, int index,
                    const std::function<void(ManifestMistake)>& report) {
    ValueUse use;
    use.kind = kind;
    use.name = table.string("name");
    use.env = table.string("env");
    use.file = table.string("file");
    if (use.env.empty() && use.file.empty()) use.env = use.name;
    const auto mode = parse_mode(table.string("mode"));
    if (mode) {
        use.mode = *mode;
    } else {
        report({{std::string(to_string(kind)), "mode", index}, mode.error().message()});
    }
    for (const OnChange change : {OnChange::kSignal, OnChange::kNothing}) {
        if (table.string("on_change") == to_string(change)) use.on_change = change;
    }
    use.signal = table.string("signal");
    return use;
}

}  // namespace candela::service
