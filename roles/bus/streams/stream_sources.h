#pragma once

// The streams that a stream copies from, and how far it has come in each. A mirror's place is its
// own last sequence. The place of a source is written down behind what was copied in one go; what
// was copied last before a crash says itself where it came from. So nothing is copied twice or left
// out. Part of its DurableStream; control loop.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "source_feed.h"

namespace candela::bus_role {

class StreamSources {
public:
    explicit StreamSources(DurableStream& stream);
    ~StreamSources();

    // To the stream's configuration, at first and after each change; what stays keeps its place.
    void configure();
    bool empty() const { return feeds_.empty(); }
    void pump();
    void stop();

    // What a checkpoint keeps, and what is taken from it and from the changes since.
    std::string state() const;
    void load(std::string_view state, const std::vector<std::string>& changes);
    // A message behind these that is in the log, too.
    void on_found(const RecordView& view);

    // Into the stream's info.
    void show(Json& info);

private:
    struct Place {
        uint64_t position = 0;
        uint64_t upstream = 0;
    };
    void apply(std::string_view lines);
    static std::string line_of(const std::string& index_name, const Place& place);

    DurableStream& stream_;
    std::vector<std::unique_ptr<SourceFeed>> feeds_;
    std::map<std::string, Place> places_;  // of sources, by index name
};

}  // namespace candela::bus_role
