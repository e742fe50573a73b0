#include "http/route_options.h"

#include <algorithm>

#include "base/text.h"
#include "http/content_coding.h"

namespace candela::http {

const FieldEdits::Edit* FieldEdits::find(std::string_view name) const {
    const auto place = std::ranges::find_if(
        edits_, [&](const Edit& edit) { return ascii_iequals(edit.first, name); });
    return place == edits_.end() ? nullptr : &*place;
}

bool RouteOptions::enter() const {
    const uint32_t before = requests_.fetch_add(1, std::memory_order_relaxed);
    if (requests_max == 0 || before < requests_max) return true;
    leave();
    return false;
}

bool AnswerEdits::drops(std::string_view name) const {
    if (is_coded && is_changed_by_coding(name)) return true;
    if (options == nullptr) return false;
    if (options->answer_fields.find(name) != nullptr) return true;
    return options->cors.has_value() && Cors::is_answer_field(name);
}

}  // namespace candela::http
