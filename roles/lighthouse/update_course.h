#pragma once

// What a deployment would do, said before it: a few sentences for people. Pure.

#include <string>
#include <vector>

#include "model.h"

namespace candela::lighthouse {

// `service`: as it is; null where there is none. The release has its manifest and instances.
std::vector<std::string> course_of(const Service* service, const Release& release);

}  // namespace candela::lighthouse
