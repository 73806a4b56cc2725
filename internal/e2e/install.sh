#!/usr/bin/env bash
# Installs what the tests need besides Go and what is missing: programs from Debian, as
# root (a C compiler for the race detector among them), and npm packages into node_modules.
# With arguments, it installs only the programs of these names. It prints nothing if nothing is
# missing, and names what it cannot install. Tests then skip, or fail where CI is set.
set -euo pipefail
cd "$(dirname "$0")/../.."

# each program or file, and the Debian package that has it; the fonts are for pages in Chinese and for reactions
needed="
  cc                 build-essential
  chromium           chromium
  firefox-esr        firefox-esr
  ip                 iproute2
  nft                nftables
  certutil           libnss3-tools
  systemd-analyze    systemd
  turnutils_uclient  coturn
  turnserver         coturn
  taskset            util-linux
  setpriv            util-linux
  setcap             libcap2-bin
  curl               curl
  node               nodejs
  npm                npm
  clang-14           clang-14
  llvm-strip-14      llvm-14
  nginx              nginx-light
  miniupnpd          miniupnpd-nftables
  caddy              caddy
  debootstrap        debootstrap
  systemd-nspawn     systemd-container
  ssh                openssh-client
  sshd               openssh-server
  /usr/share/fonts/truetype/wqy/wqy-microhei.ttc   fonts-wqy-microhei
  /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf  fonts-noto-color-emoji
"
# and what is only installed by its name, for one target alone
named="
  podman                    podman
  podman-compose            podman-compose
  runc                      runc
  iptables                  iptables
  /usr/lib/podman/netavark  netavark
"

give_up() {
  echo "install.sh: $*" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
  echo "install.sh: continuing; the tests that need it will skip" >&2
  exit 0
}

PATH=$PATH:/usr/sbin:/sbin
missing=()
while read -r program package; do
  [ $# = 0 ] || [[ " $* " == *" $program "* ]] || continue
  [ -z "$program" ] || command -v "$program" >/dev/null || [ -e "$program" ] || missing+=("$package")
done <<<"$needed$([ $# = 0 ] || echo "$named")"

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || give_up "missing: ${missing[*]} (Debian's names), and there is no apt-get here to install it"
  [ "$(id -u)" = 0 ] || give_up "missing: ${missing[*]}; as root: apt-get install ${missing[*]}"
  echo "install.sh: installing ${missing[*]}" >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    give_up "apt-get could not install ${missing[*]}"
  fi
  # These packages start servers on the ports that ours uses. Only the tests may start them.
  if [ -d /run/systemd/system ]; then
    for service in coturn nginx caddy ssh; do
      if [[ " ${missing[*]} " == *" ${service/#ssh/openssh-server}"* ]]; then systemctl disable --now --quiet "$service" || true; fi
    done
  fi
fi

if [ $# = 0 ] && [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2 || give_up "npm ci failed"
fi
