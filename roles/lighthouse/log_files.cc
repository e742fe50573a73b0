#include "log_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "loop/file.h"

namespace candela::lighthouse {

namespace {

constexpr std::string_view kFileEnd = ".log";
constexpr std::string_view kAccessEnd = "@access";  // no service's name has it
constexpr size_t kFileSizeMax = 256 << 20;          // beyond any file of ours

std::filesystem::path path_of(const std::filesystem::path& folder, uint64_t file) {
    return folder / fmt::format("{:020}{}", file, kFileEnd);
}

std::optional<LogFile> look_at(const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    if (!name.ends_with(kFileEnd)) return std::nullopt;
    const auto first = parse_uint(name.substr(0, name.size() - kFileEnd.size()));
    struct stat info{};
    if (!first || ::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    const int64_t written = info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1'000'000;
    return LogFile(*first, static_cast<uint64_t>(info.st_size), static_cast<uint64_t>(written));
}

// "web.log" and "web.log.1" of candela 0.1.0 become the oldest files of the folder "web".
Result<> take_over(const std::filesystem::path& space) {
    std::error_code failed;
    std::vector<std::filesystem::path> old;
    for (const auto& entry : std::filesystem::directory_iterator(space, failed)) {
        if (entry.is_regular_file()) old.push_back(entry.path());
    }
    for (const auto& path : old) {
        const std::string name = path.filename().string();
        const size_t end = name.find(kFileEnd);
        const bool is_older = name.ends_with(".log.1");
        if (end == std::string::npos || (!is_older && !name.ends_with(kFileEnd))) continue;
        const auto folder = space / name.substr(0, end);
        CANDELA_TRY(make_directories(folder, 0700));
        const auto target = path_of(folder, is_older ? 0 : 1);
        if (::rename(path.c_str(), target.c_str()) != 0) return fail_errno(path.string(), errno);
    }
    return {};
}

void read_header(std::string_view line, LogPositions& positions, std::string& source,
                 uint64_t& next, uint64_t& left) {
    JsonMembers members(line);
    uint64_t first = 0;
    uint64_t count = 0;
    std::string from;
    while (members.next()) {
        if (members.name() == "source") from = unquote_json(members.value()).value_or("");
        if (members.name() == "first") first = parse_uint(members.value()).value_or(0);
        if (members.name() == "count") count = parse_uint(members.value()).value_or(0);
        if (members.name() != "positions") continue;
        JsonMembers each(members.value());
        while (each.next())
            positions[std::string(each.name())] = parse_uint(each.value()).value_or(0);
    }
    if (from.empty()) return;
    source = std::move(from);
    next = first;
    left = count;
}

// Of the newest line that is whole: ids grow within a file, and begin a line (log_line.cc).
uint64_t last_id_of(const std::filesystem::path& folder, const LogFile& file) {
    constexpr uint64_t kTailBytes = 1 << 20;  // several times the longest line
    const int fd = ::open(path_of(folder, file.first).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return file.first;
    const uint64_t from = file.bytes - std::min(file.bytes, kTailBytes);
    std::string tail(file.bytes - from, '\0');
    const ssize_t got = ::pread(fd, tail.data(), tail.size(), static_cast<off_t>(from));
    ::close(fd);
    tail.resize(got > 0 ? static_cast<size_t>(got) : 0);
    constexpr std::string_view kBegin = "\n{\"id\":";
    std::string_view rest = std::string_view(tail).substr(0, tail.rfind('\n') + 1);
    const size_t begin = rest.rfind(kBegin);
    if (begin == std::string_view::npos) return file.first;
    rest.remove_prefix(begin + kBegin.size());
    return std::max(file.first, parse_uint(rest.substr(0, rest.find(','))).value_or(0));
}

bool is_header(std::string_view line) {
    return line.starts_with("{\"source\"") || line.starts_with("{\"positions\"");
}

}  // namespace

std::filesystem::path log_folder(const std::filesystem::path& logs, const std::string& space,
                                 const std::string& service, bool is_access) {
    return logs / space / (is_access ? service + std::string(kAccessEnd) : service);
}

Result<std::vector<FoundLog>> find_logs(const std::filesystem::path& logs) {
    CANDELA_TRY(make_directories(logs, 0700));
    std::vector<FoundLog> found;
    std::error_code failed;
    for (const auto& space : std::filesystem::directory_iterator(logs, failed)) {
        if (!space.is_directory()) continue;
        CANDELA_TRY(take_over(space.path()));
        for (const auto& service : std::filesystem::directory_iterator(space.path(), failed)) {
            if (!service.is_directory()) continue;
            FoundLog& log = found.emplace_back();
            log.space = space.path().filename().string();
            log.service = service.path().filename().string();
            log.is_access = log.service.ends_with(kAccessEnd);
            if (log.is_access) log.service.resize(log.service.size() - kAccessEnd.size());
            for (const auto& entry : std::filesystem::directory_iterator(service.path(), failed)) {
                if (const auto file = look_at(entry.path())) log.files.push_back(*file);
            }
            std::ranges::sort(log.files, {}, &LogFile::first);
            if (!log.files.empty()) log.last_id = last_id_of(service.path(), log.files.back());
        }
    }
    if (failed) return fail(Code::kUnreachable, "{}: {}", logs.string(), failed.message());
    return found;
}

Result<LogPositions> read_positions(const std::filesystem::path& folder, uint64_t file) {
    const auto path = path_of(folder, file);
    CANDELA_TRY_ASSIGN(const std::string text, read_file(path, kFileSizeMax));
    const size_t whole = text.rfind('\n') + 1;  // 0 where there is none
    if (whole != text.size() && ::truncate(path.c_str(), static_cast<off_t>(whole)) != 0)
        return fail_errno(path.string(), errno);
    LogPositions positions;
    std::string source;
    uint64_t next = 0;
    uint64_t left = 0;
    std::string_view rest = std::string_view(text).substr(0, whole);
    while (!rest.empty()) {
        const size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        if (is_header(line)) {
            read_header(line, positions, source, next, left);
        } else if (left > 0) {
            --left;
            uint64_t& position = positions[source];
            position = std::max(position, next++);
        }
    }
    return positions;
}

void append_positions(const LogPositions& positions, std::string& out) {
    out += "{\"positions\":{";
    bool is_first = true;
    for (const auto& [source, position] : positions) {
        if (!is_first) out += ',';
        is_first = false;
        append_json_string(source, out);
        fmt::format_to(std::back_inserter(out), ":{}", position);
    }
    out += "}}\n";
}

void append_batch_head(std::string_view source, uint64_t first, uint64_t count, std::string& out) {
    out += "{\"source\":";
    append_json_string(source, out);
    fmt::format_to(std::back_inserter(out), ",\"first\":{},\"count\":{}}}\n", first, count);
}

Result<> add_to_log(const std::filesystem::path& folder, uint64_t file, uint64_t size_before,
                    std::string_view text) {
    CANDELA_TRY(make_directories(folder, 0700));
    const auto path = path_of(folder, file);
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(path.string(), errno);
    uint64_t at = size_before;
    int failed = 0;
    while (!text.empty() && failed == 0) {
        const ssize_t written = ::pwrite(fd, text.data(), text.size(), static_cast<off_t>(at));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            failed = written == 0 ? ENOSPC : errno;
            break;
        }
        text.remove_prefix(static_cast<size_t>(written));
        at += static_cast<uint64_t>(written);
    }
    if (failed == 0 && ::fdatasync(fd) != 0) failed = errno;
    // A cut that fails, too, is mended when the file is read at the next start.
    if (failed != 0) static_cast<void>(::ftruncate(fd, static_cast<off_t>(size_before)) == 0);
    ::close(fd);
    if (failed != 0) return fail_errno(path.string(), failed);
    return {};
}

Result<> remove_log_file(const std::filesystem::path& folder, uint64_t file) {
    return remove_file(path_of(folder, file));
}

std::vector<LogLine> search_log(const LogSearch& search, const LogQuery& query, uint64_t up_to,
                                size_t count, size_t bytes_max) {
    // A line's own time may be a little ahead of when it came.
    constexpr uint64_t kAheadMs = 60'000;
    const std::vector<std::string> needles = needles_of(query);
    std::vector<LogLine> found;  // the newest first
    size_t bytes = 0;
    for (auto file = search.files.rbegin(); file != search.files.rend(); ++file) {
        if (found.size() >= count || bytes >= bytes_max) break;
        if (file->written_ms + kAheadMs < query.since) break;
        // One that has been dropped meanwhile is older than what is wanted.
        const auto text = read_file(path_of(search.folder, file->first), kFileSizeMax);
        if (!text) continue;
        const auto has_all = [&](std::string_view part) {
            return std::ranges::all_of(needles, [&](const std::string& needle) {
                return part.find(needle) != std::string_view::npos;
            });
        };
        if (!has_all(*text)) continue;
        std::string_view rest = *text;
        while (!rest.empty() && found.size() < count && bytes < bytes_max) {
            if (rest.back() == '\n') rest.remove_suffix(1);
            const size_t begin = rest.rfind('\n') + 1;
            const std::string_view json = rest.substr(begin);
            rest = rest.substr(0, begin);
            if (is_header(json) || !has_all(json)) continue;
            auto line = parse_stored(json, search.service);
            if (!line || line->id > up_to || !query.matches(*line)) continue;
            bytes += line->text.size();
            found.push_back(std::move(*line));
        }
    }
    std::reverse(found.begin(), found.end());
    return found;
}

}  // namespace candela::lighthouse
