#include "paging.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace candela::lighthouse {

Result<Page> Page::asked_by(const Call& call) {
    size_t limit = kLimitDefault;
    if (const std::string text = call.query("limit"); !text.empty()) {
        const auto number = parse_uint(text);
        if (!number || *number < 1 || *number > kLimitMax) {
            return fail(Code::kInvalid, "limit must be a number from 1 to {}", kLimitMax);
        }
        limit = *number;
    }
    return Page(call.query("after"), limit);
}

Page::Page(std::string after, size_t limit)
    : after_(std::move(after)), limit_(limit), views_(std::make_unique<Json>(Json::array())) {}
Page::Page(Page&&) noexcept = default;
Page::~Page() = default;

void Page::add(Json view) {
    views_->push_back(std::move(view));
    ++count_;
}

void Page::end(std::string last, bool has_more) {
    if (has_more) next_ = std::move(last);
}

Json Page::answer(std::string_view name) && {
    Json body = Json::object();
    body[std::string(name)] = std::move(*views_);
    if (!next_.empty()) body["next_page"] = std::move(next_);
    return body;
}

}  // namespace candela::lighthouse
