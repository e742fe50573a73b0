#include "stream_sources.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "bus/message.h"
#include "durable_stream.h"

namespace candela::bus_role {

StreamSources::StreamSources(DurableStream& stream) : stream_(stream) {}
StreamSources::~StreamSources() = default;

void StreamSources::configure() {
    const StreamConfig& config = stream_.config();
    std::vector<std::unique_ptr<SourceFeed>> feeds;
    const auto add = [&](const SourceConfig& source, bool is_mirror) {
        feeds.push_back(std::make_unique<SourceFeed>(stream_, source, is_mirror));
        const auto place = places_.find(source.index_name());
        if (is_mirror || place == places_.end()) return;
        feeds.back()->set_position(place->second.position, place->second.upstream);
    };
    if (config.mirror) add(*config.mirror, true);
    for (const SourceConfig& source : config.sources) add(source, false);
    feeds_ = std::move(feeds);
    std::map<std::string, Place> kept;
    std::vector<std::string> names;
    for (const auto& feed : feeds_) {
        names.push_back(feed->config().name);
        const auto place = places_.find(feed->config().index_name());
        if (place != places_.end()) kept.insert(*place);
    }
    places_ = std::move(kept);
    stream_.account().set_followed(stream_.id(), names);
    if (feeds_.empty()) return;
    stream_.js().wake(stream_);
}

void StreamSources::pump() {
    for (const auto& feed : feeds_) {
        if (!feed->pump() || stream_.config().mirror) continue;
        const Place place{feed->position(), feed->upstream()};
        const std::string name = feed->config().index_name();
        places_[name] = place;
        // Behind the copies in the log, and before anything else of this stream.
        stream_.js().store().change_consumer(stream_.log(), DurableStream::kSourcesState,
                                             line_of(name, place), StreamLog::Done());
    }
}

void StreamSources::stop() { feeds_.clear(); }

std::string StreamSources::line_of(const std::string& index_name, const Place& place) {
    return fmt::format("{} {} {}", place.position, place.upstream, index_name);
}

std::string StreamSources::state() const {
    std::string out;
    for (const auto& [name, place] : places_) {
        if (!out.empty()) out += '\n';
        out += line_of(name, place);
    }
    return out;
}

void StreamSources::apply(std::string_view lines) {
    for (const std::string_view line : split(lines, '\n')) {
        const auto position = split_once(line, ' ');
        const auto upstream = position ? split_once(position->second, ' ') : std::nullopt;
        if (!upstream) continue;
        const Result<uint64_t> at = parse_uint(position->first);
        const Result<uint64_t> in = parse_uint(upstream->first);
        if (at && in) places_[std::string(upstream->second)] = {*at, *in};
    }
}

void StreamSources::load(std::string_view state, const std::vector<std::string>& changes) {
    apply(state);
    for (const std::string& change : changes) apply(change);
}

void StreamSources::on_found(const RecordView& view) {
    const auto text = bus::find_header(view.headers, "Nats-Stream-Source");
    SourceMark mark;
    if (!text || !mark.decode(*text)) return;
    Place& place = places_[mark.index_name];
    if (place.position >= mark.sequence) return;
    place.position = mark.sequence;
    // Of the stream that has the name now, if the place was not written down yet.
    const DurableStream* from = stream_.account().find(split(mark.index_name, ' ').front());
    if (place.upstream == 0 && from != nullptr) place.upstream = from->id();
}

void StreamSources::show(Json& info) {
    if (stream_.config().mirror) {
        if (!feeds_.empty()) info["mirror"] = feeds_.front()->info();
        return;
    }
    for (const auto& feed : feeds_) info["sources"].push_back(feed->info());
}

}  // namespace candela::bus_role
