#include "stream_log.h"

#include <algorithm>

#include "auth/permissions.h"
#include "store.h"

namespace candela::bus_role {

namespace {
constexpr size_t kRangesPerRecord = 4096;
// Segments that are cleared out in one checkpoint.
constexpr size_t kMovedSegmentsMax = 4;
}  // namespace

StreamLog::StreamLog(Store& store, uint64_t id, bool is_durable)
    : store_(store), id_(id), is_durable_(is_durable), index_(*this, store.index_cache_) {}

uint32_t StreamLog::message_size(bool is_durable, size_t subject, size_t headers, size_t payload) {
    const size_t fixed = is_durable ? 30 + (headers != 0 ? 4 : 0) : 16;
    return static_cast<uint32_t>(fixed + subject + headers + payload);
}

uint64_t StreamLog::first_sequence() const {
    return index_.count() == 0 ? last_sequence_ + 1 : index_.first();
}

uint64_t StreamLog::last_given_of(std::string_view subject) const {
    const auto pending = pending_subjects_.find(std::string(subject));
    if (pending != pending_subjects_.end()) return pending->second.last;
    const SubjectEntry* entry = index_.find_subject(subject);
    return entry == nullptr ? 0 : entry->last;
}

uint64_t StreamLog::last_given_matching(std::string_view pattern) const {
    uint64_t last = 0;
    for (const auto& [subject, pending] : pending_subjects_) {
        if (auth::subject_matches(pattern, subject)) last = std::max(last, pending.last);
    }
    for (size_t i = 0; i < index_.subject_numbers(); ++i) {
        const SubjectEntry& subject = index_.subject(static_cast<uint32_t>(i));
        if (subject.count != 0 && auth::subject_matches(pattern, subject.name))
            last = std::max(last, subject.last);
    }
    return last;
}

uint64_t StreamLog::pending_messages_of(std::string_view subject) const {
    const auto pending = pending_subjects_.find(std::string(subject));
    return pending == pending_subjects_.end() ? 0 : pending->second.count;
}

uint64_t StreamLog::append(std::string_view subject, std::string_view headers,
                           std::string_view payload, Rollup rollup, int64_t timestamp, Done done) {
    const uint64_t sequence = ++last_given_;
    PendingMessage message;
    message.sequence = sequence;
    message.timestamp = timestamp;
    message.subject = std::string(subject);
    message.rollup = rollup;
    message.size = message_size(is_durable_, subject.size(), headers.size(), payload.size());
    message.record = encode_message(id_, sequence, timestamp, rollup, subject, headers, payload);
    PendingSubject& pending = pending_subjects_[message.subject];
    pending.last = sequence;
    ++pending.count;
    pending_bytes_ += message.size;
    Store::Pending entry{id_, sequence, message.size, std::move(done)};
    RecordPtr record = message.record;
    pending_.push_back(std::move(message));
    if (is_durable_) {
        store_.submit(std::move(record), std::move(entry), is_synced_);
    } else {
        store_.submit_in_memory(std::move(entry));
    }
    return sequence;
}

void StreamLog::commit() {
    PendingMessage message = std::move(pending_.front());
    pending_.pop_front();
    pending_bytes_ -= message.size;
    const auto pending = pending_subjects_.find(message.subject);
    if (--pending->second.count == 0) pending_subjects_.erase(pending);
    admit(message.sequence, message.subject, message.timestamp, message.size,
          std::move(message.record), message.rollup);
}

void StreamLog::fail_pending() {
    pending_.clear();
    pending_subjects_.clear();
    pending_bytes_ = 0;
    last_given_ = last_sequence_;
}

void StreamLog::admit(uint64_t sequence, std::string_view subject, int64_t timestamp, uint32_t size,
                      RecordPtr record, Rollup rollup) {
    const IndexEntry& entry = index_.add(sequence, subject, timestamp, size);
    last_sequence_ = std::max(last_sequence_, sequence);
    last_given_ = std::max(last_given_, sequence);
    last_timestamp_ = timestamp;
    is_dirty_ = true;
    if (is_durable_) store_.unflushed_bytes_ += record->body.size();
    fresh_.emplace(sequence, std::move(record));
    if (observer_ != nullptr) observer_->on_appended(entry);
    if (rollup != Rollup::kNone) roll_up(sequence, rollup);
    enforce(sequence);
}

void StreamLog::roll_up(uint64_t sequence, Rollup rollup) {
    if (rollup == Rollup::kAll) {
        while (index_.count() != 0 && index_.first() < sequence) take_out(index_.first());
        return;
    }
    const IndexEntry* entry = index_.find(sequence);
    if (entry == nullptr) return;
    const uint32_t subject = entry->subject;
    while (index_.subject(subject).count > 1) {
        const uint64_t first = index_.first_of(subject);
        if (first == sequence || !take_out(first)) break;
    }
}

// Which old ones the limits turn out follows from what is there; the log needs no record of it.
void StreamLog::enforce(uint64_t sequence) {
    if (limits_.messages_per_subject_max > 0) {
        while (const IndexEntry* entry = index_.find(sequence)) {
            const uint32_t subject = entry->subject;
            const auto max = static_cast<uint64_t>(limits_.messages_per_subject_max);
            if (index_.subject(subject).count <= max) break;
            if (!take_out(index_.first_of(subject))) break;
        }
    }
    while (limits_.messages_max >= 0 &&
           index_.count() > static_cast<uint64_t>(limits_.messages_max)) {
        take_out(index_.first());
    }
    while (limits_.bytes_max >= 0 && index_.count() != 0 &&
           index_.bytes() > static_cast<uint64_t>(limits_.bytes_max)) {
        take_out(index_.first());
    }
}

void StreamLog::set_limits(const LogLimits& limits) {
    limits_ = limits;
    if (limits_.messages_per_subject_max > 0) {
        const auto max = static_cast<uint64_t>(limits_.messages_per_subject_max);
        for (uint32_t i = 0; i < index_.subject_numbers(); ++i) {
            while (index_.subject(i).count > max && take_out(index_.first_of(i))) {
            }
        }
    }
    enforce(0);
}

bool StreamLog::take_out(uint64_t sequence) {
    const IndexEntry* found = index_.find(sequence);
    if (found == nullptr) return false;
    const IndexEntry entry = *found;
    // While its subject still has a name.
    if (observer_ != nullptr) observer_->on_removed(entry);
    const auto fresh = fresh_.find(sequence);
    if (fresh != fresh_.end()) {
        if (is_durable_) store_.unflushed_bytes_ -= fresh->second->body.size();
        fresh_.erase(fresh);
    }
    count_out(entry);
    index_.remove(sequence);
    is_dirty_ = true;
    return true;
}

void StreamLog::count_out(const IndexEntry& entry) {
    if (entry.segment == 0) return;
    SegmentInfo& info = segments_[entry.segment];
    info.live_bytes -= entry.size;
    --info.live_count;
}

void StreamLog::remove(const std::vector<uint64_t>& sequences, Done done) {
    std::vector<SequenceRange> ranges;
    for (const uint64_t sequence : sequences) {
        if (!take_out(sequence)) continue;
        if (!ranges.empty() && ranges.back().first + ranges.back().count == sequence) {
            ++ranges.back().count;
        } else {
            ranges.push_back({sequence, 1});
        }
    }
    if (!is_durable_) {
        store_.submit_in_memory(Store::Pending{id_, 0, 0, std::move(done)});
        return;
    }
    size_t at = 0;
    do {
        const size_t end = std::min(ranges.size(), at + kRangesPerRecord);
        const std::vector<SequenceRange> part(ranges.begin() + static_cast<ptrdiff_t>(at),
                                              ranges.begin() + static_cast<ptrdiff_t>(end));
        Store::Pending pending{id_, 0, 0, Done()};
        if (end == ranges.size()) pending.done = std::move(done);
        store_.submit(encode_remove(id_, part), std::move(pending), is_synced_);
        at = end;
    } while (at < ranges.size());
}

void StreamLog::start_at(uint64_t sequence) {
    last_sequence_ = last_given_ = sequence == 0 ? 0 : sequence - 1;
    is_dirty_ = true;
}

int64_t StreamLog::expire(int64_t now) {
    if (limits_.age_max.count() <= 0) return 0;
    while (const IndexEntry* first = index_.at_or_after(0)) {
        const int64_t end = first->timestamp + limits_.age_max.count();
        if (end > now) return end;
        take_out(first->sequence);
    }
    return 0;
}

RecordPtr StreamLog::read(uint64_t sequence) {
    const auto fresh = fresh_.find(sequence);
    if (fresh != fresh_.end()) return fresh->second;
    return store_.cache_.find(id_, sequence);
}

void StreamLog::load(uint64_t sequence, Loop::Callback done) {
    store_.load(*this, sequence, std::move(done));
}

void StreamLog::lose(uint64_t sequence) {
    if (!take_out(sequence)) return;
    lost_.push_back({sequence, 1});
    if (observer_ != nullptr) observer_->on_lost(sequence);
}

FlushJob StreamLog::make_flush(uint64_t seed) {
    FlushJob job;
    job.stream = id_;
    job.is_packed = is_packed_;
    job.segment = segment_;
    job.seed = seed;
    const auto last = segments_.find(segment_);
    if (last != segments_.end() && !last->second.is_kept) {
        job.file_bytes = last->second.file_bytes;
        job.index_bytes = last->second.index_bytes;
    }
    for (const auto& [sequence, record] : fresh_) {
        const IndexEntry* entry = index_.find(sequence);
        if (entry == nullptr) continue;
        job.items.push_back({sequence, entry->previous, entry->size, record, SegmentPlace()});
    }
    std::sort(job.items.begin(), job.items.end(),
              [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    std::vector<uint32_t> sparse;
    for (const auto& [number, info] : segments_) {
        if (number == segment_ || info.live_count == 0 || sparse.size() == kMovedSegmentsMax)
            continue;
        if (info.live_bytes * 2 < info.message_bytes) sparse.push_back(number);
    }
    if (sparse.empty()) return job;
    for (const IndexEntry& entry : index_.entries_in(sparse)) {
        job.items.push_back(
            {entry.sequence, entry.previous, entry.size, nullptr, {entry.segment, entry.offset}});
    }
    return job;
}

uint64_t StreamLog::take_flush(const FlushJob& job) {
    for (const auto& [block, ref] : job.chunks) index_.add_chunk(block, ref);
    uint64_t unreadable = 0;
    for (size_t i = 0; i < job.places.size(); ++i) {
        const FlushJob::Item& item = job.items[i];
        const SegmentPlace place = job.places[i];
        if (item.record != nullptr && fresh_.erase(item.sequence) != 0)
            store_.unflushed_bytes_ -= item.record->body.size();
        if (place.segment == 0) {
            if (!index_.contains(item.sequence)) continue;
            lose(item.sequence);
            ++unreadable;
            continue;
        }
        segments_[place.segment].message_bytes += item.size;
        if (!index_.contains(item.sequence)) continue;
        if (item.from.segment != 0) {
            SegmentInfo& from = segments_[item.from.segment];
            from.live_bytes -= item.size;
            --from.live_count;
        }
        index_.set_place(item.sequence, place.segment, place.offset);
        SegmentInfo& to = segments_[place.segment];
        to.live_bytes += item.size;
        ++to.live_count;
    }
    for (const auto& [number, sizes] : job.files) {
        segments_[number].file_bytes = sizes.file_bytes;
        segments_[number].index_bytes = sizes.index_bytes;
    }
    segment_ = job.segment;
    is_dirty_ = true;
    return unreadable;
}

void StreamLog::take_dead_segments(std::vector<std::string>& paths) {
    std::vector<uint32_t> dead;
    for (const auto& [number, info] : segments_) {
        if (number == segment_ || info.live_count != 0 || info.is_kept) continue;
        dead.push_back(number);
        // Its index first: a segment without one is read, an index without a segment never is.
        paths.push_back(index_path(id_, number));
        paths.push_back(segment_path(id_, number));
    }
    if (dead.empty()) return;
    index_.forget_segments(dead);
    for (const uint32_t number : dead) segments_.erase(number);
}

// --- Recovery
// -------------------------------------------------------------------------------------

namespace {

// Whether so much can be alive in segments of that size, however well it is compressed: a state
// that makes no sense must not cost memory.
bool is_plausible(const std::vector<SequenceRange>& live, uint64_t segment_bytes) {
    constexpr uint64_t kMessagesPerByteMax = 256;
    uint64_t room = segment_bytes * kMessagesPerByteMax;
    for (const SequenceRange& range : live) {
        if (range.count > room || range.first > UINT64_MAX - range.count) return false;
        room -= range.count;
    }
    return true;
}

}  // namespace

Result<> StreamLog::recover(Disk& disk, StreamImage image) {
    blob_ = std::move(image.blob);
    consumers_ = std::move(image.consumers);
    last_sequence_ = last_given_ = image.last_sequence;
    recovered_to_ = image.flushed_to;
    CANDELA_TRY_ASSIGN(const std::vector<uint32_t> numbers, list_segments(disk, id_));
    // The newest first: where a message was moved, its later copy counts.
    std::vector<std::pair<uint32_t, FoundSegment>> found;
    uint64_t segment_bytes = 0;
    for (auto number = numbers.rbegin(); number != numbers.rend(); ++number) {
        CANDELA_TRY_ASSIGN(FoundSegment segment, read_segment(disk, id_, *number));
        segment_bytes += segment.file_bytes;
        found.emplace_back(*number, std::move(segment));
    }
    if (!is_plausible(image.live, segment_bytes)) {
        // Its segments are gone: what it says is alive is lost.
        note_lost(image.live);
        image.live.clear();
    }
    index_.expect(image.live);
    uint64_t last = 0;
    for (const auto& [number, segment] : found) {
        SegmentInfo& info = segments_[number];
        info.file_bytes = segment.file_bytes;
        info.index_bytes = segment.index_bytes;
        for (auto item = segment.chunks.rbegin(); item != segment.chunks.rend(); ++item) {
            for (const ChunkEntry& entry : item->first.entries) info.message_bytes += entry.size;
            index_.recover_chunk(item->first, item->second, [&](const ChunkEntry& entry) {
                info.live_bytes += entry.size;
                ++info.live_count;
                if (entry.sequence < last) return;
                last = entry.sequence;
                last_timestamp_ = entry.timestamp;
            });
        }
        if (segment.is_made_again || segment.is_header_made) {
            const char* what = segment.is_made_again ? "segment_index_made" : "segment_header_made";
            store_.log_.warn(what, {{"stream", id_}, {"segment", number}});
        }
    }
    const std::vector<SequenceRange> lost = index_.finish_recovery();
    for (const auto& [number, segment] : found) {
        // Where nothing is missed, a checkpoint was cut short that had just begun it.
        if (segment.problem && (!lost.empty() || segment.problem->code() != Code::kCorrupt))
            set_aside(disk, number, *segment.problem);
    }
    if (!segments_.empty()) segment_ = segments_.rbegin()->first;
    note_lost(lost);
    return {};
}

// What can be read of it is served, unless that is nothing.
void StreamLog::set_aside(Disk& disk, uint32_t number, const Error& problem) {
    ++store_.counters_.damaged_places;
    store_.log_.error("segment_damaged", {{"stream", id_},
                                          {"segment", segment_path(id_, number)},
                                          {"error", problem},
                                          {"served", segments_[number].live_count != 0}});
    is_dirty_ = true;
    segments_[number].is_kept = true;
    if (segments_[number].live_count != 0) return;
    if (const Result<> done = set_segment_aside(disk, id_, number); !done) {
        store_.log_.error("segment_not_set_aside", {{"stream", id_}, {"error", done.error()}});
        return;
    }
    segments_.erase(number);
}

void StreamLog::note_lost(const std::vector<SequenceRange>& ranges) {
    uint64_t count = 0;
    for (const SequenceRange& range : ranges) {
        lost_.push_back(range);
        count += range.count;
    }
    if (count == 0) return;
    store_.counters_.damaged_places += count;
    store_.log_.error("stream_damaged", {{"stream", id_}, {"messages_lost", count}});
}

IndexChunk StreamLog::read_chunk(uint64_t block, const ChunkRef& ref) {
    bool is_damaged = false;
    IndexChunk out = candela::bus_role::read_chunk(store_.disk_, id_, block, ref, is_damaged);
    if (is_damaged && ref.size != 0) {
        ++store_.counters_.damaged_places;
        store_.log_.error("segment_index_damaged", {{"stream", id_}, {"segment", ref.segment}});
    }
    return out;
}

// Messages that neither an index nor its segment knows any more.
void StreamLog::report_lost() {
    std::vector<SequenceRange> ranges;
    for (const uint64_t sequence : index_.take_lost()) {
        ranges.push_back({sequence, 1});
        if (observer_ != nullptr) observer_->on_lost(sequence);
    }
    if (!ranges.empty()) is_dirty_ = true;
    note_lost(ranges);
}

StreamImage StreamLog::image(uint64_t flushed_to) const {
    StreamImage out;
    out.stream = id_;
    out.last_sequence = last_sequence_;
    out.flushed_to = flushed_to;
    out.blob = blob_;
    for (const SequenceRange& range : index_.ranges()) {
        if (range.first > flushed_to) break;
        out.live.push_back({range.first, std::min(range.count, flushed_to - range.first + 1)});
    }
    return out;
}

}  // namespace candela::bus_role
