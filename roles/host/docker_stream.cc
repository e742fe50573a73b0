#include "docker_stream.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/text.h"

namespace candela::host {

Result<> DockerFrames::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        if (left_ == 0) {
            const size_t taken = std::min(bytes.size(), kHeadBytes - head_bytes_);
            std::copy_n(bytes.begin(), taken, head_ + head_bytes_);
            head_bytes_ += taken;
            bytes.remove_prefix(taken);
            if (head_bytes_ < kHeadBytes) break;
            head_bytes_ = 0;
            const auto stream = static_cast<unsigned char>(head_[0]);
            if (stream > 2 || head_[1] != 0 || head_[2] != 0 || head_[3] != 0) {
                return fail(Code::kCorrupt, "the engine's stream has no frame where one begins");
            }
            kind_ = stream == 2 ? OutputKind::kStderr : OutputKind::kStdout;
            for (size_t i = 4; i < kHeadBytes; ++i) {
                left_ = left_ << 8 | static_cast<unsigned char>(head_[i]);
            }
            on_piece_(kind_, {}, left_);
            continue;
        }
        const auto piece = bytes.substr(0, std::min<uint64_t>(bytes.size(), left_));
        bytes.remove_prefix(piece.size());
        left_ -= piece.size();
        on_piece_(kind_, piece, left_);
    }
    return {};
}

Result<uint64_t> parse_engine_time(std::string_view text) {
    const auto malformed = [&] {
        return fail(Code::kInvalid, "\"{}\" is not a time", printable(text, 64));
    };
    // "2026-11-25T23:36:53", then perhaps a fraction, then Z or an offset: "+01:00".
    constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
    const auto has_form = [&](std::string_view part, std::string_view form) {
        if (part.size() < form.size()) return false;
        for (size_t i = 0; i < form.size(); ++i) {
            const bool is_digit = part[i] >= '0' && part[i] <= '9';
            if (form[i] == 'd' ? !is_digit : part[i] != form[i]) return false;
        }
        return true;
    };
    const auto number = [](std::string_view part, size_t at, size_t length) {
        return static_cast<int64_t>(parse_uint(part.substr(at, length)).value_or(0));
    };
    if (!has_form(text, kForm)) return malformed();
    const auto day = std::chrono::year(static_cast<int>(number(text, 0, 4))) /
                     std::chrono::month(static_cast<unsigned>(number(text, 5, 2))) /
                     std::chrono::day(static_cast<unsigned>(number(text, 8, 2)));
    if (!day.ok() || number(text, 0, 4) < 1971) return malformed();
    const int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
    int64_t seconds =
        days * 86'400 + number(text, 11, 2) * 3600 + number(text, 14, 2) * 60 + number(text, 17, 2);

    std::string_view rest = text.substr(kForm.size());
    uint64_t fraction_ns = 0;
    if (rest.starts_with('.')) {
        rest.remove_prefix(1);
        uint64_t unit = 100'000'000;
        while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
            fraction_ns += unit * static_cast<uint64_t>(rest.front() - '0');
            unit /= 10;
            rest.remove_prefix(1);
        }
    }
    const bool is_ahead = rest.starts_with('+');
    if (rest.size() == 6 && (is_ahead || rest.front() == '-') &&
        has_form(rest.substr(1), "dd:dd")) {
        const int64_t offset = number(rest, 1, 2) * 3600 + number(rest, 4, 2) * 60;
        seconds += is_ahead ? -offset : offset;
    } else if (rest != "Z") {
        return malformed();
    }
    return static_cast<uint64_t>(seconds) * 1'000'000'000ULL + fraction_ns;
}

uint64_t DockerLogPosition::since_ns() const {
    constexpr uint64_t kSlack = 1'000'000'000;
    const uint64_t last = std::max(out.time_ns, err.time_ns);
    return last > kSlack ? last - kSlack : 0;
}

DockerLog::DockerLog(DockerLogPosition position, OnOutput on_output)
    : position_(position),
      out_{position.out},
      err_{position.err},
      on_output_(std::move(on_output)),
      frames_([this](OutputKind kind, std::string_view piece, uint64_t left) {
          on_piece(kind, piece, left);
      }) {}

void DockerLog::on_piece(OutputKind kind, std::string_view piece, uint64_t left) {
    if (piece.empty()) {
        time_.clear();
        time_ns_ = 0;
        is_in_time_ = true;
        is_known_ = false;
        return;
    }
    if (is_in_time_) {
        const size_t space = piece.find(' ');
        const size_t before = time_.size();
        time_ += piece.substr(0, std::min(space, kTimeBytesMax - time_.size()));
        // No time is so long: such a message has none, and has begun already.
        const bool is_complete = space != std::string_view::npos || time_.size() == kTimeBytesMax;
        if (!is_complete && left > 0) return;
        is_in_time_ = false;
        const auto time = parse_engine_time(time_);
        if (time) {
            time_ns_ = *time;
            is_known_ = is_known(kind);
            piece.remove_prefix(space < piece.size() ? space + 1 : piece.size());
        } else {
            on_output_(kind, std::string_view(time_).substr(0, before));
        }
    }
    if (!is_known_ && !piece.empty()) on_output_(kind, piece);
    // Only what is whole has been taken.
    if (left > 0 || is_known_ || time_ns_ == 0) return;
    auto& taken = kind == OutputKind::kStdout ? position_.out : position_.err;
    taken.count = taken.time_ns == time_ns_ ? taken.count + 1 : 1;
    taken.time_ns = time_ns_;
}

bool DockerLog::is_known(OutputKind kind) {
    Stream& stream = this->stream(kind);
    if (stream.is_past) return false;
    if (time_ns_ < stream.before.time_ns) return true;
    if (time_ns_ == stream.before.time_ns && stream.met++ < stream.before.count) return true;
    stream.is_past = true;
    return false;
}

}  // namespace candela::host
