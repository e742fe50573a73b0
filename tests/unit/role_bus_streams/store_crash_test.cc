// The storage engine against a disk whose power fails at any write, again and again. A run is given
// by its seed, which a failure prints.

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <set>

#include "loop/sim_loop.h"
#include "seeds.h"
#include "sim_disk.h"
#include "streams/store.h"

namespace candela::bus_role {
namespace {

constexpr uint64_t kStreams = 4;
constexpr int64_t kLimitedMessages = 40;   // of the first stream
constexpr int64_t kLimitedPerSubject = 4;  // of the third

class NoConsumers final : public ConsumerStates {
public:
    std::string consumer_state(uint64_t, uint64_t) override { return state; }
    std::string state;
};

struct StreamModel {
    uint64_t id = 0;
    bool is_acknowledged = false;
    std::map<uint64_t, std::string> sent;  // the last content that was given the sequence
    std::set<uint64_t> acknowledged;
    std::set<uint64_t> removing;  // asked for
    std::set<uint64_t> removed;   // and acknowledged
};

class World {
public:
    explicit World(uint64_t seed) : random_(seed), disk_(std::make_unique<SimDisk>()) {}

    void open() {
        loop_world_ = std::make_unique<SimWorld>(random_.next());
        SimLoop& loop = loop_world_->add_loop("node");
        loop_ = &loop;
        StoreOptions options;
        options.log_bytes_max = 8 * 1024;
        options.segment_bytes_max = 4 * 1024;
        options.cache_bytes_max = 4 * 1024;
        options.has_thread = false;
        options.log_chunk_bytes = 1024;
        options.index_bytes_max = 0;
        options.index_blocks_kept = 3;
        auto store = Store::open(loop, *disk_, options, random_.next(), Logger());
        INFO((store ? std::string() : store.error().message()));
        REQUIRE(store.has_value());
        store_ = std::move(*store);
        store_->start(consumers_);
        check();
        for (auto& [name, model] : models_) limit(name, model);
        loop_world_->run_for(10s);
    }

    void create() {
        for (uint64_t name = 0; name < kStreams; ++name) {
            StreamModel& model = models_[name];
            if (model.id != 0 && store_->find(model.id) != nullptr) continue;
            model = StreamModel();
            StreamLog& log = store_->create("stream " + std::to_string(name), true,
                                            [&model](const Result<>& result) {
                                                if (result) model.is_acknowledged = true;
                                            });
            model.id = log.id();
            limit(name, model);
        }
    }

    void act() {
        StreamModel& model = models_[random_.below(kStreams)];
        StreamLog* log = store_->find(model.id);
        if (log == nullptr) return;
        const uint64_t dice = random_.below(20);
        if (dice < 16) {
            append(*log, model);
        } else if (dice < 18 && &model != &models_[0]) {
            remove(*log, model);
        } else if (dice == 18) {
            store_->put_consumer(*log, 7, "consumer", StreamLog::Done());
            store_->change_consumer(*log, 7, "change", StreamLog::Done());
        } else {
            loop_world_->run_for(Duration(static_cast<int64_t>(random_.below(20'000'000))));
        }
    }

    void run_until_off() {
        for (int i = 0; i < 3000 && !disk_->has_failed(); ++i) act();
        loop_world_->run_for(1s);
    }

    void crash(bool is_power_cut) {
        store_.reset();
        loop_world_.reset();
        disk_ = is_power_cut ? disk_->after_power_cut(random_) : disk_->after_kill();
        // What is synced at an interval may lose what came since.
        if (is_power_cut) {
            models_[3].acknowledged.clear();
            models_[3].removed.clear();
        }
    }

    SimDisk& disk() { return *disk_; }
    Store& store() { return *store_; }
    SimWorld& loops() { return *loop_world_; }
    Random& random() { return random_; }

private:
    void limit(uint64_t name, StreamModel& model) {
        StreamLog* log = store_->find(model.id);
        if (log == nullptr) return;
        log->set_packed(name == 1);
        log->set_synced(name != 3);
        LogLimits limits;
        if (name == 0) limits.messages_max = kLimitedMessages;
        if (name == 2) limits.messages_per_subject_max = kLimitedPerSubject;
        log->set_limits(limits);
    }

    void append(StreamLog& log, StreamModel& model) {
        const std::string subject = "s." + std::to_string(random_.below(5));
        std::string payload(random_.below(random_.below(10) == 0 ? 3000 : 60), 'x');
        for (char& c : payload) c = static_cast<char>(random_.next());
        const uint64_t stream = model.id;
        const uint64_t sequence =
            log.append(subject, {}, payload, Rollup::kNone, 1,
                       Done([&model, stream, s = log.last_given() + 1](const Result<>& result) {
                           if (result && model.id == stream) model.acknowledged.insert(s);
                       }));
        model.sent[sequence] = subject + " " + payload;
    }
    using Done = StreamLog::Done;

    void remove(StreamLog& log, StreamModel& model) {
        const IndexEntry* entry = log.at_or_after(log.first_sequence() + random_.below(30));
        if (entry == nullptr) return;
        const uint64_t sequence = entry->sequence;
        model.removing.insert(sequence);
        log.remove({sequence}, Done([&model, sequence](const Result<>& result) {
                       if (result) model.removed.insert(sequence);
                   }));
    }

    void check() {
        for (auto& [name, model] : models_) {
            StreamLog* log = store_->find(model.id);
            if (log == nullptr) {
                REQUIRE_FALSE(model.is_acknowledged);
                continue;
            }
            REQUIRE(log->lost().empty());
            check_present(name, model, *log);
            check_content(model, *log);
        }
        REQUIRE(store_->counters().damaged_places == 0);
    }

    // As many later ones of its subject came as may be there.
    static bool has_made_way(const StreamModel& model, StreamLog& log, uint64_t sequence) {
        const auto subject_of = [&](uint64_t s) {
            const std::string& sent = model.sent.at(s);
            return sent.substr(0, sent.find(' '));
        };
        const std::string subject = subject_of(sequence);
        int64_t later = 0;
        for (auto item = model.sent.upper_bound(sequence); item != model.sent.end(); ++item) {
            const bool was_there =
                log.contains(item->first) || model.removing.contains(item->first);
            if (subject_of(item->first) == subject && was_there) ++later;
        }
        return later >= kLimitedPerSubject;
    }

    static void check_present(uint64_t name, const StreamModel& model, StreamLog& log) {
        for (const uint64_t sequence : model.acknowledged) {
            if (model.removing.contains(sequence)) continue;
            const bool may_be_gone =
                name == 0 && sequence + kLimitedMessages <= log.last_sequence();
            if (may_be_gone || (name == 2 && has_made_way(model, log, sequence))) continue;
            INFO("stream " << name << " sequence " << sequence);
            REQUIRE(log.find(sequence) != nullptr);
        }
        for (const uint64_t sequence : model.removed) REQUIRE(log.find(sequence) == nullptr);
    }

    void check_content(StreamModel& model, StreamLog& log) {
        std::set<uint64_t> present;
        log.index().for_each([&](const IndexEntry& entry) { present.insert(entry.sequence); });
        for (const uint64_t sequence : present) {
            RecordPtr record = log.read(sequence);
            // A checkpoint may have moved it meanwhile.
            for (int i = 0; i < 5 && record == nullptr; ++i) {
                bool loaded = false;
                log.load(sequence, [&loaded] { loaded = true; });
                REQUIRE(loop_world_->run_until([&loaded] { return loaded; }, 1s));
                record = log.read(sequence);
            }
            REQUIRE(record != nullptr);
            RecordView view;
            REQUIRE(decode_record(record->body, view));
            REQUIRE(view.sequence == sequence);
            REQUIRE(model.sent.contains(sequence));
            REQUIRE(model.sent[sequence] ==
                    std::string(view.subject) + " " + std::string(view.payload));
        }
        // What was not acknowledged and yet is there counts from now on: it has been served.
        for (const uint64_t sequence : present) model.acknowledged.insert(sequence);
        std::erase_if(model.sent, [&](const auto& e) { return !present.contains(e.first); });
        std::erase_if(model.acknowledged, [&](uint64_t s) { return !present.contains(s); });
        model.removing.clear();
        model.removed.clear();
    }

    SeededRandom random_;
    NoConsumers consumers_;
    std::unique_ptr<SimDisk> disk_;
    std::unique_ptr<SimWorld> loop_world_;
    SimLoop* loop_ = nullptr;
    std::unique_ptr<Store> store_;
    std::map<uint64_t, StreamModel> models_;
};

TEST_CASE("whatever was acknowledged survives power cuts and kills at any write",
          "[streams][sim]") {
    for (const uint64_t seed : seeds(250)) {
        INFO("replay with CANDELA_SIM_SEED=" << seed);
        World world(seed);
        for (int round = 0; round < 4; ++round) {
            world.open();
            world.create();
            world.disk().fail_after(world.random().below(400));
            world.run_until_off();
            world.crash(world.random().below(4) != 0);
        }
        world.open();
    }
}

}  // namespace
}  // namespace candela::bus_role
