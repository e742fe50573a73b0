#pragma once

// What one stream copies from another: as a mirror, with the same sequences and times, or as one of
// its sources. It reads the other's log directly, in turns. Part of its StreamSources; control
// loop.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "loop/loop.h"
#include "stream_config.h"
#include "stream_log.h"
#include "subject_transform.h"

namespace candela::bus_role {

class DurableStream;

class SourceFeed {
public:
    SourceFeed(DurableStream& stream, SourceConfig config, bool is_mirror);
    ~SourceFeed();

    const SourceConfig& config() const { return config_; }
    // How far it has come, and in which stream of that name (0: in none yet).
    uint64_t position() const { return position_; }
    uint64_t upstream() const { return upstream_; }
    void set_position(uint64_t position, uint64_t upstream);

    // Copies what is new, up to a turn's worth; true where something was appended.
    bool pump();
    Json info();

private:
    enum class Step : uint8_t { kAppended, kSkipped, kWait };
    DurableStream* find_upstream();
    uint64_t start_of(DurableStream& upstream) const;
    // What it is kept as; false where it is not wanted.
    bool place_of(std::string_view subject, std::string& out) const;
    Step copy(DurableStream& from, const IndexEntry& entry);
    Step append_copy(const RecordView& view);
    void fail(std::string reason, int number);

    DurableStream& stream_;
    const SourceConfig config_;
    const bool is_mirror_;
    struct Place {
        std::string pattern;
        std::optional<SubjectTransform> transform;  // none: it keeps its subject
    };
    std::vector<Place> places_;
    uint64_t position_ = 0;
    uint64_t upstream_ = 0;
    bool is_loading_ = false;
    int64_t active_ = 0;  // mono ns; 0: not yet
    std::string problem_;
    int problem_number_ = 0;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    Timer retry_;
};

// "Nats-Stream-Source" of a copied message: whose it is and where it came from.
struct SourceMark {
    std::string index_name;
    uint64_t sequence = 0;
    static std::string encode(const SourceConfig& config, uint64_t sequence,
                              std::string_view subject);
    // False where it is none.
    bool decode(std::string_view text);
};

}  // namespace candela::bus_role
