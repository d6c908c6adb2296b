#!/bin/sh
# Install the Debian packages that tests and demo use: DCMTK, Orthanc, mosquitto, PostgreSQL,
# PixelMed's validator of reports, libpython, and the libraries that OpenCV takes for granted.
#   deploy/setup-peers.sh             (NO_APT=1 leaves the machine as it is)
# Never fails: what cannot be installed is named in one line, with what is then left out.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
env=$(dirname -- "$here")/.venv
triton=${PENUMBRA_TRITON_ENV:-$(dirname -- "$here")/.venv-triton}
PATH=$PATH:/usr/sbin:/sbin # where Debian puts servers, and where few people look

# What is wanted | its Debian package | what there is without it
wanted="
storescu|dcmtk|tests with DCMTK's tools are skipped, and the demo sends with penumbra
Orthanc|orthanc|tests with Orthanc are skipped, and the demo's PACS is pynetdicom's storescp
/usr/share/orthanc/plugins/libOrthancDicomWeb.so|orthanc-dicomweb|tests of STOW-RS are skipped
mosquitto|mosquitto|tests with a broker are skipped, and the demo publishes no events
initdb|postgresql|tests with PostgreSQL are skipped
java|default-jre-headless|reports are not shown to PixelMed's validator
/usr/share/java/pixelmed.jar|libpixelmed-java|reports are not shown to PixelMed's validator
libGL.so.1|libgl1 libglib2.0-0|no text is found in pixels, and tests of that are skipped
"
if [ -x "$triton/bin/python" ]; then
    # Triton runs a model in a process that is linked to it; Debian's python3 does without.
    library=$("$triton/bin/python" -c 'import sys; print("libpython%d.%d" % sys.version_info[:2])')
    wanted="$wanted$library|$library|Triton cannot run the models that come with Penumbra
"
fi

is_there() {
    case $1 in
    libpython*) LD_LIBRARY_PATH=$("$triton/bin/python" -c \
        'import sysconfig; print(sysconfig.get_config_var("LIBDIR") or "")') \
        "$triton/bin/python" -c "import ctypes; ctypes.CDLL('$1.so.1.0')" >/dev/null 2>&1 ;;
    /*) [ -f "$1" ] ;;
    lib*) "$env/bin/python" -c "import cv2" >/dev/null 2>&1 ;;
    initdb) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}
missing() { # the lines of what is not there
    while IFS= read -r line; do
        [ -z "$line" ] || is_there "${line%%|*}" || printf '%s\n' "$line"
    done <<END
$wanted
END
}

packages=$(missing | cut -d '|' -f 2 | tr '\n' ' ')
[ -n "$packages" ] || exit 0
exec 3>&1
# shellcheck disable=SC2086  # package names, one a word
why=$("$here/apt-install.sh" $packages 2>&1 >&3) || true
missing | while IFS='|' read -r name package without; do
    echo "Peers: no $package (${why:-it brought no $name}): $without"
done
