#include "node/log_streams.h"

#include <algorithm>

#include "base/check.h"
#include "base/ids.h"
#include "loop/file.h"
#include "proto/log_entries.h"

namespace candela {

namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr uint64_t kFileBytesMin = 64 << 10;
constexpr uint64_t kFileBytesMax = 4 << 20;
// How far a line's own time may be from when it came, to be believed.
constexpr int64_t kTimeBehindMs = 24 * 3600 * 1000;
constexpr int64_t kTimeAheadMs = 60 * 1000;

// Memory for lines that the disk has makes sense below what the disk may have.
LogStreamsSettings with_bounds(LogStreamsSettings settings) {
    const uint64_t memory_max = settings.disk_bytes_max / 4;
    settings.cached_bytes_max = std::min<uint64_t>(settings.cached_bytes_max, memory_max);
    return settings;
}

}  // namespace

struct LogStreams::Stream {
    std::string name;
    std::filesystem::path folder;
    proto::LogBatch head;
    std::string head_bytes;
    std::string subject;
    Channel* channel = nullptr;
    bool is_awaited = false;  // it was found, and its channel may come
    std::function<void(const OutputMarks&)> on_written;
    OutputMarks found_marks;

    uint64_t next = 1;             // number of the next line
    LogChunk open;                 // being filled
    std::deque<LogChunk> waiting;  // for the disk
    size_t waiting_bytes = 0;

    bool is_made = false;  // the folder
    std::vector<SpoolFile> files;
    std::vector<uint64_t> files_to_remove;
    uint64_t written = 0;  // the last number that the disk has

    // What is on its way: everything behind `acked` up to `cached`, but for what was dropped.
    std::deque<LogChunk> cache;
    size_t cached_bytes = 0;
    uint64_t cached = 0;
    uint64_t acked = 0;
    uint64_t acked_on_disk = 0;
    size_t unsent = 0;  // index in the cache of the first that was not sent
    bool is_reading = false;
    MonoTime last_progress;
    MonoTime last_rewind;

    bool is_all_acked() const {
        return open.count == 0 && waiting.empty() && cache.empty() && cached >= written;
    }
};

// What one round does to the disk for one stream.
struct LogStreams::Job {
    Stream* stream;
    std::filesystem::path folder;
    std::string about;  // not empty: the folder is to be made
    uint64_t file = 0;
    uint64_t size_before = 0;
    std::vector<LogChunk> chunks;
    std::vector<uint64_t> remove;
    uint64_t ack = 0;  // not 0: to be written down
    bool is_removal = false;
    Result<> result;

    void run() {
        if (is_removal) {
            result = remove_tree(folder);
            return;
        }
        if (!about.empty()) result = make_spool(folder, about);
        if (result && !chunks.empty()) {
            std::vector<const LogChunk*> all;
            for (const LogChunk& chunk : chunks) all.push_back(&chunk);
            result = append_to_spool(folder, file, size_before, all);
        }
        // Neither is worth failing for: what is not removed or noted now is looked at again.
        if (ack != 0 && result) result = write_spool_ack(folder, ack);
        for (const uint64_t each : remove) {
            const auto removed = remove_spool_file(folder, each);
            if (!removed && result) result = removed;
        }
    }
};

LogStreams::LogStreams(Loop& loop, LogStreamsSettings settings, Send send, Logger log)
    : loop_(loop),
      settings_(with_bounds(std::move(settings))),
      file_bytes_max_(std::clamp(settings_.disk_bytes_max / 8, kFileBytesMin, kFileBytesMax)),
      send_(std::move(send)),
      log_(std::move(log)),
      flush_timer_(loop.timers(), [this] { flush(); }),
      retry_timer_(loop.timers(), [this] { send_all(); }),
      ack_timer_(loop.timers(), [this] { check_acks(); }),
      found_timer_(loop.timers(),
                   [this] {
                       for (const auto& [name, stream] : streams_) {
                           stream->is_awaited = false;
                           forget_files(*stream);
                       }
                       flush();
                   }),
      alive_(std::make_shared<bool>(true)) {
    is_idle_.set();
}

LogStreams::~LogStreams() { *alive_ = false; }

Task<Result<>> LogStreams::open() {
    struct Found {
        std::string name;
        FoundSpool spool;
    };
    auto work = [folder = settings_.folder]() -> Result<std::vector<Found>> {
        CANDELA_TRY(make_directories(folder, 0700));
        std::vector<Found> all;
        std::error_code failed;
        for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
            auto spool = open_spool(entry.path());
            if (!spool) {
                // One that was never finished, or is no spool.
                CANDELA_TRY(remove_tree(entry.path()));
                continue;
            }
            all.push_back(Found(entry.path().filename().string(), std::move(*spool)));
        }
        if (failed) return fail(Code::kUnreachable, "{}: {}", folder.string(), failed.message());
        return all;
    };
    auto found = co_await offload(loop_, std::move(work));
    if (!found) co_return fail(found.error());
    for (Found& each : *found) {
        const auto head = proto::decode_log_batch(each.spool.about);
        if (!head || head->source.empty() || by_source_.contains(head->source)) {
            log_.warn("log_spool_ignored", {{"folder", each.name}});
            continue;
        }
        Stream& stream = make_stream(each.name, *head);
        stream.is_made = true;
        stream.is_awaited = true;
        stream.acked = stream.acked_on_disk = stream.cached = each.spool.acked;
        stream.written = each.spool.acked;
        stream.found_marks = each.spool.marks;
        stream.files = std::move(each.spool.files);
        for (const SpoolFile& file : stream.files) {
            stream.written = std::max(stream.written, file.last);
            disk_bytes_ += file.bytes;
        }
        stream.next = stream.written + 1;
        forget_files(stream);
        refill(stream);
    }
    found_timer_.start(kFoundKeep);
    co_return Result<>();
}

LogStreams::Stream& LogStreams::make_stream(const std::string& name, const proto::LogBatch& head) {
    auto stream = std::make_unique<Stream>();
    stream->name = name;
    stream->folder = settings_.folder / name;
    stream->head = head;
    stream->head_bytes = proto::encode(head);
    stream->subject = proto::logs_subject(head.space, head.service, head.instance);
    Stream& out = *stream;
    by_source_[head.source] = stream.get();
    streams_[name] = std::move(stream);
    return out;
}

std::unique_ptr<LogStreams::Channel> LogStreams::open_channel(const LogSource& source) {
    const auto known = streams_.find(source.name);
    Stream* stream = known == streams_.end() ? nullptr : known->second.get();
    if (stream == nullptr) {
        proto::LogBatch head;
        head.node = settings_.node;
        head.space = source.space;
        head.service = source.service;
        head.instance = source.instance;
        head.release = source.release;
        head.source = make_id(loop_.random());
        stream = &make_stream(source.name, head);
    }
    CANDELA_CHECK(stream->channel == nullptr);
    auto channel = std::make_unique<Channel>(*this, *stream);
    stream->channel = channel.get();
    stream->is_awaited = false;
    return channel;
}

// ---- lines come in

void LogStreams::add(Stream& stream, proto::LogStream kind, std::string_view text, LineLevel level,
                     std::string_view trace_id, uint64_t time_ms) {
    LogChunk& open = stream.open;
    if (open.count == 0) {
        open.first = stream.next;
        open.payload = stream.head_bytes;
    }
    proto::append_log_entry(time_ms, kind, text, level, trace_id, open.payload);
    ++open.count;
    ++stream.next;
    if (open.payload.size() >= kChunkBytesMax || open.count == kChunkLinesMax) seal(stream);
    if (is_writing_ || flush_timer_.is_active()) return;
    is_idle_.reset();
    flush_timer_.start(kFlushDelay);
}

void LogStreams::seal(Stream& stream) {
    LogChunk& open = stream.open;
    if (open.count == 0) return;
    proto::LogBatch late;
    late.first = open.first;
    open.payload += proto::encode(late);
    stream.waiting_bytes += open.payload.size();
    const OutputMarks marks = open.marks;
    stream.waiting.push_back(std::exchange(open, LogChunk()));
    open.marks = marks;
    while (stream.waiting_bytes > settings_.waiting_bytes_max) drop_waiting(stream);
}

void LogStreams::drop_waiting(Stream& stream) {
    count_dropped(stream, stream.waiting.front().count);
    stream.waiting_bytes -= stream.waiting.front().payload.size();
    stream.waiting.pop_front();
}

void LogStreams::count_dropped(Stream& stream, uint64_t lines) {
    if (lines == 0) return;
    dropped_lines_ += lines;
    log_.debug("log_lines_dropped", {{"source", stream.name}, {"lines", lines}});
}

// ---- to the disk

void LogStreams::flush() {
    if (is_writing_) return;
    std::vector<Job> jobs;
    for (const auto& [name, stream] : streams_) {
        seal(*stream);
        plan_write(*stream, jobs);
    }
    if (jobs.empty()) return is_idle_.set();
    is_idle_.reset();
    start_jobs(std::move(jobs));
}

void LogStreams::plan_write(Stream& stream, std::vector<Job>& jobs) {
    const bool is_gone = stream.channel == nullptr && stream.is_all_acked() && !stream.is_reading &&
                         !stream.is_awaited && !has_let_go_;
    const bool has_ack = stream.is_made && stream.acked != stream.acked_on_disk;
    if (!is_gone && stream.waiting.empty() && stream.files_to_remove.empty() && !has_ack) return;
    Job job;
    job.stream = &stream;
    job.folder = stream.folder;
    if (is_gone) {
        job.is_removal = true;
        for (const SpoolFile& file : stream.files) disk_bytes_ -= file.bytes;
        stream.files.clear();
        jobs.push_back(std::move(job));
        return;
    }
    if (!stream.waiting.empty()) {
        uint64_t bytes = 0;
        for (LogChunk& chunk : stream.waiting) {
            bytes += spool_record_size(chunk);
            job.chunks.push_back(std::move(chunk));
        }
        stream.waiting.clear();
        stream.waiting_bytes = 0;
        make_room(bytes);
        if (!stream.is_made) job.about = stream.head_bytes;
        if (stream.files.empty() || stream.files.back().bytes >= file_bytes_max_) {
            const uint64_t first = job.chunks.front().first;
            stream.files.push_back(SpoolFile(first, first - 1, 0));
        }
        job.file = stream.files.back().first;
        job.size_before = stream.files.back().bytes;
    }
    if (has_ack) job.ack = stream.acked;
    job.remove = std::exchange(stream.files_to_remove, {});
    jobs.push_back(std::move(job));
}

// The oldest lines of whoever has most go first.
void LogStreams::make_room(uint64_t bytes) {
    while (disk_bytes_ + bytes > settings_.disk_bytes_max) {
        Stream* largest = nullptr;
        uint64_t most = 0;
        for (const auto& [name, stream] : streams_) {
            uint64_t sum = 0;
            for (const SpoolFile& file : stream->files) sum += file.bytes;
            if (sum > most) {
                most = sum;
                largest = stream.get();
            }
        }
        if (largest == nullptr) return;
        const SpoolFile oldest = largest->files.front();
        // What is in memory is sent all the same.
        const uint64_t known = std::max(largest->acked, largest->cached);
        if (oldest.last > known)
            count_dropped(*largest, oldest.last - std::max(known, oldest.first - 1));
        largest->files.erase(largest->files.begin());
        largest->files_to_remove.push_back(oldest.first);
        disk_bytes_ -= oldest.bytes;
    }
}

void LogStreams::start_jobs(std::vector<Job> jobs) {
    is_writing_ = true;
    auto shared = std::make_shared<std::vector<Job>>(std::move(jobs));
    loop_.offload(
        [shared] {
            for (Job& job : *shared) job.run();
        },
        [this, shared, alive = alive_] {
            if (*alive) on_written(*shared);
        });
}

void LogStreams::on_written(std::vector<Job>& jobs) {
    is_writing_ = false;
    const auto failed = std::ranges::find_if(jobs, [](const Job& job) { return !job.result; });
    if (failed != jobs.end() && !is_disk_failing_)
        log_.error("log_lines_not_written", {{"error", failed->result.error()}});
    is_disk_failing_ = failed != jobs.end();
    for (Job& job : jobs) {
        Stream& stream = *job.stream;
        if (job.is_removal) {
            stream.is_made = false;
            stream.acked_on_disk = 0;
            sweep(stream);
            continue;
        }
        if (job.ack != 0 && job.result) stream.acked_on_disk = job.ack;
        if (job.chunks.empty()) continue;
        const bool is_on_disk = job.result.has_value();
        SpoolFile* const file = !stream.files.empty() && stream.files.back().first == job.file
                                    ? &stream.files.back()
                                    : nullptr;
        if (is_on_disk) {
            stream.is_made = true;
            uint64_t bytes = 0;
            for (const LogChunk& chunk : job.chunks) bytes += spool_record_size(chunk);
            if (file != nullptr) {
                file->bytes += bytes;
                file->last = job.chunks.back().last();
                disk_bytes_ += bytes;
            }
        } else if (file != nullptr && file->bytes == 0) {
            stream.files.pop_back();
        }
        on_chunks(stream, std::move(job.chunks), is_on_disk);
    }
    bool has_more = false;
    for (const auto& [name, stream] : streams_) {
        has_more = has_more || stream->open.count > 0 || !stream->waiting.empty() ||
                   !stream->files_to_remove.empty();
    }
    if (has_more)
        flush_timer_.start(kFlushDelay);
    else
        is_idle_.set();
}

// They go on from memory where that is not far behind the disk; else they are read again later.
void LogStreams::on_chunks(Stream& stream, std::vector<LogChunk> chunks, bool is_on_disk) {
    const OutputMarks marks = chunks.back().marks;
    for (LogChunk& chunk : chunks) {
        const bool is_next = stream.cached >= stream.written && !stream.is_reading;
        const bool has_room = stream.cached_bytes < settings_.cached_bytes_max &&
                              cached_bytes_ < settings_.all_cached_bytes_max;
        const uint64_t last = chunk.last();
        if (is_next && has_room) {
            take_into_cache(stream, std::move(chunk));
        } else if (!is_on_disk) {
            count_dropped(stream, chunk.count);
            if (is_next) stream.cached = last;
        }
        stream.written = last;
    }
    if (stream.on_written) stream.on_written(marks);
    send_some(stream);
    refill(stream);
}

void LogStreams::take_into_cache(Stream& stream, LogChunk chunk) {
    if (stream.cache.empty()) stream.last_progress = loop_.now();
    stream.cached = chunk.last();
    stream.cached_bytes += chunk.payload.size();
    cached_bytes_ += chunk.payload.size();
    stream.cache.push_back(std::move(chunk));
}

// Reads on where memory has room for more of what is on disk only.
void LogStreams::refill(Stream& stream) {
    if (stream.is_reading || stream.cached >= stream.written) return;
    if (stream.cached_bytes >= settings_.cached_bytes_max / 2) return;
    if (cached_bytes_ >= settings_.all_cached_bytes_max && !stream.cache.empty()) return;
    const auto file = std::ranges::find_if(
        stream.files, [&](const SpoolFile& each) { return each.last > stream.cached; });
    if (file == stream.files.end()) {
        stream.cached = stream.written;  // it was dropped
        return;
    }
    stream.is_reading = true;
    struct Reading {
        Result<std::vector<LogChunk>> chunks;
    };
    auto reading = std::make_shared<Reading>();
    loop_.offload(
        [reading, folder = stream.folder, first = file->first, from = stream.cached + 1,
         to = stream.written] {
            reading->chunks = read_spool(folder, first, from, to, kReadBytes);
        },
        [this, reading, alive = alive_, &stream, first = file->first] {
            if (*alive) on_read(stream, first, std::move(reading->chunks));
        });
}

void LogStreams::on_read(Stream& stream, uint64_t file, Result<std::vector<LogChunk>> chunks) {
    stream.is_reading = false;
    const auto place = std::ranges::find(stream.files, file, &SpoolFile::first);
    if (!chunks || chunks->empty()) {
        if (place != stream.files.end() && place->last > stream.cached) {
            // It can't be read, and no second look would change that.
            log_.error("log_lines_not_read",
                       {{"source", stream.name},
                        {"error", chunks ? Error(Code::kInvalid, "no records") : chunks.error()}});
            count_dropped(stream, place->last - std::max(stream.cached, place->first - 1));
            stream.cached = place->last;
        }
        return refill(stream);
    }
    for (LogChunk& chunk : *chunks) {
        if (chunk.first > stream.cached) take_into_cache(stream, std::move(chunk));
    }
    send_some(stream);
    refill(stream);
    if (stream.channel == nullptr && !is_writing_ && !flush_timer_.is_active())
        flush_timer_.start(kFlushDelay);
}

// ---- to the lighthouse

bool LogStreams::send_some(Stream& stream) {
    while (stream.unsent < stream.cache.size()) {
        const LogChunk& chunk = stream.cache[stream.unsent];
        proto::LogBatch late;
        late.acked = stream.acked;
        late.previous = stream.unsent == 0 ? stream.acked : stream.cache[stream.unsent - 1].last();
        if (!send_(stream.subject, chunk.payload + proto::encode(late))) {
            if (!retry_timer_.is_active()) retry_timer_.start(kRetryInterval);
            return false;
        }
        ++stream.unsent;
        if (!ack_timer_.is_active()) ack_timer_.start(kAckTimeout / 4);
    }
    return true;
}

void LogStreams::send_all() {
    for (const auto& [name, stream] : streams_) {
        refill(*stream);
        if (!send_some(*stream)) return;
    }
}

void LogStreams::rewind(Stream& stream) {
    stream.unsent = 0;
    stream.last_rewind = stream.last_progress = loop_.now();
}

void LogStreams::on_connected() {
    for (const auto& [name, stream] : streams_) rewind(*stream);
    send_all();
}

void LogStreams::on_ack(const proto::LogAck& ack) {
    const auto known = by_source_.find(ack.source);
    if (known == by_source_.end()) return;
    Stream& stream = *known->second;
    const uint64_t position = std::min(ack.position, stream.cached);
    if (position > stream.acked) {
        stream.acked = position;
        stream.last_progress = loop_.now();
        while (!stream.cache.empty() && stream.cache.front().last() <= position) {
            const size_t bytes = stream.cache.front().payload.size();
            stream.cached_bytes -= bytes;
            cached_bytes_ -= bytes;
            stream.cache.pop_front();
            if (stream.unsent > 0) --stream.unsent;
        }
        forget_files(stream);
        // Written down in the next round.
        if (!is_writing_ && !flush_timer_.is_active()) flush_timer_.start(kFlushDelay);
    }
    // Of several that were on their way one is enough.
    const bool is_new_gap = ack.is_gap && loop_.now() - stream.last_rewind > kAckTimeout / 5;
    if (is_new_gap) rewind(stream);
    send_some(stream);
    refill(stream);
}

void LogStreams::check_acks() {
    bool is_waiting = false;
    for (const auto& [name, stream] : streams_) {
        if (stream->unsent == 0) continue;
        is_waiting = true;
        if (loop_.now() - stream->last_progress < kAckTimeout) continue;
        rewind(*stream);
        send_some(*stream);
    }
    if (is_waiting && !ack_timer_.is_active()) ack_timer_.start(kAckTimeout / 4);
}

void LogStreams::forget_files(Stream& stream) {
    // The newest stays while its source may add to it.
    const size_t keep = stream.channel != nullptr || stream.is_awaited || has_let_go_ ||
                                stream.acked < stream.written
                            ? 1
                            : 0;
    while (stream.files.size() > keep && stream.files.front().last <= stream.acked) {
        stream.files_to_remove.push_back(stream.files.front().first);
        disk_bytes_ -= stream.files.front().bytes;
        stream.files.erase(stream.files.begin());
    }
}

void LogStreams::sweep(Stream& stream) {
    if (stream.channel != nullptr || !stream.is_all_acked() || stream.is_reading) return;
    by_source_.erase(stream.head.source);
    streams_.erase(streams_.find(stream.name));
}

Task<void> LogStreams::write_all() {
    for (const auto& [name, stream] : streams_) {
        if (stream->open.count > 0 || !stream->waiting.empty()) is_idle_.reset();
    }
    flush();
    co_await is_idle_.wait();
}

// ---- channels

LogStreams::Channel::~Channel() {
    stream_.channel = nullptr;
    stream_.on_written = nullptr;
    if (!streams_.is_writing_ && !streams_.flush_timer_.is_active()) {
        streams_.flush_timer_.start(Duration(0));
    }
}

void LogStreams::Channel::add(proto::LogStream kind, std::string_view line) {
    const LineFacts facts = read_line(line);
    const int64_t now = unix_millis(streams_.loop_.wall());
    int64_t time = facts.time_ms.value_or(now);
    if (time < now - kTimeBehindMs || time > now + kTimeAheadMs) time = now;
    streams_.add(stream_, kind, line, facts.level, facts.trace_id.view(),
                 static_cast<uint64_t>(time));
}

void LogStreams::Channel::add(proto::LogStream kind, std::string_view line, LineLevel level,
                              std::string_view trace_id) {
    streams_.add(stream_, kind, line, level, trace_id,
                 static_cast<uint64_t>(unix_millis(streams_.loop_.wall())));
}

void LogStreams::Channel::set_marks(const OutputMarks& marks) { stream_.open.marks = marks; }

const OutputMarks& LogStreams::Channel::found_marks() const { return stream_.found_marks; }

void LogStreams::Channel::on_written(std::function<void(const OutputMarks&)> callback) {
    stream_.on_written = std::move(callback);
}

}  // namespace candela
