# shellcheck shell=bash
# The programs that come from the distribution: which are missing, and on Debian their installation.

# program and the Debian package that has it. Programs are looked for, not packages: another distribution that
# has them will do.
NEEDED=(
  "containerd containerd" "ctr containerd" "runc runc" "nft nftables" "conntrack conntrack" "iptables iptables"
  "ip iproute2" "nsenter util-linux" "setsid util-linux" "flock util-linux" "openssl openssl" "buildah buildah"
  "ps procps" "modprobe kmod" "curl curl"
)

# The folder of the CNI plugins: Debian's, or the usual one elsewhere.
cni_folder() { local folder; for folder in /usr/lib/cni /opt/cni/bin; do [ ! -x "$folder/ptp" ] || { echo "$folder"; return; }; done; return 1; }

missing_packages() {
  local line
  {
    for line in "${NEEDED[@]}"; do command -v "${line% *}" >/dev/null || echo "${line#* }"; done
    cni_folder >/dev/null || echo containernetworking-plugins
  } | sort -u
}

# Installs what is missing, after naming it. Nothing happens when all of it is there.
install_deps() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "failed to find the programs of: ${missing[*]}. This is not Debian, so install them by your system's means; the names are Debian's"
  say "Debian packages to be installed: ${missing[*]}"
  need_root "install them"
  export DEBIAN_FRONTEND=noninteractive
  apt_install "${missing[@]}" || { apt-get update -q >&2 && apt_install "${missing[@]}"; } ||
    die "failed to install ${missing[*]}; the lines above say why. Try by hand: apt-get update && apt-get install ${missing[*]}"
}

apt_install() { apt-get install -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >&2; }
