// What is kept of a consumer on disk. A checkpoint holds its state, the log what changed since; a
// change may be applied again to a state that has it already. Deliveries are written down without
// being waited for: after a crash a message may come again, and one whose ack was answered never
// does.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "consumer.h"

namespace candela::bus_role {

std::string Consumer::state() const {
    Json pending = Json::array();
    for (const auto& [sequence, item] : pending_) {
        const auto found = deliveries_.find(sequence);
        const uint64_t times = found == deliveries_.end() ? 1 : found->second;
        pending.push_back({sequence, item.consumer_sequence, times});
    }
    return dump_json({{"next", next_},
                      {"delivered", {consumer_sequence_, stream_sequence_}},
                      {"floor", {floor_consumer_, floor_stream_}},
                      {"first", first_ones_},
                      {"pending", std::move(pending)}});
}

namespace {

uint64_t number_at(const Json& array, size_t place) {
    if (!array.is_array() || place >= array.size() || !array[place].is_number_unsigned()) return 0;
    return array[place].get<uint64_t>();
}

}  // namespace

void Consumer::load_state(std::string_view state) {
    const Result<Json> json = parse_json(state);
    if (!json) return;
    next_ = static_cast<uint64_t>(json_int_or(*json, "next", 1));
    const Json none = Json::array();
    const Json delivered = json->value("delivered", none);
    const Json floor = json->value("floor", none);
    consumer_sequence_ = number_at(delivered, 0);
    stream_sequence_ = number_at(delivered, 1);
    floor_consumer_ = number_at(floor, 0);
    floor_stream_ = number_at(floor, 1);
    const Json first = json->value("first", none);
    for (size_t i = 0; i < first.size(); ++i) first_ones_.insert(number_at(first, i));
    for (const Json& item : json->value("pending", none)) {
        const uint64_t sequence = number_at(item, 0);
        pending_[sequence] = {number_at(item, 1), 0, 0};
        if (number_at(item, 2) > 1) deliveries_[sequence] = number_at(item, 2);
    }
}

void Consumer::recover(std::string_view state, const std::vector<std::string>& changes) {
    bool has_state = !state.empty();
    if (has_state) load_state(state);
    for (const std::string& change : changes) {
        for (const std::string_view line : split(change, '\n')) {
            if (!line.starts_with("S ")) {
                apply_change(line);
            } else if (!has_state) {
                load_state(line.substr(2));
                has_state = true;
            }
        }
    }
    const int64_t now = mono();
    std::erase_if(pending_,
                  [&](const auto& item) { return stream_.log().find(item.first) == nullptr; });
    for (auto& [sequence, item] : pending_) {
        const auto found = deliveries_.find(sequence);
        item.deadline = now + ack_wait_of(found == deliveries_.end() ? 1 : found->second);
        deadlines_.insert({item.deadline, sequence});
    }
    std::erase_if(first_ones_, [&](uint64_t s) { return stream_.log().find(s) == nullptr; });
    next_ = std::max(next_, uint64_t{1});
    move_floor();
    recount();
    arm();
}

// S state · D sequence consumer-sequence times · N sequence consumer-sequence · A sequence · L
// sequence · T sequence
void Consumer::apply_change(std::string_view line) {
    const std::vector<std::string_view> words = split(line, ' ');
    if (words.size() < 2) return;
    uint64_t numbers[3] = {0, 0, 0};
    for (size_t i = 1; i < words.size() && i < 4; ++i)
        numbers[i - 1] = parse_uint(words[i]).value_or(0);
    const uint64_t sequence = numbers[0];
    switch (words[0].empty() ? ' ' : words[0].front()) {
        case 'D':
        case 'N':
            // A later state has it, settled or not.
            if (numbers[1] <= consumer_sequence_) return;
            consumer_sequence_ = numbers[1];
            stream_sequence_ = std::max(stream_sequence_, sequence);
            if (first_ones_.erase(sequence) == 0) next_ = std::max(next_, sequence + 1);
            if (words[0].front() == 'N') return;
            pending_[sequence] = {numbers[1], 0, 0};
            if (numbers[2] > 1) deliveries_[sequence] = numbers[2];
            break;
        case 'L':
            while (!pending_.empty() && pending_.begin()->first <= sequence)
                pending_.erase(pending_.begin());
            break;
        default:
            pending_.erase(sequence);
            deliveries_.erase(sequence);
            break;
    }
}

void Consumer::note_change(std::string_view change) {
    if (!is_durable()) return;
    if (!changes_.empty()) changes_ += '\n';
    changes_ += change;
}

void Consumer::flush_changes(StreamLog::Done done) {
    if (changes_.empty() && !done) return;
    if (!is_durable()) {
        js_.loop().defer([done = std::move(done)]() mutable {
            if (done) done(Result<>());
        });
        return;
    }
    const std::string changes = std::exchange(changes_, {});
    js_.store().change_consumer(stream_.log(), id_, changes, std::move(done));
}

}  // namespace candela::bus_role
