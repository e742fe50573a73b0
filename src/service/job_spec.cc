#include "service/job_spec.h"

namespace candela::service {

std::string_view to_string(Overlap overlap) {
    switch (overlap) {
        case Overlap::kForbid: return "forbid";
        case Overlap::kAllow: return "allow";
        case Overlap::kReplace: return "replace";
    }
    return "forbid";
}

std::string_view to_string(Missed missed) { return missed == Missed::kOnce ? "once" : "skip"; }

}  // namespace candela::service
