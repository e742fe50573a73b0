#pragma once

// Names for things that are made at run time.

#include <string>

#include "base/random.h"

namespace candela {

// 22 characters of [0-9A-Za-z]: about 131 bits, unique without coordination; fits a bus subject
// token.
std::string make_id(Random& random);

// 8 characters of [0-9a-z] for what people read and type, such as instances ("hello-3f9k2m1x"):
// about 41 bits; the caller checks that it is free.
std::string make_short_id(Random& random);

}  // namespace candela
