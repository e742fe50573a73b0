#include "source_feed.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/message.h"
#include "durable_stream.h"

namespace candela::bus_role {

namespace {

// Copied, or looked at, in one turn.
constexpr int kCopiesPerTurn = 256;
constexpr int kLooksPerTurn = 20'000;
// Not yet durable copies; beyond it, it waits for the disk.
constexpr uint64_t kPendingBytesMax = 8 * 1024 * 1024;
constexpr Duration kRetry = 500ms;
constexpr std::string_view kSourceHeader = "Nats-Stream-Source";

// Without what another stream's publisher expected of that stream, and with where it is from.
std::string headers_of_copy(std::string_view headers, std::string_view mark) {
    std::string out = "NATS/1.0\r\n";
    size_t at = headers.find("\r\n");
    while (at != std::string_view::npos && at + 2 < headers.size()) {
        const size_t end = headers.find("\r\n", at + 2);
        const std::string_view line = headers.substr(at + 2, end - at - 2);
        at = end;
        if (line.empty()) break;
        const std::string key = ascii_lower(line.substr(0, line.find(':')));
        if (key.starts_with("nats-expected-") || key == "nats-stream-source") continue;
        out += line;
        out += "\r\n";
    }
    out += fmt::format("{}: {}\r\n\r\n", kSourceHeader, mark);
    return out;
}

}  // namespace

// "<stream> <sequence> <filters> <destinations> <subject>", as nats-server writes it.
std::string SourceMark::encode(const SourceConfig& config, uint64_t sequence,
                               std::string_view subject) {
    const std::string name = config.index_name();
    return fmt::format("{} {} {} {}", config.name, sequence,
                       std::string_view(name).substr(config.name.size() + 1), subject);
}

bool SourceMark::decode(std::string_view text) {
    const std::vector<std::string_view> words = split(text, ' ');
    if (words.size() < 4) return false;
    const Result<uint64_t> number = parse_uint(words[1]);
    if (!number) return false;
    sequence = *number;
    index_name = fmt::format("{} {} {}", words[0], words[2], words[3]);
    return true;
}

SourceFeed::SourceFeed(DurableStream& stream, SourceConfig config, bool is_mirror)
    : stream_(stream),
      config_(std::move(config)),
      is_mirror_(is_mirror),
      retry_(stream.js().loop().timers(), [this] { stream_.js().wake(stream_); }) {
    for (const TransformConfig& transform : config_.transforms) {
        Place& place = places_.emplace_back();
        place.pattern = transform.source.empty() ? ">" : transform.source;
        if (transform.destination.empty()) continue;  // a filter
        auto made = SubjectTransform::create(transform.source, transform.destination);
        if (made) place.transform = std::move(*made);
    }
    if (places_.empty()) places_.push_back({config_.filter.empty() ? ">" : config_.filter, {}});
}

SourceFeed::~SourceFeed() { *alive_ = false; }

void SourceFeed::set_position(uint64_t position, uint64_t upstream) {
    position_ = position;
    upstream_ = upstream;
}

void SourceFeed::fail(std::string reason, int number) {
    problem_ = std::move(reason);
    problem_number_ = number;
}

uint64_t SourceFeed::start_of(DurableStream& upstream) const {
    if (config_.start_sequence != 0) return config_.start_sequence - 1;
    if (config_.start_time == 0) return 0;
    const IndexEntry* first = upstream.log().index().at_time(config_.start_time);
    return first != nullptr ? first->sequence - 1 : upstream.log().last_sequence();
}

DurableStream* SourceFeed::find_upstream() {
    DurableStream* found = stream_.account().find(config_.name);
    if (found == nullptr) {
        fail("stream not found", 10059);
        return nullptr;
    }
    if (found->id() != upstream_) {
        // Another stream of the same name: it has other messages.
        const bool is_new = upstream_ == 0 && position_ == 0;
        if (is_new || (!is_mirror_ && upstream_ != 0)) position_ = start_of(*found);
        upstream_ = found->id();
        if (is_mirror_) position_ = std::max(position_, stream_.log().last_given());
    }
    problem_.clear();
    return found;
}

bool SourceFeed::place_of(std::string_view subject, std::string& out) const {
    for (const Place& place : places_) {
        if (!auth::subject_matches(place.pattern, subject)) continue;
        out = place.transform ? place.transform->apply(subject).value_or("") : std::string(subject);
        return !out.empty();
    }
    return false;
}

bool SourceFeed::pump() {
    if (is_loading_) return false;
    DurableStream* from = find_upstream();
    if (from == nullptr) return false;
    bool has_appended = false;
    int copies = 0;
    for (int looks = 0; looks < kLooksPerTurn && copies < kCopiesPerTurn; ++looks) {
        const IndexEntry* entry = from->log().at_or_after(position_ + 1);
        if (entry == nullptr) {
            position_ = std::max(position_, from->log().last_sequence());
            return has_appended;
        }
        const Step step = copy(*from, *entry);
        if (step == Step::kWait) return has_appended;
        if (step == Step::kSkipped) continue;
        ++copies;
        has_appended = true;
    }
    // The rest in the next round.
    stream_.js().loop().post([this, alive = alive_] {
        if (*alive) stream_.js().wake(stream_);
    });
    return has_appended;
}

SourceFeed::Step SourceFeed::copy(DurableStream& from, const IndexEntry& entry) {
    const uint64_t sequence = entry.sequence;
    std::string place;
    if (!place_of(from.log().index().subject(entry.subject).name, place)) {
        position_ = sequence;
        return Step::kSkipped;
    }
    if (stream_.log().pending_bytes() > kPendingBytesMax) return Step::kWait;
    if (stream_.config().is_file && stream_.js().store().refusal()) {
        fail("the store takes nothing now", 10077);
        retry_.start(kRetry);
        return Step::kWait;
    }
    const RecordPtr record = from.log().read(sequence);
    RecordView view;
    if (record != nullptr && decode_record(record->body, view)) {
        return append_copy(view);
    }
    is_loading_ = true;
    from.log().load(sequence, [this, alive = alive_, sequence] {
        if (!*alive) return;
        is_loading_ = false;
        DurableStream* now = find_upstream();
        const bool is_unreadable = now != nullptr && now->log().read(sequence) == nullptr &&
                                   now->log().find(sequence) != nullptr;
        if (is_unreadable) {
            // A disk that does not read now may do so later.
            fail("a message can't be read now", 10077);
            retry_.start(kRetry);
        } else {
            stream_.js().wake(stream_);
        }
    });
    return Step::kWait;
}

SourceFeed::Step SourceFeed::append_copy(const RecordView& view) {
    const uint64_t sequence = view.sequence;
    Incoming copy;
    place_of(view.subject, copy.subject);
    copy.payload = std::string(view.payload);
    // Its disk has taken some: there is room for more.
    auto done = [this, alive = alive_](const Result<>& result) {
        if (*alive && result && stream_.log().pending_bytes() <= kPendingBytesMax / 2) {
            stream_.js().wake(stream_);
        }
    };
    if (is_mirror_) {
        copy.headers = std::string(view.headers);
        // What it holds already, it does not take again.
        if (sequence > stream_.log().last_given()) {
            stream_.append_mirrored(copy, sequence, view.timestamp, std::move(done));
        }
    } else {
        const auto origin = bus::find_header(view.headers, kSourceHeader);
        SourceMark mark;
        const bool is_own = origin && mark.decode(*origin) &&
                            mark.index_name.starts_with(stream_.config().name + " ");
        if (is_own) {
            // It came from here.
            position_ = sequence;
            return Step::kSkipped;
        }
        copy.headers =
            headers_of_copy(view.headers, SourceMark::encode(config_, sequence, view.subject));
        if (const JsResult<void> taken = stream_.append_copy(copy, std::move(done)); !taken) {
            fail(taken.error().text, taken.error().number);
            retry_.start(kRetry);
            return Step::kWait;
        }
    }
    active_ = stream_.js().loop().now().time_since_epoch().count();
    position_ = sequence;
    return Step::kAppended;
}

Json SourceFeed::info() {
    DurableStream* from = stream_.account().find(config_.name);
    const uint64_t last = from == nullptr ? position_ : from->log().last_sequence();
    const int64_t now = stream_.js().loop().now().time_since_epoch().count();
    Json out = {{"name", config_.name},
                {"lag", last > position_ ? last - position_ : 0},
                {"active", active_ == 0 ? -1 : now - active_}};
    if (!config_.filter.empty()) out["filter_subject"] = config_.filter;
    for (const TransformConfig& transform : config_.transforms) {
        out["subject_transforms"].push_back(
            {{"src", transform.source}, {"dest", transform.destination}});
    }
    if (from == nullptr) fail("stream not found", 10059);
    if (!problem_.empty())
        out["error"] = {{"code", problem_number_ == 10059 ? 404 : 503},
                        {"err_code", problem_number_},
                        {"description", problem_}};
    return out;
}

}  // namespace candela::bus_role
