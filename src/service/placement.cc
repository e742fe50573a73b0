#include "service/placement.h"

#include <algorithm>

#include "base/text.h"

namespace candela::service {

namespace {

constexpr size_t kLabelLengthMax = 63;

bool is_label_text(std::string_view text) {
    return text.size() <= kLabelLengthMax && std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.' || c == '/';
           });
}

}  // namespace

bool is_label_key(std::string_view text) { return !text.empty() && is_label_text(text); }
bool is_label_value(std::string_view text) { return is_label_text(text); }

bool LabelRule::is_met_by(const Labels& labels) const {
    const auto found = labels.find(key);
    const bool has = found != labels.end();
    switch (type) {
        case Type::kEquals: return has && found->second == value;
        case Type::kDiffers: return !has || found->second != value;
        case Type::kHas: return has;
        case Type::kHasNot: return !has;
    }
    return false;
}

Result<LabelRule> parse_label_rule(std::string_view text) {
    LabelRule rule;
    std::string_view rest = text;
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos) {
        rule.type = rest.starts_with('!') ? LabelRule::Type::kHasNot : LabelRule::Type::kHas;
        if (rest.starts_with('!')) rest.remove_prefix(1);
        rule.key = rest;
    } else {
        const bool differs = equals > 0 && rest[equals - 1] == '!';
        rule.type = differs ? LabelRule::Type::kDiffers : LabelRule::Type::kEquals;
        rule.key = rest.substr(0, differs ? equals - 1 : equals);
        rule.value = rest.substr(equals + 1);
    }
    if (is_label_key(rule.key) && is_label_value(rule.value)) return rule;
    return fail(Code::kInvalid,
                "\"{}\" says nothing of a label; write \"disk=ssd\", \"zone!=b\", \"gpu\" or "
                "\"!gpu\"",
                printable(text));
}

std::string to_string(const LabelRule& rule) {
    switch (rule.type) {
        case LabelRule::Type::kEquals: return rule.key + "=" + rule.value;
        case LabelRule::Type::kDiffers: return rule.key + "!=" + rule.value;
        case LabelRule::Type::kHas: return rule.key;
        case LabelRule::Type::kHasNot: return "!" + rule.key;
    }
    return rule.key;
}

}  // namespace candela::service
