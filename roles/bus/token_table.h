#pragma once

// The children of a trie node by token: open addressing, with what decides most comparisons beside
// the pointer. Nothing is allocated for a node without children. The children (T: with `token` and
// `hash`) are owned. Hashes must be keyed (base/keyed_hash.h).

#include <cstdint>
#include <memory>
#include <string_view>

namespace candela::bus_role {

template <class T>
class TokenTable {
public:
    TokenTable() = default;
    ~TokenTable() {
        for (size_t i = 0; i < capacity(); ++i) delete slots_[i].child;
    }
    TokenTable(const TokenTable&) = delete;
    TokenTable& operator=(const TokenTable&) = delete;

    bool empty() const { return count_ == 0; }

    T* find(size_t hash, std::string_view token) const {
        if (count_ == 0) return nullptr;
        for (size_t i = hash & mask_; slots_[i].child != nullptr; i = (i + 1) & mask_) {
            if (slots_[i].hash == hash && slots_[i].child->token == token) return slots_[i].child;
        }
        return nullptr;
    }
    // A child whose token is not there yet.
    T* add(std::unique_ptr<T> child) {
        if ((count_ + 1) * 4 > capacity() * 3) resize(capacity() == 0 ? 2 : capacity() * 2);
        T* added = child.release();
        place(Slot{added->hash, added});
        ++count_;
        return added;
    }
    void remove(const T& child) {
        size_t hole = child.hash & mask_;
        while (slots_[hole].child != &child) hole = (hole + 1) & mask_;
        delete slots_[hole].child;
        --count_;
        // What was pushed on because of it moves back, so that no search ends too early.
        for (size_t i = (hole + 1) & mask_; slots_[i].child != nullptr; i = (i + 1) & mask_) {
            const size_t home = slots_[i].hash & mask_;
            if (((i - home) & mask_) < ((i - hole) & mask_)) continue;
            slots_[hole] = slots_[i];
            hole = i;
        }
        slots_[hole] = Slot{};
        if (count_ == 0)
            resize(0);
        else if (count_ * 8 < capacity())
            resize(capacity() / 2);
    }

private:
    struct Slot {
        size_t hash = 0;
        T* child = nullptr;
    };

    size_t capacity() const { return slots_ == nullptr ? 0 : size_t{mask_} + 1; }
    void place(const Slot& slot) {
        size_t i = slot.hash & mask_;
        while (slots_[i].child != nullptr) i = (i + 1) & mask_;
        slots_[i] = slot;
    }
    void resize(size_t wanted) {
        const size_t before = capacity();
        std::unique_ptr<Slot[]> old = std::move(slots_);
        mask_ = wanted == 0 ? 0 : static_cast<uint32_t>(wanted - 1);
        if (wanted != 0) slots_.reset(new Slot[wanted]);
        for (size_t i = 0; i < before; ++i) {
            if (old[i].child != nullptr) place(old[i]);
        }
    }

    std::unique_ptr<Slot[]> slots_;
    uint32_t count_ = 0;
    uint32_t mask_ = 0;
};

}  // namespace candela::bus_role
