#pragma once

// Subjects by name, for a stream's index: an open table of numbers, a few bytes a subject, beside
// the entries that hold the names. Loop thread (or start-up).

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace candela::bus_role {

struct SubjectEntry {
    std::string name;
    uint64_t first_at_least = 0;  // none is before it; MessageIndex::first_of() tells exactly
    uint64_t last = 0;
    uint64_t count = 0;  // 0: the number is free
};

class SubjectTable {
public:
    const SubjectEntry& operator[](uint32_t number) const { return entries_[number]; }
    SubjectEntry& operator[](uint32_t number) { return entries_[number]; }
    // Numbers are below this; entries with count 0 are free.
    size_t numbers() const { return entries_.size(); }
    size_t size() const { return size_; }
    // Changes when a number gets a new meaning.
    uint64_t generation() const { return generation_; }

    std::optional<uint32_t> find(std::string_view name) const {
        if (slots_.empty()) return std::nullopt;
        for (size_t at = hash(name) & mask();; at = (at + 1) & mask()) {
            if (slots_[at] == kEmpty) return std::nullopt;
            if (slots_[at] != kGone && entries_[slots_[at]].name == name) return slots_[at];
        }
    }
    // The number it has, or now gets.
    uint32_t add(std::string_view name) {
        if (const std::optional<uint32_t> known = find(name)) return *known;
        uint32_t number = 0;
        if (free_.empty()) {
            number = static_cast<uint32_t>(entries_.size());
            entries_.emplace_back();
        } else {
            number = free_.back();
            free_.pop_back();
            ++generation_;
        }
        entries_[number].name = std::string(name);
        if ((used_ + 1) * 4 > slots_.size() * 3) grow();
        place(number);
        ++size_;
        return number;
    }
    void remove(uint32_t number) {
        size_t at = hash(entries_[number].name) & mask();
        while (slots_[at] != number) at = (at + 1) & mask();
        slots_[at] = kGone;
        entries_[number] = SubjectEntry();
        free_.push_back(number);
        --size_;
    }
    void clear() {
        entries_.clear();
        slots_.clear();
        free_.clear();
        size_ = used_ = 0;
        ++generation_;
    }

private:
    static constexpr uint32_t kEmpty = UINT32_MAX;
    static constexpr uint32_t kGone = UINT32_MAX - 1;

    static size_t hash(std::string_view name) { return std::hash<std::string_view>()(name); }
    size_t mask() const { return slots_.size() - 1; }
    void place(uint32_t number) {
        size_t at = hash(entries_[number].name) & mask();
        while (slots_[at] != kEmpty && slots_[at] != kGone) at = (at + 1) & mask();
        if (slots_[at] == kEmpty) ++used_;
        slots_[at] = number;
    }
    // To a table that is half empty, without the places of those that are gone.
    void grow() {
        size_t wanted = 16;
        while (wanted < (size_ + 1) * 2) wanted *= 2;
        std::vector<uint32_t> old(wanted, kEmpty);
        old.swap(slots_);
        used_ = 0;
        for (const uint32_t number : old) {
            if (number != kEmpty && number != kGone) place(number);
        }
    }

    std::deque<SubjectEntry> entries_;
    std::vector<uint32_t> slots_;  // a power of two
    std::vector<uint32_t> free_;
    size_t size_ = 0;
    size_t used_ = 0;  // slots that are not empty
    uint64_t generation_ = 0;
};

}  // namespace candela::bus_role
