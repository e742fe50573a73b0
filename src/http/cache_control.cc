#include "http/cache_control.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "base/text.h"

namespace candela::http {
namespace {

// One directive: a token, and maybe a token or quoted string behind "=". Commas within quotes part
// nothing: private="public, max-age=9" is one directive.
struct Directive {
    std::string_view name;
    std::optional<std::string_view> value;  // without its quotes
};

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Cuts the first directive off; nothing at the end. What is malformed goes up to the next comma.
std::optional<Directive> next_directive(std::string_view& list) {
    while (!list.empty() && (is_blank(list.front()) || list.front() == ',')) list.remove_prefix(1);
    if (list.empty()) return std::nullopt;
    bool is_quoted = false;
    size_t end = 0;
    for (; end < list.size(); ++end) {
        const char c = list[end];
        if (is_quoted && c == '\\') {
            ++end;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (c == ',' && !is_quoted) {
            break;
        }
    }
    const std::string_view whole = trim(list.substr(0, end));
    list = end < list.size() ? list.substr(end + 1) : std::string_view();
    Directive directive;
    const size_t equals = whole.find('=');
    directive.name = trim(whole.substr(0, equals));
    if (equals == std::string_view::npos) return directive;
    std::string_view value = trim(whole.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
        value = value.substr(1, value.size() - 2);
    }
    directive.value = value;
    return directive;
}

void take_smaller(std::optional<int64_t>& place, const Directive& directive) {
    const int64_t seconds = parse_delta_seconds(directive.value.value_or("")).value_or(0);
    place = place ? std::min(*place, seconds) : seconds;
}

void take_larger(std::optional<int64_t>& place, const Directive& directive) {
    const auto seconds = parse_delta_seconds(directive.value.value_or(""));
    if (!seconds) return;
    place = place ? std::max(*place, *seconds) : *seconds;
}

void apply(const Directive& directive, CacheControl& out) {
    struct Flag {
        std::string_view name;
        bool CacheControl::* member;
    };
    static constexpr std::array kFlags = {Flag{"no-store", &CacheControl::no_store},
                                          Flag{"no-cache", &CacheControl::no_cache},
                                          Flag{"private", &CacheControl::is_private},
                                          Flag{"public", &CacheControl::is_public},
                                          Flag{"must-revalidate", &CacheControl::must_revalidate},
                                          Flag{"proxy-revalidate", &CacheControl::proxy_revalidate},
                                          Flag{"must-understand", &CacheControl::must_understand},
                                          Flag{"no-transform", &CacheControl::no_transform},
                                          Flag{"only-if-cached", &CacheControl::only_if_cached}};
    const auto is = [&](std::string_view name) { return ascii_iequals(directive.name, name); };
    for (const Flag& flag : kFlags) {
        if (is(flag.name)) {
            out.*flag.member = true;
            return;
        }
    }
    if (is("max-age")) {
        take_smaller(out.max_age, directive);
    } else if (is("s-maxage")) {
        take_smaller(out.s_maxage, directive);
    } else if (is("stale-while-revalidate")) {
        take_smaller(out.stale_while_revalidate, directive);
    } else if (is("stale-if-error")) {
        take_smaller(out.stale_if_error, directive);
    } else if (is("min-fresh")) {
        take_larger(out.min_fresh, directive);
    } else if (is("max-stale")) {
        if (directive.value) {
            take_smaller(out.max_stale, directive);
        } else {
            out.takes_any_stale = true;
        }
    }
}

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<int> number_of(std::string_view digits) {
    if (digits.empty() || digits.size() > 4) return std::nullopt;
    int value = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + (c - '0');
    }
    return value;
}

std::optional<int64_t> seconds_of(std::optional<int> year, std::string_view month_name,
                                  std::optional<int> day, std::string_view time) {
    const auto* const month = std::ranges::find(kMonths, month_name);
    if (!year || !day || month == kMonths.end()) return std::nullopt;
    if (time.size() != 8 || time[2] != ':' || time[5] != ':') return std::nullopt;
    const auto hour = number_of(time.substr(0, 2));
    const auto minute = number_of(time.substr(3, 2));
    const auto second = number_of(time.substr(6, 2));
    if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 60) {
        return std::nullopt;
    }
    const std::chrono::year_month_day date(
        std::chrono::year(*year),
        std::chrono::month(static_cast<unsigned>(month - kMonths.begin()) + 1),
        std::chrono::day(static_cast<unsigned>(*day)));
    if (!date.ok()) return std::nullopt;
    const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
    return days * 86'400 + *hour * 3600 + *minute * 60 + *second;
}

}  // namespace

CacheControl parse_cache_control(const Headers& headers) {
    CacheControl out;
    for (const Headers::Field field : headers) {
        if (field.id != FieldId::kOther || !ascii_iequals(field.name, "cache-control")) continue;
        out.is_said = true;
        std::string_view list = field.value;
        while (const auto directive = next_directive(list)) apply(*directive, out);
    }
    return out;
}

CacheControl parse_request_cache_control(const Headers& headers) {
    CacheControl out = parse_cache_control(headers);
    if (!out.is_said && headers.has_token("pragma", "no-cache")) out.no_cache = true;
    return out;
}

std::optional<int64_t> parse_delta_seconds(std::string_view text) {
    if (text.empty()) return std::nullopt;
    int64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        value = std::min(value * 10 + (c - '0'), kCacheSecondsMax);
    }
    return value;
}

std::optional<int64_t> parse_http_date(std::string_view text) {
    // "Sunday, 06-Nov-94 08:49:37 GMT" and "Sun, 06 Nov 1994 08:49:37 GMT".
    if (const size_t comma = text.find(','); comma != std::string_view::npos) {
        const std::string_view rest = text.substr(comma + 1);
        if (rest.size() < 2 || rest.front() != ' ' || !rest.ends_with(" GMT")) return std::nullopt;
        const std::string_view body = rest.substr(1, rest.size() - 5);
        if (body.size() == 20) {
            return seconds_of(number_of(body.substr(7, 4)), body.substr(3, 3),
                              number_of(body.substr(0, 2)), body.substr(12));
        }
        if (body.size() == 18) {
            // Two digits: more than fifty years ahead is meant as the past (RFC 9110 §5.6.7), which
            // for dates of answers and until 2050 is: from 70 on, the last century.
            std::optional<int> year = number_of(body.substr(7, 2));
            if (year) year = *year + (*year >= 70 ? 1900 : 2000);
            return seconds_of(year, body.substr(3, 3), number_of(body.substr(0, 2)),
                              body.substr(10));
        }
        return std::nullopt;
    }
    // "Sun Nov  6 08:49:37 1994".
    if (text.size() != 24) return std::nullopt;
    const std::string_view day = text[8] == ' ' ? text.substr(9, 1) : text.substr(8, 2);
    return seconds_of(number_of(text.substr(20, 4)), text.substr(4, 3), number_of(day),
                      text.substr(11, 8));
}

}  // namespace candela::http
