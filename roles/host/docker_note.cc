#include "docker_note.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "loop/file.h"

namespace candela::host {

namespace {

constexpr const char* kFileName = "container.json";
constexpr size_t kFileBytesMax = 64 << 10;

uint64_t number_of(const Json& json, std::string_view key) {
    const int64_t value = json_int_or(json, key, 0);
    return value < 0 ? 0 : static_cast<uint64_t>(value);
}

DockerStreamPosition position_of(const Json& json, std::string_view key) {
    DockerStreamPosition position;
    const auto found = json.find(key);
    if (found == json.end() || !found->is_array() || found->size() != 2) return position;
    const Json& time = (*found)[0];
    const Json& count = (*found)[1];
    if (time.is_number_unsigned()) position.time_ns = time.get<uint64_t>();
    if (count.is_number_unsigned()) position.count = count.get<uint64_t>();
    return position;
}

}  // namespace

std::string to_text(const ContainerNote& note) {
    Json json = {{"instance", note.instance},
                 {"name", note.name},
                 {"id", note.id},
                 {"note", note.note},
                 {"inner_port", note.inner_port},
                 {"out", {note.log.out.time_ns, note.log.out.count}},
                 {"err", {note.log.err.time_ns, note.log.err.count}}};
    if (note.end) {
        json["exit_code"] = note.end->exit_code;
        json["end_detail"] = note.end->detail;
    }
    return dump_json(json);
}

Result<ContainerNote> parse_container_note(std::string_view text) {
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    ContainerNote note;
    CANDELA_TRY_ASSIGN(note.instance, json_string(json, "instance"));
    CANDELA_TRY_ASSIGN(note.name, json_string(json, "name"));
    note.id = json_string_or(json, "id");
    note.note = json_string_or(json, "note");
    note.inner_port = static_cast<uint16_t>(number_of(json, "inner_port"));
    note.log.out = position_of(json, "out");
    note.log.err = position_of(json, "err");
    if (json.contains("exit_code")) {
        note.end.emplace();
        note.end->exit_code = static_cast<int>(json_int_or(json, "exit_code", 0));
        note.end->detail = json_string_or(json, "end_detail");
    }
    return note;
}

Result<> write_container_note(const std::filesystem::path& run_folder, const ContainerNote& note) {
    const auto folder = run_folder / note.instance;
    return write_file(folder / kFileName, to_text(note), 0600);
}

Result<> ContainerNoteWriter::write(const std::filesystem::path& run_folder,
                                    const ContainerNote& note, uint64_t number) {
    const std::lock_guard lock(mutex_);
    if (number < written_) return {};
    written_ = number;
    return write_container_note(run_folder, note);
}

std::vector<ContainerNote> read_container_notes(const std::filesystem::path& run_folder) {
    std::vector<ContainerNote> notes;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(run_folder, error)) {
        const auto text = read_file(entry.path() / kFileName, kFileBytesMax);
        if (!text) continue;
        auto note = parse_container_note(*text);
        if (note && note->instance == entry.path().filename().native())
            notes.push_back(std::move(*note));
    }
    return notes;
}

Result<> remove_container_note(const std::filesystem::path& run_folder,
                               const std::string& instance) {
    return remove_file(run_folder / instance / kFileName);
}

}  // namespace candela::host
