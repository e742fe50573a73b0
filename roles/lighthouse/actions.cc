#include "actions.h"

namespace candela::lighthouse {

std::string to_string(const Action& action) {
    struct Format {
        std::string operator()(const CreateInstance& a) const {
            return fmt::format("create {} release {} on {}", to_string(a.service), a.release,
                               a.node);
        }
        std::string operator()(const MarkDraining& a) const { return "drain " + a.instance; }
        std::string operator()(const TellStop& a) const { return "stop " + a.instance; }
        std::string operator()(const Forget& a) const { return "forget " + a.instance; }
        std::string operator()(const EndRollout& a) const {
            return fmt::format("release {} of {} is {}{}{}", a.release, to_string(a.service),
                               to_string(a.rollout), a.cause.empty() ? "" : ": ", a.cause);
        }
        std::string operator()(const Promote& a) const {
            return fmt::format("promote release {} of {}", a.release, to_string(a.service));
        }
        std::string operator()(const RemoveService& a) const {
            return "remove " + to_string(a.service);
        }
    };
    return std::visit(Format(), action);
}

}  // namespace candela::lighthouse
