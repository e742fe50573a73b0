#include "ctl/verb.h"

#include "ctl/top.h"

#include <vector>

#include "base/text.h"
#include "ctl/watch.h"

namespace candela::ctl {

int exit_code_of(const Error& error) {
    switch (error.code()) {
        case Code::kInvalid:
            return kUsage;  // what was given is wrong: options, service.toml, names
        case Code::kNotFound: return kNotFound;
        case Code::kDenied: return kDenied;
        case Code::kConflict: return kConflict;
        case Code::kUnreachable:
        case Code::kTimeout: return kUnreachable;
        default: return kFailed;
    }
}

std::string Arguments::text(std::string_view name, std::string_view fallback) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::string(fallback) : found->second;
}

std::vector<std::string> Arguments::list(std::string_view name) const {
    const auto found = lists_.find(name);
    return found == lists_.end() ? std::vector<std::string>() : found->second;
}

Result<uint64_t> Arguments::number(std::string_view name, uint64_t fallback, uint64_t min,
                                   uint64_t max) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return fallback;
    const auto parsed = parse_uint(found->second);
    if (parsed && *parsed >= min && *parsed <= max) return *parsed;
    return fail(Code::kInvalid, "{} takes a number from {} to {}, not \"{}\"", name, min, max,
                printable(found->second));
}

Result<Duration> Arguments::duration(std::string_view name, Duration fallback) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return fallback;
    return parse_duration(found->second).in(name);
}

std::span<const Verb> verb_table() {
    static const std::vector<Verb> table{
        status_verb(),
        deploy_verb(),
        plan_verb(),
        watch_verb(),
        diff_verb(),
        releases_verb(),
        rollback_verb(),
        restart_verb(),
        promote_verb(),
        pause_verb(),
        resume_verb(),
        lock_verb(),
        unlock_verb(),
        logs_verb(),
        top_verb(),
        exec_verb(),
        port_forward_verb(),
        scale_verb(),
        stop_verb(),
        delete_verb(),
        services_verb(),
        instances_verb(),
        nodes_list_verb(),
        nodes_show_verb(),
        nodes_cordon_verb(),
        nodes_uncordon_verb(),
        nodes_drain_verb(),
        nodes_remove_verb(),
        nodes_revoke_verb(),
        nodes_join_token_verb(),
        nodes_join_tokens_verb(),
        nodes_join_token_remove_verb(),
        events_verb(),
        spaces_list_verb(),
        spaces_create_verb(),
        spaces_delete_verb(),
        spaces_quota_verb(),
        keys_create_verb(),
        keys_list_verb(),
        keys_rotate_verb(),
        keys_revoke_verb(),
        keys_grant_verb(),
        version_verb(),
        completion_verb(),
        purge_verb(),
        maintenance_verb(),
        certificates_list_verb(),
        certificates_add_verb(),
        certificates_delete_verb(),
        secrets_list_verb(),
        secrets_set_verb(),
        secrets_history_verb(),
        secrets_rollback_verb(),
        secrets_remove_verb(),
        secrets_rotate_key_verb(),
        config_list_verb(),
        config_get_verb(),
        config_set_verb(),
        config_history_verb(),
        config_rollback_verb(),
        config_remove_verb(),
        flags_list_verb(),
        flags_get_verb(),
        flags_set_verb(),
        flags_history_verb(),
        flags_remove_verb(),
        jobs_list_verb(),
        jobs_run_verb(),
        jobs_history_verb(),
        jobs_show_verb(),
        jobs_cancel_verb(),
        jobs_pause_verb(),
        jobs_resume_verb(),
        backup_verb(),
        audit_list_verb(),
        audit_verify_verb(),
    };
    return table;
}

}  // namespace candela::ctl
