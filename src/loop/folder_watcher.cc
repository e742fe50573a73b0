#include "loop/folder_watcher.h"

#include <uv.h>

#include "loop/uv_stream_impl.h"

namespace candela {

namespace {

class UvFolderWatcher final : public FolderWatcher {
public:
    explicit UvFolderWatcher(OnChange on_change) : on_change_(std::move(on_change)) {}
    ~UvFolderWatcher() override {
        if (handle_ == nullptr) return;
        handle_->data = nullptr;
        uv_close(reinterpret_cast<uv_handle_t*>(handle_),
                 [](uv_handle_t* closed) { delete reinterpret_cast<uv_fs_event_t*>(closed); });
    }
    Result<> open(uv_loop_t* loop, const std::filesystem::path& folder) {
        handle_ = new uv_fs_event_t;
        uv_fs_event_init(loop, handle_);
        handle_->data = this;
        const int status = uv_fs_event_start(
            handle_,
            [](uv_fs_event_t* handle, const char* name, int, int) {
                if (handle->data == nullptr) return;
                const std::string_view text = name == nullptr ? "" : name;
                static_cast<UvFolderWatcher*>(handle->data)->on_change_(text);
            },
            folder.c_str(), 0);
        if (status != 0) return fail(uv_failure("watching " + folder.native(), status));
        return {};
    }

private:
    OnChange on_change_;
    uv_fs_event_t* handle_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<FolderWatcher>> FolderWatcher::watch(Loop& loop,
                                                            const std::filesystem::path& folder,
                                                            OnChange on_change) {
    if (loop.uv() == nullptr) return fail(Code::kUnsupported, "a simulated loop has no files");
    auto watcher = std::make_unique<UvFolderWatcher>(std::move(on_change));
    CANDELA_TRY(watcher->open(loop.uv(), folder));
    return std::unique_ptr<FolderWatcher>(std::move(watcher));
}

}  // namespace candela
