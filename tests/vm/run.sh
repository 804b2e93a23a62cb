#!/bin/sh
# Proves the sandbox on cgroup v2: boots Debian kernels in an emulated machine and runs guest.py there.
# Usage: tests/vm/run.sh [TEST...]; the names are those of guest.py, all where none is given.
# TIME_MAX_S: seconds for all kernels together, 900 where it is not given.
# KERNELS: packages to boot, the default being every generation that apt offers of the cloud kernel.
# Needs root only where packages are missing. Everything is made below target/vm.
set -eu

# For all kernels together; a slow machine may need more.
TIME_MAX_S=${TIME_MAX_S:-900}
HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
ROOT=$(CDPATH='' cd -- "$HERE/../.." && pwd)
WORK=$ROOT/target/vm
# In the order in which they can be loaded; what a kernel has built in is not found and left out.
MODULES='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk overlay
zsmalloc lz4_compress lz4hc_compress lz4 zram'
# As the host has them; busybox would be another program than the tests were written for.
PROGRAMS='/bin/sh /bin/sleep /bin/echo /bin/cat /bin/true /bin/ls /bin/ln /bin/rm /bin/mv /bin/chmod
/bin/mkdir /usr/bin/wc /usr/bin/setpriv /usr/bin/unshare /usr/bin/mkfifo /usr/bin/head /usr/bin/env /usr/bin/python3 /usr/bin/busybox'

main() {
    install_tools
    mkdir -p "$WORK"
    cargo build --locked --manifest-path "$ROOT/Cargo.toml" -p assay-sandbox --bins --examples
    make_disk
    failed=0
    began=$(date +%s)
    kernels=${KERNELS:-$(offered_kernels)}
    [ -n "$kernels" ] || { echo "apt offers no linux-image-cloud-amd64: run apt-get update" >&2; return 1; }
    for kernel in $kernels; do
        fetch_kernel "$kernel"
        make_initramfs "$kernel"
        boot "$kernel" "$@" || failed=1
    done
    return "$failed"
}

install_tools() {
    missing=
    for pair in qemu-system-x86_64=qemu-system-x86 busybox=busybox-static mke2fs=e2fsprogs xz=xz-utils /usr/bin/python3=python3-minimal; do
        command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
    done
    [ -z "$missing" ] && return
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

offered_kernels() {
    apt-cache pkgnames linux-image- | grep -Ex 'linux-image-([0-9]+\.[0-9]+-)?cloud-amd64' | sort
}

# Unpacks the kernel that the package $1 stands for to $WORK/$1. It is not installed here.
fetch_kernel() {
    [ -e "$WORK/$1/boot" ] && return
    package=$(apt-cache depends "$1" | awk '/ Depends: linux-image-/ {print $2; exit}')
    (cd "$WORK" && apt-get download -qq "$package")
    dpkg-deb -x "$WORK/$package"_*.deb "$WORK/$1.part"
    rm "$WORK/$package"_*.deb
    mv "$WORK/$1.part" "$WORK/$1"
}

make_initramfs() {
    tree=$WORK/initramfs
    rm -rf "$tree"
    mkdir -p "$tree/bin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/disk" "$tree/modules"
    cp "$(command -v busybox)" "$tree/bin/busybox"
    number=10
    for module in $MODULES; do
        found=$(find "$WORK/$1/lib/modules" -name "$module.ko" -o -name "$module.ko.xz")
        [ -n "$found" ] || continue
        target=$tree/modules/$number-$module.ko
        case $found in *.xz) xz -dc "$found" >"$target" ;; *) cp "$found" "$target" ;; esac
        number=$((number + 1))
    done
    cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod "$module"; done
until [ -b /dev/vda ]; do /bin/busybox usleep 10000; done
/bin/busybox mount -t ext4 -o ro /dev/vda /disk
exec /bin/busybox switch_root /disk /init
INIT
    chmod +x "$tree/init"
    (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$WORK/initramfs.cpio"
}

# The path of the system tests' executable.
system_tests() {
    cargo test --locked --manifest-path "$ROOT/Cargo.toml" -p assay-tests --test system --no-run \
        --message-format=json | sed -n 's/.*"name":"system".*"executable":"\([^"]*\)".*/\1/p'
}

# Makes the root file system of the machine: a few programs with their libraries, and ours.
make_disk() {
    tree=$WORK/disk
    rm -rf "$tree" "$WORK/disk.img"
    mkdir -p "$tree/usr/bin" "$tree/usr/lib" "$tree/usr/lib64" "$tree/usr/sbin" "$tree/etc" "$tree/dev" \
        "$tree/proc" "$tree/sys" "$tree/run" "$tree/tmp" "$tree/var" "$tree/root"
    for name in bin lib lib64 sbin; do ln -s "usr/$name" "$tree/$name"; done
    python=$(/usr/bin/python3 -c 'import sys; print(f"/usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}")')
    mkdir -p "$tree$python"
    (cd "$python" && tar -c --exclude=test --exclude=idlelib --exclude=ensurepip --exclude=dist-packages .) |
        tar -x -C "$tree$python"
    for path in $PROGRAMS "$ROOT/target/debug/sandbox" "$ROOT/target/debug/examples/warm" "$(system_tests)"; do
        # Links stay links: the name of what python3 leads to tells its version.
        found=$(readlink -f "$path")
        cp "$found" "$tree/usr/bin/"
        [ "$(basename "$path")" = "$(basename "$found")" ] ||
            ln -s "$(basename "$found")" "$tree/usr/bin/$(basename "$path")"
        copy_libraries "$path"
    done
    for extension in "$python"/lib-dynload/*.so; do copy_libraries "$extension"; done
    # The system tests look for our programs where cargo puts them.
    mkdir -p "$tree/target/debug/deps"
    mv "$tree"/usr/bin/system-* "$tree/target/debug/deps/system-tests"
    strip -g "$tree/usr/bin/sandbox" "$tree/usr/bin/warm" "$tree/target/debug/deps/system-tests"
    ln "$tree/usr/bin/sandbox" "$tree/target/debug/sandbox"
    cp /etc/ld.so.cache /etc/ld.so.conf "$tree/etc/"
    cp "$HERE/guest.py" "$tree/root/"
    # The system tests list their programs when they start, whichever of them are run.
    mkdir -p "$tree$ROOT/tests"
    cp -r "$ROOT/tests/programs" "$tree$ROOT/tests/"
    cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
export PATH=/usr/bin:/bin
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
# The options that systemd mounts it with.
busybox mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
for folder in /run /tmp /var; do busybox mount -t tmpfs tmpfs $folder; done
busybox mkdir -p /dev/shm && busybox mount -t tmpfs tmpfs /dev/shm
busybox ifconfig lo 127.0.0.1 2>/dev/null
echo lz4 >/sys/block/zram0/comp_algorithm
echo 96M >/sys/block/zram0/disksize && busybox mkswap /dev/zram0 >/dev/null && busybox swapon /dev/zram0
# An idle machine's clock runs ahead to its next timer, also while it waits for the disk: no test may.
busybox find / -xdev -type f -exec busybox cat {} + >/dev/null
python3 /root/guest.py
busybox poweroff -f
INIT
    chmod +x "$tree/init"
    mke2fs -q -t ext4 -O ^has_journal -d "$tree" "$WORK/disk.img" 400M
}

# Copies what $1 is linked with to the same place below $tree.
copy_libraries() {
    { ldd "$1" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
        cp -L --parents "$(readlink -f "$(dirname "$library")")/$(basename "$library")" "$tree/"
    done
}

# Boots kernel $1 and runs the tests that the other arguments name. Fails unless the machine said so.
boot() {
    kernel=$1
    shift
    log=$WORK/$kernel.log
    names=$(IFS=,; echo "$*")
    left=$((began + TIME_MAX_S - $(date +%s)))
    [ "$left" -gt 0 ] || { echo "no time is left for $kernel" >&2; return 1; }
    echo "== $kernel ($(basename "$WORK/$kernel"/boot/vmlinuz-*)), at most $left s"
    timeout --signal=KILL "$left" qemu-system-x86_64 -accel tcg,thread=single -icount shift=1,sleep=off -rtc clock=vm -cpu max -smp 1 -m 2048 \
        -nodefaults -no-reboot -display none -serial stdio \
        -kernel "$WORK/$kernel"/boot/vmlinuz-* -initrd "$WORK/initramfs.cpio" \
        -drive "file=$WORK/disk.img,format=raw,if=virtio,readonly=on" \
        -append "console=ttyS0 quiet panic=-1 assay_tests=$names" </dev/null | tee "$log" || true
    grep -q '^VM-SUMMARY .* failed=0' "$log"
}

main "$@"
