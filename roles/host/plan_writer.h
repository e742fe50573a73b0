#pragma once

// Writes the list of entries that tells a keeper what to run, and within which walls
// (keeper/wire.h).

#include <string>
#include <string_view>

#include "keeper/wire.h"

namespace candela::host {

template <class Number>
std::string_view bytes_of(const Number& number) {
    return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

class PlanWriter {
public:
    void add(keeper::Entry entry, std::string_view front = {}, std::string_view rest = {}) {
        keeper::EntryHead head;
        head.entry = static_cast<uint16_t>(entry);
        head.size = static_cast<uint32_t>(front.size() + rest.size());
        plan_ += bytes_of(head);
        plan_ += front;
        plan_ += rest;
    }
    // A text, behind something else or not; it gets the NUL that it ends with.
    void add_text(keeper::Entry entry, const std::string& text, std::string_view front = {}) {
        add(entry, front, std::string_view(text.c_str(), text.size() + 1));
    }
    std::string take() { return std::move(plan_); }

private:
    std::string plan_;
};

}  // namespace candela::host
