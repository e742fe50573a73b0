#pragma once

// Counts every allocation of a test program, by replacing its operator new: included by one file of
// an executable, and by no other.

#include <cstddef>
#include <cstdlib>
#include <new>

namespace candela::test {
inline thread_local size_t allocations = 0;  // by this thread
}

[[gnu::noinline]] void* operator new(size_t size) {
    ++candela::test::allocations;
    if (void* block = std::malloc(size)) return block;
    std::abort();
}
// What std::stable_sort asks for.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
    ++candela::test::allocations;
    return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, size_t) noexcept { std::free(block); }
