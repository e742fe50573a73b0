#pragma once

// One page of a list: things in the order of their keys, from the one after the query's `after`,
// `limit` at most. The answer's "next_page" is the `after` of the page behind it; the last has
// none.

#include <memory>
#include <string>
#include <string_view>

#include "api.h"

namespace candela::lighthouse {

class Page {
public:
    static constexpr size_t kLimitDefault = 500;
    static constexpr size_t kLimitMax = 1000;

    // kInvalid for a limit that is none.
    static Result<Page> asked_by(const Call& call);
    Page(Page&&) noexcept;
    ~Page();

    const std::string& after() const { return after_; }
    bool is_full() const { return count_ == limit_; }
    void add(Json view);
    // The key of the last that was looked at, and whether there is more behind it.
    void end(std::string last, bool has_more);
    // Goes through a map, in its order, and shows what `show` returns a view of. `key_text` turns a
    // key into what `after` is.
    template <class Iterator, class KeyText, class Show>
    void fill(Iterator at, Iterator end, KeyText key_text, Show show) {
        std::string last;
        for (; at != end && !is_full(); ++at) {
            last = key_text(at->first);
            show(*this, at->second);
        }
        this->end(std::move(last), at != end);
    }
    template <class Map, class Show>
    void fill(const Map& map, Show show) {
        auto at = after_.empty() ? map.begin() : map.upper_bound(after_);
        fill(at, map.end(), [](const std::string& key) { return key; }, show);
    }

    // {name: [...], "next_page"}
    Json answer(std::string_view name) &&;

private:
    Page(std::string after, size_t limit);

    std::string after_;
    size_t limit_;
    size_t count_ = 0;
    std::string next_;
    std::unique_ptr<Json> views_;
};

}  // namespace candela::lighthouse
