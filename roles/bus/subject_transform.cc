#include "subject_transform.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/subject.h"

namespace candela::bus_role {

namespace {

constexpr uint32_t kNumberMax = 1'000'000;

bool ends_with_rest(std::string_view pattern) { return pattern == ">" || pattern.ends_with(".>"); }

// FNV-1a, as nats-server's partitions are counted.
uint32_t hash_of(std::string_view text, uint32_t from) {
    for (const char c : text) {
        from ^= static_cast<uint8_t>(c);
        from *= 16777619U;
    }
    return from;
}
constexpr uint32_t kHashStart = 2166136261U;

// A destination is split at the dots outside of "{{…}}".
std::vector<std::string_view> tokens_of(std::string_view destination) {
    std::vector<std::string_view> out;
    size_t start = 0;
    bool is_inside = false;
    for (size_t i = 0; i < destination.size(); ++i) {
        if (destination.substr(i).starts_with("{{")) is_inside = true;
        if (destination.substr(i).starts_with("}}")) is_inside = false;
        if (destination[i] != '.' || is_inside) continue;
        out.push_back(destination.substr(start, i - start));
        start = i + 1;
    }
    out.push_back(destination.substr(start));
    return out;
}

}  // namespace

std::optional<SubjectTransform::Part> SubjectTransform::parse_function(std::string_view inner,
                                                                       size_t wildcards,
                                                                       std::string& problem) {
    struct Function {
        std::string_view name;
        Kind kind;
    };
    static constexpr std::array<Function, 9> kFunctions{{{"wildcard", Kind::kWildcard},
                                                         {"partition", Kind::kPartition},
                                                         {"split", Kind::kSplit},
                                                         {"splitfromleft", Kind::kSplitFromLeft},
                                                         {"splitfromright", Kind::kSplitFromRight},
                                                         {"slicefromleft", Kind::kSliceFromLeft},
                                                         {"slicefromright", Kind::kSliceFromRight},
                                                         {"left", Kind::kLeft},
                                                         {"right", Kind::kRight}}};
    const std::string_view text = trim(inner);
    const size_t open = text.find('(');
    const std::string name = ascii_lower(trim(text.substr(0, open)));
    const auto found = std::find_if(kFunctions.begin(), kFunctions.end(),
                                    [&](const Function& f) { return f.name == name; });
    if (open == std::string_view::npos || !text.ends_with(")") || found == kFunctions.end()) {
        problem = "unknown function";
        return std::nullopt;
    }
    std::vector<std::string_view> arguments =
        split(text.substr(open + 1, text.size() - open - 2), ',');
    for (std::string_view& argument : arguments) argument = trim(argument);
    Part part;
    part.kind = found->kind;
    const auto number = [&](size_t at) { return parse_uint(arguments[at]); };
    const auto take_wildcard = [&](size_t at) {
        const Result<uint64_t> index = number(at);
        if (!index || *index == 0 || *index > wildcards) {
            problem = "wildcard index out of range";
            return false;
        }
        part.wildcards.push_back(static_cast<size_t>(*index - 1));
        return true;
    };
    if (part.kind == Kind::kPartition) {
        const Result<uint64_t> count = number(0);
        if (!count || *count == 0 || *count > kNumberMax) {
            problem = "function argument is invalid";
            return std::nullopt;
        }
        part.number = static_cast<uint32_t>(*count);
        for (size_t i = 1; i < arguments.size(); ++i) {
            if (!take_wildcard(i)) return std::nullopt;
        }
        return part;
    }
    const size_t wanted = part.kind == Kind::kWildcard ? 1 : 2;
    if (arguments.size() != wanted) {
        problem = arguments.size() < wanted ? "not enough arguments passed to the function"
                                            : "too many arguments passed to the function";
        return std::nullopt;
    }
    if (!take_wildcard(0)) return std::nullopt;
    if (wanted == 1) return part;
    if (part.kind == Kind::kSplit) {
        part.text = std::string(arguments[1]);
        if (!part.text.empty() && part.text.find_first_of(" .") == std::string::npos) return part;
    } else if (const Result<uint64_t> length = number(1); length && *length <= kNumberMax) {
        part.number = static_cast<uint32_t>(*length);
        return part;
    }
    problem = "function argument is invalid";
    return std::nullopt;
}

std::optional<SubjectTransform::Part> SubjectTransform::parse_part(std::string_view token,
                                                                   size_t wildcards,
                                                                   std::string& problem) {
    if (token.starts_with("{{") && token.ends_with("}}") && token.size() >= 4) {
        return parse_function(token.substr(2, token.size() - 4), wildcards, problem);
    }
    Part part;
    if (token == ">") {
        part.kind = Kind::kRest;
        return part;
    }
    if (token.size() > 1 && token.front() == '$') {
        if (const Result<uint64_t> index = parse_uint(token.substr(1))) {
            if (*index == 0 || *index > wildcards) {
                problem = "wildcard index out of range";
                return std::nullopt;
            }
            part.kind = Kind::kWildcard;
            part.wildcards.push_back(static_cast<size_t>(*index - 1));
            return part;
        }
    }
    part.text = std::string(token);
    return part;
}

std::expected<SubjectTransform, SubjectTransform::Problem> SubjectTransform::create(
    std::string_view pattern, std::string_view destination) {
    SubjectTransform out;
    out.pattern_ = pattern.empty() ? ">" : std::string(pattern);
    out.destination_ = std::string(destination);
    if (!bus::is_valid_pattern(out.pattern_)) {
        return std::unexpected(Problem{true, "invalid subject"});
    }
    const std::vector<std::string_view> of_pattern = split(out.pattern_, '.');
    std::vector<size_t> wildcards;
    for (size_t i = 0; i < of_pattern.size(); ++i) {
        if (of_pattern[i] == "*") wildcards.push_back(i);
    }
    out.rest_at_ = of_pattern.size() - 1;
    bool has_rest = false;
    for (const std::string_view token : tokens_of(destination)) {
        std::string problem;
        std::optional<Part> part = parse_part(token, wildcards.size(), problem);
        if (!part) {
            return std::unexpected(Problem{
                false, fmt::format("invalid mapping destination: {} in {}", problem, token)});
        }
        const bool is_literal = part->kind == Kind::kLiteral;
        if (has_rest || (is_literal && !bus::is_valid_subject(part->text))) {
            return std::unexpected(Problem{false, "invalid subject"});
        }
        has_rest = part->kind == Kind::kRest;
        for (size_t& place : part->wildcards) place = wildcards[place];
        out.parts_.push_back(std::move(*part));
    }
    if (has_rest != ends_with_rest(out.pattern_)) {
        return std::unexpected(Problem{false, "invalid subject"});
    }
    return out;
}

void SubjectTransform::append(std::string& out, const Part& part, std::string_view value) {
    const size_t number = part.number;
    const bool is_inside = number > 0 && number < value.size();
    const auto halves = [&](size_t at) {
        out += value.substr(0, at);
        out += '.';
        out += value.substr(at);
    };
    switch (part.kind) {
        case Kind::kSplitFromLeft:
            if (is_inside) return halves(number);
            break;
        case Kind::kSplitFromRight:
            if (is_inside) return halves(value.size() - number);
            break;
        case Kind::kLeft: value = is_inside ? value.substr(0, number) : value; break;
        case Kind::kRight: value = is_inside ? value.substr(value.size() - number) : value; break;
        case Kind::kSliceFromLeft:
        case Kind::kSliceFromRight: {
            if (!is_inside) break;
            size_t length = part.kind == Kind::kSliceFromLeft ? number : value.size() % number;
            if (length == 0) length = number;
            for (; !value.empty(); length = std::min(number, value.size())) {
                out += value.substr(0, length);
                value.remove_prefix(length);
                if (!value.empty()) out += '.';
            }
            return;
        }
        case Kind::kSplit: {
            bool is_first = true;
            for (;;) {
                const size_t at = value.find(part.text);
                const std::string_view piece = value.substr(0, at);
                if (!piece.empty()) {
                    if (!is_first) out += '.';
                    out += piece;
                    is_first = false;
                }
                if (at == std::string_view::npos) break;
                value.remove_prefix(at + part.text.size());
            }
            // Nothing but delimiters: a subject has no empty token.
            if (is_first) out += part.text;
            return;
        }
        default: break;
    }
    out += value;
}

std::optional<std::string> SubjectTransform::apply(std::string_view subject) const {
    std::string out;
    Tokens scratch;
    if (!apply(subject, out, scratch)) return std::nullopt;
    return out;
}

bool SubjectTransform::apply(std::string_view subject, std::string& out, Tokens& scratch) const {
    if (!auth::subject_matches(pattern_, subject)) return false;
    scratch.clear();
    for (size_t start = 0; start <= subject.size();) {
        const size_t end = std::min(subject.find('.', start), subject.size());
        scratch.push_back(subject.substr(start, end - start));
        start = end + 1;
    }
    out.clear();
    for (const Part& part : parts_) {
        if (&part != parts_.data()) out += '.';
        switch (part.kind) {
            case Kind::kLiteral: out += part.text; break;
            case Kind::kRest:
                out +=
                    subject.substr(static_cast<size_t>(scratch[rest_at_].data() - subject.data()));
                break;
            case Kind::kPartition: {
                uint32_t hash = kHashStart;
                for (const size_t at : part.wildcards) hash = hash_of(scratch[at], hash);
                if (part.wildcards.empty()) hash = hash_of(subject, hash);
                char digits[10];
                const auto end =
                    std::to_chars(digits, digits + sizeof digits, hash % part.number).ptr;
                out.append(digits, static_cast<size_t>(end - digits));
                break;
            }
            default: append(out, part, scratch[part.wildcards.front()]); break;
        }
    }
    return true;
}

}  // namespace candela::bus_role
