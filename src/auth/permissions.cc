#include "auth/permissions.h"

#include <algorithm>

namespace candela::auth {

namespace {

// Takes the next token off a subject; false once there is none.
bool next_token(std::string_view& rest, bool& is_done, std::string_view& token) {
    if (is_done) return false;
    const size_t dot = rest.find('.');
    token = rest.substr(0, dot);
    is_done = dot == std::string_view::npos;
    if (!is_done) rest.remove_prefix(dot + 1);
    return true;
}

enum class Relation { kContains, kOverlaps };

bool related(std::string_view a, std::string_view b, Relation relation) {
    bool a_done = false, b_done = false;
    std::string_view a_token, b_token;
    while (true) {
        const bool has_a = next_token(a, a_done, a_token);
        const bool has_b = next_token(b, b_done, b_token);
        if (!has_a || !has_b) return has_a == has_b;
        if (a_token == ">") return true;
        if (b_token == ">") return relation == Relation::kOverlaps;
        if (a_token == "*" || a_token == b_token) continue;
        if (relation == Relation::kOverlaps && b_token == "*") continue;
        return false;
    }
}

// A permission to subscribe may carry a queue: "subject" or "subject queue".
struct Entry {
    std::string_view subject;
    std::string_view queue;
};

Entry parse_entry(std::string_view text) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos) return Entry{text, {}};
    return Entry{text.substr(0, space), text.substr(space + 1)};
}

}  // namespace

bool subject_matches(std::string_view pattern, std::string_view subject) {
    bool pattern_done = false, subject_done = false;
    std::string_view pattern_token, subject_token;
    while (true) {
        const bool has_pattern = next_token(pattern, pattern_done, pattern_token);
        const bool has_subject = next_token(subject, subject_done, subject_token);
        if (!has_pattern || !has_subject) return has_pattern == has_subject;
        if (pattern_token == ">") return true;
        if (pattern_token != "*" && pattern_token != subject_token) return false;
    }
}

bool pattern_contains(std::string_view outer, std::string_view inner) {
    return related(outer, inner, Relation::kContains);
}

bool patterns_overlap(std::string_view a, std::string_view b) {
    return related(a, b, Relation::kOverlaps);
}

PermissionSet::PermissionSet(const Permissions& permissions) : permissions_(permissions) {}

bool PermissionSet::may_publish(std::string_view subject) const {
    const SubjectPermission& rule = permissions_.publish;
    const auto matches = [&](const std::string& pattern) {
        return subject_matches(pattern, subject);
    };
    if (rule.allow.empty()) {
        // With allow_responses and no allow list, answering is all that may be published.
        if (permissions_.response) return false;
    } else if (std::none_of(rule.allow.begin(), rule.allow.end(), matches)) {
        return false;
    }
    return std::none_of(rule.deny.begin(), rule.deny.end(), matches);
}

bool PermissionSet::may_subscribe(std::string_view subject, std::string_view queue) const {
    const SubjectPermission& rule = permissions_.subscribe;
    // Entries with a queue decide for members of a queue wherever the subject has any.
    const auto decide = [&](const std::vector<std::string>& entries) {
        bool is_plain = false, has_queue_entry = false, is_queue = false;
        for (const std::string& text : entries) {
            const Entry entry = parse_entry(text);
            if (!pattern_contains(entry.subject, subject)) continue;
            if (entry.queue.empty()) {
                is_plain = true;
            } else if (!queue.empty()) {
                has_queue_entry = true;
                is_queue = is_queue || subject_matches(entry.queue, queue);
            }
        }
        return has_queue_entry ? is_queue : is_plain;
    };
    if (!rule.allow.empty() && !decide(rule.allow)) return false;
    return !decide(rule.deny);
}

bool PermissionSet::needs_delivery_check(std::string_view subject) const {
    const std::vector<std::string>& deny = permissions_.subscribe.deny;
    return std::any_of(deny.begin(), deny.end(), [&](const std::string& text) {
        const Entry entry = parse_entry(text);
        return entry.queue.empty() && patterns_overlap(entry.subject, subject);
    });
}

bool PermissionSet::may_receive(std::string_view subject) const {
    const std::vector<std::string>& deny = permissions_.subscribe.deny;
    return std::none_of(deny.begin(), deny.end(), [&](const std::string& text) {
        const Entry entry = parse_entry(text);
        return entry.queue.empty() && subject_matches(entry.subject, subject);
    });
}

}  // namespace candela::auth
