#pragma once

// Where time enters. On a Loop now() is the time at which the current round of events began, so
// that everything done in one round agrees; a simulated loop's clock is virtual.

#include "base/time.h"

namespace candela {

class Clock {
public:
    virtual ~Clock() = default;
    virtual MonoTime now() const = 0;
    virtual WallTime wall() const = 0;
};

}  // namespace candela
