# Shared by scripts/run, scripts/test and scripts/check: finds or installs what a bare machine lacks.
# Sourced, not run. Everything it installs for itself goes to the user's data folder or to ./.venv-*.

ORT_VERSION="1.32.0"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
RUST_VERSION="$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$ROOT/rust-toolchain.toml")"
DATA_HOME="${XDG_DATA_HOME:-$HOME/.local/share}/vlmscope"

say() { printf '\033[1m▸ %s\033[0m\n' "$*" >&2; }
fail() { printf '\033[31m✗ %s\033[0m\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else return 126
    fi
}

# Installs the Debian packages that are missing; names them in the error if it may not install packages.
need_packages() {
    local missing=() package
    have dpkg-query || { say "no dpkg here: please see that these are installed: $*"; return 0; }
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    say "installing system packages: ${missing[*]}"
    # A broken third-party source must not stop what the others can serve.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; then return 0; fi
    fail "these system packages are missing and could not be installed from here; run as root:
    apt-get update && apt-get install -y ${missing[*]}"
}

version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

# Whether cargo, rustc, clippy and rustfmt are there (in the toolchain that rustup chooses for this folder, if rustup is) and new enough.
rust_is_usable() {
    local version
    have cargo && have rustc || return 1
    version="$(cd "$ROOT" && rustc --version 2>/dev/null | cut -d' ' -f2)" && [ -n "$version" ] || return 1
    version_at_least "$version" "$RUST_VERSION" || return 1
    (cd "$ROOT" && cargo clippy --version && cargo fmt --version) >/dev/null 2>&1
}

# Rust from the machine, from rustup (the version of rust-toolchain.toml), or rustup itself from Debian's package or its own site.
need_rust() {
    export PATH="$HOME/.cargo/bin:$PATH"
    rust_is_usable && return 0
    if ! have rustup; then
        say "installing rustup (Rust $RUST_VERSION or newer is needed)"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup >&2 2>/dev/null ||
            { need_packages curl ca-certificates && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none >&2; } ||
            fail "Rust $RUST_VERSION or newer is needed and could not be installed: see https://rustup.rs"
        hash -r
    fi
    say "installing Rust $RUST_VERSION"
    rustup toolchain install "$RUST_VERSION" --no-self-update --profile minimal -c clippy -c rustfmt >&2 || true
    rust_is_usable && return 0
    # If rustup cannot fetch $RUST_VERSION, a newer toolchain that is already installed will do.
    local toolchain
    for toolchain in $(rustup toolchain list 2>/dev/null | cut -d' ' -f1); do
        export RUSTUP_TOOLCHAIN="$toolchain"
        rust_is_usable && { say "using the toolchain $toolchain"; return 0; }
    done
    unset RUSTUP_TOOLCHAIN
    fail "Rust $RUST_VERSION or newer is needed with clippy and rustfmt, and rustup could not install it; see its message above.
    $(cd "$ROOT" && rustc --version 2>&1 | head -n 1)"
}

# Fetches ONNX Runtime's shared library out of its Python wheel into the user's data folder.
need_onnxruntime() {
    local folder="$DATA_HOME/onnxruntime"
    if [ -n "${ORT_DYLIB_PATH:-}" ] && [ -f "$ORT_DYLIB_PATH" ]; then return 0; fi
    if [ -f "$folder/libonnxruntime.so.$ORT_VERSION" ]; then return 0; fi
    say "fetching ONNX Runtime $ORT_VERSION"
    have python3 && python3 -m pip --version >/dev/null 2>&1 || need_packages python3 python3-pip
    local work; work="$(mktemp -d)"
    # The wheel's library does not depend on the Python version, so any is asked for.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 3.12 --implementation cp --abi cp312 \
        --platform "manylinux_2_28_$(uname -m)" --platform "manylinux_2_27_$(uname -m)" \
        -d "$work" "onnxruntime==$ORT_VERSION" >&2 ||
        { rm -rf "$work"; fail "ONNX Runtime $ORT_VERSION could not be fetched with pip. Fetch the wheel on another machine and set ORT_DYLIB_PATH to its libonnxruntime.so"; }
    mkdir -p "$folder"
    python3 - "$work" "$folder" <<'PY'
import os, pathlib, shutil, sys, zipfile

work, folder = map(pathlib.Path, sys.argv[1:])
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        base = os.path.basename(name)
        library = base.startswith("libonnxruntime") and ".so" in base
        if library or base in {"LICENSE", "ThirdPartyNotices.txt"}:
            part = folder / (base + ".part")
            with archive.open(name) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
            part.rename(folder / base)
PY
    rm -rf "$work"
    [ -f "$folder/libonnxruntime.so.$ORT_VERSION" ] || fail "the ONNX Runtime wheel did not hold libonnxruntime.so.$ORT_VERSION"
}

# Names in INSTALLED the vlmscope on the PATH, if a wheel of this checkout's version put it there.
installed_vlmscope() {
    local version prefix
    version="$(sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml" | head -n 1)"
    INSTALLED="$(command -v vlmscope)" && INSTALLED="$(readlink -f "$INSTALLED")" || return 1
    prefix="$(dirname "$(dirname "$INSTALLED")")"
    compgen -G "$prefix/lib/python3*/*-packages/vlmscope-$version.dist-info" >/dev/null || return 1
    [ "$("$INSTALLED" --version 2>/dev/null)" = "vlmscope $version" ]
}

# Names an sshd in VLMSCOPE_SSHD. It is installed as a package only where no service can start with it (a container);
# elsewhere Debian's package is unpacked into the user's data folder. Returns 1 where neither works.
need_sshd() {
    local folder="$DATA_HOME/openssh-server" work
    VLMSCOPE_SSHD="/usr/sbin/sshd"
    if [ ! -x "$VLMSCOPE_SSHD" ] && [ "$(id -u)" = 0 ] && [ ! -d /run/systemd/system ]; then
        local policy=/usr/sbin/policy-rc.d made=no
        if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made=yes; fi
        need_packages openssh-server openssh-client
        [ "$made" = no ] || rm -f "$policy"
    elif [ ! -x "$VLMSCOPE_SSHD" ] && [ "$(id -u)" != 0 ]; then
        VLMSCOPE_SSHD="$folder/usr/sbin/sshd"
        if [ ! -x "$VLMSCOPE_SSHD" ] && have apt-get && have dpkg-deb; then
            say "fetching sshd (it is not installed, and no service is started)"
            work="$(mktemp -d)"
            (cd "$work" && apt-get download -qq openssh-server >&2 && dpkg-deb -x openssh-server_*.deb "$folder") || true
            rm -rf "$work"
        fi
    fi
    export VLMSCOPE_SSHD
    have ssh && have ssh-keygen && [ -x "$VLMSCOPE_SSHD" ] && ! ldd "$VLMSCOPE_SSHD" | grep -q 'not found'
}

# lavapipe needs a runtime folder that exists.
need_runtime_folder() {
    if [ -z "${XDG_RUNTIME_DIR:-}" ] || [ ! -d "$XDG_RUNTIME_DIR" ]; then
        XDG_RUNTIME_DIR="${TMPDIR:-/tmp}/vlmscope-runtime-$(id -u)"
        mkdir -p -m 700 "$XDG_RUNTIME_DIR"
        export XDG_RUNTIME_DIR
    fi
}

# Names a Python that is at least MAJOR.MINOR and can make environments; installs a Debian package of one where there is one.
need_python() {
    local wanted="$1" candidate minor
    local fits="import sys, venv, ensurepip; sys.exit(sys.version_info < (${wanted/./, }))"
    have python3 || need_packages python3 python3-venv
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if have "$candidate" && "$candidate" -c "$fits" 2>/dev/null; then PYTHON="$candidate"; return 0; fi
    done
    if python3 -c "import sys; sys.exit(sys.version_info < (${wanted/./, }))"; then
        need_packages python3-venv
        PYTHON=python3
        return 0
    fi
    # Ubuntu 22.04 has 3.10 as python3 and a newer one beside it.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
    for minor in 13 12 11; do
        candidate="python3.$minor"
        if version_at_least "3.$minor" "$wanted" && [ -n "$(apt-cache madison "$candidate-venv" 2>/dev/null)" ]; then
            need_packages "$candidate" "$candidate-venv"
            PYTHON="$candidate"
            return 0
        fi
    done
    fail "Python $wanted or newer is needed here, but this machine has $(python3 --version) and no newer package.
    Install one, for example with uv (https://docs.astral.sh/uv): uv python install $wanted, so that python$wanted is on the PATH; then run this again."
}

# A Python environment with pinned requirements: need_venv NAME PYTHON-VERSION REQUIREMENTS…
need_venv() {
    local folder="$ROOT/.venv-$1"
    if [ ! -x "$folder/bin/python" ]; then
        need_python "$2"
        "$PYTHON" -m venv "$folder" >&2 || fail "$PYTHON could not make a virtual environment in $folder"
    fi
    shift 2
    local requirements
    for requirements in "$@"; do
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2 ||
            fail "the Python packages of $requirements could not be installed"
    done
    VENV_PYTHON="$folder/bin/python"
}

# Reads the number of the display that an X server (process $1, log $3) writes to the pipe $2; names it in DISPLAY once it answers.
need_display() {
    local number
    read -r -t 30 number <"$2" || { cat "$3" >&2; fail "the X server did not start"; }
    export DISPLAY=":$number"
    # The number comes before the server answers.
    for _ in $(seq 100); do
        xdotool getdisplaygeometry >/dev/null 2>&1 && return 0
        kill -0 "$1" 2>/dev/null || { cat "$3" >&2; fail "the X server ended"; }
        sleep 0.1
    done
    fail "the X server did not answer within 10 s"
}

# Waits for a window of the name $1 of the program $2 with the log $3; puts it into WINDOW.
need_window() {
    for _ in $(seq 300); do
        WINDOW="$(xdotool search --onlyvisible --name "$1" 2>/dev/null | head -n 1 || true)"
        [ -n "$WINDOW" ] && return 0
        kill -0 "$2" 2>/dev/null || { cat "$3" >&2; fail "the program ended before its window came"; }
        sleep 0.1
    done
    fail "no window $1 came within 30 s"
}

# Waits up to 10 s until the program $1 ends; fails unless it ends in time and with exit code 0. Its log is $2.
need_end() {
    local code=0
    for _ in $(seq 100); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -0 "$1" 2>/dev/null && fail "the program did not end within 10 s of being asked to"
    wait "$1" || code=$?
    [ "$code" -eq 0 ] || { cat "$2" >&2; fail "the program ended with $code"; }
}

# The number of pixels that differ by more than 2 % between two pictures of one size.
differing_pixels() {
    local count
    count="$(compare -metric AE -fuzz 2% "$1" "$2" null: 2>&1 || true)"
    # Pictures that cannot be compared count as different.
    [[ "$count" =~ ^[0-9] ]] || { printf '%s\n' "$count" >&2; echo 999999999; return 0; }
    printf '%.0f' "${count%% *}"
}
