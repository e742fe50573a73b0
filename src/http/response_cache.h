#pragma once

// The response cache of a gateway process (RFC 9111, shared): stored answers by key, and the
// fetches in progress, so that many who want one answer cause one. Used by all loops at once: a
// mutex is held for a look-up and no longer, and answers are immutable. Bounded in bytes: what was
// not asked for longest leaves first.

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "http/stored_answer.h"
#include "loop/loop.h"

namespace candela::http {

enum class FetchEnd : uint8_t {
    kStored,     // look again
    kPassed,     // an answer came that is not for others: ask for yourself
    kFailed,     // no answer came: the same
    kAbandoned,  // whoever fetched it has gone: somebody else may
};

// Who waits for another's fetch. Made and used on its loop; only `loop` is touched from elsewhere.
struct FetchWaiter {
    explicit FetchWaiter(Loop& own_loop) : loop(own_loop) {}
    Loop& loop;
    std::move_only_function<void(FetchEnd)> on_end;  // null: it does not wait any more
};
using FetchWaiterPtr = std::shared_ptr<FetchWaiter>;

// Which answers are to go: of a service, maybe of one host, below a path or at it.
struct CachePurge {
    std::string service;  // "space/service"
    std::string host;     // empty: all
    std::string path = "/";
    bool is_prefix = true;  // whole segments

    bool takes(std::string_view answer_host, std::string_view answer_path) const;
};

struct CacheCounters {
    std::atomic<uint64_t> bytes{0};    // now
    std::atomic<uint64_t> answers{0};  // now
    std::atomic<uint64_t> stored{0};
    std::atomic<uint64_t> evicted{0};
    std::atomic<uint64_t> purged{0};
    std::atomic<uint64_t> filling_bytes{0};  // gathered of answers that are not stored yet
};

class ResponseCache {
public:
    static constexpr size_t kVariantsMax = 16;   // of one key
    static constexpr size_t kWaitersMax = 1024;  // for one fetch
    // So long nobody waits for an answer that turned out not to be for others.
    static constexpr Duration kPassTime = 10s;
    static constexpr size_t kPassesMax = 4096;

    explicit ResponseCache(uint64_t bytes_max) : bytes_max_(bytes_max) {}
    ~ResponseCache();
    ResponseCache(const ResponseCache&) = delete;
    ResponseCache& operator=(const ResponseCache&) = delete;

    // What does not fit any more leaves.
    void set_bytes_max(uint64_t bytes_max);

    // The newest answer to this request, fresh or not; null: none.
    StoredAnswerPtr find(const std::string& key, std::string_view origin, const Headers& request);
    // Takes the place of the answer with the same key, origin and Vary. Not kept where the fetch
    // was begun before what it fetched was purged.
    void put(StoredAnswerPtr answer, const std::string& fetch);
    // All answers of that key, also those being fetched.
    void invalidate(const std::string& key);
    // Returns how many answers went. Gives others their turn in between.
    size_t purge(const CachePurge& purge);

    enum class Join : uint8_t {
        kLead,  // fetch it; end_fetch() is owed
        kWait,  // the waiter is called when the fetch has ended
        kPass,  // neither: ask for yourself, and keep nothing
    };
    // A null waiter does not wait. `fetch` is made by fetch_name().
    Join join(const std::string& fetch, const FetchWaiterPtr& waiter, MonoTime now);
    bool is_fetched(const std::string& fetch);  // by somebody, now
    void leave(const std::string& fetch, const FetchWaiterPtr& waiter);
    void end_fetch(const std::string& fetch, FetchEnd end, MonoTime now);
    static std::string fetch_name(std::string_view key, std::string_view origin);

    // Room for bytes that are gathered; give_back() is owed. A quarter of the cache is for that.
    bool reserve(uint64_t bytes);
    void give_back(uint64_t bytes) { counters_.filling_bytes.fetch_sub(bytes); }

    const CacheCounters& counters() const { return counters_; }

private:
    using Recent = std::list<StoredAnswerPtr>;     // the first was asked for last
    using Family = std::vector<Recent::iterator>;  // of one key, the newest first
    struct Fetch {
        std::vector<FetchWaiterPtr> waiters;
        bool is_outdated = false;
    };
    using Gone = std::vector<StoredAnswerPtr>;  // freed when the mutex is not held

    // With the mutex held.
    void drop(Recent::iterator place, Gone& gone);
    void make_room(Gone& gone);
    bool is_passed(const std::string& fetch, MonoTime now);
    void note_passed(const std::string& fetch, MonoTime now);

    std::atomic<uint64_t> bytes_max_;
    CacheCounters counters_;
    std::mutex mutex_;
    Recent recent_;
    // Strangers choose the keys.
    template <class T>
    using TextMap = std::unordered_map<std::string, T, KeyedHash, std::equal_to<>>;
    const KeyedHash hash_ = KeyedHash::from_system();
    TextMap<Family> families_{0, hash_};
    TextMap<Fetch> fetches_{0, hash_};
    TextMap<MonoTime> passes_{0, hash_};  // until then
};

}  // namespace candela::http
