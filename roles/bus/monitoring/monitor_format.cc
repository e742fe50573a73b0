// How nats-server writes durations.

#include "monitoring/monitor.h"

namespace candela::bus_role {

namespace {

// "33.367029", without zeros at its end.
std::string decimal(int64_t value, int64_t unit) {
    std::string out = std::to_string(value / unit);
    int64_t rest = value % unit;
    if (rest == 0) return out;
    out += '.';
    for (int64_t digit = unit / 10; rest != 0; digit /= 10) {
        out += static_cast<char>('0' + rest / digit);
        rest %= digit;
    }
    return out;
}

}  // namespace

std::string format_uptime(Duration duration) {
    const int64_t seconds = duration / 1s;
    const int64_t minutes = seconds / 60;
    const int64_t hours = minutes / 60;
    const int64_t days = hours / 24;
    const int64_t years = days / 365;
    std::string out;
    if (years > 0) out += fmt::format("{}y", years);
    if (days > 0) out += fmt::format("{}d", days % 365);
    if (hours > 0) out += fmt::format("{}h", hours % 24);
    if (minutes > 0) out += fmt::format("{}m", minutes % 60);
    return out + fmt::format("{}s", seconds % 60);
}

std::string format_go_duration(Duration duration) {
    const int64_t nanos = duration.count();
    if (nanos == 0) return "0s";
    if (nanos < 1'000) return fmt::format("{}ns", nanos);
    if (nanos < 1'000'000) return decimal(nanos, 1'000) + "µs";
    if (nanos < 1'000'000'000) return decimal(nanos, 1'000'000) + "ms";
    const int64_t minutes = nanos / 60'000'000'000;
    std::string out;
    if (minutes >= 60) out += fmt::format("{}h", minutes / 60);
    if (minutes > 0) out += fmt::format("{}m", minutes % 60);
    return out + decimal(nanos % 60'000'000'000, 1'000'000'000) + "s";
}

}  // namespace candela::bus_role
