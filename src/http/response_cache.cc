#include "http/response_cache.h"

#include <algorithm>

#include "base/check.h"
#include "http/cache_key.h"

namespace candela::http {
namespace {

constexpr size_t kPurgeSlice = 256;  // buckets, with the mutex held

std::string_view path_of(std::string_view key) {
    const auto parts = parse_cache_key(key);
    return parts ? parts->target.substr(0, parts->target.find('?')) : std::string_view();
}

std::string_view host_of(std::string_view key) {
    const auto parts = parse_cache_key(key);
    if (!parts) return {};
    const std::string_view authority = parts->authority;
    const size_t colon = authority.rfind(':');
    const bool has_port =
        colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
    std::string_view host = has_port ? authority.substr(0, colon) : authority;
    if (host.ends_with('.')) host.remove_suffix(1);
    return host;
}

}  // namespace

bool CachePurge::takes(std::string_view answer_host, std::string_view answer_path) const {
    if (!host.empty() && host != answer_host) return false;
    if (!is_prefix) return path == answer_path;
    std::string_view prefix = path;
    if (prefix.ends_with('/')) prefix.remove_suffix(1);
    if (!answer_path.starts_with(prefix)) return false;
    return answer_path.size() == prefix.size() || answer_path[prefix.size()] == '/';
}

ResponseCache::~ResponseCache() { CANDELA_CHECK(counters_.filling_bytes.load() == 0); }

void ResponseCache::set_bytes_max(uint64_t bytes_max) {
    Gone gone;
    const std::lock_guard lock(mutex_);
    bytes_max_.store(bytes_max);
    make_room(gone);
}

StoredAnswerPtr ResponseCache::find(const std::string& key, std::string_view origin,
                                    const Headers& request) {
    const std::lock_guard lock(mutex_);
    const auto family = families_.find(key);
    if (family == families_.end()) return nullptr;
    for (const Recent::iterator place : family->second) {
        const StoredAnswer& answer = **place;
        if (answer.origin != origin || !matches_vary(answer, request)) continue;
        recent_.splice(recent_.begin(), recent_, place);
        return *place;
    }
    return nullptr;
}

void ResponseCache::put(StoredAnswerPtr answer, const std::string& fetch) {
    const uint64_t size = answer->size_bytes();
    Gone gone;
    const std::lock_guard lock(mutex_);
    const auto known = fetches_.find(fetch);
    const bool is_outdated = known == fetches_.end() || known->second.is_outdated;
    if (size > bytes_max_.load() / 4 || is_outdated) return;
    std::string key = answer->key;
    Family& family = families_[key];
    for (const Recent::iterator place : Family(family)) {
        const StoredAnswer& other = **place;
        if (other.origin != answer->origin || other.vary != answer->vary) continue;
        // Not drop(): the family must stay.
        std::erase(family, place);
        counters_.bytes.fetch_sub(other.size_bytes());
        counters_.answers.fetch_sub(1);
        gone.push_back(std::move(*place));
        recent_.erase(place);
    }
    recent_.push_front(std::move(answer));
    family.insert(family.begin(), recent_.begin());
    counters_.bytes.fetch_add(size);
    counters_.answers.fetch_add(1);
    counters_.stored.fetch_add(1);
    if (family.size() > kVariantsMax) {
        counters_.evicted.fetch_add(1);
        drop(family.back(), gone);
    }
    make_room(gone);
}

void ResponseCache::drop(Recent::iterator place, Gone& gone) {
    const StoredAnswer& answer = **place;
    const auto family = families_.find(answer.key);
    CANDELA_CHECK(family != families_.end());
    std::erase(family->second, place);
    if (family->second.empty()) families_.erase(family);
    counters_.bytes.fetch_sub(answer.size_bytes());
    counters_.answers.fetch_sub(1);
    gone.push_back(std::move(*place));
    recent_.erase(place);
}

void ResponseCache::make_room(Gone& gone) {
    while (counters_.bytes.load() > bytes_max_.load() && !recent_.empty()) {
        counters_.evicted.fetch_add(1);
        drop(std::prev(recent_.end()), gone);
    }
}

void ResponseCache::invalidate(const std::string& key) {
    Gone gone;
    const std::lock_guard lock(mutex_);
    const auto family = families_.find(key);
    if (family != families_.end()) {
        for (const Recent::iterator place : Family(family->second)) drop(place, gone);
    }
    for (auto& [name, fetch] : fetches_) {
        if (name.size() > key.size() && name.starts_with(key) && name[key.size()] == '\n') {
            fetch.is_outdated = true;
        }
    }
}

size_t ResponseCache::purge(const CachePurge& purge) {
    size_t count = 0;
    const auto takes = [&](std::string_view key) {
        const size_t end = key.find('\n');
        return key.substr(0, end) == purge.service && purge.takes(host_of(key), path_of(key));
    };
    {
        const std::lock_guard lock(mutex_);
        for (auto& [name, fetch] : fetches_) {
            // The first three lines of its name are the key.
            size_t end = name.find('\n');
            for (int line = 1; line < 3 && end != std::string::npos; ++line) {
                end = name.find('\n', end + 1);
            }
            if (takes(std::string_view(name).substr(0, end))) fetch.is_outdated = true;
        }
    }
    for (size_t bucket = 0, bucket_count = 0;;) {
        Gone gone;
        const std::lock_guard lock(mutex_);
        // More room for buckets has moved them all.
        if (families_.bucket_count() != bucket_count) {
            bucket = 0;
            bucket_count = families_.bucket_count();
        }
        const size_t end = std::min(bucket + kPurgeSlice, bucket_count);
        std::vector<std::string> keys;
        for (; bucket < end; ++bucket) {
            for (auto place = families_.begin(bucket); place != families_.end(bucket); ++place) {
                if (takes(place->first)) keys.push_back(place->first);
            }
        }
        for (const std::string& key : keys) {
            const Family family = families_.at(key);
            count += family.size();
            for (const Recent::iterator place : family) drop(place, gone);
        }
        if (bucket >= bucket_count) break;
    }
    counters_.purged.fetch_add(count);
    return count;
}

std::string ResponseCache::fetch_name(std::string_view key, std::string_view origin) {
    std::string name;
    name.reserve(key.size() + origin.size() + 1);
    name.append(key).append("\n").append(origin);
    return name;
}

ResponseCache::Join ResponseCache::join(const std::string& fetch, const FetchWaiterPtr& waiter,
                                        MonoTime now) {
    const std::lock_guard lock(mutex_);
    const auto [place, is_first] = fetches_.try_emplace(fetch);
    if (is_first) return Join::kLead;
    std::vector<FetchWaiterPtr>& waiters = place->second.waiters;
    if (waiter == nullptr || waiters.size() >= kWaitersMax || is_passed(fetch, now)) {
        return Join::kPass;
    }
    waiters.push_back(waiter);
    return Join::kWait;
}

bool ResponseCache::is_fetched(const std::string& fetch) {
    const std::lock_guard lock(mutex_);
    return fetches_.contains(fetch);
}

void ResponseCache::leave(const std::string& fetch, const FetchWaiterPtr& waiter) {
    const std::lock_guard lock(mutex_);
    const auto place = fetches_.find(fetch);
    if (place != fetches_.end()) std::erase(place->second.waiters, waiter);
}

void ResponseCache::end_fetch(const std::string& fetch, FetchEnd end, MonoTime now) {
    std::vector<FetchWaiterPtr> waiters;
    {
        const std::lock_guard lock(mutex_);
        const auto place = fetches_.find(fetch);
        if (place == fetches_.end()) return;
        waiters = std::move(place->second.waiters);
        fetches_.erase(place);
        if (end == FetchEnd::kPassed) {
            note_passed(fetch, now);
        } else if (end == FetchEnd::kStored) {
            passes_.erase(fetch);
        }
    }
    for (FetchWaiterPtr& waiter : waiters) {
        Loop& loop = waiter->loop;
        loop.post([waiter = std::move(waiter), end] {
            if (auto on_end = std::exchange(waiter->on_end, nullptr)) on_end(end);
        });
    }
}

bool ResponseCache::is_passed(const std::string& fetch, MonoTime now) {
    const auto place = passes_.find(fetch);
    return place != passes_.end() && place->second > now;
}

void ResponseCache::note_passed(const std::string& fetch, MonoTime now) {
    if (passes_.size() >= kPassesMax) {
        std::erase_if(passes_, [now](const auto& pass) { return pass.second <= now; });
        // Full of ones that hold: forgetting them costs a moment's wait each.
        if (passes_.size() >= kPassesMax) passes_.clear();
    }
    passes_[fetch] = now + kPassTime;
}

bool ResponseCache::reserve(uint64_t bytes) {
    const uint64_t before = counters_.filling_bytes.fetch_add(bytes);
    if (before + bytes <= bytes_max_.load() / 4) return true;
    counters_.filling_bytes.fetch_sub(bytes);
    return false;
}

}  // namespace candela::http
