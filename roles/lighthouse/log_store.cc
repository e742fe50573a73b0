#include "log_store.h"

#include <algorithm>

#include "base/text.h"
#include "loop/file.h"

namespace candela::lighthouse {

namespace {

constexpr size_t kLineOverhead = 128;  // of one in memory, beside its text

bool is_access_batch(const proto::LogBatch& batch) {
    return !batch.entries.empty() && batch.entries.front().stream == proto::LogStream::kAccess;
}

}  // namespace

// What one round does for one log, on the pool.
struct LogStore::Write {
    LogPtr log;
    std::filesystem::path folder;
    uint64_t file = 0;
    uint64_t size_before = 0;
    uint64_t first = 0;  // id in the text
    std::string text;
    std::vector<uint64_t> remove;
    std::map<std::string, uint64_t> positions;  // that are on disk when it is done
    bool is_removal = false;
    Result<> result;

    void run() {
        if (is_removal) {
            result = remove_tree(folder);
            return;
        }
        for (const uint64_t each : remove) {
            const auto removed = remove_log_file(folder, each);
            if (!removed && result) result = removed;
        }
        if (!text.empty()) result = add_to_log(folder, file, size_before, text);
    }
};

LogStore::LogStore(Loop& loop, std::filesystem::path folder, Logger log, LogLimits limits)
    : loop_(loop),
      folder_(std::move(folder)),
      log_(std::move(log)),
      limits_(limits),
      last_id_(static_cast<uint64_t>(unix_millis(loop.wall())) * 1000),
      pause_timer_(loop.timers(), [this] { go_.set(); }) {
    tasks_.spawn(write_forever());
}

LogStore::~LogStore() = default;

Task<Result<>> LogStore::open() {
    auto work = [folder = folder_] { return find_logs(folder); };
    auto found = co_await offload(loop_, std::move(work));
    if (!found) co_return fail(found.error());
    for (FoundLog& each : *found) {
        Key key;
        key.service = ServiceKey(each.space, each.service);
        key.is_access = each.is_access;
        const LogPtr log = log_of(key);
        log->files = std::move(each.files);
        for (const LogFile& file : log->files) log->bytes += file.bytes;
        disk_bytes_ += log->bytes;
        // Neither a clock that was put back nor a quick restart may make ids go back.
        last_id_ = std::max(last_id_, each.last_id);
    }
    co_return Result<>();
}

LogStore::LogPtr LogStore::log_of(const Key& key) {
    LogPtr& log = logs_[key];
    if (log == nullptr) {
        log = std::make_shared<Log>();
        log->key = key;
        log->folder = log_folder(folder_, key.service.first, key.service.second, key.is_access);
    }
    return log;
}

// ---- lines come in

void LogStore::append(proto::LogBatch batch, std::string_view reply) {
    Key key;
    key.service = ServiceKey(batch.space, batch.service);
    key.is_access = is_access_batch(batch);
    const LogPtr log = log_of(key);
    if (log->files.empty() && !log->is_opening) log->is_open = true;
    if (log->is_open) return take(*log, std::move(batch), reply);
    // Its source sends it again where there is no room.
    if (log->held.size() < kHeldBatchesMax)
        log->held.emplace_back(std::move(batch), std::string(reply));
    if (!std::exchange(log->is_opening, true)) tasks_.spawn(open_log(log));
}

Task<void> LogStore::open_log(LogPtr log) {
    auto work = [folder = log->folder, file = log->files.back().first] {
        return read_positions(folder, file);
    };
    auto positions = co_await offload(loop_, std::move(work));
    if (positions) {
        for (const auto& [name, position] : *positions) {
            Source& source = log->sources[name];
            source.taken = source.on_disk = position;
        }
        // It may have been cut.
        LogFile& newest = log->files.back();
        std::error_code failed;
        const auto path = log->folder / fmt::format("{:020}.log", newest.first);
        const auto size = std::filesystem::file_size(path, failed);
        if (!failed && size < newest.bytes) {
            disk_bytes_ -= newest.bytes - size;
            log->bytes -= newest.bytes - size;
            newest.bytes = size;
        }
    } else {
        log_.error("log_positions_not_read",
                   {{"service", to_string(log->key.service)}, {"error", positions.error()}});
    }
    log->is_open = true;
    log->is_opening = false;
    for (auto& [batch, reply] : std::exchange(log->held, {})) take(*log, std::move(batch), reply);
    round_done_.notify();
}

void LogStore::take(Log& log, proto::LogBatch batch, std::string_view reply) {
    size_t bytes = 0;
    for (const proto::LogEntry& entry : batch.entries) bytes += entry.text.size() + kLineOverhead;
    const bool is_numbered = !batch.source.empty();
    if (waiting_bytes_ + bytes > kWaitingBytesMax) {
        if (!std::exchange(is_refusing_, true))
            log_.warn("log_lines_refused", {{"reason", "the disk is too slow for them"}});
        return;
    }
    is_refusing_ = false;
    auto origin = std::make_shared<LogOrigin>();
    origin->service = batch.service;
    origin->instance = batch.instance;
    origin->node = batch.node;
    origin->release = batch.release;
    size_t skipped = 0;
    if (is_numbered) {
        Source& source = log.sources[batch.source];
        source.heard = ++heard_;
        source.reply = reply;
        source.is_waiting = true;
        const uint64_t known = std::max(source.taken, batch.acked);
        if (batch.previous > known) {
            if (on_ack) on_ack(source.reply, proto::LogAck(batch.source, source.on_disk, true));
            return;
        }
        const uint64_t last = batch.first + batch.entries.size() - 1;
        if (last <= known) {
            source.taken = known;
            if (source.on_disk >= last || batch.acked >= last) {
                source.on_disk = std::max(source.on_disk, batch.acked);
                acknowledge(log);
            }
            return;
        }
        if (batch.first > known + 1) {
            const uint64_t lost = batch.first - known - 1;
            lines_lost_ += lost;
            proto::LogEntry note;
            note.time = batch.entries.front().time;
            note.stream = proto::LogStream::kHost;
            note.level = LineLevel::kWarn;
            note.text = fmt::format("{} lines were lost: there was no room for them", lost);
            add(log, origin, std::move(note));
        }
        skipped = batch.first > known ? 0 : static_cast<size_t>(known - batch.first + 1);
        source.taken = last;
        append_batch_head(batch.source, batch.first + skipped, batch.entries.size() - skipped,
                          log.unwritten);
    }
    for (size_t i = skipped; i < batch.entries.size(); ++i)
        add(log, origin, std::move(batch.entries[i]));
    if (!pause_timer_.is_active()) pause_timer_.start(kWritePause);
    has_work_.set();
    line_came_.notify();
}

void LogStore::add(Log& log, const std::shared_ptr<const LogOrigin>& origin,
                   proto::LogEntry entry) {
    LogLine line;
    line.id = ++last_id_;
    line.time = entry.time;
    line.stream = entry.stream;
    line.level = entry.level;
    line.trace_id = std::move(entry.trace_id);
    line.text = std::move(entry.text);
    line.origin = origin;
    if (log.unwritten_first == 0) log.unwritten_first = line.id;
    const size_t before = log.unwritten.size();
    append_stored(line, log.unwritten);
    waiting_bytes_ += log.unwritten.size() - before;
    ++lines_taken_;
    keep(log, std::move(line));
}

void LogStore::keep(Log& log, LogLine line) {
    log.line_bytes += line.text.size() + kLineOverhead;
    log.lines.push_back(std::move(line));
    trim(log);
}

void LogStore::trim(Log& log) {
    const size_t lines_max = log.followers > 0 ? SIZE_MAX : kLinesInMemory;
    const size_t bytes_max = log.followers > 0 ? kFollowedBytes : kBytesInMemory;
    while (log.lines.size() > lines_max || log.line_bytes > bytes_max) {
        log.line_bytes -= log.lines.front().text.size() + kLineOverhead;
        log.evicted = log.lines.front().id;
        log.lines.pop_front();
    }
}

void LogStore::acknowledge(Log& log) {
    for (auto& [name, source] : log.sources) {
        if (!source.is_waiting || source.on_disk == 0) continue;
        source.is_waiting = source.on_disk < source.taken;
        if (on_ack) on_ack(source.reply, proto::LogAck(name, source.on_disk, false));
    }
}

// ---- to the disk

void LogStore::drop_oldest(Log& log) {
    const LogFile& oldest = log.files.front();
    log.to_remove.push_back(oldest.first);
    log.bytes -= oldest.bytes;
    disk_bytes_ -= oldest.bytes;
    log.files.erase(log.files.begin());
    ++files_dropped_;
}

void LogStore::make_room(Log& log) {
    while (log.bytes > limits_.service_bytes_max && log.files.size() > 1) drop_oldest(log);
    while (disk_bytes_ > limits_.bytes_max && drop_largest()) {
    }
}

// Of whoever has most, the oldest goes. False: there is none to go.
bool LogStore::drop_largest() {
    Log* largest = nullptr;
    for (const auto& [key, log] : logs_) {
        const bool is_larger = largest == nullptr || log->bytes > largest->bytes;
        if (log->files.size() > 1 && is_larger) largest = log.get();
    }
    if (largest == nullptr) return false;
    drop_oldest(*largest);
    return true;
}

std::vector<LogStore::Write> LogStore::plan_writes() {
    std::vector<Write> writes;
    for (const auto& folder : std::exchange(folders_to_remove_, {})) {
        Write& write = writes.emplace_back();
        write.folder = folder;
        write.is_removal = true;
    }
    for (const auto& [key, log] : logs_) {
        if (log->unwritten.empty() && log->to_remove.empty()) continue;
        Write& write = writes.emplace_back();
        write.log = log;
        write.folder = log->folder;
        write.remove = std::exchange(log->to_remove, {});
        if (log->unwritten.empty()) continue;
        if (log->files.empty() || log->files.back().bytes >= limits_.file_bytes_max) {
            while (log->sources.size() > kLogSourcesMax) {
                log->sources.erase(std::ranges::min_element(
                    log->sources, {}, [](const auto& each) { return each.second.heard; }));
            }
            LogPositions positions;
            for (const auto& [name, source] : log->sources) {
                if (source.on_disk > 0) positions[name] = source.on_disk;
            }
            if (!positions.empty()) append_positions(positions, write.text);
            log->files.push_back(LogFile(log->unwritten_first, 0, 0));
        }
        write.text += log->unwritten;
        write.first = log->unwritten_first;
        write.file = log->files.back().first;
        write.size_before = log->files.back().bytes;
        for (const auto& [name, source] : log->sources) {
            if (source.taken > source.on_disk) write.positions[name] = source.taken;
        }
        waiting_bytes_ -= std::min(waiting_bytes_, log->unwritten.size());
        log->unwritten.clear();
        log->unwritten_first = 0;
    }
    return writes;
}

// False: the disk did not take all, and it is to be tried again.
bool LogStore::finish_writes(std::vector<Write>& writes) {
    bool is_all_written = true;
    for (Write& write : writes) {
        if (!write.result) {
            if (!is_failing_) log_.error("logs_not_written", {{"error", write.result.error()}});
            is_all_written = false;
        }
        if (write.log == nullptr || write.text.empty()) continue;
        Log& log = *write.log;
        if (log.is_gone) continue;
        if (!write.result) {
            // It is first in the next round; what comes meanwhile is taken while there is room.
            if (log.files.back().bytes == 0) log.files.pop_back();
            const size_t head =
                write.text.starts_with("{\"positions\"") ? write.text.find('\n') + 1 : 0;
            log.unwritten.insert(0, write.text.substr(head));
            log.unwritten_first = write.first;
            waiting_bytes_ += write.text.size() - head;
            if (write.result.error().code() == Code::kExhausted) drop_largest();  // a full disk
            continue;
        }
        LogFile& file = log.files.back();
        file.bytes += write.text.size();
        file.written_ms = static_cast<uint64_t>(unix_millis(loop_.wall()));
        log.bytes += write.text.size();
        disk_bytes_ += write.text.size();
        for (const auto& [name, position] : write.positions) {
            const auto source = log.sources.find(name);
            if (source == log.sources.end()) continue;
            source->second.on_disk = std::max(source->second.on_disk, position);
        }
        acknowledge(log);
        make_room(log);
    }
    is_failing_ = !is_all_written;
    return is_all_written;
}

Task<void> LogStore::write_forever() {
    for (;;) {
        co_await has_work_.wait();
        co_await go_.wait();
        has_work_.reset();
        go_.reset();
        pause_timer_.stop();
        ++rounds_begun_;
        auto work = [writes = plan_writes()]() mutable {
            for (Write& write : writes) write.run();
            return std::move(writes);
        };
        auto writes = co_await offload(loop_, std::move(work));
        const bool is_done = finish_writes(writes);
        rounds_done_ = rounds_begun_;
        round_done_.notify();
        bool has_more = !folders_to_remove_.empty();
        for (const auto& [key, log] : logs_)
            has_more = has_more || !log->unwritten.empty() || !log->to_remove.empty();
        if (!has_more) continue;
        has_work_.set();
        pause_timer_.start(is_done ? kWritePause : kRetryPause);
    }
}

// What came for logs that are being opened has no place among the lines yet.
Task<void> LogStore::all_open() {
    const auto is_opening = [](const auto& each) { return each.second->is_opening; };
    while (std::ranges::any_of(logs_, is_opening)) co_await round_done_.wait();
}

Task<void> LogStore::flush() {
    co_await all_open();
    bool has_unwritten = !folders_to_remove_.empty();
    for (const auto& [key, log] : logs_) has_unwritten = has_unwritten || !log->unwritten.empty();
    const uint64_t wanted = rounds_begun_ + (has_unwritten ? 1 : 0);
    while (rounds_done_ < wanted) {
        go_.set();
        co_await round_done_.wait();
    }
}

void LogStore::forget(const ServiceKey& service) {
    for (const bool is_access : {false, true}) {
        Key key;
        key.service = service;
        key.is_access = is_access;
        const auto place = logs_.find(key);
        folders_to_remove_.push_back(log_folder(folder_, service.first, service.second, is_access));
        if (place == logs_.end()) continue;
        place->second->is_gone = true;
        disk_bytes_ -= place->second->bytes;
        waiting_bytes_ -= std::min(waiting_bytes_, place->second->unwritten.size());
        logs_.erase(place);
    }
    has_work_.set();
    if (!pause_timer_.is_active()) pause_timer_.start(kWritePause);
}

// ---- who looks

std::vector<LogStore::LogPtr> LogStore::logs_for(const LogQuery& query) const {
    std::vector<LogPtr> found;
    for (const auto& [key, log] : logs_) {
        if (key.service.first != query.space) continue;
        if (!query.service.empty() && key.service.second != query.service) continue;
        if (key.is_access && !query.has_access) continue;
        found.push_back(log);
    }
    return found;
}

std::unique_ptr<LogStore::Following> LogStore::follow(const LogQuery& query) {
    return std::make_unique<Following>(logs_for(query));
}

std::vector<std::string> LogStore::last_lines(const Instance& instance, size_t count) const {
    std::vector<std::string> lines;
    Key key;
    key.service = instance.service;
    const auto log = logs_.find(key);
    if (log == logs_.end()) return lines;
    const auto& all = log->second->lines;
    for (auto line = all.rbegin(); line != all.rend() && lines.size() < count; ++line) {
        if (line->origin->instance == instance.id) lines.push_back(line->text);
    }
    std::reverse(lines.begin(), lines.end());
    return lines;
}

Task<Result<LogStore::Tail>> LogStore::tail(LogQuery query, size_t count) {
    Tail tail;
    co_await all_open();
    tail.up_to = last_id_;
    if (count == 0) co_return tail;
    if (searches_ >= kSearchesMax) {
        co_return fail(Code::kExhausted, "{} searches through logs are under way", kSearchesMax);
    }
    ++searches_;
    struct Done {
        size_t& searches;
        explicit Done(size_t& s) : searches(s) {}
        ~Done() { --searches; }
    } done(searches_);
    co_await flush();
    std::vector<LogSearch> searches;
    for (const LogPtr& log : logs_for(query)) {
        LogSearch& search = searches.emplace_back();
        search.folder = log->folder;
        search.service = log->key.service.second;
        search.files = log->files;
    }
    auto work = [searches = std::move(searches), query, count, up_to = tail.up_to] {
        std::vector<LogLine> all;
        for (const LogSearch& search : searches) {
            auto found = search_log(search, query, up_to, count, kTailBytesMax);
            std::ranges::move(found, std::back_inserter(all));
            if (searches.size() == 1) continue;
            // Of several logs: one after the other in time.
            std::ranges::stable_sort(all, [](const LogLine& a, const LogLine& b) {
                return a.time != b.time ? a.time < b.time : a.id < b.id;
            });
            if (all.size() > count)
                all.erase(all.begin(), all.end() - static_cast<ptrdiff_t>(count));
        }
        return all;
    };
    tail.lines = co_await offload(loop_, std::move(work));
    co_return tail;
}

Task<std::vector<LogLine>> LogStore::wait_after(LogQuery query, uint64_t& id) {
    std::vector<LogLine> found;
    while (true) {
        bool has_missed = false;
        for (const LogPtr& log : logs_for(query)) {
            const size_t before = found.size();
            auto line = log->lines.rbegin();
            for (; line != log->lines.rend() && line->id > id; ++line) {
                if (query.matches(*line)) found.push_back(*line);
            }
            std::reverse(found.begin() + static_cast<ptrdiff_t>(before), found.end());
            has_missed = has_missed || log->evicted > id;
        }
        if (found.empty() && !has_missed) {
            id = last_id_;
            co_await line_came_.wait();
            continue;
        }
        std::ranges::stable_sort(found, {}, &LogLine::id);
        if (has_missed) {
            auto origin = std::make_shared<LogOrigin>();
            origin->service = query.service;
            LogLine note;
            note.id = id + 1;
            note.time = static_cast<uint64_t>(unix_millis(loop_.wall()));
            note.stream = proto::LogStream::kHost;
            note.text = "lines are missing here: they came faster than they were taken";
            note.origin = std::move(origin);
            found.insert(found.begin(), std::move(note));
        }
        id = last_id_;
        co_return found;
    }
}

}  // namespace candela::lighthouse
