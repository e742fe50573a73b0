#include "job_records.h"

#include <charconv>

#include "base/text.h"
#include "loop/file.h"

namespace candela::host {

namespace {
constexpr std::string_view kBegun = "begun";
}  // namespace

JobRecords::JobRecords(Loop& loop, std::filesystem::path folder, Logger log)
    : loop_(loop), folder_(std::move(folder)), log_(std::move(log)) {}

Result<> JobRecords::load() {
    CANDELA_TRY(make_directories(folder_, 0700));
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
        CANDELA_TRY_ASSIGN(const std::string text, read_file(entry.path(), 64));
        if (text == kBegun) {
            records_[entry.path().filename().native()] = std::nullopt;
            continue;
        }
        int code = 0;
        const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), code);
        if (problem != std::errc() || end != text.data() + text.size()) {
            log_.warn("job_record_unreadable", {{"file", entry.path().native()}});
            continue;
        }
        records_[entry.path().filename().native()] = code;
    }
    if (error) return fail_errno(folder_.native(), error.value());
    return {};
}

std::optional<int> JobRecords::exit_code(const std::string& instance) const {
    const auto found = records_.find(instance);
    return found == records_.end() ? std::nullopt : found->second;
}

bool JobRecords::has_begun(const std::string& instance) const {
    const auto found = records_.find(instance);
    return found != records_.end() && !found->second;
}

void JobRecords::begin(const std::string& instance, std::function<void(const Result<>&)> done) {
    records_.emplace(instance, std::nullopt);
    auto result = std::make_shared<Result<>>();
    loop_.offload([file = folder_ / instance, result] { *result = write_file(file, kBegun, 0600); },
                  [done = std::move(done), result] { done(*result); });
}

void JobRecords::add(const std::string& instance, int exit_code) {
    auto& record = records_[instance];
    if (record) return;
    record = exit_code;
    const auto file = folder_ / instance;
    auto result = std::make_shared<Result<>>();
    loop_.offload(
        [file, exit_code, result] { *result = write_file(file, std::to_string(exit_code), 0600); },
        [log = log_, result] {
            if (!*result) log.error("job_record_not_written", {{"error", result->error()}});
        });
}

void JobRecords::keep_only(const std::set<std::string>& instances) {
    for (auto record = records_.begin(); record != records_.end();) {
        if (instances.contains(record->first)) {
            ++record;
            continue;
        }
        loop_.offload([file = folder_ / record->first] { static_cast<void>(remove_file(file)); },
                      [] {});
        record = records_.erase(record);
    }
}

}  // namespace candela::host
