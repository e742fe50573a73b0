// What the API tells of a stream.

#include <map>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "durable_stream.h"

namespace candela::bus_role {

namespace {
constexpr size_t kDeletedShownMax = 100'000;
constexpr uint64_t kSubjectsShownMax = 100'000;
}  // namespace

Json DurableStream::info(bool with_deleted, std::string_view subjects_filter, uint64_t offset) {
    const MessageIndex& index = log_.index();
    const uint64_t first = log_.first_sequence();
    const uint64_t last = log_.last_sequence();
    const IndexEntry* first_entry = log_.at_or_after(0);
    const bool is_empty = first_entry == nullptr;
    Json state = {{"messages", index.count()},
                  {"bytes", index.bytes()},
                  {"first_seq", is_empty && last == 0 ? 0 : first},
                  {"first_ts", format_nanos(is_empty ? 0 : first_entry->timestamp)},
                  {"last_seq", last},
                  {"last_ts", format_nanos(log_.last_timestamp())},
                  {"consumer_count", consumers.size()}};
    if (index.subject_count() != 0) state["num_subjects"] = index.subject_count();
    const uint64_t deleted = is_empty ? 0 : last - first + 1 - index.count();
    if (deleted != 0) state["num_deleted"] = deleted;
    if (with_deleted && deleted != 0) {
        Json list = Json::array();
        uint64_t next = first;
        for (const SequenceRange& range : index.ranges()) {
            for (; next < range.first && list.size() < kDeletedShownMax; ++next)
                list.push_back(next);
            next = range.first + range.count;
        }
        for (; next <= last && list.size() < kDeletedShownMax; ++next) list.push_back(next);
        state["deleted"] = std::move(list);
    }
    if (!log_.lost().empty()) {
        Json lost = Json::array();
        for (const SequenceRange& range : log_.lost()) {
            for (uint64_t i = 0; i < range.count && lost.size() < kDeletedShownMax; ++i) {
                lost.push_back(range.first + i);
            }
        }
        state["lost"] = {{"msgs", std::move(lost)}, {"bytes", 0}};
    }
    Json out = {{"config", to_json(config_)}, {"created", format_nanos(created_)}};
    if (!subjects_filter.empty()) {
        std::map<std::string, uint64_t> found;
        for (uint32_t i = 0; i < index.subject_numbers(); ++i) {
            const SubjectEntry& subject = index.subject(i);
            if (subject.count == 0 || !auth::subject_matches(subjects_filter, subject.name))
                continue;
            found.emplace(subject.name, subject.count);
        }
        Json subjects = Json::object();
        uint64_t at = 0;
        for (const auto& [name, count] : found) {
            if (at++ < offset) continue;
            if (subjects.size() == kSubjectsShownMax) break;
            subjects[name] = count;
        }
        if (!subjects.empty()) state["subjects"] = std::move(subjects);
        out["total"] = found.size();
        out["offset"] = offset;
        out["limit"] = kSubjectsShownMax;
    }
    out["state"] = std::move(state);
    sources_.show(out);
    out["ts"] = format_nanos(js_.now());
    return out;
}

}  // namespace candela::bus_role
