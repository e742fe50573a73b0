#include "subject_mapping.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "bus/subject.h"

namespace candela::bus_role {

namespace {

bool ends_with_rest(std::string_view pattern) { return pattern == ">" || pattern.ends_with(".>"); }

// "$2" or "{{wildcard(2)}}": 2.
std::optional<uint64_t> reference_of(std::string_view token) {
    std::string_view digits;
    if (token.size() > 1 && token.front() == '$') {
        digits = token.substr(1);
    } else if (token.starts_with("{{") && token.ends_with("}}") && token.size() > 4) {
        const std::string_view inner = trim(token.substr(2, token.size() - 4));
        const size_t open = inner.find('(');
        if (open == std::string_view::npos || inner.back() != ')') return std::nullopt;
        if (!ascii_iequals(trim(inner.substr(0, open)), "wildcard")) return std::nullopt;
        digits = trim(inner.substr(open + 1, inner.size() - open - 2));
    }
    const Result<uint64_t> number = parse_uint(digits);
    return number ? std::optional<uint64_t>(*number) : std::nullopt;
}

// The token of that number, and everything behind its start.
struct Place {
    std::string_view token;
    std::string_view rest;
};
Place find_token(std::string_view subject, size_t number) {
    for (; number != 0; --number) subject.remove_prefix(subject.find('.') + 1);
    return Place{subject.substr(0, subject.find('.')), subject};
}

}  // namespace

Result<SubjectMapping> SubjectMapping::create(std::string_view pattern,
                                              std::string_view destination) {
    if (!bus::is_valid_pattern(pattern)) {
        return fail(Code::kInvalid, "\"{}\" is not a subject", printable(pattern));
    }
    const std::vector<std::string_view> tokens = split(pattern, '.');
    const auto stars = static_cast<size_t>(std::count(tokens.begin(), tokens.end(), "*"));
    std::vector<size_t> order;
    std::string plain;
    for (const std::string_view token : split(destination, '.')) {
        if (!plain.empty()) plain += '.';
        const std::optional<uint64_t> reference = reference_of(token);
        if (!reference && token != "*") {
            plain += token;
            continue;
        }
        plain += '*';
        // What is out of range is found below.
        order.push_back(reference ? static_cast<size_t>(*reference) - 1 : order.size());
    }
    std::vector<size_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    bool is_whole = sorted.size() == stars;
    for (size_t i = 0; i < sorted.size(); ++i) is_whole = is_whole && sorted[i] == i;
    if (!is_whole || !bus::is_valid_pattern(plain) ||
        ends_with_rest(pattern) != ends_with_rest(plain)) {
        return fail(Code::kInvalid, "\"{}\" can't be mapped to \"{}\"", printable(pattern),
                    printable(destination));
    }
    return build(pattern, plain, order);
}

SubjectMapping SubjectMapping::build(std::string_view pattern, std::string_view destination,
                                     const std::vector<size_t>& order) {
    SubjectMapping out;
    out.pattern_ = std::string(pattern);
    out.destination_ = std::string(destination);
    out.order_ = order;
    out.is_same_ = pattern == destination && std::is_sorted(order.begin(), order.end());
    std::vector<size_t> stars;  // the tokens of the pattern that are one
    const std::vector<std::string_view> tokens = split(pattern, '.');
    for (size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] == "*") stars.push_back(i);
    }
    size_t used = 0;
    for (const std::string_view token : split(destination, '.')) {
        Part part;
        if (token == "*") {
            part.is_literal = false;
            part.token = stars[order[used++]];
        } else if (token == ">") {
            part.is_literal = false;
            part.is_rest = true;
            part.token = tokens.size() - 1;
        } else {
            part.literal = std::string(token);
        }
        out.parts_.push_back(std::move(part));
    }
    return out;
}

SubjectMapping SubjectMapping::reversed() const {
    std::vector<size_t> order(order_.size());
    for (size_t i = 0; i < order_.size(); ++i) order[order_[i]] = i;
    return build(destination_, pattern_, order);
}

void SubjectMapping::apply(std::string_view subject, std::string& out) const {
    if (is_same_) {
        out.assign(subject);
        return;
    }
    out.clear();
    for (const Part& part : parts_) {
        if (!out.empty()) out += '.';
        if (part.is_literal) {
            out += part.literal;
            continue;
        }
        const Place place = find_token(subject, part.token);
        out += part.is_rest ? place.rest : place.token;
    }
}

}  // namespace candela::bus_role
