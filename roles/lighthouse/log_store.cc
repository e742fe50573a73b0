#include "log_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "loop/file.h"

namespace candela::lighthouse {

namespace {

std::string_view stream_name(proto::LogStream stream) {
    switch (stream) {
        case proto::LogStream::kStdout: return "stdout";
        case proto::LogStream::kStderr: return "stderr";
        case proto::LogStream::kHost: return "host";
    }
    return "stdout";
}

std::filesystem::path older(const std::filesystem::path& file) { return file.string() + ".1"; }

Result<> append_to(const std::filesystem::path& path, std::string_view text) {
    CANDELA_TRY(make_directories(path.parent_path(), 0700));
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(path.string(), errno);
    struct stat info{};
    ::fstat(fd, &info);
    // A crash or a full disk may have cut the last line: the next begins on a line of its own.
    char last = '\n';
    const bool is_cut =
        info.st_size > 0 && ::pread(fd, &last, 1, info.st_size - 1) == 1 && last != '\n';
    if (is_cut && ::write(fd, "\n", 1) == 1) ++info.st_size;
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            const int saved = errno;
            ::close(fd);
            return fail_errno(path.string(), saved);
        }
        text.remove_prefix(static_cast<size_t>(written));
        info.st_size += written;
    }
    ::close(fd);
    if (static_cast<size_t>(info.st_size) < LogStore::kFileBytesMax) return {};
    if (::rename(path.c_str(), older(path).c_str()) != 0) return fail_errno(path.string(), errno);
    return {};
}

struct Read {
    std::vector<std::string> lines;
    uint64_t newest = 0;  // the id of the last line, whether it matches or not
};

// The last `count` lines of a file pair that match; a line that was cut by a crash does not parse
// and is left out.
Read read_tail(const std::filesystem::path& path, const std::string& instance, size_t count) {
    Read read;
    std::vector<std::string>& found = read.lines;  // the newest first
    for (const auto& file : {path, older(path)}) {
        const auto text = read_file(file, LogStore::kFileBytesMax * 2);
        if (!text) continue;
        const auto lines = split(*text, '\n');
        for (auto line = lines.rbegin(); line != lines.rend() && found.size() < count; ++line) {
            if (line->empty()) continue;
            const bool may_match =
                instance.empty() || line->find(instance) != std::string_view::npos;
            if (!may_match && read.newest != 0) continue;
            const auto json = parse_json(*line);
            if (!json) continue;
            if (read.newest == 0) read.newest = static_cast<uint64_t>(json_int_or(*json, "id", 0));
            if (!instance.empty() && json_string_or(*json, "instance") != instance) continue;
            found.emplace_back(*line);
        }
        if (found.size() >= count) break;
    }
    std::reverse(found.begin(), found.end());
    return read;
}

}  // namespace

std::string to_json_line(const LogLine& line) {
    const Json json = {{"id", line.id},
                       {"time", format_rfc3339(from_unix_millis(static_cast<int64_t>(line.time)))},
                       {"stream", line.stream},
                       {"instance", line.instance},
                       {"release", line.release},
                       {"node", line.node},
                       {"text", line.text}};
    return dump_json(json);
}

LogStore::LogStore(Loop& loop, std::filesystem::path folder, Logger log)
    : loop_(loop),
      folder_(std::move(folder)),
      log_(std::move(log)),
      first_id_(static_cast<uint64_t>(unix_millis(loop.wall())) * 1000),
      last_id_(first_id_) {
    is_idle_.set();
    tasks_.spawn(write_forever());
}

std::filesystem::path LogStore::file_of(const ServiceKey& service) const {
    return folder_ / service.first / (service.second + ".log");
}

void LogStore::keep(Stream& stream, LogLine line) {
    stream.bytes += line.text.size() + 128;
    stream.lines.push_back(std::move(line));
    while (stream.lines.size() > kLinesInMemory || stream.bytes > kBytesInMemory) {
        stream.bytes -= stream.lines.front().text.size() + 128;
        stream.lines.pop_front();
    }
}

void LogStore::append(const proto::LogBatch& batch) {
    const ServiceKey key(batch.space, batch.service);
    Stream& stream = streams_[key];
    Waiting waiting(file_of(key), "");
    auto take = [&](uint64_t time, std::string_view name, std::string text) {
        LogLine line(++last_id_, time, std::string(name), batch.instance, batch.release, batch.node,
                     std::move(text));
        waiting.text += to_json_line(line);
        waiting.text += '\n';
        keep(stream, std::move(line));
    };
    if (batch.dropped > 0 && !batch.entries.empty()) {
        take(batch.entries.front().time, "host", fmt::format("{} lines were lost", batch.dropped));
    }
    for (const proto::LogEntry& entry : batch.entries) {
        take(entry.time, stream_name(entry.stream), entry.text);
    }
    if (waiting_bytes_ + waiting.text.size() > kWaitingBytesMax) {
        // They are in memory for those who follow; the disk is too slow for the files.
        log_.warn("log_lines_not_kept", {{"service", to_string(key)}});
    } else {
        waiting_bytes_ += waiting.text.size();
        waiting_.push_back(std::move(waiting));
        is_idle_.reset();
        has_work_.set();
    }
    line_came_.notify();
}

std::vector<std::string> LogStore::last_lines(const Instance& instance, size_t count) const {
    std::vector<std::string> lines;
    const auto stream = streams_.find(instance.service);
    if (stream == streams_.end()) return lines;
    for (auto line = stream->second.lines.rbegin(); line != stream->second.lines.rend(); ++line) {
        if (line->instance != instance.id) continue;
        lines.push_back(line->text);
        if (lines.size() == count) break;
    }
    std::reverse(lines.begin(), lines.end());
    return lines;
}

Task<Result<LogStore::Tail>> LogStore::tail(Filter filter, size_t count) {
    Tail tail;
    tail.up_to = last_id_;
    if (count == 0) co_return tail;
    co_await flush();
    auto work = [path = file_of(filter.service), instance = filter.instance, count] {
        return read_tail(path, instance, count);
    };
    Read read = co_await offload(loop_, std::move(work));
    tail.lines = std::move(read.lines);
    // What came meanwhile may be in the file already; what an earlier run wrote has other numbers.
    if (read.newest > first_id_ && read.newest <= last_id_) tail.up_to = read.newest;
    co_return tail;
}

Task<std::vector<std::string>> LogStore::wait_after(Filter filter, uint64_t& id) {
    std::vector<std::string> lines;
    while (true) {
        const auto stream = streams_.find(filter.service);
        if (stream != streams_.end()) {
            for (const LogLine& line : stream->second.lines) {
                if (line.id <= id) continue;
                if (!filter.instance.empty() && line.instance != filter.instance) continue;
                lines.push_back(to_json_line(line));
            }
        }
        id = last_id_;
        if (!lines.empty()) co_return lines;
        co_await line_came_.wait();
    }
}

void LogStore::forget(const ServiceKey& service) {
    streams_.erase(service);
    Waiting waiting(file_of(service), "", true);
    waiting_.push_back(std::move(waiting));
    is_idle_.reset();
    has_work_.set();
}

Task<void> LogStore::flush() { co_await is_idle_.wait(); }

Task<void> LogStore::write_forever() {
    for (;;) {
        co_await has_work_.wait();
        has_work_.reset();
        while (!waiting_.empty()) {
            Waiting next = std::move(waiting_.front());
            waiting_.pop_front();
            // Several batches of one service make one write.
            while (!next.remove && !waiting_.empty() && waiting_.front().file == next.file &&
                   !waiting_.front().remove && next.text.size() < kFileBytesMax / 8) {
                next.text += waiting_.front().text;
                waiting_.pop_front();
            }
            waiting_bytes_ -= next.text.size();
            auto work = [next = std::move(next)]() -> Result<> {
                if (!next.remove) return append_to(next.file, next.text);
                CANDELA_TRY(remove_file(next.file));
                return remove_file(older(next.file));
            };
            auto written = co_await offload(loop_, std::move(work));
            if (!written && !is_failing_)
                log_.error("logs_not_written", {{"error", written.error()}});
            is_failing_ = !written;
        }
        is_idle_.set();
    }
}

}  // namespace candela::lighthouse
