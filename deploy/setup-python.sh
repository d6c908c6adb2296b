#!/bin/sh
# Make .venv, Penumbra's own environment, with everything that tests and demo need.
#   deploy/setup-python.sh            (or: PYTHON=/opt/python/bin/python3.12 deploy/setup-python.sh)
# Running it again costs nothing: a stamp inside .venv says what it was made from.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
env=$root/.venv
stamp=$env/.penumbra-stamp
wanted="$root $(cksum <"$root/pyproject.toml")"

fits() { # an interpreter of a version that pyproject.toml allows
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}
is_whole() { # an environment that an interrupted run did not leave half made, of the wanted version
    [ -x "$env/bin/python" ] && fits "$env/bin/python" && "$env/bin/python" -c 'import pip' &&
        { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$env/bin/python")" ]; }
}
can_make_environments() { # Debian keeps these two in a package of their own
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

if is_whole 2>/dev/null; then
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        exit 0
    fi
else
    python=
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if fits "$candidate"; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "Python: 3.11, 3.12 or 3.13 is needed, and none of these is it:" \
            "${PYTHON:-python3.11 python3.12 python3.13 python3}." \
            "Install one, or name it: PYTHON=/path/to/python make" >&2
        exit 1
    fi
    version=$(version_of "$python")
    if ! can_make_environments "$python"; then
        "$here/apt-install.sh" "python$version-venv" || true
    fi
    if ! can_make_environments "$python"; then
        echo "Python: $python lacks venv and ensurepip; on Debian, as root:" \
            "apt-get install python$version-venv" >&2
        exit 1
    fi
    if [ -e "$env" ] && [ ! -f "$env/pyvenv.cfg" ]; then
        echo "Python: $env exists and is no virtual environment; move it away" >&2
        exit 1
    fi
    echo "Python: making $env with Python $version (about 40 s, 1 GB)"
    rm -rf -- "$env"
    "$python" -m venv -- "$env"
fi

echo "Python: installing what pyproject.toml names"
rm -f -- "$stamp"
"$env/bin/python" -m pip install -qq --disable-pip-version-check --editable "${root}[test]"
printf '%s\n' "$wanted" >"$stamp"
