// check_account(): the rules of the NATS libraries for what an account shares.

#include <algorithm>
#include <optional>

#include "auth/claims.h"
#include "auth/permissions.h"
#include "base/text.h"

namespace candela::auth {

namespace {

Result<> check_subject(std::string_view subject, std::string_view what) {
    if (subject.empty()) return fail(Code::kInvalid, "{}: a subject is empty", what);
    if (subject.find_first_of(" \t\r\n\f") != std::string_view::npos) {
        return fail(Code::kInvalid, "{}: \"{}\" has blanks", what, printable(subject));
    }
    const bool has_empty_token = subject.front() == '.' || subject.back() == '.' ||
                                 subject.find("..") != std::string_view::npos;
    if (has_empty_token) {
        return fail(Code::kInvalid, "{}: \"{}\" has an empty token", what, printable(subject));
    }
    return {};
}

bool ends_with_rest(std::string_view subject) { return subject == ">" || subject.ends_with(".>"); }

size_t count_stars(std::string_view subject) {
    const std::vector<std::string_view> tokens = split(subject, '.');
    return static_cast<size_t>(std::count(tokens.begin(), tokens.end(), "*"));
}

bool has_wildcards(std::string_view subject) {
    return count_stars(subject) != 0 || ends_with_rest(subject);
}

// "$2" and "{{wildcard(2)}}": 2.
std::optional<uint64_t> reference_of(std::string_view token) {
    if (token.starts_with("{{") && token.ends_with("}}")) {
        std::string_view inner = trim(token.substr(2, token.size() - 4));
        const size_t open = inner.find('(');
        if (open == std::string_view::npos || !inner.ends_with(')')) return std::nullopt;
        if (!ascii_iequals(trim(inner.substr(0, open)), "wildcard")) return std::nullopt;
        inner.remove_suffix(1);
        const Result<uint64_t> index = parse_uint(trim(inner.substr(open + 1)));
        return index ? std::optional<uint64_t>(*index) : std::nullopt;
    }
    if (token.size() < 2 || token.front() != '$') return std::nullopt;
    const Result<uint64_t> index = parse_uint(token.substr(1));
    return index ? std::optional<uint64_t>(*index) : std::nullopt;
}

// Every "*" of the subject has its place in the local one, and nothing else.
Result<> check_local_subject(std::string_view local, std::string_view subject) {
    CANDELA_TRY(check_subject(local, "imports"));
    if (ends_with_rest(local) != ends_with_rest(subject)) {
        return fail(Code::kInvalid, "imports: \"{}\" and \"{}\" do not both end with >",
                    printable(local), printable(subject));
    }
    const size_t stars = count_stars(subject);
    size_t used = 0;
    for (const std::string_view token : split(local, '.')) {
        const std::optional<uint64_t> index = reference_of(token);
        if (index && (*index == 0 || *index > stars)) {
            return fail(Code::kInvalid, "imports: {} of \"{}\" names no * of \"{}\"", token,
                        printable(local), printable(subject));
        }
        if (index || token == "*") ++used;
    }
    if (used == stars) return {};
    return fail(Code::kInvalid, "imports: \"{}\" does not use every * of \"{}\" once",
                printable(local), printable(subject));
}

Result<> check_activation(const Import& share, std::string_view importer) {
    Result<ActivationClaims> activation = decode_activation(share.token);
    if (!activation) return fail(activation.error().in("imports: an activation"));
    const bool is_of_exporter =
        activation->issuer == share.account || activation->issuer_account == share.account;
    if (!is_of_exporter || activation->subject != importer) {
        return fail(Code::kInvalid, "imports: the activation for \"{}\" is between other accounts",
                    printable(share.subject));
    }
    const std::string& asked =
        share.kind == ShareKind::kService && !share.to.empty() ? share.to : share.subject;
    if (activation->kind == share.kind && pattern_contains(activation->import_subject, asked)) {
        return {};
    }
    return fail(Code::kInvalid, "imports: the activation for \"{}\" is for something else",
                printable(share.subject));
}

Result<> check_import(const Import& share, std::string_view importer) {
    if (!is_public_key(share.account, KeyKind::kAccount)) {
        return fail(Code::kInvalid, "imports: the account of \"{}\" is not an account's key",
                    printable(share.subject));
    }
    CANDELA_TRY(check_subject(share.subject, "imports"));
    if (!share.local_subject.empty()) {
        CANDELA_TRY(check_local_subject(share.local_subject, share.subject));
        if (!share.to.empty()) {
            return fail(Code::kInvalid, "imports: \"{}\" has both to and local_subject",
                        printable(share.subject));
        }
    }
    if (share.share && share.kind != ShareKind::kService) {
        return fail(Code::kInvalid, "imports: the stream \"{}\" has share, which is of services",
                    printable(share.subject));
    }
    return share.token.empty() ? Result<>() : check_activation(share, importer);
}

Result<> check_imports(const AccountClaims& claims) {
    std::vector<std::string> taken;
    for (const Import& share : claims.imports) {
        CANDELA_TRY(check_import(share, claims.subject));
        if (share.kind != ShareKind::kService) continue;
        // What one publishes to must say which service is meant.
        std::string local = share.subject;
        if (!share.local_subject.empty()) {
            local.clear();
            for (const std::string_view token : split(share.local_subject, '.')) {
                if (!local.empty()) local += '.';
                local += reference_of(token) ? "*" : token;
            }
        }
        for (const std::string& other : taken) {
            if (!pattern_contains(other, local) && !pattern_contains(local, other)) continue;
            return fail(Code::kInvalid, "imports: the services \"{}\" and \"{}\" overlap",
                        printable(local), printable(other));
        }
        taken.push_back(std::move(local));
    }
    return {};
}

Result<> check_token_position(const Export& share) {
    const std::vector<std::string_view> tokens = split(share.subject, '.');
    const size_t position = share.account_token_position;
    if (position <= tokens.size() && tokens[position - 1] == "*") return {};
    return fail(Code::kInvalid, "exports: token {} of \"{}\" is no *, and can't name the account",
                position, printable(share.subject));
}

Result<> check_export(const Export& share) {
    CANDELA_TRY(check_subject(share.subject, "exports"));
    const bool is_service = share.kind == ShareKind::kService;
    if (!is_service && (share.response_threshold != 0ns || share.latency ||
                        share.response_type != ResponseType::kSingleton)) {
        return fail(Code::kInvalid, "exports: the stream \"{}\" has what only services have",
                    printable(share.subject));
    }
    if (share.response_threshold < 0ns) {
        return fail(Code::kInvalid, "exports: response_threshold of \"{}\" is negative",
                    printable(share.subject));
    }
    return share.account_token_position == 0 ? Result<>() : check_token_position(share);
}

Result<> check_exports(const AccountClaims& claims) {
    for (const Export& share : claims.exports) {
        CANDELA_TRY(check_export(share));
        for (const Export& other : claims.exports) {
            if (&other == &share || other.kind != share.kind) continue;
            if (!pattern_contains(other.subject, share.subject)) continue;
            return fail(Code::kInvalid, "exports: \"{}\" already exports \"{}\"",
                        printable(other.subject), printable(share.subject));
        }
        const AccountLimits& limits = claims.limits;
        const bool is_restricted = limits.exports != kNoLimit && !limits.wildcard_exports;
        if (is_restricted && has_wildcards(share.subject)) {
            return fail(Code::kInvalid, "exports: \"{}\" has wildcards, which the operator forbids",
                        printable(share.subject));
        }
    }
    return {};
}

Result<> check_mappings(const AccountClaims& claims) {
    for (const auto& [from, destinations] : claims.mappings) {
        CANDELA_TRY(check_subject(from, "mappings"));
        std::map<std::string_view, unsigned> totals;  // of each cluster
        for (const WeightedMapping& mapping : destinations) {
            CANDELA_TRY(check_subject(mapping.subject, "mappings"));
            if ((totals[mapping.cluster] += mapping.weight) <= 100) continue;
            return fail(Code::kInvalid, "mappings: the weights of \"{}\" are above 100 percent",
                        printable(from));
        }
    }
    return {};
}

bool is_above(size_t count, int64_t limit) {
    return limit >= 0 && count > static_cast<uint64_t>(limit);
}

}  // namespace

Result<> check_account(const AccountClaims& claims) {
    CANDELA_TRY(check_imports(claims));
    CANDELA_TRY(check_exports(claims));
    CANDELA_TRY(check_mappings(claims));
    if (is_above(claims.imports.size(), claims.limits.imports)) {
        return fail(Code::kInvalid, "the account has more imports than the operator allows: {}",
                    claims.limits.imports);
    }
    if (is_above(claims.exports.size(), claims.limits.exports)) {
        return fail(Code::kInvalid, "the account has more exports than the operator allows: {}",
                    claims.limits.exports);
    }
    return {};
}

}  // namespace candela::auth
