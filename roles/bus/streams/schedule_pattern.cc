#include "schedule_pattern.h"

#include "base/text.h"
#include "base/time.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

std::optional<SchedulePattern> SchedulePattern::parse(std::string_view text) {
    SchedulePattern out;
    text = trim(text);
    if (text.starts_with("@at ")) {
        const Result<WallTime> time = parse_rfc3339(trim(text.substr(4)));
        if (!time || time->time_since_epoch().count() <= 0) return std::nullopt;
        out.at_ = time->time_since_epoch().count();
        return out;
    }
    if (text.starts_with("@every ")) {
        const Result<Duration> interval = parse_duration(trim(text.substr(7)));
        if (!interval || interval->count() < kIntervalMin) return std::nullopt;
        out.kind_ = Kind::kEvery;
        out.interval_ = interval->count();
        return out;
    }
    const Result<CronPattern> cron = CronPattern::parse_with_seconds(text);
    if (!cron) return std::nullopt;
    out.kind_ = Kind::kCron;
    out.cron_ = *cron;
    return out;
}

int64_t SchedulePattern::next(int64_t start, int64_t after) const {
    switch (kind_) {
        case Kind::kAt: return at_;
        case Kind::kEvery:
            if (after < start) return start + interval_;
            return start + ((after - start) / interval_ + 1) * interval_;
        case Kind::kCron: break;
    }
    return cron_.next(after / kSecond) * kSecond;
}

std::optional<int64_t> parse_message_ttl(std::string_view text) {
    if (text == "never") return -1;
    if (const Result<uint64_t> seconds = parse_uint(text)) {
        constexpr uint64_t kSecondsMax = 100ULL * 366 * 86'400;
        if (*seconds > kSecondsMax) return std::nullopt;
        return static_cast<int64_t>(*seconds) * kSecond;
    }
    const Result<Duration> duration = parse_duration(text);
    if (!duration || duration->count() < kSecond) return std::nullopt;
    return duration->count();
}

}  // namespace candela::bus_role
