#!/usr/bin/env bash
# Installs a candela_*.deb, checks its units and starts its roles by hand, removes and purges it, and fails
# where anything is left. It changes the machine it runs on: for a chroot or a container, as root.
#   packaging/check_deb.sh FILE.deb
set -eu -o pipefail
deb=$(readlink -f "$1")
fail() { echo "check_deb: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "run it as root in a chroot or container"
# Everything that is there; what dpkg, apt and man write besides is not the package's.
snapshot() { find /etc /usr /var/lib /lib/systemd -xdev \( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd \
    -o -path '*/man/cat*' -o -name 'index.db' -o -name 'passwd*' -o -name 'group*' -o -name '*shadow*' -o -name '.pwd.lock' \
    -o -name 'ld.so.cache' -o -name 'mtab' \) -prune -o -print | sort; }

dpkg -r candela >/dev/null 2>&1 || true
dpkg -P candela >/dev/null 2>&1 || true
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$deb" >/dev/null
dpkg -P candela >/dev/null
before=$(snapshot)

dpkg -i "$deb" >/dev/null
echo "installed $(dpkg-query -W -f='${Version}' candela)"
getent passwd candela >/dev/null || fail "no user candela"
[ "$(stat -c %a:%U /var/lib/candela)" = 700:candela ] || fail "/var/lib/candela: $(stat -c %a:%U /var/lib/candela)"
for unit in /usr/lib/systemd/system/candela*.service; do
    name=${unit##*/}
    [ "$name" != candela@.service ] || name=candela@all-in-one.service
    # Debian 12's systemd is older than this key, ignores it, and is then without groups for instances.
    code=0
    said=$(systemd-analyze verify --man=no --recursive-errors=no "$name" 2>&1) || code=$?
    out=$(grep -v "Unknown key 'DelegateSubgroup'" <<<"$said" || true)
    [ -z "$out" ] || fail "systemd-analyze verify $name says: $out"
    [ "$code" = 0 ] || [ -n "$said" ] || fail "systemd-analyze verify $name: exit code $code"
    systemd-analyze security --offline=true "$name" 2>/dev/null | tail -n 1
done
for profile in /etc/candela/*.toml; do
    runuser -u candela -- candela node --check "$profile" >/dev/null || fail "$profile does not pass --check"
done

# systemd may not be running here, so a node is started by hand, as its unit would, and with its capability.
runuser -u candela -- candela init --data-dir /var/lib/candela >/dev/null
setpriv --reuid candela --regid candela --init-groups --inh-caps +net_bind_service \
    --ambient-caps +net_bind_service candela node --config /etc/candela/all-in-one.toml >/tmp/candela-check.log 2>&1 &
runner=$!
ready=
for _ in $(seq 600); do
    if exec 3<>/dev/tcp/127.0.0.1/7401; then
        printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
        read -r _ status _ <&3 || status=
        exec 3>&-
        [ "$status" != 200 ] || { ready=yes; break; }
    fi 2>/dev/null
    sleep 0.1
done
[ -n "$ready" ] || { cat /tmp/candela-check.log; fail "all-in-one was not ready within a minute"; }
candela ctl status >/dev/null || fail "ctl status as root"
echo "all-in-one is ready"
kill -TERM "$runner"
wait "$runner" || fail "the node ended with $?"

echo '# mine' >>/etc/candela/gateway.toml
dpkg -i "$deb" >/dev/null
grep -q '^# mine' /etc/candela/gateway.toml || fail "an upgrade has overwritten a changed profile"
dpkg -r candela >/dev/null
[ -e /etc/candela/gateway.toml ] && [ -e /var/lib/candela/identity ] || fail "remove has taken profiles or data"
[ ! -e /usr/bin/candela ] || fail "remove has left the executable"
dpkg -P candela >/dev/null
getent passwd candela >/dev/null && fail "purge has left the user"
rm -f /tmp/candela-check.log
diff <(echo "$before") <(snapshot) || fail "purge has left the files above"
echo "removed and purged without a trace"
