#include "stream_log.h"

#include <algorithm>

#include "store.h"

namespace candela::bus_role {

namespace {
constexpr size_t kRangesPerRecord = 4096;
// Segments that are cleared out in one checkpoint.
constexpr size_t kMovedSegmentsMax = 4;
}  // namespace

StreamLog::StreamLog(Store& store, uint64_t id, bool is_durable)
    : store_(store), id_(id), is_durable_(is_durable) {}

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
        store_.submit(std::move(record), std::move(entry));
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
    while (const IndexEntry* entry = index_.find(sequence)) {
        if (entry->previous == 0) break;
        take_out(entry->previous);
    }
}

// Which old ones the limits turn out follows from what is there; the log needs no record of it.
void StreamLog::enforce(uint64_t sequence) {
    if (limits_.messages_per_subject_max > 0) {
        while (const IndexEntry* entry = index_.find(sequence)) {
            const SubjectEntry& subject = index_.subject(entry->subject);
            if (subject.count <= static_cast<uint64_t>(limits_.messages_per_subject_max)) break;
            take_out(subject.first);
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
        for (size_t i = 0; i < index_.subject_numbers(); ++i) {
            while (index_.subject(static_cast<uint32_t>(i)).count > max) {
                take_out(index_.subject(static_cast<uint32_t>(i)).first);
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

void StreamLog::set_place(uint64_t sequence, SegmentPlace place, uint32_t size) {
    SegmentInfo& info = segments_[place.segment];
    info.message_bytes += size;
    IndexEntry* entry = index_.find(sequence);
    if (entry == nullptr) return;
    count_out(*entry);
    entry->segment = place.segment;
    entry->offset = place.offset;
    info.live_bytes += entry->size;
    ++info.live_count;
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
        store_.submit(encode_remove(id_, part), std::move(pending));
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
    if (take_out(sequence)) lost_.push_back({sequence, 1});
}

FlushJob StreamLog::make_flush(uint64_t seed) const {
    FlushJob job;
    job.stream = id_;
    job.segment = segment_;
    job.file_bytes = segment_bytes_;
    job.seed = seed;
    job.records.assign(fresh_.begin(), fresh_.end());
    std::sort(job.records.begin(), job.records.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<uint32_t> sparse;
    for (const auto& [number, info] : segments_) {
        if (number == segment_ || info.live_count == 0 || sparse.size() == kMovedSegmentsMax)
            continue;
        if (info.live_bytes * 2 < info.message_bytes) sparse.push_back(number);
    }
    if (sparse.empty()) return job;
    index_.for_each([&](const IndexEntry& entry) {
        if (std::find(sparse.begin(), sparse.end(), entry.segment) == sparse.end()) return;
        job.moves.push_back({entry.sequence, {entry.segment, entry.offset}});
    });
    return job;
}

uint64_t StreamLog::take_flush(const FlushJob& job) {
    uint64_t unreadable = 0;
    for (size_t i = 0; i < job.places.size(); ++i) {
        const SegmentPlace place = job.places[i];
        if (i < job.records.size()) {
            const auto& [sequence, record] = job.records[i];
            const IndexEntry* entry = index_.find(sequence);
            const size_t size = entry != nullptr ? entry->size : record->body.size();
            set_place(sequence, place, static_cast<uint32_t>(size));
            if (fresh_.erase(sequence) != 0) store_.unflushed_bytes_ -= record->body.size();
            continue;
        }
        const FlushJob::Move& move = job.moves[i - job.records.size()];
        const IndexEntry* entry = index_.find(move.sequence);
        if (entry == nullptr) continue;
        if (place.segment == 0) {
            lose(move.sequence);
            ++unreadable;
        } else {
            set_place(move.sequence, place, entry->size);
        }
    }
    for (const auto& [number, size] : job.sizes) segments_[number].file_bytes = size;
    segment_ = job.segment;
    segment_bytes_ = job.file_bytes;
    is_dirty_ = true;
    return unreadable;
}

void StreamLog::take_dead_segments(std::vector<std::string>& paths) {
    std::erase_if(segments_, [&](const auto& entry) {
        if (entry.first == segment_ || entry.second.live_count != 0) return false;
        paths.push_back(segment_path(id_, entry.first));
        return true;
    });
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
