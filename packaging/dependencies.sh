# What candela is built from and tested against, as Debian packages, and how they get onto this machine.
# Sourced by ./dev. Where everything is there already, nothing but dpkg-query runs.

# Each entry is a package, or package>=version where an older one would not do.
BUILD_PACKAGES=(
    g++ meson ninja-build pkgconf ccache python3
    libfmt-dev nlohmann-json3-dev libuv1-dev libsodium-dev libssl-dev libsqlite3-dev
    libarchive-dev libzstd-dev zlib1g-dev libbrotli-dev libnghttp2-dev libseccomp-dev libcli11-dev libnanopb-dev nanopb protobuf-compiler
    'libllhttp-dev>=9.2' 'libtoml11-dev>=4' 'libcatch2-dev>=3.7'
)
# Real servers and clients that the tests and benchmarks run candela with.
TEST_PACKAGES=(
    curl openssl procps iproute2 libfaketime xz-utils zstd tzdata
    nginx haproxy pebble prometheus wrk nats-server libnats-dev nghttp2-client slowhttptest php-cli chromium
    golang-go golang-github-nats-io-go-nats-dev
    docker.io podman busybox-static
    python3-flask python3-packaging default-jdk-headless cmake make
    dpkg-dev qemu-system-x86 mmdebstrap cpio
)
CLANG_PACKAGES=(clang-19 clang-tidy-19 clang-format-19 clang-tools-19 libclang-rt-19-dev)
PACKAGE_PACKAGES=(dpkg-dev systemd man-db)

# On Debian 12 these come from newer suites; everything else stays Debian 12's. libcatch2 must be the
# backport: trixie's static library is built by a newer g++ and does not link.
BOOKWORM_FROM_TRIXIE='libllhttp-dev libllhttp9.2 libtoml11-dev'
BOOKWORM_FROM_BACKPORTS='catch2 libcatch2-dev'

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Prints those of the packages named that are missing or too old.
missing_packages() {
    local entry name wanted have
    declare -A installed=()
    while read -r name have; do
        installed[$name]=$have
    done < <(dpkg-query -W -f='${db:Status-Status} ${Package} ${Version}\n' "${@%%>=*}" 2>/dev/null |
        sed -n 's/^installed //p')
    for entry in "$@"; do
        name=${entry%%>=*}
        wanted=${entry#"$name"}
        wanted=${wanted#>=}
        have=${installed[$name]:-}
        if [ -z "$have" ]; then
            echo "$name"
        elif [ -n "$wanted" ] && dpkg --compare-versions "$have" lt "$wanted"; then
            echo "$name"
        fi
    done
}

# Prints "URI<tab>Signed-By" of the source that this machine uses for the suite named. Signed-By is
# empty where the source names no keyring file.
mirror_of_suite() {
    local suite=$1 file
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        awk -v suite="$suite" '
            function flush() {
                if (uri != "" && enabled && (" " suites " ") ~ (" " suite " ") && !found) {
                    print uri "\t" key; found = 1
                }
                uri = ""; suites = ""; key = ""; enabled = 1
            }
            BEGIN { enabled = 1 }
            /^[ \t]*$/ { flush(); next }
            tolower($1) == "uris:" { uri = $2 }
            tolower($1) == "suites:" { $1 = ""; suites = $0; gsub(/[ \t]+/, " ", suites) }
            tolower($1) == "signed-by:" && $2 ~ /^\// { key = $2 }
            tolower($1) == "enabled:" && tolower($2) == "no" { enabled = 0 }
            END { flush() }' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$file" ] || continue
        awk -v suite="$suite" '
            $1 != "deb" { next }
            {
                key = ""; at = 2
                if ($2 ~ /^\[/) {
                    for (; at <= NF; at++) {
                        word = $at; gsub(/[][]/, "", word)
                        if (word ~ /^signed-by=\//) key = substr(word, 11)
                        if ($at ~ /\]$/) { at++; break }
                    }
                }
                if ($(at + 1) == suite) { print $at "\t" key; exit }
            }' "$file"
    done
}

# Lets Debian 12 take the few packages above from newer suites, from the mirror it already uses.
add_newer_suites() {
    local uri key sources=/etc/apt/sources.list.d/candela-extra.sources
    [ -e "$sources" ] && return 0
    IFS=$'\t' read -r uri key < <(mirror_of_suite bookworm | head -n 1) || true
    [ -n "${uri:-}" ] || die "found no mirror for the suite bookworm in /etc/apt" \
        "add one to /etc/apt/sources.list, then run ./dev again"
    step "adding $sources: a few newer packages from $uri"
    {
        printf 'Types: deb\nURIs: %s\nSuites: trixie bookworm-backports\nComponents: main\n' "$uri"
        [ -z "$key" ] || printf 'Signed-By: %s\n' "$key"
    } | as_root tee "$sources" >/dev/null
    as_root tee /etc/apt/preferences.d/candela-extra >/dev/null <<PINS
# Nothing comes from these suites by itself; only the packages named below do.
Package: *
Pin: release n=trixie
Pin-Priority: 1

Package: *
Pin: release n=bookworm-backports
Pin-Priority: 1

Package: $BOOKWORM_FROM_TRIXIE
Pin: release n=trixie
Pin-Priority: 990

Package: $BOOKWORM_FROM_BACKPORTS
Pin: release n=bookworm-backports
Pin-Priority: 990
PINS
}

# Installs what is missing of the packages named. Servers that come along are not started: the tests
# run their own copies, and a developer's machine need not serve anything.
ensure_packages() {
    local -a missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0

    local codename=unknown
    [ -r /etc/os-release ] && codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")
    case $codename in
    bookworm)
        case " ${missing[*]} " in
        *' libllhttp-dev '* | *' libtoml11-dev '* | *' libcatch2-dev '*) add_newer_suites ;;
        esac
        ;;
    trixie) ;;
    *) die "missing: ${missing[*]}" \
        "./dev installs them on Debian 12 and 13 only; install them by hand, then run ./dev again" ;;
    esac
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        die "missing: ${missing[*]}" "run ./dev as root once, or install sudo"
    fi

    step "installing ${#missing[@]} Debian packages: ${missing[*]}"
    as_root apt-get update -q
    local policy=/usr/sbin/policy-rc.d made_policy=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        made_policy=yes
    fi
    local status=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${missing[@]}" </dev/null || status=$?
    [ -z "$made_policy" ] || as_root rm -f "$policy"
    # Nor shall they start with the machine from now on.
    local server
    for server in nginx haproxy nats-server; do
        case " ${missing[*]} " in
        *" $server "*) [ ! -d /run/systemd/system ] || as_root systemctl -q disable "$server" || true ;;
        esac
    done
    case " ${missing[*]} " in
    *' docker.io '*)
        [ ! -d /run/systemd/system ] ||
            as_root systemctl -q disable docker.service docker.socket containerd.service || true
        ;;
    esac
    [ "$status" = 0 ] || die "apt-get could not install: ${missing[*]}" "see its message above"
}

# Debian 13's nats-server (2.10 or newer), which the bus is compared with where Debian 12's 2.9 lacks a feature. It is
# unpacked beside the installed one. Tests and benchmarks that want it skip, and say so, where it could not be had.
NEWER_NATS_SERVER=build/nats-server-2.10/usr/sbin/nats-server

ensure_newer_nats_server() {
    [ ! -x "$NEWER_NATS_SERVER" ] || return 0
    local installed
    installed=$(nats-server --version 2>/dev/null | sed -n 's/^nats-server: v//p')
    mkdir -p "${NEWER_NATS_SERVER%/*}"
    if [ -n "$installed" ] && dpkg --compare-versions "$installed" ge 2.10; then
        ln -s "$(command -v nats-server)" "$NEWER_NATS_SERVER"
        return 0
    fi
    step 'unpacking nats-server 2.10 from Debian 13'
    (unpack_newer_nats_server) || step 'there is no nats-server 2.10: what is compared with it is skipped'
}

download_in() { (cd "$1" && apt-get download -q nats-server/trixie) >&2; }

unpack_newer_nats_server() {
    local folder dir=${NEWER_NATS_SERVER%/usr/sbin/*}
    add_newer_suites || return 1
    folder=$(mktemp -d) || return 1
    # apt-get downloads as a user of its own.
    chmod 755 "$folder"
    if { download_in "$folder" || { as_root apt-get update -q >&2 && download_in "$folder"; }; } &&
        dpkg-deb -x "$folder"/nats-server_*.deb "$dir" && "$NEWER_NATS_SERVER" --version >&2; then
        rm -rf "$folder"
        return 0
    fi
    rm -rf "$folder" "$dir"
    return 1
}

# Node.js with npm, from wherever the machine has it; Debian's own where it has none.
ensure_node() {
    command -v node >/dev/null || ensure_packages nodejs
    [ "${1:-}" != npm ] || command -v npm >/dev/null || ensure_packages npm
}
