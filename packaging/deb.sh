#!/usr/bin/env bash
# Makes candela_VERSION_ARCH.deb in the repository's root out of a finished build folder.
#   packaging/deb.sh BUILD-FOLDER
set -eu -o pipefail
cd "$(dirname "$0")/.."
build=$1
version=$(meson introspect --projectinfo "$build" | sed -E 's/.*"version": "([^"]+)".*/\1/')
arch=$(dpkg --print-architecture)
deb=candela_${version}_$arch.deb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/debian/candela
# One commit makes the same package again, byte for byte.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

put() { install -D -m "$1" "$2" "$root/$3"; }

install -D -m 755 "$build/candela" "$root/usr/bin/candela"
strip --strip-all "$root/usr/bin/candela"
for profile in config/*.toml; do
    put 644 "$profile" "etc/candela/$(basename "$profile")"
done
for unit in packaging/systemd/*.service; do
    put 644 "$unit" "usr/lib/systemd/system/$(basename "$unit")"
done
put 644 packaging/sysusers.conf usr/lib/sysusers.d/candela.conf
put 644 packaging/tmpfiles.conf usr/lib/tmpfiles.d/candela.conf
put 644 README.md usr/share/doc/candela/README.md
for guide in docs/*.md; do
    put 644 "$guide" "usr/share/doc/candela/$(basename "$guide")"
done
cp -r examples "$root/usr/share/doc/candela/examples"
rm -rf "$root"/usr/share/doc/candela/examples/*/{node_modules,.gitignore,.npmrc}
find "$root/usr/share/doc/candela/examples" -type f -exec chmod go=r {} + -o -type d -exec chmod 755 {} +
{
    echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
    echo 'Upstream-Name: candela'
    printf '\nFiles: *\nCopyright: the candela authors\nLicense: Apache-2.0\n'
    echo ' On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.'
} >"$root/usr/share/doc/candela/copyright"
mkdir -p "$root/usr/share/man/man1"
sed "s/@VERSION@/$version/" packaging/candela.1 | gzip -9n >"$root/usr/share/man/man1/candela.1.gz"

complete() { # complete SHELL FILE
    mkdir -p "$root/$(dirname "$2")"
    "$build/candela" ctl completion "$1" >"$root/$2"
    chmod 644 "$root/$2"
}
complete bash usr/share/bash-completion/completions/candela
complete zsh usr/share/zsh/vendor-completions/_candela
complete fish usr/share/fish/vendor_completions.d/candela.fish

# What the executable links decides which packages it needs.
printf 'Source: candela\n\nPackage: candela\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O debian/candela/usr/bin/candela 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || { echo "packaging/deb.sh: dpkg-shlibdeps found no dependencies" >&2; exit 1; }

mkdir -p "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: candela
Version: $version
Architecture: $arch
Maintainer: The candela authors <candela@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Depends: $libraries, systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles
Recommends: ca-certificates, tzdata
Section: net
Priority: optional
Description: whole cloud in one executable
 Gateway, bus, hosts, lighthouse and load balancers: each machine gets a role in
 a TOML profile, and together they deploy, run and serve services. With every
 role in one process it is a cloud on a laptop.
CONTROL
for script in postinst prerm postrm; do
    install -m 755 "packaging/deb/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find etc -type f | sed 's,^,/,' | sort) >"$root/DEBIAN/conffiles"
(cd "$root" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
    >"$root/DEBIAN/md5sums"
find "$root" -type d -exec chmod 755 {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >/dev/null
echo "$deb"
