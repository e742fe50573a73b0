#pragma once

// What a host notes down of an instance's container, in DIR/host/run/<instance>/container.json: all
// that the next host needs to go on with it. Files block: on the pool.

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "docker_stream.h"

namespace candela::host {

struct ContainerNote {
    std::string instance;
    std::string name;         // of the container; known before the engine has made it
    std::string id;           // empty: it may not have been made
    std::string note;         // as Driver's user gave it
    uint16_t inner_port = 0;  // where it listens in a network of its own; 0: it has none
    DockerLogPosition log;
    // It has ended, and that has not been told yet.
    struct End {
        int exit_code = 0;
        std::string detail;
        friend bool operator==(const End&, const End&) = default;
    };
    std::optional<End> end;

    friend bool operator==(const ContainerNote&, const ContainerNote&) = default;
};

std::string to_text(const ContainerNote& note);
Result<ContainerNote> parse_container_note(std::string_view text);

Result<> write_container_note(const std::filesystem::path& run_folder, const ContainerNote& note);
// For writers on several threads: what is older never takes the place of what is newer.
class ContainerNoteWriter {
public:
    // `number` grows with each note.
    Result<> write(const std::filesystem::path& run_folder, const ContainerNote& note,
                   uint64_t number);

private:
    std::mutex mutex_;
    uint64_t written_ = 0;
};
// All that there are; what can't be read is left out, and was written by nobody of ours.
std::vector<ContainerNote> read_container_notes(const std::filesystem::path& run_folder);
Result<> remove_container_note(const std::filesystem::path& run_folder,
                               const std::string& instance);

}  // namespace candela::host
