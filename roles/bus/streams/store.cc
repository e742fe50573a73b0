#include "store.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"

namespace candela::bus_role {

namespace {
constexpr size_t kRangesPerRecord = 4096;
}

Store::Store(Loop& loop, Disk& disk, StoreOptions options, uint64_t seed, Logger log)
    : loop_(loop),
      disk_(disk),
      options_(options),
      random_(seed),
      log_(std::move(log)),
      wal_(disk, random_.next(), options.log_chunk_bytes),
      index_cache_(options.index_bytes_max, options.index_blocks_kept),
      cache_(options.cache_bytes_max),
      retry_(loop.timers(), [this] { checkpoint(); }),
      read_retry_(loop.timers(), [this] {
          for (Loop::Callback& done : std::exchange(unread_, {})) done();
      }) {}

Store::~Store() { *alive_ = false; }

Result<std::unique_ptr<Store>> Store::open(Loop& loop, Disk& disk, StoreOptions options,
                                           uint64_t seed, Logger log) {
    std::unique_ptr<Store> store(new Store(loop, disk, options, seed, std::move(log)));
    CANDELA_TRY(store->recover());
    return store;
}

void Store::start(ConsumerStates& states) {
    states_ = &states;
    committer_ = std::make_unique<Committer>(loop_, wal_, *this, options_.sync_interval,
                                             options_.has_thread);
    if (log_bytes_ > options_.log_bytes_max / 2) checkpoint();
}

// --- Recovery
// -------------------------------------------------------------------------------------

Result<> Store::recover() {
    CANDELA_TRY(disk_.make_folder("streams"));
    CANDELA_TRY_ASSIGN(const std::vector<std::string> names, disk_.list("streams"));
    for (const std::string& name : names) {
        const Result<uint64_t> id = parse_uint(name);
        if (!id) continue;
        next_stream_ = std::max(next_stream_, *id + 1);
        const Result<> found = recover_stream(*id);
        if (found) continue;
        if (is_of_medium(found.error())) {
            // Left as it is, for a person to look at; the log may still know the stream.
            ++counters_.damaged_places;
            log_.error("stream_state_damaged", {{"stream", *id}, {"error", found.error()}});
        } else if (found.error().code() != Code::kNotFound) {
            return fail(found.error());
        }
    }
    const auto take = [this](const RecordView& view, const RecordPtr& record) {
        replay(view, record);
    };
    CANDELA_TRY_ASSIGN(const Wal::Replay replayed, wal_.open(take));
    log_bytes_ = replayed.bytes;
    if (replayed.damaged_places != 0 || replayed.unreadable_files != 0) {
        counters_.damaged_places += replayed.damaged_places + replayed.unreadable_files;
        log_.error("log_damaged",
                   {{"places", replayed.damaged_places}, {"files", replayed.unreadable_files}});
    }
    if (replayed.unfinished_places != 0) {
        log_.warn("log_end_unfinished", {{"places", replayed.unfinished_places}});
    }
    log_.info("streams_recovered", {{"streams", logs_.size()}, {"from_log", replayed.records}});
    return {};
}

Result<> Store::recover_stream(uint64_t id) {
    CANDELA_TRY_ASSIGN(StreamImage image, read_image(disk_, id));
    auto log = std::make_unique<StreamLog>(*this, id, true);
    CANDELA_TRY(log->recover(disk_, std::move(image)));
    logs_.emplace(id, std::move(log));
    return {};
}

void Store::replay(const RecordView& view, const RecordPtr& record) {
    next_stream_ = std::max(next_stream_, view.stream + 1);
    StreamLog* log = find(view.stream);
    if (view.type == RecordType::kStreamPut) {
        if (log == nullptr) {
            auto made = std::make_unique<StreamLog>(*this, view.stream, true);
            log = made.get();
            logs_.emplace(view.stream, std::move(made));
        }
        log->blob_ = std::string(view.payload);
        log->is_dirty_ = true;
        return;
    }
    if (log == nullptr) return;  // dropped later, and its folder is gone already
    log->is_dirty_ = true;
    switch (view.type) {
        case RecordType::kMessage: {
            const uint64_t known = std::max(log->recovered_to_, log->index_.last());
            if (view.sequence <= known) break;
            const uint32_t size = StreamLog::message_size(true, view.subject.size(),
                                                          view.headers.size(), view.payload.size());
            log->admit(view.sequence, view.subject, view.timestamp, size, record, view.rollup);
            break;
        }
        case RecordType::kRemove:
            for (const SequenceRange& range : view.ranges) {
                const IndexEntry* entry = log->at_or_after(range.first);
                while (entry != nullptr && entry->sequence - range.first < range.count) {
                    const uint64_t sequence = entry->sequence;
                    log->take_out(sequence);
                    entry = log->at_or_after(sequence + 1);
                }
            }
            break;
        case RecordType::kStreamDrop:
            dropped_.push_back(view.stream);
            for (const auto& [sequence, fresh] : log->fresh_)
                unflushed_bytes_ -= fresh->body.size();
            logs_.erase(view.stream);
            break;
        case RecordType::kConsumerPut:
            log->consumers_[view.consumer].blob = std::string(view.payload);
            break;
        case RecordType::kConsumerDrop: log->consumers_.erase(view.consumer); break;
        case RecordType::kConsumerChange: {
            const auto consumer = log->consumers_.find(view.consumer);
            if (consumer == log->consumers_.end()) break;
            consumer->second.changes.emplace_back(view.payload);
            break;
        }
        default: break;
    }
}

// --- Changes
// --------------------------------------------------------------------------------------

StreamLog* Store::find(uint64_t stream) {
    const auto found = logs_.find(stream);
    return found == logs_.end() ? nullptr : found->second.get();
}

StreamLog& Store::create(std::string blob, bool is_durable, Done done) {
    const uint64_t id = next_stream_++;
    StreamLog& log =
        *logs_.emplace(id, std::make_unique<StreamLog>(*this, id, is_durable)).first->second;
    log.blob_ = std::move(blob);
    log.is_dirty_ = true;
    Pending pending{id, 0, 0, std::move(done)};
    if (is_durable) {
        submit(encode_other(RecordType::kStreamPut, id, 0, log.blob_), std::move(pending));
    } else {
        submit_in_memory(std::move(pending));
    }
    return log;
}

void Store::update(StreamLog& log, std::string blob, Done done) {
    log.blob_ = std::move(blob);
    log.is_dirty_ = true;
    Pending pending{log.id(), 0, 0, std::move(done)};
    if (!log.is_durable()) {
        submit_in_memory(std::move(pending));
        return;
    }
    // What the limits so far turned out was not written down; the new ones might let it in again.
    std::vector<SequenceRange> gone;
    uint64_t next = 1;
    for (const SequenceRange& range : log.index_.ranges()) {
        if (range.first > next) gone.push_back({next, range.first - next});
        next = range.first + range.count;
    }
    if (next <= log.last_sequence_) gone.push_back({next, log.last_sequence_ - next + 1});
    for (size_t at = 0; at < gone.size(); at += kRangesPerRecord) {
        const auto begin = gone.begin() + static_cast<ptrdiff_t>(at);
        const auto end =
            gone.begin() + static_cast<ptrdiff_t>(std::min(gone.size(), at + kRangesPerRecord));
        const std::vector<SequenceRange> part(begin, end);
        submit(encode_remove(log.id(), part), Pending{log.id(), 0, 0, Done()});
    }
    submit(encode_other(RecordType::kStreamPut, log.id(), 0, log.blob_), std::move(pending));
}

void Store::drop(StreamLog& log, Done done) {
    const uint64_t id = log.id();
    Pending pending{id, 0, 0, std::move(done)};
    if (log.is_durable()) {
        for (const auto& [sequence, fresh] : log.fresh_) unflushed_bytes_ -= fresh->body.size();
        dropped_.push_back(id);
        submit(encode_other(RecordType::kStreamDrop, id, 0, {}), std::move(pending));
    } else {
        submit_in_memory(std::move(pending));
    }
    logs_.erase(id);
}

void Store::put_consumer(StreamLog& log, uint64_t consumer, std::string blob, Done done) {
    log.consumers_[consumer].blob = std::move(blob);
    log.is_dirty_ = true;
    Pending pending{log.id(), 0, 0, std::move(done)};
    if (!log.is_durable()) {
        submit_in_memory(std::move(pending));
        return;
    }
    submit(
        encode_other(RecordType::kConsumerPut, log.id(), consumer, log.consumers_[consumer].blob),
        std::move(pending));
}

void Store::drop_consumer(StreamLog& log, uint64_t consumer, Done done) {
    log.consumers_.erase(consumer);
    log.is_dirty_ = true;
    Pending pending{log.id(), 0, 0, std::move(done)};
    if (!log.is_durable()) {
        submit_in_memory(std::move(pending));
        return;
    }
    submit(encode_other(RecordType::kConsumerDrop, log.id(), consumer, {}), std::move(pending));
}

void Store::change_consumer(StreamLog& log, uint64_t consumer, std::string_view change, Done done) {
    Pending pending{log.id(), 0, 0, std::move(done)};
    log.is_dirty_ = true;
    if (!log.is_durable()) {
        submit_in_memory(std::move(pending));
        return;
    }
    submit(encode_other(RecordType::kConsumerChange, log.id(), consumer, change),
           std::move(pending), log.is_synced());
}

std::optional<Error> Store::refusal() const {
    if (committer_ == nullptr || committer_->is_broken()) {
        return Error(Code::kIo, "the log failed; restart the node");
    }
    if (pending_bytes_ > options_.pending_bytes_max) {
        return Error(Code::kExhausted, "too much waits for the disk");
    }
    if (unflushed_bytes_ > options_.unflushed_bytes_max) {
        return Error(Code::kExhausted, "the disk is full, or can't keep up");
    }
    return std::nullopt;
}

uint64_t Store::durable_bytes() const {
    uint64_t out = 0;
    for (const auto& [id, log] : logs_) {
        if (log->is_durable()) out += log->index().bytes();
    }
    return out;
}

void Store::submit(RecordPtr record, Pending pending, bool syncs) {
    pending.bytes = stored_size(*record);
    log_bytes_ += pending.bytes;
    pending_bytes_ += pending.bytes;
    pending_.push_back(std::move(pending));
    committer_->submit(std::move(record), syncs);
    if (log_bytes_ > options_.log_bytes_max && !checkpointing_) checkpoint();
}

void Store::submit_in_memory(Pending pending) {
    pending_in_memory_.push_back(std::move(pending));
    if (pending_in_memory_.size() != 1) return;
    loop_.defer([this, alive = alive_] {
        if (!*alive) return;
        std::deque<Pending> ready;
        ready.swap(pending_in_memory_);
        for (Pending& next : ready) finish(std::move(next), Result<>());
    });
}

void Store::on_commit(size_t count) {
    ++counters_.commits;
    counters_.records += count;
    for (; count != 0; --count) {
        CANDELA_CHECK(!pending_.empty());
        Pending pending = std::move(pending_.front());
        pending_.pop_front();
        pending_bytes_ -= pending.bytes;
        finish(std::move(pending), Result<>());
    }
}

void Store::finish(Pending pending, const Result<>& result) {
    if (pending.sequence != 0 && result) {
        StreamLog* log = find(pending.stream);
        if (log == nullptr) {
            if (pending.done) pending.done(fail(Code::kNotFound, "the stream was deleted"));
            return;
        }
        log->commit();
    }
    if (pending.done) pending.done(result);
}

void Store::on_commit_failed(const Error& error) {
    log_.error("log_write_failed", {{"error", error}, {"records", pending_.size()}});
    std::deque<Pending> failed;
    failed.swap(pending_);
    pending_bytes_ = 0;
    for (auto& [id, log] : logs_) {
        if (log->is_durable()) log->fail_pending();
    }
    for (Pending& pending : failed) {
        if (pending.done) pending.done(fail(error));
    }
}

// --- Checkpoints
// ----------------------------------------------------------------------------------

struct Store::Flush {
    uint64_t number = 0;  // of the last log file that it makes unnecessary
    uint64_t segment_bytes_max = 0;
    uint64_t spare_bytes_max = 0;
    std::vector<FlushJob> jobs;
    std::map<uint64_t, uint64_t> flushed_to;
    std::vector<StreamImage> images;
    std::vector<std::string> dead_files;
    std::vector<uint64_t> dropped;
    uint64_t seed = 0;
    Result<> result;
};

void Store::checkpoint() {
    if (checkpointing_ || committer_ == nullptr || committer_->is_broken()) return;
    checkpointing_ = true;
    if (rolled_) {
        flush_logs(*rolled_);
        return;
    }
    log_bytes_ = 0;
    committer_->roll();
}

// Everything told of so far is in the file before, everything later in the new one.
void Store::on_log_rolled(Result<uint64_t> number) {
    if (!number) {
        on_checkpoint_failed(number.error());
        return;
    }
    rolled_ = *number;
    flush_logs(*number);
}

void Store::flush_logs(uint64_t number) {
    auto flush = std::make_shared<Flush>();
    flush->number = number;
    flush->segment_bytes_max = options_.segment_bytes_max;
    flush->spare_bytes_max = 2 * options_.log_bytes_max;
    for (const auto& [id, log] : logs_) {
        if (!log->is_durable()) continue;
        log->report_lost();
        flush->flushed_to[id] = log->last_sequence();
        FlushJob job = log->make_flush(random_.next());
        if (!job.items.empty()) flush->jobs.push_back(std::move(job));
    }
    loop_.offload(
        [flush, disk = &disk_] {
            for (FlushJob& job : flush->jobs) {
                flush->result = candela::bus_role::flush(*disk, job, flush->segment_bytes_max);
                if (!flush->result) return;
            }
        },
        [this, alive = alive_, flush] {
            if (*alive) on_flushed(flush);
        });
}

void Store::on_flushed(std::shared_ptr<Flush> flush) {
    if (!flush->result) {
        on_checkpoint_failed(flush->result.error());
        return;
    }
    for (const FlushJob& job : flush->jobs) {
        StreamLog* log = find(job.stream);
        if (log == nullptr) continue;
        const uint64_t lost = log->take_flush(job);
        if (lost == 0) continue;
        counters_.damaged_places += lost;
        log_.error("stream_damaged", {{"stream", job.stream}, {"messages_lost", lost}});
    }
    write_images(std::move(flush));
}

void Store::write_images(std::shared_ptr<Flush> flush) {
    for (const auto& [id, flushed_to] : flush->flushed_to) {
        StreamLog* log = find(id);
        if (log == nullptr || !log->is_dirty_) continue;
        log->is_dirty_ = false;
        StreamImage image = log->image(flushed_to);
        for (const auto& [consumer, known] : log->consumers_) {
            image.consumers[consumer] = {known.blob, states_->consumer_state(id, consumer), {}};
        }
        flush->images.push_back(std::move(image));
        log->take_dead_segments(flush->dead_files);
    }
    flush->dropped.swap(dropped_);
    flush->seed = random_.next();
    loop_.offload(
        [flush, disk = &disk_] {
            const auto run = [&]() -> Result<> {
                SeededRandom random(flush->seed);
                for (const StreamImage& image : flush->images) {
                    CANDELA_TRY(write_image(*disk, image, random.next()));
                }
                for (const uint64_t id : flush->dropped) CANDELA_TRY(remove_stream(*disk, id));
                CANDELA_TRY(Wal::remove_up_to(*disk, flush->number, flush->spare_bytes_max));
                // Only now does no state name them.
                for (const std::string& path : flush->dead_files) CANDELA_TRY(disk->remove(path));
                return {};
            };
            flush->result = run();
        },
        [this, alive = alive_, flush] {
            if (!*alive) return;
            if (!flush->result) {
                for (const StreamImage& image : flush->images) {
                    if (StreamLog* log = find(image.stream)) log->is_dirty_ = true;
                }
                dropped_.insert(dropped_.end(), flush->dropped.begin(), flush->dropped.end());
                on_checkpoint_failed(flush->result.error());
                return;
            }
            rolled_.reset();
            checkpointing_ = false;
            ++counters_.checkpoints;
            if (log_bytes_ > options_.log_bytes_max) checkpoint();
        });
}

void Store::on_checkpoint_failed(const Error& error) {
    log_.error("checkpoint_failed", {{"error", error}});
    checkpointing_ = false;
    retry_.start(options_.retry_interval);
}

void Store::load(StreamLog& log, uint64_t sequence, Loop::Callback done) {
    struct Load {
        SegmentPlace place;
        uint64_t sequence = 0;
        size_t size = 0;
        Result<std::vector<std::pair<uint64_t, RecordPtr>>> result;
    };
    auto load = std::make_shared<Load>();
    load->sequence = sequence;
    const IndexEntry* entry = log.find(sequence);
    if (entry != nullptr && entry->segment != 0) {
        load->place = {entry->segment, entry->offset};
        load->size = entry->size;
    }
    loop_.offload(
        [load, disk = &disk_, id = log.id()] {
            if (load->place.segment == 0) return;
            load->result = read_messages(*disk, id, load->place, load->sequence, load->size);
        },
        [this, alive = alive_, load, id = log.id(), sequence, done = std::move(done)]() mutable {
            if (!*alive) return;
            StreamLog* current = find(id);
            const IndexEntry* now = current == nullptr ? nullptr : current->find(sequence);
            const bool is_there = now != nullptr && now->segment == load->place.segment &&
                                  now->offset == load->place.offset && load->place.segment != 0;
            const bool is_read =
                load->result && !load->result->empty() && load->result->front().first == sequence;
            if (load->result) {
                // The one that was asked for last, so that it is the last to go.
                for (auto found = load->result->rbegin(); found != load->result->rend(); ++found) {
                    cache_.add(id, found->first, std::move(found->second));
                }
            }
            // Where it was moved meanwhile, the caller asks again.
            const bool is_damaged = load->result || is_of_medium(load->result.error());
            if (is_there && !is_read && is_damaged) {
                ++counters_.damaged_places;
                log_.error(
                    "message_damaged",
                    {{"stream", id},
                     {"sequence", sequence},
                     {"reason", load->result ? "another record" : load->result.error().message()}});
                current->lose(sequence);
            } else if (is_there && !is_read) {
                // Whoever waits for it asks again: not at once.
                log_.warn("message_unread", {{"stream", id}, {"error", load->result.error()}});
                unread_.push_back(std::move(done));
                if (!read_retry_.is_active()) read_retry_.start(options_.read_retry_interval);
                return;
            }
            done();
        });
}

}  // namespace candela::bus_role
