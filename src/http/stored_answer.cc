#include "http/stored_answer.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "base/text.h"
#include "http/proxy_headers.h"

namespace candela::http {
namespace {

constexpr uint64_t kEntryOverhead = 512;  // of memory besides what is counted

int64_t seconds_of(Duration duration) {
    return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

// Those that RFC 9110 §15.1 calls cacheable and that this cache understands. 206 is not among them:
// parts are cut from a whole.
bool is_understood(int status) {
    constexpr std::array kStatuses = {200, 203, 204, 300, 301, 302, 307,
                                      308, 404, 405, 410, 414, 451};
    return std::ranges::find(kStatuses, status) != kStatuses.end();
}

int64_t age_field(const Headers& headers) {
    return parse_delta_seconds(headers.get("age").value_or("")).value_or(0);
}

// §4.2.3
int64_t initial_age(const AnswerFacts& facts) {
    const auto date = parse_http_date(facts.head.headers.get(FieldId::kDate).value_or(""));
    const int64_t apparent = date ? std::max<int64_t>(0, facts.received_at - *date) : 0;
    const int64_t delay = std::max<int64_t>(0, facts.received_at - facts.requested_at);
    return std::max(apparent, age_field(facts.head.headers) + delay);
}

// §4.2.1; nothing where the answer says none.
std::optional<int64_t> said_lifetime(const AnswerFacts& facts, const CacheControl& said) {
    if (said.s_maxage) return said.s_maxage;
    if (said.max_age) return said.max_age;
    const auto expires = facts.head.headers.get("expires");
    if (!expires) return std::nullopt;
    const auto until = parse_http_date(*expires);
    if (!until) return 0;  // "0" and the like: in the past
    const auto date = parse_http_date(facts.head.headers.get(FieldId::kDate).value_or(""));
    return std::clamp<int64_t>(*until - date.value_or(facts.received_at), 0, kCacheSecondsMax);
}

Freshness freshness_of(const AnswerFacts& facts, const CacheControl& said, int64_t lifetime,
                       const CacheRules& rules) {
    Freshness made;
    made.received_at = facts.received_at;
    made.initial_age = initial_age(facts);
    made.lifetime = lifetime;
    made.always_revalidate = said.no_cache;
    made.never_stale = said.must_revalidate || said.proxy_revalidate || said.s_maxage.has_value();
    if (!made.never_stale) {
        made.stale_while_revalidate =
            said.stale_while_revalidate.value_or(seconds_of(rules.stale_while_revalidate));
        made.stale_if_error = said.stale_if_error.value_or(seconds_of(rules.stale_if_error));
    }
    return made;
}

// A comma within quotes parts nothing.
template <class Visit>
void for_each_etag(std::string_view list, Visit visit) {
    size_t begin = 0;
    bool is_quoted = false;
    for (size_t i = 0; i <= list.size(); ++i) {
        if (i < list.size() && list[i] == '"') is_quoted = !is_quoted;
        if (i < list.size() && (list[i] != ',' || is_quoted)) continue;
        const std::string_view tag = trim(list.substr(begin, i - begin));
        if (!tag.empty()) visit(tag);
        begin = i + 1;
    }
}

std::string_view opaque_part(std::string_view etag) {
    return etag.starts_with("W/") ? etag.substr(2) : etag;
}

// RFC 9110 §14.1.2: one range of bytes. Several, or what is none, are answered by the whole.
struct ByteRange {
    bool is_one = false;
    bool is_satisfiable = false;
    uint64_t begin = 0, end = 0;
};
ByteRange parse_range(std::string_view text, uint64_t size) {
    ByteRange out;
    if (text.size() < 6 || !ascii_iequals(text.substr(0, 6), "bytes=")) return out;
    const std::string_view range = trim(text.substr(6));
    const size_t dash = range.find('-');
    if (dash == std::string_view::npos) return out;
    const std::string_view first = range.substr(0, dash);
    const std::string_view last = range.substr(dash + 1);
    const auto is_number = [](std::string_view digits) {
        return !digits.empty() && digits.size() <= 18 &&
               std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    };
    if (first.empty()) {
        if (!is_number(last)) return out;
        const uint64_t count = std::min(*parse_uint(last), size);
        out.is_one = true;
        out.is_satisfiable = count > 0;
        out.begin = size - count;
        out.end = size;
        return out;
    }
    if (!is_number(first) || (!last.empty() && !is_number(last))) return out;
    out.begin = *parse_uint(first);
    out.end = last.empty() ? size : std::min(*parse_uint(last) + 1, size);
    if (!last.empty() && *parse_uint(last) < out.begin) return out;
    out.is_one = true;
    out.is_satisfiable = out.begin < size;
    return out;
}

// RFC 9110 §13.1.5: the range is of this very answer.
bool is_range_of(const Headers& request, const ResponseHead& answer) {
    const auto condition = request.get("if-range");
    if (!condition) return true;
    const std::string_view etag = answer.headers.get("etag").value_or("");
    if (condition->starts_with('"')) return !etag.empty() && *condition == etag;
    if (condition->starts_with("W/")) return false;
    const auto theirs = parse_http_date(*condition);
    const auto ours = parse_http_date(answer.headers.get("last-modified").value_or(""));
    return theirs && ours && *theirs == *ours;
}

// What a 304 has of the answer that it stands for (RFC 9110 §15.4.5).
bool is_of_304(std::string_view name) {
    constexpr std::array<std::string_view, 9> kNames = {
        "cache-control", "content-location", "date",  "etag", "expires", "last-modified",
        "vary",          "cache-status",     "server"};
    return std::ranges::any_of(kNames,
                               [&](std::string_view other) { return ascii_iequals(name, other); });
}

}  // namespace

int64_t Freshness::age(int64_t now) const {
    // A clock that was set back makes nothing younger.
    return std::min(initial_age + std::max<int64_t>(0, now - received_at), kCacheSecondsMax);
}

uint64_t StoredAnswer::size_bytes() const {
    uint64_t size = kEntryOverhead + 2 * key.size() + origin.size() + service.size() + host.size() +
                    path.size() + head.headers.size_bytes() * 2;
    for (const auto& [name, value] : vary) size += name.size() + value.size() + 64;
    return size + (body != nullptr ? body->size() : 0);
}

bool is_personal(const Headers& request) {
    return request.contains(FieldId::kAuthorization) || request.contains(FieldId::kCookie);
}

std::optional<Freshness> may_store(const AnswerFacts& facts, const CacheRules& rules) {
    const Headers& answer = facts.head.headers;
    if (!is_understood(facts.head.status)) return std::nullopt;
    const CacheControl said = parse_cache_control(answer);
    const CacheControl asked = parse_cache_control(facts.request);
    // §5.2.2.3: who understands the status may leave the no-store aside that is for others.
    if ((said.no_store && !said.must_understand) || said.is_private || asked.no_store) {
        return std::nullopt;
    }
    if (answer.contains("set-cookie") || answer.contains("content-range")) return std::nullopt;
    // A body whose end is only the connection's may be half of one (§3.3).
    if (facts.framing.body == BodyKind::kUntilClose) return std::nullopt;
    if (facts.framing.body == BodyKind::kLength &&
        facts.framing.content_length > rules.object_bytes_max) {
        return std::nullopt;
    }
    // §3.5, and the same for cookies: what was asked by somebody in particular is for everybody
    // only where the service says so.
    if (is_personal(facts.request) && !said.is_public && !said.s_maxage && !said.must_revalidate) {
        return std::nullopt;
    }
    const auto names = vary_names(answer);
    if (!names) return std::nullopt;
    for (const std::string& name : *names) {
        // What the service saw under that name was not what the client sent.
        if (is_written_by_proxy(name)) return std::nullopt;
        const Headers* const added = facts.added_to_request;
        if (added != nullptr && added->contains(name)) return std::nullopt;
    }
    std::optional<int64_t> lifetime = said_lifetime(facts, said);
    if (!lifetime && !said.no_cache && rules.fresh > Duration(0))
        lifetime = seconds_of(rules.fresh);
    if (!lifetime && !said.is_said) return std::nullopt;
    const Freshness made = freshness_of(facts, said, lifetime.value_or(0), rules);
    const bool is_fresh = !made.always_revalidate && made.ttl(facts.received_at) > 0;
    if (!is_fresh && !has_validator(facts.head)) return std::nullopt;
    return made;
}

void copy_for_store(const ResponseHead& head, ResponseHead& out) {
    out.clear();
    out.status = head.status;
    out.reason = head.reason;
    AnswerFields fields(head, false, false, AnswerEdits());
    for (const Headers::Field field : head.headers) {
        if (ascii_iequals(field.name, "age") || !fields.passes(field)) continue;
        out.headers.add(field.name, field.value);
    }
}

std::shared_ptr<StoredAnswer> refresh(const StoredAnswer& stored, const AnswerFacts& facts,
                                      const CacheRules& rules) {
    const Headers& newer = facts.head.headers;
    const auto etag = newer.get("etag");
    if (etag && !etag->starts_with("W/") && stored.head.headers.get("etag") != etag) return nullptr;
    auto made = std::make_shared<StoredAnswer>(stored);
    ResponseHead update;
    copy_for_store(facts.head, update);
    const auto is_kept = [](std::string_view name) {
        return ascii_iequals(name, "content-length") || ascii_iequals(name, "content-encoding") ||
               ascii_iequals(name, "content-type") || ascii_iequals(name, "content-range") ||
               ascii_iequals(name, "vary");
    };
    for (const Headers::Field field : update.headers) {
        if (!is_kept(field.name)) made->head.headers.remove(field.name);
    }
    for (const Headers::Field field : update.headers) {
        if (!is_kept(field.name)) made->head.headers.add(field.name, field.value);
    }
    const AnswerFacts merged{facts.request, facts.added_to_request, made->head,
                             facts.framing, facts.requested_at,     facts.received_at};
    const CacheControl said = parse_cache_control(made->head.headers);
    int64_t lifetime = seconds_of(rules.fresh);
    if (const auto lives = said_lifetime(merged, said)) lifetime = *lives;
    made->freshness = freshness_of(merged, said, lifetime, rules);
    // An Age of the 304 is of the 304.
    made->freshness.initial_age =
        std::max<int64_t>(0, std::max(made->freshness.initial_age, age_field(newer)));
    return made;
}

std::optional<std::vector<std::string>> vary_names(const Headers& answer) {
    std::vector<std::string> names;
    bool is_any = false;
    for (const Headers::Field field : answer) {
        if (!ascii_iequals(field.name, "vary")) continue;
        for_each_list_element(field.value, [&](std::string_view name) {
            if (name == "*") is_any = true;
            if (names.size() <= kVaryNamesMax) names.push_back(ascii_lower(name));
        });
    }
    std::ranges::sort(names);
    const auto doubled = std::ranges::unique(names);
    names.erase(doubled.begin(), doubled.end());
    if (is_any || names.size() > kVaryNamesMax) return std::nullopt;
    return names;
}

std::string vary_value(const Headers& request, std::string_view name) {
    std::string value;
    for (const Headers::Field field : request) {
        if (!ascii_iequals(field.name, name)) continue;
        // A field that is empty is not the same as none.
        if (value.empty()) value = "=";
        for_each_list_element(field.value, [&value](std::string_view element) {
            if (value.size() > 1) value += ", ";
            value += element;
        });
    }
    return value;
}

bool matches_vary(const StoredAnswer& stored, const Headers& request) {
    return std::ranges::all_of(stored.vary, [&](const auto& field) {
        return vary_value(request, field.first) == field.second;
    });
}

Usable may_use(const StoredAnswer& stored, const CacheControl& asked, int64_t now) {
    const Freshness& freshness = stored.freshness;
    if (asked.no_cache || freshness.always_revalidate) return Usable::kNo;
    const int64_t age = freshness.age(now);
    const int64_t ttl = freshness.lifetime - age;
    if (asked.max_age && age > *asked.max_age) return Usable::kNo;
    if (asked.min_fresh && ttl < *asked.min_fresh) return Usable::kNo;
    if (ttl > 0) return Usable::kYes;
    if (freshness.never_stale) return Usable::kNo;
    if (asked.takes_any_stale || (asked.max_stale && -ttl <= *asked.max_stale)) return Usable::kYes;
    return -ttl < freshness.stale_while_revalidate ? Usable::kWhileFetched : Usable::kNo;
}

bool may_use_after_error(const StoredAnswer& stored, const CacheControl& asked, int64_t now) {
    const Freshness& freshness = stored.freshness;
    if (freshness.never_stale || freshness.always_revalidate) return false;
    const int64_t window = std::max(freshness.stale_if_error, asked.stale_if_error.value_or(0));
    return window > 0 && -freshness.ttl(now) < window;
}

bool has_validator(const ResponseHead& head) {
    return head.headers.contains("etag") ||
           parse_http_date(head.headers.get("last-modified").value_or("")).has_value();
}

void append_validators(const ResponseHead& stored, std::string& out) {
    if (const auto etag = stored.headers.get("etag")) append_field("If-None-Match", *etag, out);
    if (const auto date = stored.headers.get("last-modified")) {
        append_field("If-Modified-Since", *date, out);
    }
}

bool is_not_modified(const Headers& request, const ResponseHead& answer) {
    if (answer.status != 200) return false;
    if (request.contains("if-none-match")) {
        // §13.1.2, weak comparison; If-Modified-Since does not count then.
        const std::string_view etag = answer.headers.get("etag").value_or("");
        bool is_same = false;
        for (const Headers::Field field : request) {
            if (!ascii_iequals(field.name, "if-none-match")) continue;
            for_each_etag(field.value, [&](std::string_view tag) {
                if (tag == "*" || (!etag.empty() && opaque_part(tag) == opaque_part(etag))) {
                    is_same = true;
                }
            });
        }
        return is_same;
    }
    const auto since = parse_http_date(request.get("if-modified-since").value_or(""));
    const auto modified = parse_http_date(answer.headers.get("last-modified").value_or(""));
    return since && modified && *modified <= *since;
}

Selection select(const Headers& request, const ResponseHead& answer, uint64_t body_bytes) {
    Selection out;
    out.status = answer.status;
    out.end = body_bytes;
    if (answer.status != 200) return out;
    if (is_not_modified(request, answer)) {
        out.status = 304;
        out.end = 0;
        return out;
    }
    const auto range = request.get("range");
    if (!range || !is_range_of(request, answer)) return out;
    const ByteRange parsed = parse_range(*range, body_bytes);
    if (!parsed.is_one) return out;
    out.status = parsed.is_satisfiable ? 206 : 416;
    out.begin = parsed.is_satisfiable ? parsed.begin : 0;
    out.end = parsed.is_satisfiable ? parsed.end : 0;
    return out;
}

ResponseHead selected_head(const ResponseHead& stored, const Selection& selection,
                           uint64_t body_bytes) {
    ResponseHead head;
    head.status = selection.status;
    if (selection.status == stored.status) head.reason = stored.reason;
    for (const Headers::Field field : stored.headers) {
        if (field.id == FieldId::kContentLength) continue;
        if (selection.status == 304 && !is_of_304(field.name)) continue;
        if (selection.status == 416 && field.id == FieldId::kContentType) continue;
        head.headers.add(field.name, field.value);
    }
    if (status_has_no_body(selection.status)) return head;
    if (selection.status == 206) {
        head.headers.add("Content-Range", fmt::format("bytes {}-{}/{}", selection.begin,
                                                      selection.end - 1, body_bytes));
    } else if (selection.status == 416) {
        head.headers.add("Content-Range", fmt::format("bytes */{}", body_bytes));
    }
    head.headers.add("Content-Length", fmt::format("{}", selection.end - selection.begin));
    return head;
}

}  // namespace candela::http
